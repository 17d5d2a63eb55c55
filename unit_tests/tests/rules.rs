//! The rules that are easy to get wrong: each has an interleaving behind it, told by a script or
//! spelt out here because it needs numbers or several inputs in one turn.

use messages::{LogIndex, Message, NodeId};
use states::{Answer, Config, Effects, Input, Micros, RequestId, Role, Time};
use unit_tests::{Cluster, inputs, roles};

unit_tests::scripts!("rules":
    rule_1_own_vote rule_2_own_entries rule_3_heartbeats rule_4_silence rule_5_terms
    rule_6_who_counts rule_7_hints rule_7_flaps rule_8_order rule_12_space rule_14_checks
);

fn read_answers(effects: &Effects) -> Vec<(RequestId, Answer)> {
    let is_read = |answer: &&(RequestId, Answer)| matches!(answer.1, Answer::ReadAt(_));
    effects.answers.iter().filter(is_read).cloned().collect()
}

/// The rounds of the heartbeats among these sends, one for each receiver.
fn rounds_sent(effects: &Effects) -> Vec<u64> {
    effects
        .sends
        .iter()
        .filter_map(|(_, _, message)| match message {
            Message::Heartbeat(heartbeat) => Some(heartbeat.round.0),
            _ => None,
        })
        .collect()
}

fn appends_sent(effects: &Effects) -> usize {
    let is_append =
        |(_, _, message): &&(_, _, Message)| matches!(message, Message::AppendEntries(_));
    effects.sends.iter().filter(is_append).count()
}

/// A read is confirmed only by an echo of a round sent after it came, *in this term*: what a node
/// answers to a heartbeat of a term long gone must not pass for an echo of the present leader's
/// round of the same number (thesis, section 6.4; rules 3 and 5c).
#[test]
fn an_answer_to_a_heartbeat_of_an_older_term_confirms_no_read() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1); // round 1 of term 1
    cluster.timeout(1); // round 2 of term 1
    let to_n2 = |message: &unit_tests::cluster::InTransit| message.to == NodeId(2);
    let place = cluster.queue.iter().position(to_n2).expect("a heartbeat to n2");
    let late = cluster.queue.remove(place);
    cluster.lose(None, None);
    roles::step_down(&mut cluster, 1);
    cluster.advance(Micros(300_000));
    cluster.elect(1); // round 1 of term 2
    assert_eq!(cluster.node(2).term(), 2);

    cluster.input(2, Input::Message { from: late.from, term: late.term, message: late.message });
    assert_eq!(cluster.queue.len(), 1, "an older heartbeat is answered (rule 5c)");
    let answer = cluster.queue.remove(0);
    let read = cluster.read(1);
    assert_eq!(rounds_sent(&read), [2], "the read asks round 2 of term 2");
    cluster.lose(None, None);
    let (from, term, message) = (answer.from, answer.term, answer.message);
    let effects = cluster.input(1, Input::Message { from, term, message });
    assert_eq!(read_answers(&effects), [], "nobody has echoed round 2 of term 2");
}

/// Rule 8, messages before `Timeout`: what came in the same turn counts. n1 pauses; the echo of a
/// round it sent 60 ms ago waits in its mailbox.
#[test]
fn an_echo_in_the_turn_of_the_timeout_keeps_the_leader() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1); // round 1, echoed
    let elected = cluster.now;
    let mut last_round = 0;
    while last_round < 6 {
        last_round = rounds_sent(&cluster.timeout(1))[0]; // every 50 ms
        cluster.lose(None, None);
    }
    cluster.now = elected + Micros(310_000);
    cluster.begin_turn(1);
    cluster.input(1, inputs::echo(2, 1, last_round));
    cluster.input(1, Input::Timeout);
    cluster.end_turn(1);
    assert_eq!(cluster.node(1).role(), Role::Leader, "a quorum echoed a round sent 60 ms ago");
}

/// Rule 8 for a follower: its leader's heartbeat came in the same turn as the timeout.
#[test]
fn a_heartbeat_in_the_turn_of_the_timeout_keeps_the_follower() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.now = cluster.node(2).state.deadline().expect("a voter's deadline");
    cluster.begin_turn(2);
    cluster.input(2, inputs::heartbeat(1, 1, 2, 0));
    cluster.input(2, Input::Timeout);
    let effects = cluster.end_turn(2);
    assert_eq!(cluster.node(2).role(), Role::Follower, "it has just heard its leader");
    assert_eq!(effects.sends.len(), 1, "the echo, and no PreVote");
}

/// Reads that came while two rounds were out are asked as soon as one is confirmed, not at the next
/// heartbeat.
#[test]
fn reads_that_wait_for_a_round_are_asked_in_the_turn_that_ends_it() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    assert_eq!(rounds_sent(&cluster.read(1)), [2]);
    assert_eq!(rounds_sent(&cluster.read(1)), [3]);
    assert_eq!(rounds_sent(&cluster.read(1)), [0; 0], "two rounds of reads at a time");
    let effects = cluster.input(1, inputs::echo(2, 1, 2));
    assert_eq!(read_answers(&effects), [(RequestId(1), Answer::ReadAt(LogIndex(1)))]);
    assert_eq!(rounds_sent(&effects), [4], "the third read asks at once");
    let effects = cluster.input(1, inputs::echo(3, 1, 3));
    assert_eq!(read_answers(&effects), [(RequestId(2), Answer::ReadAt(LogIndex(1)))]);
}

/// Rule 4: a stale reply never triggers a send, also while the leader probes.
#[test]
fn a_stale_match_sends_nothing_to_a_silent_follower() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, 1, None); // 2@1
    cluster.input(1, inputs::matched(2, 1, 2));
    for _ in 0..4 {
        cluster.propose(1, 1, None); // 3@1 to 6@1, which n2 never acknowledges
    }
    for _ in 0..3 {
        cluster.timeout(1); // after two heartbeats of silence n2 is probed
    }
    let stale = inputs::matched(2, 1, 2);
    for _ in 0..5 {
        let effects = cluster.input(1, stale.clone());
        assert_eq!(appends_sent(&effects), 0, "it says nothing new");
    }
    let effects = cluster.input(1, inputs::matched(2, 1, 3));
    assert_eq!(appends_sent(&effects), 1, "news: the rest follows");
}

/// Rule 2: "unwritten bytes are bounded". The followers' disks are quick and the leader's hangs:
/// what is committed without it may not pile up in its memory.
#[test]
fn a_leader_whose_disk_hangs_is_busy_at_last() {
    let config = Config { uncommitted_bytes: 1000, ..Config::default() };
    let mut cluster = Cluster::with(3, config);
    cluster.elect(1);
    for index in 2..100 {
        let effects = cluster.propose(1, 100, None);
        if effects.answers[0].1 == Answer::Busy {
            assert_eq!(cluster.node(1).commit(), index - 1, "all of it is committed");
            assert!(index <= 10, "1000 bytes hold fewer than ten entries of 100 bytes");
            assert!(index >= 8, "and about seven with what surrounds them");
            cluster.write_all(1);
            let effects = cluster.propose(1, 100, None);
            assert_ne!(effects.answers[0].1, Answer::Busy, "the disk has caught up");
            return;
        }
        cluster.input(1, inputs::matched(2, 1, index));
        cluster.input(1, inputs::matched(3, 1, index));
    }
    panic!("98 entries of 100 bytes wait for the disk, and none was refused");
}

/// Log time is slewed towards wall time by up to one percent, however often it is read: here the
/// leader's wall clock runs two seconds ahead, and a proposal comes every 50 µs.
#[test]
fn log_time_is_slewed_however_often_it_is_read() {
    let mut cluster = Cluster::new(1);
    cluster.elect(1);
    let node = cluster.nodes.get_mut(&NodeId(1)).expect("n1");
    let (start, log_start) = (cluster.now, node.replica.log().last_time());
    let mut now = start;
    for id in 0..2000 {
        now = now + Micros(50);
        let mut turn = states::Turn::new(now, states::WallTime(log_start.0 + 2_000_000 + now.0));
        let propose = Input::Propose { id: RequestId(id), only_in: None, items: vec![] };
        node.state = node.state.clone().step(&mut node.replica, &mut turn, propose);
        node.state.finish(&mut node.replica, &mut turn);
    }
    let elapsed = node.replica.log().last_time().0 - log_start.0;
    assert_eq!(elapsed, 101_000, "100 ms passed, and one percent of them");
}

/// A message in this node's own name is nobody's: it must not become its own leader or voter
/// (rule 14).
#[test]
fn a_message_in_the_nodes_own_name_is_dropped() {
    let mut cluster = Cluster::new(3);
    for input in [
        inputs::heartbeat(1, 1, 1, 0),
        inputs::append(1, 1, inputs::at(0, 0), &[1], 0),
        inputs::request_vote(1, 1, inputs::at(9, 1)),
        inputs::vote_reply(1, 1, 1, true),
    ] {
        let effects = cluster.input(1, input);
        assert_eq!(effects.sends, []);
        assert_eq!(effects.promises, []);
        assert_eq!(effects.write, None);
    }
    assert_eq!(
        (cluster.node(1).term(), cluster.node(1).state.leader(&cluster.node(1).replica)),
        (0, None)
    );
    assert!(cluster.now == Time(0));
}

/// Rule 7f: "Timeouts are drawn from [election, 1.5 × election)", and over the whole of it.
#[test]
fn election_timeouts_are_drawn_from_one_to_one_and_a_half() {
    let election = Config::default().election.0;
    let mut cluster = Cluster::new(3);
    let mut drawn = Vec::new();
    for round in 1..=2000 {
        cluster.input(1, inputs::heartbeat(2, 1, round, 0));
        drawn.push((cluster.node(1).state.deadline().expect("a voter") - cluster.now).0);
    }
    let (least, most) = (drawn.iter().min().copied(), drawn.iter().max().copied());
    assert!(least >= Some(election) && least < Some(election + election / 100), "{least:?}");
    assert!(most < Some(election * 3 / 2) && most > Some(election * 149 / 100), "{most:?}");
}

/// Rule 7f: "a refused or split election retries after uniform(0..0.5 × election)", for votes and
/// pre-votes; before, the whole timeout runs.
#[test]
fn a_lost_election_is_tried_again_within_half_a_timeout() {
    let election = Config::default().election.0;
    let mut waits = Vec::new();
    for elections in 0..200 {
        for role in [Role::PreCandidate, Role::Candidate] {
            let mut cluster = match role {
                Role::PreCandidate => roles::pre_candidate(4 + elections, &[1]),
                _ => roles::candidate(4 + elections, &[1]),
            };
            (0..elections % 20).for_each(|_| drop(cluster.timeout(1)));
            if cluster.node(1).role() != role {
                continue; // a candidate that timed out asks again first
            }
            let wait = |cluster: &Cluster| {
                (cluster.node(1).state.deadline().expect("a voter") - cluster.now).0
            };
            assert!(wait(&cluster) >= election, "nobody has refused");
            for from in [2, 3] {
                let term = 4 + elections;
                cluster.input(
                    1,
                    match role {
                        Role::PreCandidate => inputs::pre_vote_reply(from, term, term + 1, false),
                        _ => inputs::vote_reply(from, term, term, false),
                    },
                );
            }
            assert!(wait(&cluster) < election / 2, "{role:?} waits {}", wait(&cluster));
            waits.push(wait(&cluster));
        }
    }
    let spread = waits.iter().max().expect("some") - waits.iter().min().expect("some");
    assert!(spread > election / 4, "the retries do not collide: {spread}");
}

/// The storm (design, section 12): replies that say nothing new must not multiply. A follower that
/// refuses everything, forty times over, costs no more than one append each heartbeat.
#[test]
fn refusals_do_not_multiply_messages() {
    let mut cluster = roles::leader(5, &[1, 1, 2, 2, 4, 4]);
    let refusal = inputs::mismatched(3, 5, 6, inputs::at(3, 1));
    let first = appends_sent(&cluster.input(1, refusal.clone()));
    assert_eq!(first, 1, "the first says where the logs may meet");
    for _ in 0..40 {
        assert_eq!(appends_sent(&cluster.input(1, refusal.clone())), 0);
    }
    for _ in 0..5 {
        let heartbeat = cluster.timeout(1);
        cluster.input(1, inputs::echo(2, 5, rounds_sent(&heartbeat)[0]));
        let to_n3 = |send: &&(NodeId, _, Message)| {
            send.0 == NodeId(3) && matches!(send.2, Message::AppendEntries(_))
        };
        assert_eq!(heartbeat.sends.iter().filter(to_n3).count(), 1, "a probe a heartbeat");
    }
}

/// The storm, in a window under way: its first append is lost, and every other one is refused.
#[test]
fn a_lost_append_costs_one_probe_however_many_follow_it() {
    let mut cluster = Cluster::with(3, roles::one_entry_at_a_time());
    cluster.elect(1);
    for _ in 0..10 {
        cluster.propose(1, 1, None); // 2@1 to 11@1, an append each
    }
    let mut appends = 0;
    for rejected in 2..=10 {
        appends +=
            appends_sent(&cluster.input(1, inputs::mismatched(3, 1, rejected, inputs::at(1, 1))));
    }
    assert_eq!(appends, 1, "nine refusals, one probe");
}

/// The storm, in a whole cluster: n3 was away for a hundred entries. Until it has them, messages are
/// counted.
#[test]
fn catching_up_costs_few_messages() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.cut(3);
    for _ in 0..100 {
        cluster.propose(1, 10, None);
        cluster.settle();
    }
    cluster.heal();
    cluster.take_trace();
    for _ in 0..3 {
        cluster.timeout(1);
        cluster.settle();
    }
    assert_eq!(cluster.node(3).log().len(), 101);
    let sent = cluster.take_trace().matches("n1@1 → n3 AppendEntries").count();
    assert!(sent <= 6, "{sent} appends for a log that fits in one");
}

/// Rule 2: an acknowledgement counts for what was acknowledged, also if the writes of many turns end
/// at once.
#[test]
fn a_leader_counts_only_the_entries_of_writes_that_are_done() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for _ in 0..3 {
        cluster.propose(1, 1, None); // 2@1, 3@1, 4@1, a write each
    }
    cluster.input(1, inputs::matched(2, 1, 4));
    assert_eq!(cluster.node(1).commit(), 1);
    assert_eq!(cluster.write_one(1).commit, Some(LogIndex(2)));
    assert_eq!(cluster.write_one(1).commit, Some(LogIndex(3)));
}

/// A script that leaves another trace than expected fails: the runner itself, seen to fail.
#[test]
fn a_script_generates_what_happens_and_not_what_is_written() {
    let script = "timeout n1\n---\nnothing at all\n";
    let generated = unit_tests::script::generate(script).expect("a script");
    assert!(generated.contains("n1 becomes pre-candidate in term 0"), "{generated}");
    assert!(!generated.contains("nothing at all"));
    assert!(unit_tests::script::generate("no_such_command n1\n---\n").is_err());
}
