//! Log replication with real processes: every node ends up with the leader's log, entry for entry, and
//! what was acknowledged is in it (paper, section 5.3).

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;

use common::cluster::{CALM, Cluster, await_some, bulk, is_refused, is_uncertain, ok};
use raft::client::{Client, Reply};

/// An entry as `raft inspect` shows it: `5@3  SET a 1`.
#[derive(Debug, PartialEq, Eq)]
struct Shown<'a> {
    index: u64,
    term: u64,
    command: &'a str,
}

fn shown(line: &str) -> Shown<'_> {
    let (position, command) = line.split_once("  ").expect("position, then command");
    let (index, term) = position.split_once('@').expect("index@term");
    let number = |text: &str| text.parse().expect("a number");
    Shown { index: number(index), term: number(term), command }
}

/// The logs of all nodes, none of which runs: they must be the same.
fn same_log(cluster: &Cluster) -> Vec<String> {
    let first = cluster.entries(1);
    for node in cluster.others(1) {
        assert_eq!(cluster.entries(node), first, "node {node}'s against node 1's");
    }
    first
}

/// Waits until all nodes have everything, kills them, and compares.
fn converged(cluster: &mut Cluster) -> Vec<String> {
    cluster.caught_up();
    cluster.kill_all();
    same_log(cluster)
}

/// The positions of a running node's log, as `RAFT.LOG` shows them.
fn positions(cluster: &Cluster, node: u16) -> Vec<String> {
    let reply = cluster.client(node).call(&["RAFT.LOG", "1000"]).expect("an answer");
    let Reply::Array(positions) = reply else { panic!("an array: {reply:?}") };
    let text = |reply| match reply {
        Reply::Bulk(bytes) => String::from_utf8(bytes).expect("text"),
        other => panic!("a string: {other:?}"),
    };
    positions.into_iter().map(text).collect()
}

/// What a node has applied itself.
fn local(cluster: &Cluster, node: u16, key: &str) -> Reply {
    let mut client = cluster.client(node);
    assert_eq!(client.call(&["READONLY"]).expect("an answer"), ok());
    client.call(&["GET", key]).expect("an answer")
}

#[test]
fn an_entry_has_command_index_and_term_and_is_the_same_on_all_nodes() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let mut acknowledged = Vec::new();
    for round in 0..2 {
        for number in 0..15 {
            let (key, value) = (format!("key-{round}-{number}"), format!("value {number}"));
            let node = 1 + number % 3;
            if cluster.ask(node, &["SET", &key, &value]) == ok() {
                acknowledged.push(format!("SET {key} \"{value}\""));
            }
        }
        let (leader, term) = cluster.leader_after(0);
        cluster.kill(leader);
        cluster.leader_after(term);
        cluster.start(leader);
    }
    assert!(acknowledged.len() >= 25, "{acknowledged:?}");

    cluster.caught_up();
    let running: Vec<_> = cluster.all().iter().map(|node| positions(&cluster, *node)).collect();
    let lines = converged(&mut cluster);
    let log: Vec<Shown> = lines.iter().map(|line| shown(line)).collect();
    for positions in running {
        let kept: Vec<String> =
            log.iter().map(|entry| format!("{}@{}", entry.index, entry.term)).collect();
        assert_eq!(positions, kept[..positions.len()]);
    }
    let indexes: Vec<u64> = log.iter().map(|entry| entry.index).collect();
    assert_eq!(indexes, (1..=log.len() as u64).collect::<Vec<u64>>());
    assert!(log.is_sorted_by_key(|entry| entry.term));
    let terms: BTreeSet<u64> = log.iter().map(|entry| entry.term).collect();
    assert!(terms.len() >= 3, "{terms:?}");
    for term in terms {
        let first = log.iter().find(|entry| entry.term == term).expect("just seen");
        assert_eq!(first.command, "(start of the term)", "{first:?}");
    }
    // Sent one after the other, so the log has them in this order.
    let mut commands = log.iter().map(|entry| entry.command);
    for command in &acknowledged {
        assert!(commands.any(|other| other == command), "{command} in {log:#?}");
    }
}

#[test]
fn a_follower_that_was_away_gets_what_it_missed() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let away = cluster.others(cluster.leader())[0];
    cluster.kill(away);
    let mut client = cluster.client(cluster.leader());
    for number in 1..=200 {
        let reply = client.call(&["SET", "key", &number.to_string()]).expect("an answer");
        assert!(reply == ok() || is_refused(&reply) || is_uncertain(&reply), "{reply:?}");
    }
    let present = cluster.others(away);
    assert_eq!(cluster.ask(present[0], &["SET", "key", "last"]), ok());
    let missed = cluster.caught_up() - cluster.entries(away).len() as u64;
    assert!(missed > 150, "{missed}");

    cluster.start(away);
    cluster.caught_up();
    assert_eq!(local(&cluster, away, "key"), bulk("last"));
    // It counts as a majority's part with what it got.
    let other = present.into_iter().find(|node| *node != cluster.leader());
    let (other, (_, term)) = (other.expect("a follower"), cluster.leader_after(0));
    cluster.kill(other);
    cluster.leader_after(term - 1);
    assert_eq!(cluster.ask(away, &["SET", "key", "later"]), ok());
    cluster.start(other);
    let log = converged(&mut cluster);
    assert!(log.len() as u64 > missed);
}

/// Entries that an old leader wrote while it was alone are replaced by what was committed since.
#[test]
fn a_log_that_went_its_own_way_is_replaced_from_where_it_did() {
    let patient = [("RAFT_HEARTBEAT", "100ms"), ("RAFT_ELECTION", "2s")];
    let mut cluster = Cluster::start_new(3, &patient);
    assert_eq!(cluster.ask(1, &["SET", "key", "common"]), ok());
    let last = cluster.caught_up();
    let (old, term) = cluster.leader_after(0);
    let followers = cluster.others(old);
    let mut alone: Vec<Client> = (0..10).map(|_| cluster.client(old)).collect();
    cluster.kill_at_once(&followers);
    for client in &mut alone {
        client.send(&["SET", "key", "alone"]).expect("sent");
    }
    await_some("ten entries on its disk alone", || {
        (cluster.durable(old) == Some(last + 10)).then_some(())
    });
    cluster.kill(old);
    for mut client in alone {
        // The connection breaks; had it been an acknowledgement, it would be a lie.
        assert!(client.receive().is_err());
    }
    let diverged = cluster.entries(old);
    assert_eq!(diverged.len() as u64, last + 10);

    for node in &followers {
        cluster.start(*node);
    }
    let (new, _) = cluster.leader_after(term);
    for number in 1..=3 {
        assert_eq!(cluster.ask(new, &["SET", "key", &format!("committed {number}")]), ok());
    }
    // A leader of a later term has to find out where the two logs part.
    let (_, term) = cluster.leader_after(term);
    cluster.kill_at_once(&followers);
    for node in &followers {
        cluster.start(*node);
    }
    cluster.leader_after(term);
    cluster.start(old);
    cluster.caught_up();
    assert_eq!(local(&cluster, old, "key"), bulk("committed 3"));

    let log = converged(&mut cluster);
    let common = last as usize;
    assert_eq!(log[..common], diverged[..common]);
    assert!(!log.iter().any(|line| shown(line).command == "SET key alone"), "{log:#?}");
    assert!(log.iter().any(|line| shown(line).command == "SET key \"committed 3\""));
    // And what it has now it also has after a start.
    cluster.start_all();
    assert_eq!(cluster.ask(old, &["GET", "key"]), bulk("committed 3"));
}

/// What one client knows of the counter that it alone adds to.
struct Counter {
    key: String,
    acknowledged: i64,
    /// Increments that may have been applied or not, since the last acknowledged one.
    uncertain: i64,
}

impl Counter {
    /// Adds until the node is gone.
    fn add(&mut self, mut client: Client, total: &AtomicI64) {
        loop {
            match client.call(&["INCR", &self.key]) {
                Ok(Reply::Integer(value)) => {
                    self.check(value, 1);
                    total.fetch_add(1, Ordering::Relaxed);
                }
                Ok(reply) if is_refused(&reply) => {}
                Ok(reply) => {
                    assert!(is_uncertain(&reply), "{reply:?}");
                    self.uncertain += 1;
                }
                Err(_) => {
                    self.uncertain += 1;
                    return;
                }
            }
        }
    }

    /// The counter has this value, of which `own` is certainly in it and not acknowledged before.
    fn check(&mut self, value: i64, own: i64) {
        let least = self.acknowledged + own;
        let possible = least..=least + self.uncertain;
        assert!(possible.contains(&value), "{}: {value}, not in {possible:?}", self.key);
        (self.acknowledged, self.uncertain) = (value, 0);
    }
}

#[test]
fn all_nodes_killed_at_once_under_load_lose_nothing_that_was_acknowledged() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let counter = |number| Counter { key: format!("c{number}"), acknowledged: 0, uncertain: 0 };
    let mut counters: Vec<Counter> = (0..6).map(counter).collect();
    for _ in 0..2 {
        let total = AtomicI64::new(0);
        thread::scope(|scope| {
            for (number, counter) in counters.iter_mut().enumerate() {
                let (client, total) = (cluster.client(1 + number as u16 % 3), &total);
                scope.spawn(move || counter.add(client, total));
            }
            await_some("load", || (total.load(Ordering::Relaxed) >= 300).then_some(()));
            cluster.kill_all();
        });
        cluster.start_all();
        for counter in &mut counters {
            let reply = cluster.ask(1, &["INCRBY", &counter.key, "0"]);
            let Reply::Integer(value) = reply else { panic!("a number: {reply:?}") };
            counter.check(value, 0);
        }
    }
    converged(&mut cluster);
}

/// Log time alone judges: a key whose time is over goes on every node, asked for or not, and the
/// others stay, also when all nodes were killed meanwhile.
#[test]
fn keys_go_when_their_time_is_over() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let far = Reply::Integer(4_102_444_800);
    assert_eq!(cluster.ask(1, &["SET", "far", "x", "EXAT", "4102444800"]), ok());
    assert_eq!(cluster.ask(2, &["SET", "near", "x", "PX", "300"]), ok());
    for node in cluster.all() {
        let mut client = cluster.client(node);
        assert_eq!(client.call(&["READONLY"]).expect("an answer"), ok());
        await_some("one key is left", || {
            (client.call(&["DBSIZE"]).expect("an answer") == Reply::Integer(1)).then_some(())
        });
    }
    assert_eq!(cluster.ask(3, &["PSETEX", "near", "300", "x"]), ok());
    await_some("the key is gone", || {
        (cluster.ask(1, &["GET", "near"]) == Reply::Nil).then_some(())
    });
    let log = converged(&mut cluster);
    assert!(log.iter().any(|line| line.ends_with("(the time)")), "{log:#?}");
    cluster.start_all();
    assert_eq!(cluster.ask(2, &["EXPIRETIME", "far"]), far);
    assert_eq!(cluster.ask(3, &["MGET", "near", "far"]), Reply::Array(vec![Reply::Nil, bulk("x")]));
}
