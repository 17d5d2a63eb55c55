//! The production server, codec, gate and log on one thread and virtual time, from a seed.
//!
//! A seed draws the size of a cluster and the kinds and strength of its trouble: loss, duplication,
//! delay, reordering, corruption, partitions, pauses, disks that fail, fill up and lose what was not
//! synced, crashes between any two effects. Clients ask all the while. After every turn the
//! properties of the paper's Figure 3 are checked, and every answer against what was committed; in
//! the end trouble stops and the cluster must come together again.
//!
//! In reading order: [`workload`] (what a user brings) · [`trouble`] (what is drawn) · [`world`],
//! `turns`, `lives`, `connections`, `faults`, `quiet`, `figure8` (what happens) · `node`, `network`, `clients`, `numbered`,
//! [`disk`], [`witness`] (who is there) · `observe` (what is looked at) · [`checks`], [`promises`],
//! [`watch`], [`traffic`], [`hearing`], `once`, `ledger`, [`damage`] (what must hold) · [`coverage`] (what must have come
//! up) · [`trace`] (the last events, for a seed that failed).

mod brought;
mod chance;
pub mod checks;
mod clients;
mod connections;
pub mod coverage;
pub mod damage;
pub mod disk;
mod faults;
mod figure8;
pub mod hearing;
mod ledger;
mod lives;
mod network;
mod node;
mod numbered;
mod observe;
mod once;
pub mod promises;
mod quiet;
pub mod seeds;
pub mod shrink;
pub mod tally;
pub mod trace;
pub mod traffic;
pub mod trouble;
mod turns;
pub mod watch;
pub mod witness;
pub mod workload;
pub mod world;

#[cfg(test)]
mod tests;

pub use brought::Simulation;
pub use chance::Chance;
pub use clients::Outcomes;
pub use disk::{Fate, Room, SimulatedDisk};
pub use seeds::Seeds;
pub use workload::Workload;
pub use world::{Report, World};

use crate::checks::Violation;
use crate::trouble::Kind;

/// What to run: a seed, for how long, and what to leave out of what it draws.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Draws everything.
    pub seed: u64,
    /// Inputs that the servers take before trouble ends.
    pub steps: u64,
    /// Kinds of trouble left out.
    pub without: Vec<Kind>,
    /// How many nodes the cluster has, instead of as many as the seed draws: at least one.
    pub nodes: Option<usize>,
}

/// A plan that failed.
#[derive(Debug)]
pub struct Failure {
    /// What did not hold.
    pub violation: Violation,
    /// Inputs that the servers had taken.
    pub steps: u64,
    /// What was drawn.
    pub trouble: String,
    /// The last events.
    pub trace: Vec<String>,
    /// The nodes at that moment.
    pub nodes: Vec<String>,
}

impl Failure {
    /// What is known of a run on this thread that did not tell itself.
    pub fn untold<W: Workload>(violation: Violation, workload: W, plan: &Plan) -> Failure {
        let trouble = format!("{:?}", World::new(workload, plan, false).trouble());
        Failure { violation, steps: plan.steps, trouble, trace: trace::take(), nodes: Vec::new() }
    }
}

impl Plan {
    /// A seed with all its trouble.
    pub fn new(seed: u64, steps: u64) -> Plan {
        Plan { seed, steps, without: Vec::new(), nodes: None }
    }
}

/// Runs a plan. A run that failed is repeated with a trace, which costs nothing until then: a plan
/// always does the same. `workload` makes the same each time.
///
/// # Errors
/// What did not hold, and how it came to that.
///
/// # Panics
/// If an assert of the program fails.
pub fn run<W: Workload>(workload: impl Fn() -> W, plan: &Plan) -> Result<Report, Box<Failure>> {
    World::new(workload(), plan, false).run(plan.steps).map_err(|violation| {
        let mut again = match run_traced(workload(), plan) {
            Err(again) => again,
            Ok(_) => Box::new(Failure::untold(String::new(), workload(), plan)),
        };
        if again.violation != violation {
            again.violation = format!(
                "determinism: {violation}; and repeated, the plan did something else: does the \
                 machine use a clock, chance, or the order of a hash map?"
            );
        }
        again
    })
}

/// The same, with a trace from the beginning; after a panic [`trace::take`] has it.
///
/// # Errors
/// What did not hold, and how it came to that.
pub fn run_traced<W: Workload>(workload: W, plan: &Plan) -> Result<Report, Box<Failure>> {
    drop(trace::take());
    let mut world = World::new(workload, plan, true);
    world.run(plan.steps).map_err(|violation| {
        let (steps, nodes) = (world.steps(), world.nodes());
        let trouble = format!("{:?}", world.trouble());
        Box::new(Failure { violation, steps, trouble, trace: trace::take(), nodes })
    })
}
