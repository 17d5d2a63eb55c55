//! Leader election with real processes: who may lead, who may not, and when nobody is asked (paper,
//! sections 5.2 and 5.4.1).

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::cluster::{CALM, Cluster, Info, ask, await_some, bulk, is_refused, is_uncertain, ok};
use raft::client::{Client, Reply};

/// Who became leader in which term, by the nodes' own logs.
fn leaders_by_term(cluster: &mut Cluster) -> BTreeMap<u64, BTreeSet<u16>> {
    let mut leaders: BTreeMap<u64, BTreeSet<u16>> = BTreeMap::new();
    for node in cluster.all() {
        for line in cluster.log(node) {
            let own = term_behind(&line, " leader in term ").map(|term| (term, node));
            let other = line.split_once(" follows node ").or(line.split_once(" follows "));
            let other = other.and_then(|(_, rest)| {
                let leader = rest.split(' ').next()?.parse().ok()?;
                Some((term_behind(rest, " in term ")?, leader))
            });
            for (term, leader) in own.into_iter().chain(other) {
                leaders.entry(term).or_default().insert(leader);
            }
        }
    }
    leaders
}

fn term_behind(line: &str, words: &str) -> Option<u64> {
    let (_, rest) = line.split_once(words)?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// "at most one leader can be elected in a given term" (paper, Figure 3).
fn check_one_leader_a_term(cluster: &mut Cluster) -> BTreeMap<u64, BTreeSet<u16>> {
    let leaders = leaders_by_term(cluster);
    for (term, leaders) in &leaders {
        assert_eq!(leaders.len(), 1, "leaders of term {term}: {leaders:?}");
    }
    leaders
}

/// Starts two nodes of which `eager` stands for election long before `patient` does.
fn start_two(cluster: &mut Cluster, eager: u16, patient: u16) {
    cluster.set(eager, "RAFT_HEARTBEAT", "50ms");
    cluster.set(eager, "RAFT_ELECTION", "200ms");
    cluster.set(patient, "RAFT_ELECTION", "2s");
    cluster.set(patient, "RAFT_LOG_LEVEL", "debug");
    cluster.start(eager);
    cluster.start(patient);
}

/// `eager` asked for votes and was refused because of its log; `patient` leads.
fn check_refused(cluster: &mut Cluster, eager: u16, patient: u16) {
    let before = cluster.log(eager).len();
    let refused = |line: &String| line.contains("LogBehind");
    await_some("a refusal because of the log", || {
        cluster.log(patient).iter().any(refused).then_some(())
    });
    assert_eq!(cluster.leader(), patient);
    let led = |line: &&String| line.contains(" leader in term ");
    assert_eq!(cluster.log(eager)[before..].iter().find(led), None);
    check_one_leader_a_term(cluster);
}

#[test]
fn a_node_whose_log_is_shorter_gets_no_vote() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let behind = cluster.others(cluster.leader())[0];
    cluster.kill(behind);
    let leader = cluster.leader();
    for value in 1..=20 {
        assert_eq!(cluster.ask(leader, &["SET", "key", &value.to_string()]), ok());
    }
    let whole = cluster.others(behind).into_iter().find(|node| *node != leader);
    let whole = whole.expect("a third");
    cluster.kill_all();
    assert!(cluster.entries(behind).len() < cluster.entries(whole).len());

    start_two(&mut cluster, behind, whole);
    check_refused(&mut cluster, behind, whole);
    for node in [behind, whole] {
        assert_eq!(cluster.ask(node, &["GET", "key"]), bulk("20"));
    }
}

#[test]
fn a_node_whose_log_is_longer_but_of_an_older_term_gets_no_vote() {
    let patient = [("RAFT_HEARTBEAT", "100ms"), ("RAFT_ELECTION", "2s")];
    let mut cluster = Cluster::start_new(3, &patient);
    let (old, term) = cluster.leader_after(0);
    assert_eq!(cluster.ask(old, &["SET", "key", "old"]), ok());
    let followers = cluster.others(old);
    let mut clients: Vec<Client> = (0..20).map(|_| cluster.client(old)).collect();
    let last = cluster.caught_up();
    cluster.kill_at_once(&followers);
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&["SET", "key", &format!("lost-{number}")]).expect("sent");
    }
    await_some("twenty entries on its disk alone", || {
        (cluster.durable(old) == Some(last + 20)).then_some(())
    });
    cluster.kill(old);

    for node in &followers {
        cluster.start(*node);
    }
    let (new, _) = cluster.leader_after(term);
    assert_eq!(cluster.ask(new, &["SET", "key", "new"]), ok());
    cluster.caught_up();
    cluster.kill_all();
    assert!(cluster.entries(old).len() > cluster.entries(new).len());

    start_two(&mut cluster, old, new);
    check_refused(&mut cluster, old, new);
    for node in [old, new] {
        assert_eq!(cluster.ask(node, &["GET", "key"]), bulk("new"));
    }
}

#[test]
fn a_killed_leader_is_replaced_again_and_again() {
    let mut cluster = Cluster::start_new(3, &CALM);
    let mut led = BTreeSet::new();
    for value in 1..=3 {
        let (leader, term) = cluster.leader_after(0);
        assert_eq!(cluster.ask(leader, &["INCR", "hits"]), Reply::Integer(value));
        cluster.kill(leader);
        let (next, _) = cluster.leader_after(term);
        assert_ne!(next, leader);
        assert_eq!(cluster.ask(next, &["GET", "hits"]), bulk(&value.to_string()));
        led.insert(term);
        cluster.start(leader);
    }
    let by_term = check_one_leader_a_term(&mut cluster);
    assert!(by_term.len() > led.len(), "each one is in the logs: {by_term:?}");
}

/// Both followers' time is over in the same moment: they are paused until it is, and go on together.
#[test]
fn two_nodes_that_stand_at_the_same_moment_never_both_lead() {
    let quick = [("RAFT_HEARTBEAT", "50ms"), ("RAFT_ELECTION", "400ms")];
    let longest = Duration::from_millis(400 * 3 / 2);
    let mut cluster = Cluster::start_new(3, &quick);
    for value in 1..=3 {
        let (leader, term) = cluster.leader_after(0);
        let followers = cluster.others(leader);
        cluster.kill(leader);
        for node in &followers {
            cluster.pause(*node);
        }
        thread::sleep(longest);
        for node in &followers {
            cluster.resume(*node);
        }
        let (next, _) = cluster.leader_after(term);
        assert_ne!(next, leader);
        assert_eq!(cluster.ask(next, &["INCR", "hits"]), Reply::Integer(value));
        cluster.start(leader);
    }
    check_one_leader_a_term(&mut cluster);
}

#[test]
fn nobody_stands_while_the_leader_lives() {
    let patient = [("RAFT_HEARTBEAT", "100ms"), ("RAFT_ELECTION", "2s")];
    let longest = Duration::from_secs(3); // that a follower waits
    let mut cluster = Cluster::start_new(3, &patient);
    cluster.caught_up();
    let (leader, term) = cluster.leader_after(0);
    let before: Vec<usize> = cluster.all().iter().map(|node| cluster.log(*node).len()).collect();
    let ends = AtomicBool::new(false);
    thread::scope(|scope| {
        for node in cluster.all() {
            let (mut client, ends) = (cluster.client(node), &ends);
            scope.spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    assert!(matches!(ask(&mut client, &["INCR", "hits"]), Reply::Integer(_)));
                }
            });
        }
        let mut clients: Vec<Client> = cluster.all().iter().map(|at| cluster.client(*at)).collect();
        let start = Instant::now();
        let mut changed = None;
        while changed.is_none() && start.elapsed() < longest + Duration::from_millis(500) {
            let views = clients.iter_mut().map(Info::ask);
            let mut views = views.map(|info| (info.leader(), info.number("raft_term")));
            changed = views.find(|view| *view != (Some(leader), term));
            thread::sleep(Duration::from_millis(50));
        }
        ends.store(true, Ordering::Relaxed);
        assert_eq!(changed, None, "it was {:?}", (Some(leader), term));
    });
    for (node, before) in cluster.all().into_iter().zip(before) {
        let log = cluster.log(node).split_off(before);
        assert_eq!(log.iter().find(|line| line.contains("candidate")), None);
    }
}

/// A leader that is in no hurry to doubt itself, among followers that elect another before it does,
/// but not before the connections to a paused node are cut: nothing of theirs then waits for it.
fn self_assured() -> (Cluster, u16, u64) {
    let patient = [("RAFT_HEARTBEAT", "100ms"), ("RAFT_ELECTION", "4s")];
    let mut cluster = Cluster::found(3, &patient);
    cluster.start(1);
    cluster.start(2);
    let (leader, term) = cluster.leader_after(0);
    cluster.kill(3 - leader);
    for node in cluster.others(leader) {
        cluster.set(node, "RAFT_ELECTION", "1200ms");
        cluster.start(node);
    }
    cluster.caught_up();
    (cluster, leader, term)
}

#[test]
fn a_paused_leader_is_replaced_and_never_answers_with_the_past() {
    let (mut cluster, old, term) = self_assured();
    assert_eq!(cluster.ask(old, &["SET", "key", "old"]), ok());
    let early: Vec<Client> = (0..15).map(|_| cluster.client(old)).collect();
    cluster.pause(old);
    let (new, _) = cluster.leader_after(term);
    assert_eq!(cluster.ask(new, &["SET", "key", "new"]), ok());

    // These wait in the sockets of a node that still takes itself for the leader.
    let late = (0..15).map(|_| cluster.client(old));
    let mut waiting: Vec<Client> = early.into_iter().chain(late).collect();
    for (number, client) in waiting.iter_mut().enumerate() {
        let words: &[&str] = if number % 3 == 2 { &["INCR", "hits"] } else { &["GET", "key"] };
        client.send(words).expect("sent");
    }
    cluster.resume(old);
    let check_read =
        |reply: &Reply| assert!(*reply == bulk("new") || is_refused(reply), "{reply:?}");
    let mut after = cluster.client(old);
    check_read(&after.call(&["GET", "key"]).expect("an answer"));
    let (mut counted, mut uncertain) = (0, 0);
    for (number, client) in waiting.iter_mut().enumerate() {
        let reply = client.receive().expect("an answer");
        match reply {
            Reply::Integer(_) if number % 3 == 2 => counted += 1,
            _ if number % 3 == 2 && is_uncertain(&reply) => uncertain += 1,
            _ if number % 3 == 2 => assert!(is_refused(&reply), "{reply:?}"),
            _ => check_read(&reply),
        }
    }

    await_some("the old leader follows", || {
        let info = cluster.info(old);
        let follows = info.leader().is_some_and(|leader| leader != old);
        (follows && info.number("raft_term") > term).then_some(())
    });
    assert!(cluster.log(old).iter().any(|line| line.contains(" follower in term ")));
    assert_eq!(ask(&mut after, &["GET", "key"]), bulk("new"));
    cluster.caught_up();
    let Reply::Integer(hits) = cluster.ask(new, &["INCRBY", "hits", "0"]) else {
        panic!("a number")
    };
    assert!((counted..=counted + uncertain).contains(&hits), "{hits}, {counted}, {uncertain}");
    check_one_leader_a_term(&mut cluster);
}

/// The others' election timeouts are twice as long as this test waits for anything: only the lost
/// connection tells them that their leader is gone.
#[test]
fn a_killed_leader_is_replaced_long_before_any_election_timeout() {
    let mut cluster = Cluster::found(3, &CALM);
    for patient in [2, 3] {
        cluster.set(patient, "RAFT_ELECTION", "60s");
    }
    cluster.start_all();
    let (first, term) = cluster.leader_after(0);
    assert_eq!(first, 1, "the others' time is not over");
    assert_eq!(cluster.ask(1, &["SET", "key", "value"]), ok());
    cluster.caught_up();
    cluster.kill(1);
    let (next, _) = cluster.leader_after(term);
    assert_eq!(cluster.ask(next, &["GET", "key"]), bulk("value"));
    assert_eq!(cluster.ask(next, &["SET", "key", "other"]), ok());
    check_one_leader_a_term(&mut cluster);
}

/// A process that is stopped keeps its connections: the election timeout finds it.
#[test]
fn a_leader_that_stands_still_is_replaced() {
    let mut cluster = Cluster::start_new(3, &[]);
    let (old, term) = cluster.leader_after(0);
    cluster.pause(old);
    let (new, _) = cluster.leader_after(term);
    assert_ne!(new, old);
    assert_eq!(cluster.ask(new, &["SET", "key", "value"]), ok());
    cluster.resume(old);
    cluster.caught_up();
    check_one_leader_a_term(&mut cluster);
}
