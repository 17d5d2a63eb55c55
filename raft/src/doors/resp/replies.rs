//! What came of a batch, as RESP. The first word of an error is a promise that clients act on
//! (README, "What an error promises"): must never say "not applied" of what may have been.

use std::slice::Iter;

use bytes::Bytes;
use messages::LogPosition;
use servers::host::Outcome;

use super::once::Once;
use super::session::Protocol;
use crate::store::commands::Command;
use crate::store::reply::{self, parse_decimal};

/// The replies of a batch, one for each of its operations.
pub struct Replies<'a> {
    outcome: &'a Outcome,
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
    pub fn new(outcome: &'a Outcome) -> Replies<'a> {
        let done = match outcome {
            Outcome::Done { replies, .. } => replies.iter(),
            _ => [].iter(),
        };
        Replies { outcome, done }
    }

    /// Appends the reply to the next operation, which was `command`.
    pub fn put_next(&mut self, command: &Command, protocol: Protocol, out: &mut Vec<u8>) {
        match self.next(out) {
            Next::Reply(reply) => put(reply, protocol, out),
            Next::Unknown(position) => uncertain(command, position, out),
            Next::Refused => {}
        }
    }

    /// Appends the reply to the next operation, which was of a session.
    pub fn put_next_once(&mut self, once: Once, protocol: Protocol, out: &mut Vec<u8>) {
        match self.next(out) {
            Next::Reply(answer) => once.put(answer, protocol, out),
            Next::Unknown(position) => once.put_uncertain(position, out),
            Next::Refused => {}
        }
    }

    /// What came of the next operation. A refusal, whose promise is the same for all, is appended.
    fn next(&mut self, out: &mut Vec<u8>) -> Next<'a> {
        match *self.outcome {
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
            Outcome::Stopped => {
                reply::error(out, "CLUSTERDOWN node is stopping; not applied, safe to repeat");
            }
        }
        Next::Refused
    }
}

fn uncertain(command: &Command, position: Option<LogPosition>, out: &mut Vec<u8>) {
    if !command.is_write() {
        return reply::error(
            out,
            "TRYAGAIN not read, safe to repeat; the writes sent with it may or may not be applied",
        );
    }
    let name = command.name.to_uppercase();
    let at = position.map(|position| format!(" at {position}")).unwrap_or_default();
    let text =
        format!("UNCERTAIN {name}{at} may or may not be applied; read the key before repeating");
    reply::error(out, &text);
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
