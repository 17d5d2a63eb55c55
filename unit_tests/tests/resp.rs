//! The Redis door's parser: Redis's words for garbage, and limits that hold before memory is taken.
//! That the bytes may be cut anywhere is a property (`unit_tests::properties::resp_parser`).

use raft::doors::resp::parser::{Parser, Progress, ProtocolError};
use raft::store::arguments::Arguments;

const LIMIT: usize = 1 << 20;

type Request = Vec<Vec<u8>>;

/// Requests of `pieces`, up to the error if there is one.
fn parse(pieces: &[&[u8]], limit: usize) -> (Vec<Request>, Option<ProtocolError>) {
    let mut parser = Parser::new(limit);
    let (mut requests, mut output) = (Vec::new(), Vec::new());
    for mut piece in pieces.iter().copied() {
        loop {
            match parser.read(&mut piece, &mut output) {
                Ok(Progress::Request) => {
                    let arguments = Arguments::decode(&output).expect("a whole request");
                    requests.push(arguments.map(<[u8]>::to_vec).collect());
                    output.clear();
                }
                Ok(Progress::Partial) => break,
                Err(error) => return (requests, Some(error)),
            }
            assert!(output.len() <= limit, "the parser holds more than a request may have");
        }
    }
    (requests, None)
}

fn whole(bytes: &[u8]) -> (Vec<Request>, Option<ProtocolError>) {
    parse(&[bytes], LIMIT)
}

fn error_text(bytes: &[u8]) -> String {
    let (_, error) = whole(bytes);
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(parse(&single, LIMIT).1, error, "cut or not, the error is the same");
    let text = error.map_or(b"none".to_vec(), ProtocolError::text);
    text.into_iter().map(char::from).collect()
}

#[test]
fn garbage_gets_the_words_of_redis() {
    for (bytes, words) in [
        (&b"*x\r\n"[..], "invalid multibulk length"),
        (b"*\r\n", "invalid multibulk length"),
        (b"*+1\r\n", "invalid multibulk length"),
        (b"*01\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*99999999999999999999999\r\n", "invalid multibulk length"),
        (b"*1\r\n$-1\r\n", "invalid bulk length"),
        (b"*1\r\n$x\r\n", "invalid bulk length"),
        (b"*1\r\n$\r\n", "invalid bulk length"),
        (b"*1\r\n$4294967296\r\n", "invalid bulk length"),
        (b"*1\r\n$9223372036854775808\r\n", "invalid bulk length"),
        (b"*1\r\nx", "expected '$', got 'x'"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"get \"a\r\n", "unbalanced quotes in request"),
        (b"get 'a\r\n", "unbalanced quotes in request"),
        (b"get \"a\"b\r\n", "unbalanced quotes in request"),
        (b"get \"a\\\r\n", "unbalanced quotes in request"),
    ] {
        assert_eq!(
            error_text(bytes).trim_start_matches("ERR Protocol error: "),
            words,
            "{}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn requests_before_the_garbage_are_kept() {
    let (requests, error) = whole(b"*1\r\n$4\r\nPING\r\nget a\r\n*x\r\n");
    assert_eq!(requests, [vec![b"PING".to_vec()], vec![b"get".to_vec(), b"a".to_vec()]]);
    assert_eq!(error, Some(ProtocolError::InvalidCount));
}

#[test]
fn arrays_of_nothing_are_no_requests() {
    let (requests, error) = whole(b"*0\r\n*-1\r\n*-5\r\n\r\n  \r\nPING\r\n");
    assert_eq!((requests, error), (vec![vec![b"PING".to_vec()]], None));
}

#[test]
fn inline_words_are_quoted_as_in_redis() {
    for (line, word) in [
        (&br#""a b""#[..], &b"a b"[..]),
        (br#""\x41\n\t\r\a\b\q\\\"""#, b"A\n\t\r\x07\x08q\\\""),
        (br#"'a\'b\n'"#, b"a'b\\n"),
        (br#"a"b c""#, b"ab c"),
        (br#""""#, b""),
        (br#""\xg1""#, b"xg1"),
        (b"a\x0bb", b"a\x0bb"),
    ] {
        let (requests, error) = whole(&[b"echo ", line, b" \r\n"].concat());
        let expected = vec![vec![b"echo".to_vec(), word.to_vec()]];
        assert_eq!((requests, error), (expected, None), "{}", line.escape_ascii());
    }
}

#[test]
fn an_inline_request_ends_at_64_kib() {
    let longest = [&[b'a'; 64 << 10][..], b"\n"].concat();
    assert_eq!(whole(&longest).0[0][0].len(), 64 << 10);
    for bytes in [[&b"a"[..], &longest].concat(), vec![b'a'; 1 << 20]] {
        assert_eq!(error_text(&bytes), "ERR Protocol error: too big inline request");
    }
}

#[test]
fn a_length_without_end_is_refused() {
    let digits = vec![b'1'; 70 << 10];
    assert_eq!(
        error_text(&[b"*", &digits[..]].concat()),
        "ERR Protocol error: too big mbulk count string"
    );
    assert_eq!(
        error_text(&[b"*1\r\n$", &digits[..]].concat()),
        "ERR Protocol error: too big bulk count string"
    );
}

#[test]
fn limits_hold_before_a_byte_of_the_argument_has_come() {
    let refused = |bytes: &[u8], limit| parse(&[bytes], limit).1;
    assert_eq!(refused(b"*1\r\n$101\r\n", 100), Some(ProtocolError::InvalidLength));
    assert_eq!(refused(b"*1\r\n$98\r\n", 100), None);
    assert_eq!(
        refused(b"*2\r\n$50\r\n", 100),
        None,
        "half the limit for the first of two is no reason yet"
    );
    let first = [b"*2\r\n$50\r\n", &[b'a'; 50][..], b"\r\n$50\r\n"].concat();
    assert_eq!(refused(&first, 100), Some(ProtocolError::RequestTooLong));
    assert_eq!(
        refused(&[&[b'a'; 100][..], b"\r\n"].concat(), 100),
        Some(ProtocolError::RequestTooLong)
    );
}

#[test]
fn a_claimed_length_takes_no_memory() {
    let (mut parser, mut output) = (Parser::new(LIMIT), Vec::new());
    let mut bytes = &b"*1000000\r\n$1000000\r\nx"[..];
    assert_eq!(parser.read(&mut bytes, &mut output), Ok(Progress::Partial));
    assert!(output.capacity() < 1000, "{} bytes for one that came", output.capacity());
}

#[test]
fn nesting_is_refused_at_the_second_level() {
    let nested = b"*1\r\n".repeat(200_000);
    assert_eq!(error_text(&nested), "ERR Protocol error: expected '$', got '*'");
}

#[test]
fn a_million_empty_arguments_stay_within_the_limit() {
    let mut bytes = b"*1048576\r\n".to_vec();
    bytes.extend_from_slice(&b"$0\r\n\r\n".repeat(1 << 20));
    assert_eq!(whole(&bytes).1, Some(ProtocolError::RequestTooLong));
}
