//! No acknowledged count is lost when leaders, and then all nodes, are killed: the small brother of
//! the tool `no_lost_counts`, which has the same workload.

use behavioral_tests::counts::{self, Plan, Report, violations};
use behavioral_tests::ports::Ports;

const COUNTS: usize = 2_000;

fn run(sessions: bool) -> Report {
    let ports = Ports::claim();
    let folder = tempfile::tempdir().expect("a folder");
    let report = counts::run(&Plan {
        program: env!("CARGO_BIN_EXE_raft").into(),
        folder: folder.path().to_owned(),
        addresses: (0..3).map(|node| format!("127.0.0.1:{}", ports.port(node))).collect(),
        settings: &[("RAFT_HEARTBEAT", "100ms"), ("RAFT_ELECTION", "1s")],
        counts: COUNTS as u64,
        clients: 8,
        sessions,
        leader_kills: 2,
        kills_of_all: 2,
    });
    let report = report.unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(report.answers.len(), COUNTS);
    report
}

#[test]
fn two_killed_leaders_and_two_kills_of_all_lose_no_count() {
    let report = run(false);
    let found = violations(&report.answers, report.uncertain, &report.finals);
    assert!(found.is_empty(), "{found:?}\n{report}");
    assert!(report.uncertain > 0, "kills that nobody noticed\n{report}");
}

/// "The counter equals the number of `applied`; no `not-applied` ever appears later."
#[test]
fn in_sessions_every_count_counts_once() {
    let report = run(true);
    let found = violations(&report.answers, 0, &report.finals);
    assert!(found.is_empty(), "{found:?}\n{report}");
    let [lost, _, repeated] = report.in_sessions;
    assert!(lost > 0 && repeated > 0, "kills that nobody noticed\n{report}");
}

#[test]
fn what_was_counted_and_perhaps_counted_bounds_the_final_value() {
    let none: [&str; 0] = [];
    assert_eq!(violations(&[1, 3, 2], 0, &[3, 3, 3]), none);
    assert_eq!(violations(&[1, 5, 2], 2, &[4, 5]), none);
    let lost = violations(&[1, 2, 3], 4, &[3, 2]);
    assert_eq!(
        lost,
        [
            "1 counts are lost: the final value 2 lies below 3 acknowledged",
            "the final value fell from 3 to 2",
            "1 answers lie outside 1 to the final value 2",
        ]
    );
    let many = violations(&[1, 2], 1, &[4]);
    assert_eq!(
        many,
        ["1 counts are too many: the final value 4 lies above 2 acknowledged + 1 uncertain"]
    );
}

#[test]
fn an_answer_given_twice_or_never_possible_is_found() {
    assert_eq!(
        violations(&[2, 1, 2, 2], 0, &[4]),
        ["2 answers were given before, the lowest is 2"]
    );
    assert_eq!(violations(&[0, 2], 0, &[2]), ["1 answers lie outside 1 to the final value 2"]);
}
