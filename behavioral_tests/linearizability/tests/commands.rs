//! How commands are sent and replies are read.

use linearizability::kv::{Command, Reply};

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn a_command_is_sent_as_its_words() {
    let pairs = vec![(bytes("a"), bytes("1")), (bytes("b"), bytes("2"))];
    for (command, words, is_write) in [
        (Command::Get(bytes("a")), "GET a", false),
        (Command::Set(bytes("a"), bytes("1")), "SET a 1", true),
        (Command::IncrBy(bytes("a"), -3), "INCRBY a -3", true),
        (Command::Exists(vec![bytes("a"), bytes("a")]), "EXISTS a a", false),
        (Command::MGet(vec![bytes("a"), bytes("b")]), "MGET a b", false),
        (Command::MSet(pairs.clone()), "MSET a 1 b 2", true),
        (Command::MSetNx(pairs), "MSETNX a 1 b 2", true),
    ] {
        let sent: Vec<String> =
            command.arguments().into_iter().map(|word| String::from_utf8(word).unwrap()).collect();
        assert_eq!(sent.join(" "), words);
        assert_eq!(format!("{command:?}"), words);
        assert_eq!(command.is_write(), is_write, "{words}");
    }
    assert_eq!(Command::MSet(vec![(bytes("a"), bytes("1"))]).keys(), [b"a"]);
}

#[test]
fn replies_are_read() {
    let values = Reply::Values(vec![Some(bytes("a\r\n")), None, Some(bytes(""))]);
    for (text, reply) in [
        ("+OK\r\n", Reply::Ok),
        ("-ERR value is not an integer or out of range\r\n", Reply::Error),
        (":-12\r\n", Reply::Integer(-12)),
        ("$-1\r\n", Reply::Nil),
        ("*-1\r\n", Reply::Nil),
        ("$3\r\na\r\n\r\n", Reply::Value(bytes("a\r\n"))),
        ("*3\r\n$3\r\na\r\n\r\n$-1\r\n$0\r\n\r\n", values),
        ("*0\r\n", Reply::Values(vec![])),
    ] {
        let more = format!("{text}rest");
        assert_eq!(Reply::parse(more.as_bytes()), Some((reply, &b"rest"[..])), "{text}");
        for end in 0..text.len() {
            assert_eq!(Reply::parse(&text.as_bytes()[..end]), None, "{text} cut at {end}");
        }
    }
}

#[test]
fn what_is_no_reply_is_not_read() {
    for text in [
        "",
        "\r\n",
        "+QUEUED\r\n",
        ":\r\n",
        ":1x\r\n",
        "$-2\r\n",
        "$1\r\nab\r\n",
        "$99999999999999999999\r\n",
        "$9223372036854775807\r\nab\r\n",
        "*9223372036854775807\r\n$1\r\na\r\n",
        "*1\r\n:1\r\n",
        "%1\r\n",
    ] {
        assert_eq!(Reply::parse(text.as_bytes()), None, "{text}");
    }
}
