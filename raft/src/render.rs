//! Replies as redis-cli prints them on a terminal, and its way to split a line into words. Must
//! never print a byte of a reply as it is: it could drive the terminal.

use std::fmt::Write;

use crate::client::Reply;

/// A reply as redis-cli prints it on a terminal, without the last line end.
pub fn reply(reply: &Reply) -> String {
    let mut text = String::new();
    write_reply(&mut text, reply, 0);
    text
}

/// Bytes between quotes, all that is not printable ASCII escaped.
pub fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' => text.push_str("\\\""),
            b'\\' => text.push_str("\\\\"),
            b'\n' => text.push_str("\\n"),
            b'\r' => text.push_str("\\r"),
            b'\t' => text.push_str("\\t"),
            0x07 => text.push_str("\\a"),
            0x08 => text.push_str("\\b"),
            0x20..0x7f => text.push(char::from(byte)),
            _ => write!(text, "\\x{byte:02x}").expect("a string takes everything"),
        }
    }
    text.push('"');
    text
}

/// Text without control characters: for statuses and errors, which are printed without quotes.
pub fn plain(text: &str) -> String {
    text.chars().flat_map(escape_control).collect()
}

fn escape_control(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

fn write_reply(text: &mut String, reply: &Reply, indent: usize) {
    match reply {
        Reply::Status(status) => text.push_str(&plain(status)),
        Reply::Error(error) => text.push_str(&format!("(error) {}", plain(error))),
        Reply::Integer(number) => text.push_str(&format!("(integer) {number}")),
        Reply::Bulk(bytes) => text.push_str(&quoted(bytes)),
        Reply::Nil => text.push_str("(nil)"),
        Reply::Array(replies) if replies.is_empty() => text.push_str("(empty array)"),
        Reply::Array(replies) => write_array(text, replies, indent),
    }
}

fn write_array(text: &mut String, replies: &[Reply], indent: usize) {
    let width = replies.len().to_string().len();
    for (position, reply) in replies.iter().enumerate() {
        if position > 0 {
            text.push('\n');
            text.push_str(&" ".repeat(indent));
        }
        text.push_str(&format!("{:>width$}) ", position + 1));
        write_reply(text, reply, indent + width + 2);
    }
}

/// Splits a line into words. `"..."` knows `\n \r \t \a \b \xHH`, `'...'` knows `\'`; a closing
/// quote must be followed by a space or the end.
pub fn words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut rest = line.as_bytes().trim_ascii();
    while !rest.is_empty() {
        let (word, after) = next_word(rest)?;
        words.push(word);
        rest = after.trim_ascii_start();
    }
    Ok(words)
}

fn next_word(line: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let mut word = Vec::new();
    let mut rest = line;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'"' | b'\'' => {
                let (quoted, after) = quoted_word(after, byte)?;
                word.extend(quoted);
                return Ok((word, after));
            }
            _ if byte.is_ascii_whitespace() => return Ok((word, rest)),
            _ => word.push(byte),
        }
        rest = after;
    }
    Ok((word, rest))
}

fn quoted_word(line: &[u8], quote: u8) -> Result<(Vec<u8>, &[u8]), String> {
    let mut word = Vec::new();
    let mut rest = line;
    loop {
        match rest {
            [byte, after @ ..] if *byte == quote => {
                if after.first().is_some_and(|next| !next.is_ascii_whitespace()) {
                    return Err("a space is missing after a closing quote".into());
                }
                return Ok((word, after));
            }
            [b'\\', b'\'', after @ ..] if quote == b'\'' => {
                word.push(b'\'');
                rest = after;
            }
            [b'\\', b'x', high, low, after @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            [b'\\', escaped, after @ ..] if quote == b'"' => {
                word.push(unescaped(*escaped));
                rest = after;
            }
            [byte, after @ ..] => {
                word.push(*byte);
                rest = after;
            }
            [] => return Err("a closing quote is missing".into()),
        }
    }
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).map_or(0, |value| value as u8)
}

fn unescaped(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'a' => 0x07,
        b'b' => 0x08,
        other => other,
    }
}
