//! A short run of the tool `chaos`, with the faults that need nothing but the processes and their links,
//! and when it calls a run bad.

use std::collections::BTreeMap;
use std::time::Duration;

use behavioral_tests::chaos::{self, Ends, Plan, Report, kinds};
use behavioral_tests::ports::Ports;
use linearizability::Verdict;
use linearizability::kv::Checked;
use raft::chaos::history::Findings;
use raft::chaos::load;

#[test]
fn what_clients_see_while_links_and_processes_fail_is_linearizable() {
    let ports = Ports::claim();
    let folder = tempfile::tempdir().expect("a folder");
    let report = chaos::run(&Plan {
        program: env!("CARGO_BIN_EXE_raft").into(),
        folder: folder.path().to_owned(),
        addresses: (0..3).map(|node| ports.address(node).to_string()).collect(),
        seed: 1,
        time: Duration::from_secs(10),
        without: kinds::FURTHER.into(),
    });
    let report = report.unwrap_or_else(|error| panic!("{error:#}"));
    assert!(report.failures.is_empty(), "{:#?}\n{report}", report.failures);
    assert!(report.faults.values().sum::<u64>() > 3, "faults that nobody noticed\n{report}");
}

/// Ten seconds in which so many operations were acknowledged.
fn ten_seconds(acknowledged: u64, verdict: Verdict) -> Report {
    Report {
        load: load::Report {
            time: Duration::from_secs(10),
            outcomes: BTreeMap::from([("ok".to_owned(), acknowledged)]),
            acknowledged,
            longest_gap: Duration::ZERO,
            slowed: false,
        },
        faults: BTreeMap::new(),
        ends: Ends::default(),
        back: Some(Duration::ZERO),
        findings: Findings {
            checked: Checked { verdict, operations: 0, keys: 0, components: 0 },
            unchecked_keys: 0,
            took: Duration::ZERO,
        },
        failures: Vec::new(),
    }
}

#[test]
fn a_run_is_bad_that_is_not_linearizable_or_not_judged_or_proves_little() {
    let bad = Verdict::NotLinearizable("INCR a -> 2".into());
    for (acknowledged, verdict, said) in [
        (1_000, Verdict::Linearizable, None),
        (1_000, bad, Some("not linearizable: INCR a -> 2")),
        (1_000, Verdict::Unknown, Some("the history is too hard to judge")),
        (
            990,
            Verdict::Linearizable,
            Some("only 99 operations a second were acknowledged, 100 at least"),
        ),
    ] {
        let mut report = ten_seconds(acknowledged, verdict);
        report.judge();
        assert_eq!(report.failures.iter().map(String::as_str).next(), said);
    }
}
