//! The Redis door's parser: however its input is cut, it gives the requests and the error that the
//! plain parser gives; and it never takes memory for bytes that did not come.

use raft::doors::resp::parser::{Parser, Progress, ProtocolError};
use raft::store::arguments::Arguments;

use super::plain_parser::{self, Request};
use super::{Choices, Marks, Target, within};

/// The parser's property.
pub const TARGET: Target = Target {
    name: "resp_parser",
    check,
    marks: &[
        "several requests",
        "inline",
        "half a request",
        "an empty argument",
        "invalid count",
        "count too long",
        "invalid length",
        "length too long",
        "expected dollar",
        "line too long",
        "unbalanced quotes",
        "request too long",
    ],
    longest: 600,
};

/// Requests that bytes rarely come upon by chance.
const PIECES: [&[u8]; 24] = [
    b"*1\r\n$4\r\nPING\r\n",
    b"*2\r\n$3\r\nget\r\n$1\r\na\r\n",
    b"set a \"b c\"\r\n",
    b"*",
    b"$",
    b"\r\n",
    b"*3\r\n",
    b"$3\r\n",
    b"$0\r\n\r\n",
    b"*2147483647\r\n",
    b"*1048576\r\n",
    b"*-1\r\n",
    b"$-1\r\n",
    b"$536870912\r\n",
    b"$100\r\n",
    b"*01\r\n",
    b"\"\\x4a\\n\" ",
    b"'it\\'s' ",
    b"\"",
    b"'",
    b" \x0b\x0c",
    b"\n",
    b"-0\r\n",
    b"9223372036854775808\r\n",
];

/// The first byte says the limit of a request, the second how the input is cut, the third of what
/// it is made: bytes as they are, pieces, or a long run of one byte and then bytes.
fn check(bytes: &[u8]) -> Marks {
    let mut choices = Choices::new(bytes);
    let limit = choices.one_of(&[1 << 20, 8, 100, 64 << 10]);
    let seed = choices.byte();
    let input = match choices.below(4) {
        0 | 1 => choices.rest().to_vec(),
        2 => pieces(&mut choices),
        _ => long(&mut choices),
    };
    let expected = plain_parser::parse(&input, limit);
    let whole = parsed(&[&input], limit);
    assert_eq!(whole, expected, "in one piece: {}", shown(&input));
    let smallest = if input.len() < 8192 { 1 } else { 1021 }; // a long line byte by byte takes long
    let even = input.chunks(smallest).collect();
    for cut in [cut_at_random(&input, seed), cut_around_lines(&input), even] {
        assert_eq!(parsed(&cut, limit), expected, "cut: {}", shown(&input));
    }
    marks(&input, &expected)
}

fn pieces(choices: &mut Choices) -> Vec<u8> {
    let mut input = Vec::new();
    while !choices.is_over() && input.len() < 4096 {
        match choices.below(PIECES.len() + 2) {
            place if place < PIECES.len() => input.extend_from_slice(PIECES[place]),
            _ => input.extend_from_slice(choices.bytes(20)),
        }
    }
    input
}

/// A request that begins, then nothing but one byte for about as long as a line may be.
fn long(choices: &mut Choices) -> Vec<u8> {
    let mut input = choices.one_of(&[&b""[..], b"*", b"*1\r\n$", b"*1\r\n$70000\r\n"]).to_vec();
    let length = (64 << 10) - 2 + choices.below(5);
    input.resize(input.len() + length, choices.one_of(b"a1 \""));
    input.extend_from_slice(choices.one_of(&[&b"\r\n"[..], b"\n", b"\r", b""]));
    input.extend_from_slice(choices.rest());
    input
}

/// What the parser makes of the pieces. What it may take at most: the request under way, as it is
/// spelt for the log, in a vector that doubles; and a part of a line.
fn parsed(pieces: &[&[u8]], limit: usize) -> (Vec<Request>, Option<ProtocolError>) {
    let mut parser = Parser::new(limit);
    let (mut requests, mut output) = (Vec::new(), Vec::new());
    let mut come = 0;
    for mut piece in pieces.iter().copied() {
        come += piece.len();
        loop {
            let most = 8 * come.min(limit + (128 << 10)) + 1024;
            match within(most, || parser.read(&mut piece, &mut output)) {
                Ok(Progress::Request) => {
                    assert!(parser.is_between_requests());
                    let arguments = Arguments::decode(&output).expect("a whole request");
                    requests.push(arguments.map(<[u8]>::to_vec).collect());
                    output.clear();
                }
                Ok(Progress::Partial) => break,
                Err(error) => return (requests, Some(error)),
            }
            assert!(output.len() <= limit, "more is held than a request may have");
        }
        assert!(output.len() <= limit, "more is held than a request may have");
        assert!(piece.is_empty(), "all of a piece is read");
    }
    (requests, None)
}

fn cut_at_random(input: &[u8], seed: u8) -> Vec<&[u8]> {
    let (mut pieces, mut rest, mut state) = (Vec::new(), input, usize::from(seed));
    while !rest.is_empty() {
        state = state.wrapping_mul(181).wrapping_add(97) % 65_521;
        let (piece, after) = rest.split_at(1 + state % rest.len().min(40));
        pieces.push(piece);
        rest = after;
    }
    pieces
}

/// Each end of a line stands alone.
fn cut_around_lines(input: &[u8]) -> Vec<&[u8]> {
    input.chunk_by(|a, b| !b"\r\n".contains(a) && !b"\r\n".contains(b)).collect()
}

fn shown(input: &[u8]) -> String {
    input[..input.len().min(300)].escape_ascii().to_string()
}

fn marks(input: &[u8], (requests, error): &(Vec<Request>, Option<ProtocolError>)) -> Marks {
    let mut marks = Marks::new();
    let mut mark = |met: bool, name| met.then(|| marks.insert(name));
    mark(requests.len() > 2, "several requests");
    mark(!requests.is_empty() && !input.contains(&b'*'), "inline");
    mark(error.is_none() && input.ends_with(b"$3\r\n"), "half a request");
    mark(requests.iter().any(|request| request.contains(&vec![])), "an empty argument");
    let error = error.map(|error| match error {
        ProtocolError::InvalidCount => "invalid count",
        ProtocolError::CountTooLong => "count too long",
        ProtocolError::InvalidLength => "invalid length",
        ProtocolError::LengthTooLong => "length too long",
        ProtocolError::ExpectedDollar(_) => "expected dollar",
        ProtocolError::LineTooLong => "line too long",
        ProtocolError::UnbalancedQuotes => "unbalanced quotes",
        ProtocolError::RequestTooLong => "request too long",
    });
    marks.extend(error);
    marks
}
