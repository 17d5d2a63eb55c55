//! A dozen seeds of the simulator, so that `cargo test` meets it; `simulate` runs as many as one
//! likes.

use behavioral_tests::keys::Keys;
use raft::simulation::{Kind, Report, Seeds};

/// Inputs into servers for each seed.
const STEPS: u64 = 8_000;

fn report(range: std::ops::Range<u64>) -> Report {
    let seeds = Seeds { steps: STEPS, ..Seeds::new(range) };
    seeds.run(Keys::default).unwrap_or_else(|failed| panic!("{failed}"))
}

#[test]
fn a_dozen_seeds_hold() {
    let total = report(1..13);
    // A run in which nothing happens proves nothing.
    assert!(total.commits > 1_000, "{total:?}");
    assert!(total.elections > 50, "{total:?}");
    assert!(total.crashes > 50, "{total:?}");
    assert!(total.faults.of(Kind::Halves) > 3, "{total:?}");
    assert!(total.faults.of(Kind::Pause) > 1, "{total:?}");
    assert!(total.judged.good > 1_000, "{total:?}");
    assert!(total.outcomes.done > 1_000, "{total:?}");
}

#[test]
fn a_seed_always_does_the_same() {
    assert_eq!(report(20..23), report(20..23));
    assert_ne!(
        report(20..21).digest,
        report(21..22).digest,
        "and another seed does something else"
    );
}
