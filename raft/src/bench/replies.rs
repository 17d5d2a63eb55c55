//! Replies of the Redis protocol, version 2, skipped as they come in, in whatever pieces. Must never
//! allocate per reply nor keep what they say, but for the text of an error.

/// Of an error's text so many bytes are kept.
const MOST_TEXT: usize = 160;
/// No line of the protocol is longer.
const MOST_LINE: usize = 64 << 10;
/// No string is longer: Redis's own limit.
const MOST_BYTES: u64 = 512 << 20;

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// With a value.
    Done,
    /// With nothing: no such key.
    Nothing,
    /// With an error of this text, which may be cut.
    Refused(&'a [u8]),
}

/// These bytes are no replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbage;

/// Where in a reply the bytes so far have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a value.
    Kind,
    /// In a line of which nothing is wanted: a status or a number.
    Line,
    /// In an error.
    Error,
    /// In the length of a string or of an array.
    Length { array: bool, negative: bool, number: u64 },
    /// In a string: so many bytes are left, its line end among them.
    Bytes(u64),
}

/// What is known of the reply that comes in.
#[derive(Clone, Debug)]
pub struct Replies {
    place: Place,
    /// Values that are still to come before the reply is whole.
    open: u64,
    /// Whether the reply is an array.
    within: bool,
    /// Bytes of the line so far.
    line: usize,
    text: Vec<u8>,
}

impl Default for Replies {
    /// Before the first reply.
    fn default() -> Replies {
        Replies { place: Place::Kind, open: 1, within: false, line: 0, text: Vec::new() }
    }
}

impl Replies {
    /// Takes what was read, and tells of each reply that it completes.
    pub fn feed(
        &mut self,
        mut bytes: &[u8],
        mut completed: impl FnMut(Outcome<'_>),
    ) -> Result<(), Garbage> {
        while let Some(&first) = bytes.first() {
            match self.place {
                Place::Kind => {
                    bytes = &bytes[1..];
                    self.place = place_after(first).ok_or(Garbage)?;
                    self.line = 0;
                    self.text.clear();
                }
                Place::Line | Place::Error => bytes = self.line(bytes, &mut completed)?,
                Place::Length { array, negative, number } => {
                    bytes = &bytes[1..];
                    self.length(first, array, negative, number, &mut completed)?;
                }
                Place::Bytes(left) => {
                    let taken = left.min(bytes.len() as u64);
                    bytes = &bytes[taken as usize..];
                    self.place = Place::Bytes(left - taken);
                    if left == taken {
                        self.value(Outcome::Done, &mut completed);
                    }
                }
            }
        }
        Ok(())
    }

    fn line<'a>(
        &mut self,
        bytes: &'a [u8],
        completed: &mut impl FnMut(Outcome<'_>),
    ) -> Result<&'a [u8], Garbage> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        self.line += part.len();
        if self.line > MOST_LINE {
            return Err(Garbage);
        }
        let is_error = self.place == Place::Error;
        if is_error {
            let room = MOST_TEXT - self.text.len();
            self.text.extend_from_slice(&part[..part.len().min(room)]);
        }
        let Some(end) = end else { return Ok(&[]) };
        if is_error {
            let text = std::mem::take(&mut self.text);
            self.value(Outcome::Refused(text.trim_ascii_end()), completed);
            self.text = text;
        } else {
            self.value(Outcome::Done, completed);
        }
        Ok(&bytes[end + 1..])
    }

    fn length(
        &mut self,
        byte: u8,
        array: bool,
        negative: bool,
        number: u64,
        completed: &mut impl FnMut(Outcome<'_>),
    ) -> Result<(), Garbage> {
        self.line += 1;
        self.place = match byte {
            b'0'..=b'9' if number <= MOST_BYTES => {
                let number = number * 10 + u64::from(byte - b'0');
                Place::Length { array, negative, number }
            }
            b'-' if self.line == 1 => Place::Length { array, negative: true, number },
            b'\r' => Place::Length { array, negative, number },
            b'\n' if number > MOST_BYTES || (negative && number != 1) => return Err(Garbage),
            b'\n' if negative => {
                self.value(Outcome::Nothing, completed);
                return Ok(());
            }
            b'\n' if array => {
                self.array(number, completed);
                return Ok(());
            }
            b'\n' => Place::Bytes(number + 2),
            _ => return Err(Garbage),
        };
        Ok(())
    }

    fn array(&mut self, length: u64, completed: &mut impl FnMut(Outcome<'_>)) {
        self.within = true;
        self.open = self.open.saturating_add(length);
        self.value(Outcome::Done, completed);
    }

    /// A value has ended, and with it perhaps the reply.
    fn value(&mut self, outcome: Outcome<'_>, completed: &mut impl FnMut(Outcome<'_>)) {
        self.place = Place::Kind;
        self.open -= 1;
        if self.open == 0 {
            completed(if self.within { Outcome::Done } else { outcome });
            self.open = 1;
            self.within = false;
        }
    }
}

fn place_after(kind: u8) -> Option<Place> {
    let length = |array| Place::Length { array, negative: false, number: 0 };
    match kind {
        b'+' | b':' => Some(Place::Line),
        b'-' => Some(Place::Error),
        b'$' => Some(length(false)),
        b'*' => Some(length(true)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told of these bytes when they come in pieces that end at `cuts`.
    fn told(bytes: &[u8], cuts: &[usize]) -> Result<Vec<String>, Garbage> {
        let mut replies = Replies::default();
        let mut told = Vec::new();
        let mut begin = 0;
        for end in cuts.iter().copied().chain([bytes.len()]) {
            replies.feed(&bytes[begin..end], |outcome| {
                told.push(match outcome {
                    Outcome::Done => "done".to_owned(),
                    Outcome::Nothing => "nothing".to_owned(),
                    Outcome::Refused(text) => String::from_utf8_lossy(text).into_owned(),
                });
            })?;
            begin = end;
        }
        Ok(told)
    }

    #[test]
    fn every_reply_is_told_once_however_it_is_cut() {
        let bytes =
            b"+OK\r\n$5\r\na\r\nb\n\r\n:12\r\n-CLUSTERDOWN no leader\r\n$-1\r\n$0\r\n\r\n*-1\r\n\
            *3\r\n:1\r\n*2\r\n$1\r\nx\r\n-ERR in it\r\n$-1\r\n*0\r\n+PONG\r\n";
        let expected = [
            "done",
            "done",
            "done",
            "CLUSTERDOWN no leader",
            "nothing",
            "done",
            "nothing",
            "done",
            "done",
            "done",
        ];
        for first in 0..bytes.len() {
            for second in first..bytes.len() {
                let told = told(bytes, &[first, second]).expect("replies");
                assert_eq!(told, expected, "cut at {first} and {second}");
            }
        }
        let single: Vec<usize> = (0..bytes.len()).collect();
        assert_eq!(told(bytes, &single).expect("replies"), expected);
    }

    #[test]
    fn half_a_reply_is_none() {
        for bytes in [&b"+OK\r"[..], b"$3\r\nabc\r", b"*2\r\n:1\r\n", b"-ERR", b"$3"] {
            assert_eq!(told(bytes, &[]), Ok(vec![]), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_reply_is_seen() {
        for bytes in [
            &b"HTTP/1.1 400 Bad Request\r\n"[..],
            b"$x\r\n",
            b"$-2\r\n",
            b"$1-\r\n",
            b"*99999999999999999999\r\n",
            b"\r\n",
        ] {
            assert_eq!(told(bytes, &[]), Err(Garbage), "{}", bytes.escape_ascii());
        }
        assert_eq!(told(&[b"+".as_slice(), &[b'x'; MOST_LINE + 1]].concat(), &[]), Err(Garbage));
    }

    #[test]
    fn a_long_error_is_cut() {
        let text = "E".repeat(1_000);
        let told = told(format!("-{text}\r\n+OK\r\n").as_bytes(), &[500]).expect("replies");
        assert_eq!(told, [&text[..MOST_TEXT], "done"]);
    }
}
