//! `RAFT.SESSION`, `RAFT.DO` and `RAFT.OUTCOME` as clients see them: words, promises, limits.

#[path = "support/door.rs"]
mod door;

use std::net::TcpStream;

use door::{Client, open, pipeline};
use messages::LogPosition;
use servers::host::Outcome;

/// Replies to a pipeline, their line ends shown as `|`.
fn replies(client: &mut Client<TcpStream>, lines: &str) -> Vec<String> {
    let count = lines.lines().filter(|line| !line.trim().is_empty()).count();
    client.send(&pipeline(lines));
    let reply = |_| String::from_utf8(client.reply()).expect("text").replace("\r\n", "|");
    (0..count).map(reply).collect()
}

/// A session's id.
fn session(client: &mut Client<TcpStream>) -> String {
    let reply = client.text("raft.session open");
    reply.strip_prefix(':').and_then(|reply| reply.strip_suffix("\r\n")).expect("a number").into()
}

#[test]
fn a_command_is_answered_as_it_would_be_alone_and_once() {
    let door = open(|_| {});
    let mut client = door.connect();
    let id = session(&mut client);
    let lines = format!(
        "raft.do {id} 1 incr n
        RAFT.DO {id} 1 INCR n
        raft.do {id} 2 set a 1
        raft.do {id} 3 get missing
        raft.do {id} 4 incr a
        raft.do {id} 4 incr a
        raft.do {id} 5 get a
        raft.do {id} 6 mget a missing
        raft.do {id} 7 incrby n x
        get n
        raft.outcome {id} 1
        raft.outcome {id} 3
        raft.outcome {id} 6
        raft.outcome {id} 9
        raft.do {id} 9 incr n
        Raft.Outcome {id} 9"
    );
    let got = replies(&mut client, &lines);
    let expected = [
        ":1|",
        ":1|",
        "+OK|",
        "$-1|",
        ":2|",
        ":2|",
        "$1|2|",
        "*2|$1|2|$-1|",
        "-ERR value is not an integer or out of range|",
        "$1|1|",
        "*2|+applied|:1|",
        "*2|+applied|$-1|",
        "*2|+applied|*2|$1|2|$-1|",
        "*1|+not-applied|",
    ];
    assert_eq!(got[..14], expected);
    assert!(got[14].starts_with("-ERR number 9 of session "), "{}", got[14]);
    assert_eq!(got[15], "*1|+not-applied|");
}

#[test]
fn resp3_has_its_own_nil_in_answers_that_are_kept() {
    let door = open(|_| {});
    let mut client = door.connect();
    let id = session(&mut client);
    client.call("hello 3");
    let lines = format!(
        "raft.do {id} 1 get missing
        raft.do {id} 1 get missing
        raft.outcome {id} 1"
    );
    assert_eq!(replies(&mut client, &lines), ["_|", "_|", "*2|+applied|_|"]);
}

/// A closed session is one that has ended: nothing takes effect in it, and nobody guesses what did.
#[test]
fn a_session_that_is_closed_answers_as_one_that_has_ended() {
    let door = open(|_| {});
    let mut client = door.connect();
    let (id, other) = (session(&mut client), session(&mut client));
    let lines = format!(
        "raft.do {id} 1 incr n
        raft.do {other} 1 incr n
        raft.session close {id}
        RAFT.SESSION CLOSE {id}
        raft.session close 7
        raft.do {id} 1 incr n
        raft.do {id} 2 incr n
        raft.outcome {id} 1
        raft.outcome {other} 1
        get n"
    );
    let ended = |number| {
        format!(
            "-UNCERTAIN number {number} of session {id} may have been applied before: the session has \
             ended or never was; it was not applied now|"
        )
    };
    let expected = [
        ":1|",
        ":2|",
        "+OK|",
        "+OK|",
        "+OK|",
        &ended(1),
        &ended(2),
        "*1|+unknown|",
        "*2|+applied|:2|",
        "$1|2|",
    ];
    assert_eq!(replies(&mut client, &lines), expected);
}

/// "A clear answer, nothing changed": the first word of each says what it promises.
#[test]
fn what_cannot_be_is_refused_in_words() {
    let door = open(|_| {});
    let mut client = door.connect();
    let id = session(&mut client);
    let lines = format!(
        "raft.session
        raft.session end
        raft.session open now
        raft.session close
        raft.session close {id} now
        raft.session close 0
        raft.session close x
        raft.do
        raft.do {id} 1
        raft.outcome {id}
        raft.outcome {id} 1 2
        raft.do {id} 0 incr n
        raft.do {id} -1 incr n
        raft.do {id} 9223372036854775808 incr n
        raft.do {id} one incr n
        raft.do 0 1 incr n
        raft.do {id} 1 nosuch a
        raft.do {id} 1 incr
        raft.do {id} 1 raft.do {id} 1 incr n
        raft.do {id} 1 ping
        raft.outcome {id} 0
        raft.outcome x 1"
    );
    let batches = door.batches().len();
    let got = replies(&mut client, &lines);
    let expected = [
        "-ERR wrong number of arguments for 'raft.session' command|",
        "-ERR unknown subcommand 'end'. Try RAFT.SESSION HELP.|",
        "-ERR wrong number of arguments for 'raft.session|open' command|",
        "-ERR wrong number of arguments for 'raft.session|close' command|",
        "-ERR wrong number of arguments for 'raft.session|close' command|",
        "-ERR a session's id is 1 or more|",
        "-ERR value is not an integer or out of range|",
        "-ERR wrong number of arguments for 'raft.do' command|",
        "-ERR wrong number of arguments for 'raft.do' command|",
        "-ERR wrong number of arguments for 'raft.outcome' command|",
        "-ERR wrong number of arguments for 'raft.outcome' command|",
        "-ERR numbers start at 1|",
        "-ERR numbers start at 1|",
        "-ERR value is not an integer or out of range|",
        "-ERR value is not an integer or out of range|",
        "-ERR a session's id is 1 or more|",
        "-ERR unknown command 'nosuch', with args beginning with: 'a' |",
        "-ERR wrong number of arguments for 'incr' command|",
        "-ERR RAFT.DO takes a command of the store, not RAFT.DO|",
        "-ERR RAFT.DO takes a command of the store, not PING|",
        "-ERR numbers start at 1|",
        "-ERR value is not an integer or out of range|",
    ];
    assert_eq!(got, expected);
    assert_eq!(door.batches().len(), batches, "nothing of this reaches the server");
    assert_eq!(
        client.text(&format!("raft.do {id} 1 incr n")),
        ":1\r\n",
        "nor did it take a number"
    );
}

#[test]
fn the_first_word_tells_what_became_of_a_number() {
    let door = open(|_| {});
    let mut client = door.connect();
    let id = session(&mut client);
    let long = "x".repeat(5_000);
    let lines = format!(
        "set long {long}
        raft.do {id} 2 get long
        raft.do {id} 2 get long
        raft.outcome {id} 2
        raft.do {id} 67 incr n
        raft.outcome {id} 67
        raft.do {id} 64 incr n
        raft.do {id} 66 incr n
        raft.do {id} 1 incr n
        raft.do {id} 2 incr n
        raft.outcome {id} 2
        raft.do 77 1 incr n
        raft.outcome 77 1
        get n"
    );
    let got = replies(&mut client, &lines);
    assert_eq!(got[1], format!("$5000|{long}|"), "the first answer, whatever its length");
    let begins = [
        "-APPLIED number 2 of session",
        "*1|+applied|",
        "-ERR number 67 is more than 64 above 2,",
        "-ERR number 67 is more than 64 above 2,",
        ":1|",
        ":2|",
        "-UNCERTAIN number 1 of session",
        "-UNCERTAIN number 2 of session",
        "*1|+unknown|",
        "-UNCERTAIN number 1 of session 77 may have been applied",
        "*1|+unknown|",
        "$1|2|",
    ];
    for (got, begin) in got[2..].iter().zip(begins) {
        assert!(got.starts_with(begin), "{got} instead of {begin}");
    }
}

/// "A batch is cut where session and plain writes meet"; what only reads goes with either.
#[test]
fn a_batch_is_cut_where_session_and_plain_writes_meet() {
    let door = open(|_| {});
    let mut client = door.connect();
    let id = session(&mut client);
    let lines = format!(
        "get n
        raft.do {id} 1 incr n
        get n
        ping
        raft.outcome {id} 1
        set a 1
        get a
        set b 1
        raft.do {id} 2 incr n
        raft.do {id} 3 incr n
        get n"
    );
    let got = replies(&mut client, &lines);
    let expected = [
        "$-1|",
        ":1|",
        "$1|1|",
        "+PONG|",
        "*2|+applied|:1|",
        "+OK|",
        "$1|1|",
        "+OK|",
        ":2|",
        ":3|",
        "$1|3|",
    ];
    assert_eq!(got, expected);
    let seen: Vec<_> = door.batches().iter().map(|seen| (seen.commands, seen.queries)).collect();
    assert_eq!(seen, [(1, 0), (2, 2), (2, 1), (2, 1)], "cut at each change and nowhere else");
}

/// A transaction that writes is a plain write, one that reads is a read; `WATCH` ends a batch.
#[test]
fn a_batch_is_cut_where_sessions_and_transactions_meet() {
    let door = open(|_| {});
    let mut client = door.connect();
    let id = session(&mut client);
    let lines = format!(
        "raft.do {id} 1 incr n
        multi
        incr n
        exec
        raft.do {id} 2 incr n
        multi
        get n
        exec
        raft.do {id} 3 incr n
        watch n
        multi
        incr n
        exec
        watch n
        raft.do {id} 4 incr n
        multi
        incr n
        exec"
    );
    let got = replies(&mut client, &lines);
    let writes = [":1|", "+OK|", "+QUEUED|", "*1|:2|"];
    let reads = [":3|", "+OK|", "+QUEUED|", "*1|$1|3|", ":4|"];
    let unchanged = ["+OK|", "+OK|", "+QUEUED|", "*1|:5|"];
    let changed = ["+OK|", ":6|", "+OK|", "+QUEUED|", "*-1|"];
    assert_eq!(got, [&writes[..], &reads, &unchanged, &changed].concat());
    let seen: Vec<_> = door.batches().iter().map(|seen| (seen.commands, seen.queries)).collect();
    assert_eq!(seen, [(1, 0), (1, 0), (1, 0), (2, 2), (1, 1), (1, 0), (1, 0)]);
}

/// One of the two would have to be told the other's reply.
#[test]
fn sessions_and_transactions_do_not_nest() {
    let door = open(|_| {});
    let mut client = door.connect();
    let id = session(&mut client);
    let within = "-ERR RAFT.DO, RAFT.SESSION and RAFT.OUTCOME are not allowed inside MULTI|";
    let aborted = "-EXECABORT Transaction discarded because of previous errors.|";
    for refused in [&format!("raft.do {id} 1 incr n"), "raft.session open", "RAFT.OUTCOME 1 1"] {
        let lines = format!("multi\nincr n\n{refused}\nincr n\nexec");
        let got = replies(&mut client, &lines);
        assert_eq!(got[..3], ["+OK|", "+QUEUED|", within], "{refused}");
        assert_eq!(got[4], aborted, "{refused}");
    }
    for name in ["EXEC", "MULTI", "WATCH n", "DISCARD", "UNWATCH"] {
        let got = replies(&mut client, &format!("raft.do {id} 1 {name}"));
        let word = name.split(' ').next().unwrap();
        assert_eq!(got, [format!("-ERR RAFT.DO takes a command of the store, not {word}|")]);
    }
    assert_eq!(client.text(&format!("raft.do {id} 1 incr n")), ":1\r\n", "none took effect");
}

/// What is left over when a batch is full ends the next one where it must.
#[test]
fn a_command_left_over_from_a_full_batch_ends_the_next() {
    let door = open(|_| {});
    let mut client = door.connect();
    let full = "x".repeat((256 << 10) - 60);
    let lines = format!(
        "set a {full}
        readonly
        get b
        set b 1"
    );
    assert_eq!(replies(&mut client, &lines), ["+OK|", "+OK|", "$-1|", "+OK|"]);
    let seen: Vec<_> = door.batches().iter().map(|seen| (seen.commands, seen.stale)).collect();
    assert_eq!(seen[0], (1, false));
}

/// "`UNCERTAIN` names session and number where there is one."
#[test]
fn outcomes_that_nobody_knows_name_session_and_number() {
    let door = open(|_| {});
    let mut client = door.connect();
    let position = Some(LogPosition::new(5, 3));
    let lines = "raft.do 1024 7 incr n
        get n
        raft.outcome 1024 7
        raft.session open";
    door.script.outcomes.lock().unwrap().push_back(Outcome::Uncertain { position });
    let got = replies(&mut client, lines);
    let begins = [
        "-UNCERTAIN INCR at 5@3 may or may not be applied, as number 7 of session 1024;",
        "-TRYAGAIN not read, safe to repeat",
        "-UNCERTAIN RAFT.OUTCOME at 5@3 of number 7 of session 1024 ",
        "-UNCERTAIN RAFT.SESSION OPEN at 5@3 ",
    ];
    for (got, begin) in got.iter().zip(begins) {
        assert!(got.starts_with(begin), "{got} instead of {begin}");
    }
    let refused = Outcome::NoLeader { waited: 2_500_000, heard: 1, members: 3 };
    for (outcome, begin) in [
        (refused, "-CLUSTERDOWN no leader for 2.5 s; not applied, safe to repeat"),
        (Outcome::Busy, "-TRYAGAIN too many writes wait; not applied, safe to repeat"),
        (Outcome::Stopped, "-CLUSTERDOWN node is stopping; not applied, safe to repeat"),
        // Of another node, and no answer that a session gives.
        (Outcome::Done { replies: vec![":1\r\n".into()], position: None }, "-UNCERTAIN INCR may"),
        (Outcome::Done { replies: vec![], position: None }, "-UNCERTAIN INCR may"),
    ] {
        door.script.outcomes.lock().unwrap().push_back(outcome);
        let got = client.text("raft.do 1024 7 incr n");
        assert!(got.starts_with(begin), "{got} instead of {begin}");
    }
}
