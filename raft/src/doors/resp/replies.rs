//! What came of a batch, as RESP. The first word of an error is a promise that clients act on
//! (README, "What an error promises"): must never say "not applied" of what may have been.

use std::slice::Iter;

use bytes::Bytes;
use messages::LogPosition;
use servers::host::Outcome;

use super::once::Once;
use super::session::Protocol;
use crate::store::reply::{self, parse_decimal};

/// The replies of a batch, one for each of its operations.
pub struct Replies<'a> {
    /// None of a batch without operations.
    outcome: Option<&'a Outcome>,
    done: Iter<'a, Bytes>,
}

/// What came of one operation.
enum Next<'a> {
    Reply(&'a Bytes),
    Unknown(Option<LogPosition>),
    Refused,
}

impl<'a> Replies<'a> {
    /// Replies in the order of the operations.
    pub fn new(outcome: Option<&'a Outcome>) -> Replies<'a> {
        let done = match outcome {
            Some(Outcome::Done { replies, .. }) => replies.iter(),
            _ => [].iter(),
        };
        Replies { outcome, done }
    }

    /// The reply to the next operation, which was `asked`; without one, appends the error that says
    /// what became of it.
    pub fn next(&mut self, asked: Asked, out: &mut Vec<u8>) -> Option<&'a Bytes> {
        match self.take(out) {
            Next::Reply(reply) => return Some(reply),
            Next::Unknown(position) => uncertain(asked, position, out),
            Next::Refused => {}
        }
        None
    }

    /// Appends the reply to the next operation, which was of a session.
    pub fn put_next_once(&mut self, once: Once, protocol: Protocol, out: &mut Vec<u8>) {
        match self.take(out) {
            Next::Reply(answer) => once.put(answer, protocol, out),
            Next::Unknown(position) => once.put_uncertain(position, out),
            Next::Refused => {}
        }
    }

    /// What came of the next operation. A refusal, whose promise is the same for all, is appended.
    fn take(&mut self, out: &mut Vec<u8>) -> Next<'a> {
        match *self.outcome.expect("a batch with operations has an outcome") {
            Outcome::Done { position, .. } => match self.done.next() {
                Some(reply) => return Next::Reply(reply),
                // Another node answered, and left something out.
                None => return Next::Unknown(position),
            },
            Outcome::Uncertain { position } => return Next::Unknown(position),
            Outcome::NoLeader { waited, heard, members } => {
                let waited = waited as f64 / 1e6;
                let text = format!(
                    "CLUSTERDOWN no leader for {waited:.1} s; not applied, safe to repeat; \
                     nodes heard: {heard} of {members}"
                );
                reply::error(out, &text);
            }
            Outcome::Busy => {
                reply::error(out, "TRYAGAIN too many writes wait; not applied, safe to repeat");
            }
            Outcome::Full => {
                let text = "OOM no space left on the disk of the leader, or of too many others; not \
                            applied; reads are served";
                reply::error(out, text);
            }
            Outcome::Stopped => {
                reply::error(out, "CLUSTERDOWN node is stopping; not applied, safe to repeat");
            }
        }
        Next::Refused
    }

    /// The reply that came is none to what was asked: another node's version differs.
    pub fn misread(&self, asked: Asked, out: &mut Vec<u8>) {
        let position = match self.outcome {
            Some(Outcome::Done { position, .. }) => *position,
            _ => None,
        };
        uncertain(asked, position, out);
    }
}

/// What an operation was.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The command's name in lower case.
    pub name: &'static str,
    /// Whether it entered the log.
    pub writes: bool,
}

fn uncertain(asked: Asked, position: Option<LogPosition>, out: &mut Vec<u8>) {
    if !asked.writes {
        return reply::error(
            out,
            "TRYAGAIN not read, safe to repeat; the writes sent with it may or may not be applied",
        );
    }
    let name = asked.name.to_uppercase();
    let at = position.map(|position| format!(" at {position}")).unwrap_or_default();
    let text =
        format!("UNCERTAIN {name}{at} may or may not be applied; read the key before repeating");
    reply::error(out, &text);
}

/// The replies that an array of the store holds; `None` if it is no whole array.
pub fn parts(array: &[u8]) -> Option<Vec<&[u8]>> {
    let end = line_end(array)?;
    let count = usize::try_from(parse_decimal(array[..end - 2].strip_prefix(b"*")?)?).ok()?;
    let mut rest = &array[end..];
    let mut parts = Vec::with_capacity(count.min(1024));
    for _ in 0..count {
        let (part, after) = rest.split_at(whole(rest)?);
        parts.push(part);
        rest = after;
    }
    rest.is_empty().then_some(parts)
}

/// The bytes of a bulk string.
pub fn body(bulk: &[u8]) -> Option<&[u8]> {
    let end = line_end(bulk).filter(|_| bulk[0] == b'$')?;
    bulk.get(end..bulk.len() - 2)
}

/// Where the first line ends, its end included.
fn line_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|&byte| byte == b'\n')? + 1;
    (end >= 3).then_some(end)
}

/// How long the first reply is, with all that nests in it.
fn whole(bytes: &[u8]) -> Option<usize> {
    let (mut left, mut at) = (1usize, 0);
    while left > 0 {
        let rest = bytes.get(at..)?;
        let line = &rest[..line_end(rest)?];
        let number = || parse_decimal(line.get(1..line.len() - 2)?);
        left -= 1;
        match line[0] {
            b'*' => left = left.checked_add(usize::try_from(number()?).unwrap_or(0))?,
            b'$' => at += body_length(line),
            _ => {}
        }
        at += line.len();
    }
    (at <= bytes.len()).then_some(at)
}

/// Appends a reply of the store. RESP3 has one nil for all types; else the two are the same here.
pub fn put(reply: &[u8], protocol: Protocol, out: &mut Vec<u8>) {
    let mut rest = reply;
    let nested_or_null = matches!(reply, [b'*', ..] | [b'$', b'-', ..]);
    if protocol == Protocol::Resp2 || !nested_or_null {
        return out.extend_from_slice(reply);
    }
    while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
        let (line, after) = rest.split_at(end + 1);
        let is_null = matches!(line, b"$-1\r\n" | b"*-1\r\n");
        out.extend_from_slice(if is_null { b"_\r\n" } else { line });
        let body = if line[0] == b'$' { body_length(line) } else { 0 };
        let (body, after) = after.split_at(body.min(after.len()));
        out.extend_from_slice(body);
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Bytes behind the line `$len`, the line end included.
fn body_length(line: &[u8]) -> usize {
    let length = line.get(1..line.len() - 2).and_then(parse_decimal);
    length.and_then(|length| usize::try_from(length).ok()).map_or(0, |length| length + 2)
}
