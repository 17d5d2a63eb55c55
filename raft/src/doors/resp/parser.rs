//! Reads Redis requests, inline or arrays of bulk strings, from bytes that come in any pieces. Must
//! never read a byte twice, nest, or hold more than a request's limit whatever length is claimed.
//!
//! What it reads it writes at once in the store's own spelling ([`crate::store::arguments`]), so a
//! request is copied once on its way from the socket to the log.

use std::fmt;

use super::inline;
use crate::store::arguments::{number_size, put_number};
use crate::store::reply::parse_decimal;

/// The longest inline request and the longest line with a length, bytes, as in Redis.
pub const MAX_LINE: usize = 64 << 10;

/// The most arguments of one request, as in Redis.
pub const MAX_ARGUMENTS: i64 = 1 << 20;

/// The longest decimal that is a length; anything longer is none.
const MAX_DIGITS: usize = 20;

/// Remembers between pieces where in a request it stands.
#[derive(Debug)]
pub struct Parser {
    expects: Expects,
    /// The most bytes of a request, counted as it is spelt in the log.
    max_request: usize,
    /// Arguments of this request that are still to come.
    left: usize,
    /// Bytes of this request so far, those announced by the argument being read included.
    size: usize,
    /// A part of an inline request.
    line: Vec<u8>,
    /// A part of a line with a length.
    number: Number,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// The first byte of a request.
    Request,
    /// The rest of an inline request.
    Line,
    /// The rest of `*N`.
    Count,
    /// The byte behind `*N\r`.
    CountEnd,
    /// The `$` of an argument.
    Dollar,
    /// The rest of `$len`.
    Length,
    /// The byte behind `$len\r`.
    LengthEnd,
    /// So many bytes of an argument.
    Body(usize),
    /// So many bytes behind an argument.
    BodyEnd(usize),
}

/// What a piece of input came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A whole request stands at the end of the output; the rest of the input was not looked at.
    Request,
    /// All input is read, and more is needed.
    Partial,
}

/// The client does not speak the protocol; what it sends from here on means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// `*N` with an impossible `N`.
    InvalidCount,
    /// `*` with a line without end.
    CountTooLong,
    /// `$len` with an impossible length, or one above the limit.
    InvalidLength,
    /// `$` with a line without end.
    LengthTooLong,
    /// An array holds something else than a bulk string.
    ExpectedDollar(u8),
    /// An inline request without end.
    LineTooLong,
    /// An inline request with a quote that does not close.
    UnbalancedQuotes,
    /// All arguments together are above the limit.
    RequestTooLong,
}

impl ProtocolError {
    fn words(self) -> &'static str {
        match self {
            ProtocolError::InvalidCount => "invalid multibulk length",
            ProtocolError::CountTooLong => "too big mbulk count string",
            ProtocolError::InvalidLength => "invalid bulk length",
            ProtocolError::LengthTooLong => "too big bulk count string",
            ProtocolError::ExpectedDollar(_) => "expected '$', got '",
            ProtocolError::LineTooLong => "too big inline request",
            ProtocolError::UnbalancedQuotes => "unbalanced quotes in request",
            ProtocolError::RequestTooLong => "too big request",
        }
    }

    /// The error reply, without its sign and line end. May hold any byte.
    pub fn text(self) -> Vec<u8> {
        let mut text = format!("ERR Protocol error: {}", self.words()).into_bytes();
        if let ProtocolError::ExpectedDollar(byte) = self {
            text.extend_from_slice(&[byte, b'\'']);
        }
        text
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.words())?;
        match self {
            ProtocolError::ExpectedDollar(byte) => write!(f, "{}'", byte.escape_ascii()),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ProtocolError {}

/// Digits of a length, as many as can matter.
#[derive(Debug, Default)]
struct Number {
    digits: [u8; MAX_DIGITS],
    length: usize,
}

impl Number {
    fn push(&mut self, bytes: &[u8]) {
        for (digit, &byte) in self.digits.iter_mut().skip(self.length).zip(bytes) {
            *digit = byte;
        }
        self.length += bytes.len();
    }

    fn take(&mut self) -> Option<i64> {
        let number = self.digits.get(..self.length).and_then(parse_decimal);
        self.length = 0;
        number
    }
}

impl Parser {
    /// A parser of requests of up to `max_request` bytes.
    pub fn new(max_request: usize) -> Parser {
        Parser {
            expects: Expects::Request,
            max_request,
            left: 0,
            size: 0,
            line: Vec::new(),
            number: Number::default(),
        }
    }

    /// Whether it stands between two requests.
    pub fn is_between_requests(&self) -> bool {
        self.expects == Expects::Request
    }

    /// Reads up to the end of a request, or of the input, off the front of `input`, and appends to
    /// `output` what it read. After an error it must not be used any more.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError> {
        while let Some(&first) = input.first() {
            let ended = match self.expects {
                Expects::Request => {
                    self.begin(first, input);
                    false
                }
                Expects::Line => self.on_line(input, output)?,
                Expects::Count => {
                    self.on_number(input, Expects::CountEnd, ProtocolError::CountTooLong)?
                }
                Expects::CountEnd => self.on_count(input, output)?,
                Expects::Dollar => self.on_dollar(first, input)?,
                Expects::Length => {
                    self.on_number(input, Expects::LengthEnd, ProtocolError::LengthTooLong)?
                }
                Expects::LengthEnd => self.on_length(input, output)?,
                Expects::Body(left) => self.on_body(left, input, output),
                Expects::BodyEnd(left) => self.on_body_end(left, input),
            };
            if ended {
                self.expects = Expects::Request;
                return Ok(Progress::Request);
            }
        }
        Ok(Progress::Partial)
    }

    fn begin(&mut self, first: u8, input: &mut &[u8]) {
        self.size = 0;
        if first == b'*' {
            skip(input, 1);
            self.expects = Expects::Count;
        } else {
            self.expects = Expects::Line;
        }
    }

    /// An inline request ends with its line; an empty one is none.
    fn on_line(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<bool, ProtocolError> {
        let window = &input[..input.len().min(MAX_LINE + 1 - self.line.len())];
        let Some(end) = window.iter().position(|&byte| byte == b'\n') else {
            self.line.extend_from_slice(window);
            skip(input, window.len());
            return if self.line.len() > MAX_LINE {
                Err(ProtocolError::LineTooLong)
            } else {
                Ok(false)
            };
        };
        let part = &input[..end];
        skip(input, end + 1);
        self.expects = Expects::Request;
        if self.line.is_empty() {
            return inline::read(part, self.max_request, output);
        }
        self.line.extend_from_slice(part);
        let line = std::mem::take(&mut self.line);
        inline::read(&line, self.max_request, output)
    }

    /// Collects the digits of a length up to the `\r` behind them.
    fn on_number(
        &mut self,
        input: &mut &[u8],
        then: Expects,
        too_long: ProtocolError,
    ) -> Result<bool, ProtocolError> {
        let window = &input[..input.len().min(MAX_LINE + 1 - self.number.length)];
        let end = window.iter().position(|&byte| byte == b'\r');
        let digits = &window[..end.unwrap_or(window.len())];
        self.number.push(digits);
        skip(input, digits.len());
        if end.is_some() {
            skip(input, 1);
            self.expects = then;
        } else if self.number.length > MAX_LINE {
            return Err(too_long);
        }
        Ok(false)
    }

    fn on_count(&mut self, input: &mut &[u8], output: &mut Vec<u8>) -> Result<bool, ProtocolError> {
        skip(input, 1);
        let count = self.number.take().ok_or(ProtocolError::InvalidCount)?;
        if count > MAX_ARGUMENTS {
            return Err(ProtocolError::InvalidCount);
        }
        // As in Redis, an array of no or fewer arguments is no request.
        self.expects = if count > 0 { Expects::Dollar } else { Expects::Request };
        self.left = usize::try_from(count).unwrap_or(0);
        if self.left > 0 {
            self.size = number_size(self.left);
            put_number(output, self.left);
        }
        Ok(false)
    }

    fn on_dollar(&mut self, first: u8, input: &mut &[u8]) -> Result<bool, ProtocolError> {
        if first != b'$' {
            return Err(ProtocolError::ExpectedDollar(first));
        }
        skip(input, 1);
        self.expects = Expects::Length;
        Ok(false)
    }

    fn on_length(
        &mut self,
        input: &mut &[u8],
        output: &mut Vec<u8>,
    ) -> Result<bool, ProtocolError> {
        skip(input, 1);
        let length = self.number.take().and_then(|length| usize::try_from(length).ok());
        let length = length
            .filter(|&length| length <= self.max_request)
            .ok_or(ProtocolError::InvalidLength)?;
        self.size += number_size(length) + length;
        if self.size > self.max_request {
            return Err(ProtocolError::RequestTooLong);
        }
        put_number(output, length);
        self.expects = if length > 0 { Expects::Body(length) } else { Expects::BodyEnd(2) };
        Ok(false)
    }

    fn on_body(&mut self, left: usize, input: &mut &[u8], output: &mut Vec<u8>) -> bool {
        let part = &input[..input.len().min(left)];
        output.extend_from_slice(part);
        skip(input, part.len());
        self.expects = match left - part.len() {
            0 => Expects::BodyEnd(2),
            left => Expects::Body(left),
        };
        false
    }

    /// Skips the line end behind an argument; like Redis it does not look at it.
    fn on_body_end(&mut self, left: usize, input: &mut &[u8]) -> bool {
        let skipped = input.len().min(left);
        skip(input, skipped);
        if skipped < left {
            self.expects = Expects::BodyEnd(left - skipped);
            return false;
        }
        self.left -= 1;
        self.expects = Expects::Dollar;
        self.left == 0
    }
}

fn skip(input: &mut &[u8], bytes: usize) {
    *input = &input[bytes..];
}
