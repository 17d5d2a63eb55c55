//! What nodes write, commit and apply.

use super::*;
use crate::checks::Progress;

#[test]
fn a_term_has_one_leader() {
    let mut checks = nothing_yet();
    assert_eq!(checks.on_leader((A, 1), Term(1), &log(&[])), Ok(()));
    assert_eq!(checks.on_leader((A, 1), Term(1), &log(&[])), Ok(()), "it still leads");
    assert_eq!(checks.on_leader((B, 1), Term(2), &log(&[])), Ok(()));
    refuses(checks.on_leader((B, 1), Term(1), &log(&[])), "election safety");
}

#[test]
fn a_node_that_started_again_does_not_lead_its_old_term() {
    let mut checks = nothing_yet();
    assert_eq!(checks.on_leader((A, 1), Term(1), &log(&[])), Ok(()));
    refuses(checks.on_leader((A, 2), Term(1), &log(&[])), "election safety");
}

#[test]
fn an_entry_says_one_thing() {
    let mut checks = nothing_yet();
    let first = [entry(1, 1, 10)];
    assert_eq!(checks.on_written(&log(&first), &first), Ok(()));
    assert_eq!(checks.on_written(&log(&first), &first), Ok(()), "on another node");
    let other_term = [entry(1, 2, 11)];
    assert_eq!(checks.on_written(&log(&other_term), &other_term), Ok(()));
    let other_payload = [entry(1, 1, 11)];
    refuses(checks.on_written(&log(&other_payload), &other_payload), "log matching");
}

#[test]
fn an_entry_follows_the_same_everywhere() {
    let mut checks = nothing_yet();
    let here = [entry(1, 1, 10), entry(2, 2, 20)];
    let there = [entry(1, 2, 11), entry(2, 2, 20)];
    assert_eq!(checks.on_written(&log(&here), &here), Ok(()));
    assert_eq!(checks.on_written(&log(&there[..1]), &there[..1]), Ok(()));
    refuses(checks.on_written(&log(&there), &there[1..]), "log matching");
    let later = [here[0].clone(), here[1].clone(), entry(3, 2, 30)];
    assert_eq!(checks.on_written(&log(&later), &later[2..]), Ok(()));
}

#[test]
fn nodes_commit_the_same() {
    let mut checks = committed(&[entry(1, 1, 10), entry(2, 1, 20)]);
    assert_eq!(commit(&mut checks, &[entry(1, 1, 10)]), Ok(()), "another node, behind");
    refuses(commit(&mut checks, &[entry(1, 2, 10)]), "state-machine safety");
    refuses(commit(&mut checks, &[entry(1, 1, 11)]), "state-machine safety");
    let beyond = checks.on_commit(Term(1), &log(&[]), LogIndex(0), LogIndex(1));
    refuses(beyond, "beyond the log");
}

#[test]
fn a_leader_holds_what_is_committed() {
    let entries = [entry(1, 1, 10), entry(2, 1, 20)];
    let mut checks = committed(&entries);
    assert_eq!(checks.on_leader((A, 1), Term(2), &log(&entries)), Ok(()));
    refuses(checks.on_leader((B, 1), Term(3), &log(&entries[..1])), "leader completeness");
    let replaced = [entry(1, 1, 10), entry(2, 2, 21)];
    refuses(checks.on_leader((B, 1), Term(4), &log(&replaced)), "leader completeness");
}

#[test]
fn a_leader_elected_late_lacks_what_later_terms_committed() {
    let first = entry(1, 1, 10);
    let mut checks = committed(std::slice::from_ref(&first));
    // Old entries that a later leader committed count from that leader's term on.
    let entries = [first.clone(), entry(2, 1, 20), entry(3, 4, 30)];
    assert_eq!(checks.on_commit(Term(4), &log(&entries), LogIndex(1), LogIndex(3)), Ok(()));
    assert_eq!(checks.on_leader((A, 1), Term(3), &log(&[first])), Ok(()));
    refuses(checks.on_leader((B, 1), Term(5), &log(&entries[..2])), "leader completeness");
    assert_eq!(checks.on_leader((B, 2), Term(6), &log(&entries)), Ok(()));
}

#[test]
fn a_command_takes_effect_once() {
    let mut checks = nothing_yet();
    refuses(commit(&mut checks, &[entry(1, 1, 10), entry(2, 1, 10)]), "twice");
}

#[test]
fn an_entry_follows_one_that_was_written() {
    let mut checks = nothing_yet();
    let entries = [entry(1, 1, 10), entry(2, 1, 20)];
    refuses(checks.on_written(&log(&entries), &entries[1..]), "never written");
}

/// Checks that saw these entries written, and durable on the disks of the first so many nodes.
fn durable(entries: &[Entry], disks: usize) -> Checks<Count> {
    let mut checks = nothing_yet();
    checks.on_written(&log(entries), entries).expect("a good history");
    let positions: Vec<LogPosition> = entries.iter().map(|entry| entry.position).collect();
    (0..disks).for_each(|disk| checks.on_durable(disk, &positions));
    checks
}

#[test]
fn a_leader_commits_what_a_majority_of_disks_holds() {
    let entries = [entry(1, 1, 10), entry(2, 2, 20)];
    let commit = |disks, nodes, to| {
        let mut checks = durable(&entries, disks);
        checks.on_leader_commit((A, Term(2)), &log(&entries), LogIndex(to), nodes)
    };
    assert_eq!(commit(2, 3, 2), Ok(()));
    assert_eq!(commit(1, 1, 2), Ok(()));
    refuses(commit(1, 3, 2), "durable on 1 of 3");
    refuses(commit(2, 4, 2), "durable on 2 of 4");
    refuses(commit(3, 3, 1), "in term 2 commits up to 1@1");
}

#[test]
fn what_a_disk_lost_counts_no_longer() {
    let first = entry(1, 1, 10);
    let mut checks = durable(std::slice::from_ref(&first), 2);
    assert_eq!(checks.on_replaced(1, 3, &[first.position]), [first.position], "a majority's");
    assert_eq!(checks.on_replaced(0, 3, &[first.position]), []);
    let log = log(&[first]);
    refuses(checks.on_leader_commit((A, Term(1)), &log, LogIndex(1), 3), "durable on 0");
}

#[test]
fn a_follower_commits_what_a_leader_has() {
    let checks = committed(&[entry(1, 1, 10)]);
    assert_eq!(checks.on_follower_commit(B, LogIndex(1)), Ok(()));
    refuses(checks.on_follower_commit(B, LogIndex(2)), "leaders only up to 1");
}

#[test]
fn a_later_leader_holds_what_is_found_out_late() {
    let checks = committed(&[entry(1, 1, 10)]);
    assert_eq!(checks.on_later_leader(B, &log(&[entry(1, 1, 10)]), LogIndex(1)), Ok(()));
    refuses(checks.on_later_leader(B, &log(&[]), LogIndex(1)), "leader completeness");
    refuses(
        checks.on_later_leader(B, &log(&[entry(1, 2, 11)]), LogIndex(1)),
        "leader completeness",
    );
}

/// A machine that has applied so many entries and executed these commands.
fn machine(applied: u64, numbers: &[u64]) -> Progress {
    let mut machine = Witness::new(Count::default());
    let at = Applied { index: LogIndex(1), place: 0, time: LogTime(0) };
    numbers.iter().for_each(|number| machine.apply(at, &command(*number), &mut Vec::new()));
    let digest = machine.machine().digest();
    Progress {
        applied: LogIndex(applied),
        seen: machine.seen(),
        digest: Some(digest),
        sessions: None,
    }
}

#[test]
fn machines_are_alike_at_each_index() {
    let mut checks = committed(&[entry(1, 1, 10), entry(2, 1, 20)]);
    assert_eq!(checks.on_applied(A, machine(0, &[])), Ok(()));
    assert_eq!(checks.on_applied(A, machine(2, &[10, 20])), Ok(()));
    assert_eq!(checks.on_applied(B, machine(1, &[10])), Ok(()), "another node, or after a start");
    refuses(checks.on_applied(B, machine(1, &[])), "not 1 to 2");
    refuses(checks.on_applied(B, machine(1, &[11])), "state-machine safety");
    refuses(checks.on_applied(B, machine(3, &[10, 20])), "early");
    let other = Progress { digest: Some(7), ..machine(1, &[10]) };
    refuses(checks.on_applied(B, other), "machine differs");
}

#[test]
fn sessions_are_alike_at_each_index() {
    let mut checks = committed(&[entry(1, 1, 10)]);
    let with = |sessions| Progress { sessions, ..machine(1, &[10]) };
    assert_eq!(checks.on_applied(A, with(Some(5))), Ok(()));
    assert_eq!(checks.on_applied(B, with(Some(5))), Ok(()));
    assert_eq!(checks.on_applied(B, with(None)), Ok(()), "within an entry nobody can tell");
    refuses(checks.on_applied(B, with(Some(6))), "sessions differ");
}

#[test]
fn a_machine_may_stand_within_an_entry() {
    let items = [Item::Plain(command(20)), Item::Plain(command(21))];
    let two = Entry { payload: Payload::Command(items.into()), ..entry(2, 1, 0) };
    let mut checks = committed(&[entry(1, 1, 10), two]);
    let within = machine(1, &[10, 20]);
    assert_eq!(checks.on_applied(A, within), Ok(()));
    assert!(checks.is_within(within) && !checks.is_within(machine(1, &[10])));
    refuses(checks.on_applied(A, machine(2, &[10, 20])), "not 3 to 3");
    refuses(checks.on_applied(A, machine(0, &[10, 20])), "not 0 to 1");
}
