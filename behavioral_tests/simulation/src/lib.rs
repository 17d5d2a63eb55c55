//! The production server, codec, gate and log on one thread and virtual time, from a seed.
//!
//! A seed draws the size of a cluster and the kinds and strength of its trouble: loss, duplication,
//! delay, reordering, partitions, pauses, crashes that lose what was not synced. Clients ask all the
//! while. After every turn the properties of the paper's Figure 3 are checked, and every answer
//! against what was committed; in the end trouble stops and the cluster must come together again.
//!
//! In reading order: [`trouble`] (what is drawn) · [`world`], `faults`, `quiet` (what happens) · `node`, `network`,
//! `clients`, [`disk`], [`journal`] (who is there) · [`checks`], [`promises`] (what must hold) ·
//! [`trace`] (the last events, for a seed that failed).

pub mod checks;
mod clients;
pub mod disk;
mod faults;
pub mod journal;
mod network;
mod node;
pub mod promises;
mod quiet;
pub mod trace;
pub mod trouble;
pub mod world;

#[cfg(test)]
mod tests;

pub use clients::Outcomes;
pub use disk::{Fate, SimulatedDisk};
pub use world::{Report, World};

use crate::checks::Violation;

/// A seed that failed.
#[derive(Debug)]
pub struct Failure {
    /// What did not hold.
    pub violation: Violation,
    /// What was drawn.
    pub trouble: String,
    /// The last events.
    pub trace: Vec<String>,
    /// The nodes at that moment.
    pub nodes: Vec<String>,
}

/// Runs a seed until its servers have taken `steps` inputs. A failed run is repeated with a trace,
/// which costs nothing until then: a seed always does the same.
///
/// # Panics
/// If an assert of the program fails.
pub fn run(seed: u64, steps: u64) -> Result<Report, Box<Failure>> {
    World::new(seed, false).run(steps).map_err(|violation| {
        let again = run_traced(seed, steps).expect_err("a seed always does the same");
        assert_eq!(again.violation, violation, "a seed always does the same");
        again
    })
}

/// The same, with a trace from the beginning; after a panic [`trace::take`] has it.
pub fn run_traced(seed: u64, steps: u64) -> Result<Report, Box<Failure>> {
    drop(trace::take());
    let mut world = World::new(seed, true);
    world.run(steps).map_err(|violation| {
        let trouble = format!("{:?}", world.trouble());
        Box::new(Failure { violation, trouble, trace: trace::take(), nodes: world.nodes() })
    })
}
