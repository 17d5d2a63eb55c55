//! A dozen seeds of the simulator, so that `cargo test` meets it; `simulate` runs as many as one
//! likes.

/// Inputs into servers for each seed.
const STEPS: u64 = 8_000;

fn report(seed: u64) -> simulation::Report {
    simulation::run(seed, STEPS).unwrap_or_else(|failure| {
        for line in failure.trace.iter().chain(&failure.nodes) {
            println!("{line}");
        }
        panic!("seed {seed}: {}\ndrawn: {}", failure.violation, failure.trouble)
    })
}

#[test]
fn a_dozen_seeds_hold() {
    let mut total = simulation::Report::default();
    for seed in 1..13 {
        total.add(&report(seed));
    }
    // A run in which nothing happens proves nothing.
    assert!(total.commits > 1_000, "{total:?}");
    assert!(total.elections > 50, "{total:?}");
    assert!(total.crashes > 50, "{total:?}");
    assert!(total.partitions > 10, "{total:?}");
    assert!(total.pauses > 10, "{total:?}");
    assert!(total.outcomes.done > 1_000, "{total:?}");
}

#[test]
fn a_seed_always_does_the_same() {
    for seed in 20..23 {
        assert_eq!(report(seed), report(seed), "seed {seed}");
    }
    assert_ne!(report(20).digest, report(21).digest, "and another seed does something else");
}
