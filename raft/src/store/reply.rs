//! Replies as RESP2 bytes, and Redis's words for what was wrong. Each function appends one reply or
//! one part of it. Must never take anything back that stands in the buffer already.

use super::arguments::Arguments;

/// `-ERR syntax error`.
pub const SYNTAX_ERROR: &str = "ERR syntax error";
/// An argument or a value should have been a number.
pub const NOT_AN_INTEGER: &str = "ERR value is not an integer or out of range";
/// The nil of RESP2.
pub const NULL: &[u8] = b"$-1\r\n";

/// `+OK`.
pub fn ok(reply: &mut Vec<u8>) {
    status(reply, "OK");
}

/// A simple string; without line breaks.
pub fn status(reply: &mut Vec<u8>, text: &str) {
    line(reply, b'+', text.as_bytes());
}

/// An error. Line breaks in it become spaces, as a client's own bytes may be quoted.
pub fn error(reply: &mut Vec<u8>, text: &str) {
    line(reply, b'-', text.as_bytes());
}

/// An error of any bytes.
pub fn error_bytes(reply: &mut Vec<u8>, text: &[u8]) {
    line(reply, b'-', text);
}

fn line(reply: &mut Vec<u8>, kind: u8, text: &[u8]) {
    reply.push(kind);
    reply.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
    reply.extend_from_slice(b"\r\n");
}

/// A number.
pub fn integer(reply: &mut Vec<u8>, number: i64) {
    header(reply, b':', number);
}

/// A count as a number.
pub fn count(reply: &mut Vec<u8>, count: usize) {
    integer(reply, count as i64);
}

/// 1 or 0.
pub fn boolean(reply: &mut Vec<u8>, yes: bool) {
    integer(reply, i64::from(yes));
}

/// Any bytes.
pub fn bulk(reply: &mut Vec<u8>, bytes: &[u8]) {
    reply.reserve(bytes.len() + 16);
    header(reply, b'$', bytes.len() as i64);
    reply.extend_from_slice(bytes);
    reply.extend_from_slice(b"\r\n");
}

/// Bytes, or nil.
pub fn optional_bulk(reply: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        Some(bytes) => bulk(reply, bytes),
        None => null(reply),
    }
}

/// Nil.
pub fn null(reply: &mut Vec<u8>) {
    reply.extend_from_slice(NULL);
}

/// Opens an array: so many replies follow.
pub fn array(reply: &mut Vec<u8>, length: usize) {
    header(reply, b'*', length as i64);
}

fn header(reply: &mut Vec<u8>, kind: u8, number: i64) {
    let mut digits = [0; DECIMAL];
    reply.push(kind);
    reply.extend_from_slice(decimal(number, &mut digits));
    reply.extend_from_slice(b"\r\n");
}

/// Bytes that any `i64` takes in decimal.
pub const DECIMAL: usize = 20;

/// Writes a number in decimal into `buffer`, from the back.
pub fn decimal(number: i64, buffer: &mut [u8; DECIMAL]) -> &[u8] {
    let mut left = number.unsigned_abs();
    let mut at = DECIMAL;
    loop {
        at -= 1;
        buffer[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

/// A number exactly as [`decimal`] would write it: no plus sign, spaces or leading zeros.
pub fn parse_decimal(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [] => return None,
        [b'0'] if !negative => return Some(0),
        [b'0', ..] => return None,
        _ => {}
    }
    digits.iter().try_fold(0i64, |number, digit| {
        let digit = i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        let number = number.checked_mul(10)?;
        if negative { number.checked_sub(digit) } else { number.checked_add(digit) }
    })
}

/// The command exists, its number of arguments is wrong.
pub fn wrong_arity(reply: &mut Vec<u8>, name: &str) {
    error(reply, &format!("ERR wrong number of arguments for '{name}' command"));
}

/// There is no such command.
pub fn unknown_command(reply: &mut Vec<u8>, mut request: Arguments) {
    /// Bytes of the name, and of all arguments together, that are quoted.
    const QUOTED: usize = 128;
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(quotable(request.shift(), QUOTED));
    text.extend_from_slice(b"', with args beginning with: ");
    let begin = text.len();
    while text.len() - begin < QUOTED {
        let Some(argument) = request.next() else { break };
        let room = QUOTED - (text.len() - begin);
        text.push(b'\'');
        text.extend_from_slice(quotable(argument, room));
        text.extend_from_slice(b"' ");
    }
    error_bytes(reply, &text);
}

/// There is no such subcommand of `container`, which is in upper case.
pub fn unknown_subcommand(reply: &mut Vec<u8>, container: &str, name: &[u8]) {
    let mut text = b"ERR unknown subcommand '".to_vec();
    text.extend_from_slice(quotable(name, 128));
    text.extend_from_slice(format!("'. Try {container} HELP.").as_bytes());
    error_bytes(reply, &text);
}

/// What Redis quotes of a client's bytes: up to the first zero byte, and not too much.
pub fn quotable(bytes: &[u8], limit: usize) -> &[u8] {
    let bytes = &bytes[..bytes.len().min(limit)];
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}
