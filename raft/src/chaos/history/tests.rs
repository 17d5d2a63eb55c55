//! What is noted of commands and their answers, and what is judged of it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use super::*;
use crate::chaos::fake;
use crate::client::{CallError, Reply};

const PATIENCE: Duration = Duration::from_secs(20);

/// A store of one copy, which must not lie.
fn honest() -> SocketAddr {
    let data = Mutex::new(HashMap::<String, String>::new());
    fake::server(move |words| {
        let mut data = data.lock().expect("no panic");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Some(match words[..] {
            ["SET", key, value] => {
                data.insert(key.to_owned(), value.to_owned());
                "+OK\r\n".to_owned()
            }
            ["GET", key] => match data.get(key) {
                Some(value) => format!("${}\r\n{value}\r\n", value.len()),
                None => "$-1\r\n".to_owned(),
            },
            ["FLUSHALL"] => {
                data.clear();
                "+OK\r\n".to_owned()
            }
            ["RENAME", from, to] => {
                let value = data.remove(from).expect("the test set it");
                data.insert(to.to_owned(), value);
                "+OK\r\n".to_owned()
            }
            _ => "-ERR unknown command\r\n".to_owned(),
        })
    })
}

/// A server that answers the same to everything.
fn stubborn(reply: &'static str) -> SocketAddr {
    fake::server(move |_| Some(reply.to_owned()))
}

fn open(history: &Arc<History>, address: SocketAddr) -> Connection {
    Connection::open(history, &address.to_string(), PATIENCE).expect("it listens")
}

fn call(connection: &mut Connection, line: &str) -> Reply {
    let words: Vec<Bytes> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    connection.call(&words).expect("an answer")
}

fn set(key: &str, value: &str) -> Command {
    Command::Set(key.as_bytes().to_vec(), value.as_bytes().to_vec())
}

fn get(key: &str) -> Command {
    Command::Get(key.as_bytes().to_vec())
}

/// Of each noted operation what it was answered.
fn noted(history: &History) -> Vec<Option<kv::Reply>> {
    let kept = history.kept();
    let replies = kept.events.values().map(|event| {
        assert_eq!(event.returned.is_some(), event.operation.replies.is_some());
        event.operation.replies.as_ref().map(|replies| replies[0].clone())
    });
    replies.collect()
}

fn is_refuted(history: &History) -> bool {
    matches!(history.verify().checked.verdict, Verdict::NotLinearizable(_))
}

#[test]
fn an_honest_store_is_linearizable() {
    let (history, store) = (History::new(), honest());
    let (mut one, mut other) = (open(&history, store), open(&history, store));
    let (outcomes, result) = one.pipeline(&[set("a", "1"), get("a"), set("b", "2")]);
    assert!(result.is_ok());
    assert_eq!(outcomes[1], Outcome::Answered(Reply::Bulk(b"1".to_vec())));
    assert_eq!(call(&mut other, "GET b"), Reply::Bulk(b"2".to_vec()));
    let findings = history.verify();
    assert!(findings.is_linearizable(), "{findings:?}");
    assert_eq!((findings.checked.operations, findings.checked.keys), (4, 2));
    assert_eq!(findings.unchecked_keys, 0);
}

#[test]
fn a_stale_read_is_not_linearizable() {
    let history = History::new();
    let mut writer = open(&history, honest());
    let mut reader = open(&history, honest()); // another copy, which nobody tells anything
    call(&mut writer, "SET a 1");
    assert!(history.verify().is_linearizable());
    assert_eq!(call(&mut reader, "GET a"), Reply::Nil);
    assert!(is_refuted(&history));
}

#[test]
fn a_stale_read_of_a_connection_that_asked_for_it_is_none() {
    let history = History::new();
    call(&mut open(&history, honest()), "SET a 1");
    let mut reader = open(&history, stubborn("$-1\r\n"));
    call(&mut reader, "READONLY");
    assert_eq!(call(&mut reader, "GET a"), Reply::Nil);
    assert!(history.verify().is_linearizable());
    call(&mut reader, "READWRITE");
    assert_eq!(call(&mut reader, "GET a"), Reply::Nil);
    assert!(is_refuted(&history));
}

#[test]
fn what_was_refused_did_not_happen_and_what_is_uncertain_may_have() {
    for (reply, expected) in [
        ("-CLUSTERDOWN no leader\r\n", vec![]),
        ("-TRYAGAIN too many wait\r\n", vec![]),
        ("-ERR max number of clients reached\r\n", vec![]),
        ("-UNCERTAIN SET may or may not be applied\r\n", vec![None]),
        ("-SOMETHING else\r\n", vec![None]),
        ("-ERR value is not an integer\r\n", vec![Some(kv::Reply::Error)]),
        ("+OK\r\n", vec![Some(kv::Reply::Ok)]),
    ] {
        let history = History::new();
        let mut connection = open(&history, stubborn(reply));
        call(&mut connection, "SET a 1");
        assert_eq!(noted(&history), expected, "{reply}");

        let history = History::new();
        let (outcomes, _) = open(&history, stubborn(reply)).pipeline(&[set("a", "1")]);
        assert_eq!(noted(&history), expected, "{reply}");
        assert_eq!(matches!(outcomes[0], Outcome::Refused(_)), expected.is_empty(), "{reply}");
        assert_eq!(matches!(outcomes[0], Outcome::Unknown(_)), expected == [None], "{reply}");
    }
}

#[test]
fn of_a_lost_connection_what_was_not_answered_is_uncertain() {
    let history = History::new();
    let one_word = |words: &[String]| (words[0] == "SET").then(|| "+OK\r\n".to_owned());
    let mut connection = open(&history, fake::server(one_word));
    let commands = [set("a", "1"), get("a"), set("a", "2")];
    let (outcomes, result) = connection.pipeline(&commands);
    assert!(matches!(result, Err(CallError::Unknown(_))));
    assert_eq!(outcomes[0], Outcome::Answered(Reply::Status("OK".into())));
    assert!(outcomes[1..].iter().all(|outcome| matches!(outcome, Outcome::Unknown(_))));
    assert_eq!(noted(&history), [Some(kv::Reply::Ok), None, None]);
    // The read that nobody answered is not judged.
    assert_eq!(history.verify().checked.operations, 2);
}

#[test]
fn what_was_not_sent_is_not_noted() {
    let history = History::new();
    let mut connection = open(&history, fake::server(|_| None));
    let (_, first) = connection.pipeline(&[set("a", "1")]);
    assert!(matches!(first, Err(CallError::Unknown(_))));
    let (outcomes, second) = connection.pipeline(&[set("a", "2"), set("a", "3")]);
    assert!(matches!(second, Err(CallError::NotSent(_))), "{second:?}");
    assert_eq!(outcomes, vec![Outcome::Refused("not sent".into()); 2]);
    assert_eq!(noted(&history), [None]);
}

#[test]
fn what_is_under_way_may_have_an_effect_already() {
    let history = History::new();
    let seen = Arc::clone(&history);
    let server = fake::server(move |_| Some(format!(":{}\r\n", seen.len())));
    assert_eq!(call(&mut open(&history, server), "INCR a"), Reply::Integer(1));
    assert!(history.verify().is_linearizable());
}

#[test]
fn keys_that_unknown_commands_change_are_left_out_with_those_beside_them() {
    let (history, store) = (History::new(), honest());
    let mut connection = open(&history, store);
    for line in ["SET a 1", "SET b 2", "SET c 3", "RENAME a b", "GET b"] {
        call(&mut connection, line);
    }
    let findings = history.verify();
    assert!(findings.is_linearizable(), "{findings:?}");
    assert_eq!((findings.checked.keys, findings.unchecked_keys), (1, 2));

    let beside = Command::MGet(vec![b"b".to_vec(), b"c".to_vec()]);
    let (_, result) = open(&history, stubborn("*2\r\n$-1\r\n$-1\r\n")).pipeline(&[beside]);
    assert!(result.is_ok());
    let findings = history.verify();
    assert_eq!((findings.checked.keys, findings.unchecked_keys), (0, 3));
}

#[test]
fn an_unknown_command_that_is_refused_leaves_nothing_out() {
    let history = History::new();
    let mut connection = open(&history, honest());
    call(&mut connection, "SET a 1");
    call(&mut connection, "PERSIST a");
    assert_eq!(history.verify().unchecked_keys, 0);
    call(&mut open(&history, stubborn("$-1\r\n")), "GET a");
    assert!(is_refuted(&history));
}

/// A server that queues all behind `MULTI`, and answers so to `EXEC` and to `GET`.
fn queueing(exec: &'static str, get: &'static str) -> SocketAddr {
    let open = Mutex::new(false);
    fake::server(move |words| {
        let mut open = open.lock().expect("no panic");
        let reply = match words[0].as_str() {
            "MULTI" => "+OK\r\n",
            "EXEC" => exec,
            _ if *open => "+QUEUED\r\n",
            "GET" => get,
            _ => "+OK\r\n",
        };
        *open = words[0] == "MULTI" || *open && words[0] != "EXEC";
        Some(reply.to_owned())
    })
}

#[test]
fn what_a_transaction_may_have_changed_is_left_out_and_nothing_else() {
    let new = "$1\r\n9\r\n";
    for (exec, unchecked) in [
        ("*1\r\n+OK\r\n", 1),
        ("-UNCERTAIN EXEC may or may not be applied\r\n", 1),
        ("*-1\r\n", 0),
        ("-EXECABORT Transaction discarded because of previous errors.\r\n", 0),
        ("-CLUSTERDOWN no leader\r\n", 0),
    ] {
        let get = if unchecked > 0 { new } else { "$1\r\n1\r\n" };
        let history = History::new();
        let mut connection = open(&history, queueing(exec, get));
        for line in ["SET a 1", "SET c 1", "MULTI", "SET a 9", "INCR b", "GET a", "EXEC", "GET a"] {
            call(&mut connection, line);
        }
        let findings = history.verify();
        assert!(findings.is_linearizable(), "{exec} {findings:?}");
        assert_eq!(findings.unchecked_keys, unchecked, "{exec}");
    }
    let history = History::new();
    let mut connection = open(&history, queueing("*-1\r\n", new));
    for line in ["SET a 1", "MULTI", "SET a 9", "EXEC", "GET a"] {
        call(&mut connection, line);
    }
    assert!(is_refuted(&history), "it was not executed");
}

#[test]
fn after_a_flush_only_other_keys_are_judged() {
    let (history, store) = (History::new(), honest());
    let mut connection = open(&history, store);
    for line in ["SET a 1", "FLUSHALL", "GET a", "SET b 2", "GET b"] {
        call(&mut connection, line);
    }
    let findings = history.verify();
    assert!(findings.is_linearizable(), "{findings:?}");
    assert_eq!((findings.checked.keys, findings.unchecked_keys), (1, 1));
    call(&mut open(&history, stubborn("-UNCERTAIN when\r\n")), "FLUSHALL");
    assert_eq!(history.verify().checked.keys, 0, "it may come at any time");
}

#[test]
fn what_is_settled_is_counted_and_forgotten() {
    let (history, store) = (History::new(), honest());
    let mut connection = open(&history, store);
    for line in ["SET old:a 1", "GET old:a", "SET new:a 1"] {
        call(&mut connection, line);
    }
    history.settle(b"old:");
    assert_eq!(history.len(), 1);
    let findings = history.verify();
    assert!(findings.is_linearizable(), "{findings:?}");
    assert_eq!((findings.checked.operations, findings.checked.keys), (3, 2));
    assert_eq!(findings.unchecked_keys, 0);
    // Who names such a key later is not judged by half its history.
    call(&mut connection, "GET old:a");
    let findings = history.verify();
    assert!(findings.is_linearizable(), "{findings:?}");
    assert_eq!((findings.checked.operations, findings.unchecked_keys), (3, 1));
}

#[test]
fn a_stale_read_that_is_settled_stays_found() {
    let history = History::new();
    call(&mut open(&history, honest()), "SET old:a 1");
    call(&mut open(&history, honest()), "GET old:a");
    history.settle(b"old:");
    assert!(history.is_empty());
    assert!(is_refuted(&history));
}

#[test]
fn keys_that_stand_beside_others_are_not_settled_without_them() {
    let (history, store) = (History::new(), stubborn("+OK\r\n"));
    call(&mut open(&history, store), "MSET old:a 1 new:a 1");
    history.settle(b"old:");
    assert_eq!(history.len(), 1);
    assert!(history.verify().is_linearizable());
}
