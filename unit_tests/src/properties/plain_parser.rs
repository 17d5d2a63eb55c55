//! A parser of Redis requests as one would write it first: it has all bytes at once, begins again
//! with every request, and is slow. Written from Redis's documentation and the limits of the door;
//! it shares no code with what it is compared with.

use raft::doors::resp::parser::ProtocolError::{self, *};

/// The arguments of one request.
pub type Request = Vec<Vec<u8>>;

/// All whole requests at the front of `bytes`, and the error that ends them if there is one.
pub fn parse(bytes: &[u8], limit: usize) -> (Vec<Request>, Option<ProtocolError>) {
    let (mut requests, mut rest) = (Vec::new(), bytes);
    loop {
        match request(&mut rest, limit) {
            Ok(Some(request)) if request.is_empty() => {} // an empty line, an array of nothing
            Ok(Some(request)) => requests.push(request),
            Ok(None) => return (requests, None),
            Err(error) => return (requests, Some(error)),
        }
    }
}

/// `None`: the bytes end within it.
fn request(rest: &mut &[u8], limit: usize) -> Result<Option<Request>, ProtocolError> {
    let Some(first) = rest.first() else { return Ok(None) };
    if *first != b'*' {
        let Some(line) = line(rest, b'\n', LineTooLong)? else { return Ok(None) };
        let words = words(line).ok_or(UnbalancedQuotes)?;
        let too_long = !words.is_empty() && size(words.len(), &words) > limit;
        return if too_long { Err(RequestTooLong) } else { Ok(Some(words)) };
    }
    let Some(count) = length(rest, CountTooLong)? else { return Ok(None) };
    let count = count.filter(|count| *count <= 1 << 20).ok_or(InvalidCount)?;
    let mut request = Request::new();
    for _ in 0..count {
        match rest.first() {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => return Err(ExpectedDollar(*other)),
        }
        let Some(bytes) = length(rest, LengthTooLong)? else { return Ok(None) };
        let bytes =
            bytes.filter(|bytes| (0..=limit as i64).contains(bytes)).ok_or(InvalidLength)?;
        let bytes = bytes as usize;
        if size(count as usize, &request) + digits(bytes) + bytes > limit {
            return Err(RequestTooLong);
        }
        let Some((argument, after)) = rest.split_at_checked(bytes + 2) else { return Ok(None) };
        request.push(argument[..bytes].to_vec());
        *rest = after;
    }
    Ok(Some(request))
}

/// Bytes of a request in the log: how many, then each with its length before it.
fn size(count: usize, arguments: &[Vec<u8>]) -> usize {
    digits(count) + arguments.iter().map(|each| digits(each.len()) + each.len()).sum::<usize>()
}

/// Digits to the base 128.
fn digits(number: usize) -> usize {
    if number < 128 { 1 } else { 1 + digits(number / 128) }
}

fn line<'a>(
    rest: &mut &'a [u8],
    end: u8,
    too_long: ProtocolError,
) -> Result<Option<&'a [u8]>, ProtocolError> {
    match rest.iter().position(|byte| *byte == end) {
        Some(place) if place <= 64 << 10 => {
            let line = &rest[..place];
            *rest = &rest[place + 1..];
            Ok(Some(line))
        }
        _ if rest.len() > 64 << 10 => Err(too_long),
        _ => Ok(None),
    }
}

/// The number behind a `*` or `$`, and the two bytes that end its line. The inner `None`: no number.
fn length(rest: &mut &[u8], too_long: ProtocolError) -> Result<Option<Option<i64>>, ProtocolError> {
    let mut after = &rest[1..];
    let Some(line) = line(&mut after, b'\r', too_long)? else { return Ok(None) };
    let Some((_, after)) = after.split_first() else { return Ok(None) };
    *rest = after;
    let text = std::str::from_utf8(line).unwrap_or("");
    Ok(Some(text.parse().ok().filter(|number: &i64| number.to_string() == text)))
}

/// Splits a line as Redis's `sdssplitargs` does. `None`: a quote does not close, or a word follows
/// right behind one.
fn words(line: &[u8]) -> Option<Request> {
    let (mut words, mut at) = (Request::new(), 0);
    let byte = |at: usize| line.get(at).copied();
    let is_space = |at: usize| byte(at).is_some_and(|b| b.is_ascii_whitespace() || b == 0x0b);
    loop {
        while is_space(at) {
            at += 1;
        }
        if at >= line.len() {
            return Some(words);
        }
        let mut word = Vec::new();
        let mut quote = None;
        loop {
            let hex = line.get(at + 2..at + 4).and_then(|hex| std::str::from_utf8(hex).ok());
            let hex = hex.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
            match (quote, byte(at), byte(at + 1)) {
                (None, None | Some(b' ' | b'\n' | b'\r' | b'\t'), _) => break,
                (None, Some(open @ (b'"' | b'\'')), _) => quote = Some(open),
                (Some(_), None, _) => return None,
                (Some(b'"'), Some(b'\\'), Some(b'x')) if hex.is_some() => {
                    word.push(u8::from_str_radix(hex?, 16).ok()?);
                    at += 3;
                }
                (Some(b'"'), Some(b'\\'), Some(escaped)) => {
                    let known = b"nrtba".iter().position(|letter| *letter == escaped);
                    word.push(known.map_or(escaped, |place| b"\n\r\t\x08\x07"[place]));
                    at += 1;
                }
                (Some(b'\''), Some(b'\\'), Some(b'\'')) => {
                    word.push(b'\'');
                    at += 1;
                }
                (Some(open), Some(close), _) if open == close => {
                    at += 1;
                    if at < line.len() && !is_space(at) {
                        return None;
                    }
                    break;
                }
                (_, Some(plain), _) => word.push(plain),
            }
            at += 1;
        }
        words.push(word);
    }
}
