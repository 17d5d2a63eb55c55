//! Requests as a person types them into a plain connection: words with quotes, as Redis splits
//! them. Must never look beyond its line.

use super::parser::ProtocolError;
use crate::store::arguments::put_number;

/// Splits a line, without its `\n`, and appends it as a request. No word: no request.
pub fn read(line: &[u8], limit: usize, output: &mut Vec<u8>) -> Result<bool, ProtocolError> {
    let words = split(line).ok_or(ProtocolError::UnbalancedQuotes)?;
    if words.is_empty() {
        return Ok(false);
    }
    let begin = output.len();
    put_number(output, words.len());
    for word in &words {
        put_number(output, word.len());
        output.extend_from_slice(word);
    }
    if output.len() - begin > limit {
        output.truncate(begin);
        return Err(ProtocolError::RequestTooLong);
    }
    Ok(true)
}

/// The words of a line; `None` when a quote does not close, or closes within a word.
fn split(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = &rest[rest.iter().take_while(|&&byte| is_space(byte)).count()..];
        if rest.is_empty() {
            return Some(words);
        }
        words.push(word(&mut rest)?);
    }
}

/// What C's `isspace` says.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

/// What ends a word that is not quoted: not all that [`is_space`] takes for space before one.
fn ends_word(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn word(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    while let [first, after @ ..] = *rest {
        match *first {
            quote @ (b'"' | b'\'') => {
                *rest = after;
                quoted(quote, rest, &mut word)?;
                return rest.first().is_none_or(|&byte| is_space(byte)).then_some(word);
            }
            byte if ends_word(byte) => break,
            byte => word.push(byte),
        }
        *rest = after;
    }
    Some(word)
}

/// Reads up to the closing quote. Escapes are many between double quotes; between single ones there
/// is only the quote itself.
fn quoted(quote: u8, rest: &mut &[u8], word: &mut Vec<u8>) -> Option<()> {
    loop {
        let (byte, length) = match **rest {
            [] => return None,
            [first, ..] if first == quote => {
                *rest = &rest[1..];
                return Some(());
            }
            [b'\\', b'x', high, low, ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                (hex(high) << 4 | hex(low), 4)
            }
            [b'\\', escaped, ..] if quote == b'"' => (unescape(escaped), 2),
            [b'\\', b'\'', ..] => (b'\'', 2),
            [byte, ..] => (byte, 1),
        };
        word.push(byte);
        *rest = &rest[length..];
    }
}

fn hex(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

fn unescape(escaped: u8) -> u8 {
    match escaped {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}
