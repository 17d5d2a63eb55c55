//! Replies as RESP2 spells them. Bytes come from outside: none of them makes this panic.

use std::fmt;

use super::Bytes;

/// What a client heard.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Reply {
    /// `OK`
    Ok,
    /// No value.
    Nil,
    /// A number.
    Integer(i64),
    /// A value.
    Value(Bytes),
    /// Values in the order asked for, as `MGET` answers them.
    Values(Vec<Option<Bytes>>),
    /// The command was refused and changed nothing, as `INCR` of what is not a number.
    Error,
}

impl Reply {
    /// The first reply in RESP2 bytes, and the bytes after it. `None` if it is not whole yet, or
    /// is none that a command here could have.
    pub fn parse(resp2: &[u8]) -> Option<(Reply, &[u8])> {
        let (line, rest) = line(resp2)?;
        let (kind, text) = line.split_first()?;
        match kind {
            b'+' if text == b"OK" => Some((Reply::Ok, rest)),
            b'-' => Some((Reply::Error, rest)),
            b':' => Some((Reply::Integer(number(text)?), rest)),
            b'$' => {
                let (value, rest) = bulk(resp2)?;
                Some((value.map_or(Reply::Nil, Reply::Value), rest))
            }
            b'*' if text == b"-1" => Some((Reply::Nil, rest)),
            b'*' => {
                let mut values = Vec::new();
                let mut rest = rest;
                // The announced length is not trusted with memory: each element is there first.
                for _ in 0..usize::try_from(number(text)?).ok()? {
                    let (value, after) = bulk(rest)?;
                    values.push(value);
                    rest = after;
                }
                Some((Reply::Values(values), rest))
            }
            _ => None,
        }
    }
}

/// The bytes before the first CRLF, and those after it.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((&bytes[..end], &bytes[end + 2..]))
}

fn number(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A bulk string, or the bulk that says there is none.
fn bulk(bytes: &[u8]) -> Option<(Option<Bytes>, &[u8])> {
    let (header, rest) = line(bytes)?;
    let length = number(header.strip_prefix(b"$")?)?;
    if length == -1 {
        return Some((None, rest));
    }
    let length = usize::try_from(length).ok()?;
    let value = rest.get(..length)?;
    let after = rest.get(length..)?.strip_prefix(b"\r\n")?;
    Some((Some(value.to_vec()), after))
}

/// As `redis-cli` would show it, in one line.
impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reply::Ok => f.write_str("OK"),
            Reply::Nil => f.write_str("nil"),
            Reply::Integer(number) => write!(f, "{number}"),
            Reply::Value(value) => write!(f, "\"{}\"", value.escape_ascii()),
            Reply::Values(values) => {
                let shown = values.iter().map(|value| match value {
                    Some(value) => format!("\"{}\"", value.escape_ascii()),
                    None => String::from("nil"),
                });
                write!(f, "[{}]", shown.collect::<Vec<_>>().join(" "))
            }
            Reply::Error => f.write_str("an error"),
        }
    }
}
