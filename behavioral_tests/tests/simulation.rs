//! A dozen seeds of the simulator, so that `cargo test` meets it; `simulate` runs as many as one
//! likes.

use behavioral_tests::keys::Keys;
use raft::simulation::{BATCH, Failed, Kind, Mark, Plan, Report, Seeds};

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

#[test]
fn a_plan_says_how_many_nodes_there_are_and_can_be_read_again() {
    let seeds = Seeds { nodes: Some(3), steps: STEPS, ..Seeds::new(20..21) };
    let plan = seeds.plan(20);
    assert_eq!(plan.to_string(), "--seed 20 --steps 8000 --nodes 3");
    assert_eq!(plan.to_string().parse::<Plan>(), Ok(plan));
    let other = Seeds { nodes: Some(5), ..seeds.clone() };
    let digest = |seeds: &Seeds| seeds.run(Keys::default).expect("it holds").digest;
    assert_ne!(digest(&seeds), digest(&other));
    let refused = "--seed 1 --nodes 8".parse::<Plan>();
    assert_eq!(refused, Err("a cluster has 1 to 7 nodes, not 8".into()));
}

#[test]
fn a_batch_that_never_came_into_a_situation_fails() {
    let narrow = report(1..2); // one seed never comes into all of them
    let batch = Seeds::new(1..1 + BATCH);
    let Err(Failed::Missed(missed, _)) = batch.judge(narrow.clone()) else { panic!("it passed") };
    assert!(missed.contains(&"cluster of seven"), "a situation: {missed:?}");
    assert!(missed.contains(&"slow-frames"), "a kind of trouble: {missed:?}");
    let mut timeless = narrow.clone();
    timeless.coverage = Default::default();
    let Err(Failed::Missed(missed, _)) = batch.judge(timeless.clone()) else { panic!("it passed") };
    let of_time = "read waited for the time to be told";
    assert!(!missed.contains(&of_time), "nothing in the machine waits for time: {missed:?}");
    timeless.coverage.add(Mark::Aged);
    let Err(Failed::Missed(missed, _)) = batch.judge(timeless) else { panic!("it passed") };
    assert!(missed.contains(&of_time), "something does: {missed:?}");
    let some = Seeds::new(1..BATCH);
    let tamed = Seeds { without: vec![Kind::Loss], ..batch.clone() };
    let alike = Seeds { nodes: Some(3), ..batch };
    for seeds in [some, tamed, alike] {
        assert_eq!(seeds.judge(narrow.clone()).expect("nothing is asked of these"), narrow);
    }
}
