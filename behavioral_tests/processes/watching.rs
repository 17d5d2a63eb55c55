//! Transactions over a real cluster: through any node, against writers on other nodes, and when the
//! leader goes in the middle.

mod common;

use std::thread;

use common::cluster::{CALM, Cluster, bulk, is_refused, is_uncertain, ok};
use raft::client::{Client, Reply};

/// A cluster in which nothing is uncertain because the machine is slow.
fn unhurried() -> Cluster {
    let settings = [CALM[0], ("RAFT_ELECTION", "2s"), ("RAFT_CLIENT_TIMEOUT", "20s")];
    let cluster = Cluster::start_new(3, &settings);
    cluster.caught_up();
    cluster
}

fn call(client: &mut Client, line: &str) -> Reply {
    client.call(&line.split(' ').collect::<Vec<_>>()).expect("an answer")
}

/// The answer to `EXEC` behind these commands.
fn exec(client: &mut Client, commands: &[&str]) -> Reply {
    assert_eq!(call(client, "MULTI"), ok());
    for command in commands {
        assert_eq!(call(client, command), Reply::Status("QUEUED".into()), "{command}");
    }
    call(client, "EXEC")
}

#[test]
fn a_transaction_through_any_node_is_one_entry_and_seen_through_all() {
    let mut cluster = unhurried();
    for node in cluster.all() {
        let commands =
            [format!("SET at {node}"), "INCR hits".into(), "PING".into(), "GET hits".into()];
        let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
        let hits = Reply::Integer(i64::from(node));
        let pong = Reply::Status("PONG".into());
        let expected = Reply::Array(vec![ok(), hits, pong, bulk(&node.to_string())]);
        assert_eq!(exec(&mut cluster.client(node), &commands), expected);
        for reader in cluster.all() {
            let both = Reply::Array(vec![bulk(&node.to_string()), bulk(&node.to_string())]);
            assert_eq!(
                exec(&mut cluster.client(reader), &["MGET at hits"]),
                Reply::Array(vec![both])
            );
        }
    }
    cluster.caught_up();
    cluster.kill_all();
    for node in cluster.all() {
        let entries = cluster.entries(node);
        let transactions: Vec<_> = entries.iter().filter(|line| line.contains("SET at")).collect();
        assert_eq!(transactions.len(), 3, "{entries:?}");
        let whole = "exec (SET at 2; INCR hits; GET hits)";
        assert!(transactions[1].ends_with(whole), "{}", transactions[1]);
    }
}

#[test]
fn a_watched_key_that_is_changed_through_another_node_stops_the_transaction() {
    let cluster = unhurried();
    let leader = cluster.leader();
    let follower = cluster.others(leader)[0];
    for (watcher, writer) in [(leader, follower), (follower, leader), (follower, follower)] {
        let (mut watching, mut writing) = (cluster.client(watcher), cluster.client(writer));
        for change in ["SET k 1", "DEL k", "MSET k 2 l 2"] {
            assert_eq!(call(&mut watching, "WATCH k l"), ok());
            call(&mut writing, change);
            assert_eq!(exec(&mut watching, &["SET k lost"]), Reply::Nil, "{change}");
            let done = Reply::Array(vec![ok()]);
            assert_eq!(exec(&mut watching, &["SET k kept"]), done, "nothing is watched any more");
        }
        assert_eq!(call(&mut watching, "WATCH k"), ok());
        call(&mut writing, "SET other 1");
        assert_eq!(exec(&mut watching, &["GET k"]), Reply::Array(vec![bulk("kept")]));
    }
}

/// Versions are the same on every node: what was watched under one leader is judged by the next.
#[test]
fn what_is_watched_outlives_the_leader() {
    let mut cluster = Cluster::start_new(3, &CALM);
    assert_eq!(cluster.ask(1, &["MSET", "a", "1", "b", "1"]), ok());
    let (leader, term) = cluster.leader_after(0);
    let others = cluster.others(leader);
    let mut clients = [cluster.client(others[0]), cluster.client(others[1])];
    for client in &mut clients {
        assert_eq!(call(client, "WATCH a absent"), ok());
    }
    let mut third = cluster.client(others[1]);
    assert_eq!(call(&mut third, "WATCH b"), ok());
    cluster.kill(leader);
    cluster.leader_after(term);
    assert_eq!(exec(&mut clients[0], &["INCR a"]), Reply::Array(vec![Reply::Integer(2)]));
    assert_eq!(exec(&mut clients[1], &["INCR a"]), Reply::Nil);
    assert_eq!(exec(&mut third, &["INCR b"]), Reply::Array(vec![Reply::Integer(2)]));
}

/// What clients that count as `WATCH` wants it were told.
#[derive(Clone, Copy, Default)]
struct Counted {
    done: i64,
    uncertain: i64,
    conflicts: i64,
}

fn count(mut client: Client, rounds: usize) -> Counted {
    let mut counted = Counted::default();
    for _ in 0..rounds {
        let Ok(watched) = client.call(&["WATCH", "count"]) else { return counted };
        let Ok(value) = client.call(&["GET", "count"]) else { return counted };
        let value = match value {
            Reply::Bulk(digits) => {
                String::from_utf8(digits).expect("text").parse().expect("a number")
            }
            Reply::Nil => 0i64,
            refused => {
                assert!(is_refused(&refused), "{refused:?}");
                let _ = client.call(&["UNWATCH"]);
                continue;
            }
        };
        let next = (value + 1).to_string();
        let sent = [&["MULTI"][..], &["SET", "count", &next], &["SET", "copy", &next], &["EXEC"]];
        let replies: Vec<_> = sent.iter().map(|words| client.call(words)).collect();
        match replies.into_iter().next_back().expect("four") {
            Ok(Reply::Array(_)) => {
                assert_eq!(watched, ok(), "a WATCH that was refused stops the transaction");
                counted.done += 1;
            }
            Ok(Reply::Nil) => counted.conflicts += 1,
            Ok(reply) if is_refused(&reply) => {}
            Ok(reply) if is_uncertain(&reply) => counted.uncertain += 1,
            Err(_) => {
                counted.uncertain += 1;
                return counted;
            }
            Ok(reply) => panic!("{reply:?}"),
        }
    }
    counted
}

#[test]
fn no_count_is_lost_between_clients_that_watch_while_the_leader_dies() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let (leader, term) = cluster.leader_after(0);
    let clients: Vec<Client> = cluster
        .all()
        .into_iter()
        .flat_map(|node| [cluster.client(node), cluster.client(node)])
        .collect();
    let counting = clients.into_iter().map(|client| thread::spawn(|| count(client, 200)));
    let counting: Vec<_> = counting.collect();
    let half = |cluster: &Cluster| {
        let node = cluster.others(leader)[0];
        common::cluster::await_some("some counts", || match cluster.ask(node, &["GET", "count"]) {
            Reply::Bulk(digits) if digits.len() > 1 => Some(()),
            _ => None,
        });
    };
    half(&cluster);
    cluster.kill(leader);
    cluster.leader_after(term);
    let counted: Vec<Counted> =
        counting.into_iter().map(|one| one.join().expect("counts")).collect();
    let sum = |of: fn(&Counted) -> i64| counted.iter().map(of).sum::<i64>();
    let (done, uncertain) = (sum(|one| one.done), sum(|one| one.uncertain));
    assert!(sum(|one| one.conflicts) > 0 && done > 0, "they met: {done} done");
    let node = cluster.others(leader)[0];
    let Reply::Array(both) = cluster.ask(node, &["MGET", "count", "copy"]) else { panic!("two") };
    assert_eq!(both[0], both[1], "one without the other");
    let Reply::Bulk(digits) = &both[0] else { panic!("a count") };
    let count: i64 = str::from_utf8(digits).expect("text").parse().expect("a number");
    assert!(
        (done..=done + uncertain).contains(&count),
        "{done} done, {uncertain} uncertain: {count}"
    );
}

/// A client of several addresses goes on at the next one, but never with a part of a transaction.
#[test]
fn a_transaction_whose_node_dies_is_not_continued_on_another() {
    let mut cluster = unhurried();
    let all: Vec<String> = cluster.all().into_iter().map(|node| cluster.address(node)).collect();
    let mut client = raft::cluster::Cluster::new(Some(&all.join(","))).expect("addresses");
    let mut call = |line: &str| client.call(&line.split(' ').collect::<Vec<_>>()).expect("a reply");
    assert_eq!(call("SET before 1"), ok());
    assert_eq!(call("WATCH before"), ok());
    assert_eq!(call("MULTI"), ok());
    assert_eq!(call("SET one 1"), Reply::Status("QUEUED".into()));
    cluster.kill(1);
    for line in ["SET two 2", "EXEC"] {
        let Reply::Error(error) = call(line) else { panic!("{line} was sent") };
        assert!(error.starts_with("EXECABORT "), "{error}");
    }
    assert_eq!(call("MGET before one two"), Reply::Array(vec![bulk("1"), Reply::Nil, Reply::Nil]));
}
