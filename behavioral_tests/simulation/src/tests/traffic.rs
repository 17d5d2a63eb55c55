//! What nodes say to one another.

use messages::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Heartbeat, HeartbeatReply, Message, Round,
};

use super::*;
use crate::traffic::{Lines, Said, Taken, check_turn};

/// Of a clock, microseconds.
const HEARTBEAT: u64 = 100;

/// Node zero of three leads term one since its clock showed nothing.
fn in_office() -> Lines {
    let mut lines = Lines::default();
    lines.begin(1, 3);
    lines.on_office(Some(Term(1)), 3, 0);
    lines
}

fn echo(lines: &mut Lines, from: usize, term: u64, round: u64, now: u64) {
    lines.begin(1, 3);
    let reply = HeartbeatReply { round: Round(round), full: false };
    lines.on_taken(from, Term(term), &Message::HeartbeatReply(reply));
    lines.settle(0, now);
}

#[test]
fn a_read_is_confirmed_by_a_quorum_that_was_asked_after_it() {
    let mut lines = in_office();
    lines.on_round(Round(1), 1_000, 0, HEARTBEAT).expect("the first");
    refuses(lines.on_read_answered(900), "read");
    echo(&mut lines, 1, 1, 1, 5_000);
    assert_eq!(lines.on_read_answered(900), Ok(()));
    assert_eq!(lines.on_read_answered(1_000), Ok(()));
    refuses(lines.on_read_answered(1_001), "read"); // the echo's time of arrival says nothing
    lines.on_round(Round(2), 6_000, HEARTBEAT, HEARTBEAT).expect("due");
    echo(&mut lines, 2, 2, 2, 7_000);
    refuses(lines.on_read_answered(1_001), "read"); // of another term
    echo(&mut lines, 2, 1, 1, 7_000);
    refuses(lines.on_read_answered(1_001), "read"); // of an older round
    echo(&mut lines, 2, 1, 2, 8_000);
    assert_eq!(lines.on_read_answered(6_000), Ok(()));
    lines.on_office(None, 3, 9_000);
    assert_eq!(lines.on_read_answered(6_000), Ok(()), "deposed, and what was confirmed stays so");
}

#[test]
fn of_five_two_must_echo() {
    let mut lines = Lines::default();
    lines.begin(1, 5);
    lines.on_office(Some(Term(1)), 5, 0);
    lines.on_round(Round(1), 1_000, 0, HEARTBEAT).expect("the first");
    echo(&mut lines, 1, 1, 1, 2_000);
    refuses(lines.on_read_answered(1_000), "read");
    echo(&mut lines, 4, 1, 1, 3_000);
    assert_eq!(lines.on_read_answered(1_000), Ok(()));
}

#[test]
fn a_sole_node_needs_nobody() {
    let mut lines = Lines::default();
    lines.begin(1, 1);
    lines.on_office(Some(Term(1)), 1, 0);
    lines.begin(1, 1);
    lines.settle(0, 700);
    assert_eq!(lines.on_read_answered(700), Ok(()));
}

#[test]
fn rounds_are_due_or_for_reads() {
    let round =
        |lines: &mut Lines, number, clock| lines.on_round(Round(number), clock, clock, HEARTBEAT);
    let mut lines = in_office();
    assert_eq!(round(&mut lines, 1, 0), Ok(()));
    assert_eq!(round(&mut lines, 1, 0), Ok(()), "the same, to another follower");
    assert_eq!(round(&mut lines, 2, HEARTBEAT), Ok(()));
    assert_eq!(round(&mut lines, 3, HEARTBEAT), Ok(()));
    refuses(round(&mut lines, 4, HEARTBEAT), "storm");
    lines.taken.reads = 1;
    lines.settle(0, HEARTBEAT);
    assert_eq!(round(&mut lines, 4, HEARTBEAT), Ok(()));
    refuses(round(&mut lines, 5, HEARTBEAT), "storm");
}

fn append(previous: u64, entries: &[Entry]) -> AppendEntries {
    let previous = LogPosition { term: Term(1), index: LogIndex(previous) };
    AppendEntries { previous, entries: entries.to_vec(), commit: LogIndex(0) }
}

fn reply(lines: &mut Lines, outcome: AppendOutcome) {
    lines.begin(1, 3);
    lines.on_taken(1, Term(1), &Message::AppendEntriesReply(AppendEntriesReply { outcome }));
}

fn mismatched(at: u64) -> AppendOutcome {
    AppendOutcome::Mismatched { rejected: LogIndex(at), try_at: LogPosition::ZERO }
}

#[test]
fn silence_is_repaired_once_a_heartbeat() {
    let mut lines = in_office();
    let mut say = |append: AppendEntries, clock| lines.on_append(1, &append, clock, HEARTBEAT);
    let entries = [entry(4, 1, 40), entry(5, 1, 50)];
    assert_eq!(say(append(3, &entries[..1]), 0), Ok(()));
    assert_eq!(say(append(4, &entries[1..]), 0), Ok(()), "it goes on");
    refuses(say(append(3, &entries), HEARTBEAT - 1), "storm");
    assert_eq!(say(append(3, &entries), HEARTBEAT), Ok(()));
    refuses(say(append(5, &[]), HEARTBEAT), "storm");
    assert_eq!(say(append(3, &entries), 2 * HEARTBEAT), Ok(()));
}

#[test]
fn only_news_sends_more() {
    let mut lines = in_office();
    let say =
        |lines: &mut Lines, previous| lines.on_append(1, &append(previous, &[]), 0, HEARTBEAT);
    assert_eq!(say(&mut lines, 9), Ok(()));
    reply(&mut lines, mismatched(9));
    assert_eq!(say(&mut lines, 4), Ok(()), "refused, so probed further back");
    reply(&mut lines, mismatched(9));
    refuses(say(&mut lines, 4), "storm"); // the same refusal, a second time
    reply(&mut lines, AppendOutcome::Matched(LogIndex(4)));
    assert_eq!(say(&mut lines, 4), Ok(()));
    reply(&mut lines, AppendOutcome::Matched(LogIndex(3)));
    refuses(say(&mut lines, 4), "storm"); // known before
}

#[test]
fn a_follower_commits_what_it_was_shown() {
    let told = |message: Message, to| {
        let mut lines = Lines::default();
        lines.begin(1, 3);
        lines.on_taken(1, Term(1), &message);
        lines.on_follower_commit(LogIndex(0), LogIndex(to))
    };
    let entries = [entry(4, 1, 40), entry(5, 1, 50)];
    let shown = AppendEntries { commit: LogIndex(9), ..append(3, &entries) };
    assert_eq!(told(Message::AppendEntries(shown.clone()), 5), Ok(()));
    refuses(told(Message::AppendEntries(shown.clone()), 6), "told only up to 5");
    let committed = AppendEntries { commit: LogIndex(4), ..shown };
    refuses(told(Message::AppendEntries(committed), 5), "told only up to 4");
    let heartbeat = Heartbeat { round: Round(1), commit: LogIndex(7) };
    assert_eq!(told(Message::Heartbeat(heartbeat.clone()), 7), Ok(()));
    refuses(told(Message::Heartbeat(heartbeat), 8), "told only up to 7");
}

#[test]
fn a_turn_says_no_more_than_it_was_asked() {
    let heartbeat = Message::Heartbeat(Heartbeat { round: Round(1), commit: LogIndex(0) });
    let echo = Message::HeartbeatReply(HeartbeatReply { round: Round(1), full: false });
    let taken = Taken { requests: vec![0, 1], ..Taken::default() };
    let says = |messages: &[&Message], frames| {
        let mut said = Said::default();
        messages.iter().for_each(|message| said.add(message));
        check_turn(&[Said::default(), said], &taken, (frames, 1))
    };
    assert_eq!(says(&[&heartbeat, &echo], 2), Ok(()));
    refuses(says(&[&heartbeat, &heartbeat], 1), "storm");
    refuses(says(&[&echo, &echo], 1), "storm");
    let append = Message::AppendEntries(append(0, &[]));
    refuses(says(&[&append, &append], 1), "storm");
    refuses(says(&[&heartbeat], 4), "4 frames");
}
