//! Machines that users bring to the simulator: a good one passes, and each way to be a bad one is found
//! and told so that it can be repeated.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use raft::simulation::{Failed, FailedSeed, Seeds, Simulation};
use raft::{At, Pieces, StateMachine, Unreadable, one_piece};

/// Adds up the first bytes of its commands, with a flaw.
#[derive(Clone)]
struct Sum {
    sum: u64,
    flaw: Flaw,
}

#[derive(Clone)]
enum Flaw {
    None,
    /// What it does depends on something that is not replicated, here a count of all applies.
    Chance(Arc<AtomicU64>),
    /// Its state does, though not its replies.
    HiddenChance(Arc<AtomicU64>),
    /// It takes back what stands in the reply already.
    ClearsReply,
}

impl StateMachine for Sum {
    fn apply(&mut self, _: At, command: &[u8], reply: &mut Vec<u8>) {
        self.sum += command.first().map_or(0, |&byte| u64::from(byte));
        let visible = self.sum;
        match &self.flaw {
            Flaw::None => {}
            Flaw::Chance(count) => {
                self.sum += u64::from(count.fetch_add(1, Ordering::Relaxed) % 50 == 49);
            }
            Flaw::HiddenChance(count) => {
                self.sum += u64::from(count.fetch_add(1, Ordering::Relaxed) % 50 == 49) << 32;
            }
            Flaw::ClearsReply => reply.clear(),
        }
        reply.extend_from_slice(&(visible as u32).to_le_bytes());
    }

    fn query(&self, _: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(&(self.sum as u32).to_le_bytes());
    }

    fn fresh(&self) -> Sum {
        Sum { sum: 0, flaw: self.flaw.clone() }
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece(self.sum.to_le_bytes().to_vec())
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let number = piece.first_chunk().ok_or(Unreadable("a number of eight bytes"))?;
        self.sum = u64::from_le_bytes(*number);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.sum
    }
}

fn simulation(flaw: Flaw) -> Simulation<Sum> {
    Simulation::of(move || Sum { sum: 0, flaw: flaw.clone() })
        .commands(|chance| vec![chance.below(200) as u8])
        .queries(|_| Vec::new())
}

/// A dozen seeds: enough for clusters of several nodes.
fn few() -> Seeds {
    Seeds { steps: 3_000, ..Seeds::new(1..13) }
}

fn failure(flaw: Flaw) -> Box<FailedSeed> {
    let mut seeds = few();
    seeds.shrinking = false; // what depends on chance fails in another way each time
    seeds.threads = 1;
    match simulation(flaw).run_as(&seeds) {
        Err(Failed::Seed(failed)) => failed,
        other => panic!("a flaw was not found: {other:?}"),
    }
}

#[test]
fn a_good_machine_passes() {
    let report = simulation(Flaw::None).run_as(&few()).unwrap_or_else(|failed| panic!("{failed}"));
    assert!(report.commits > 300, "{report:?}");
    assert!(report.crashes > 10, "{report:?}");
    assert!(report.outcomes.done > 300, "{report:?}");
}

#[test]
fn a_reply_that_depends_on_chance_is_found() {
    let count = Arc::new(AtomicU64::new(0));
    let failed = failure(Flaw::Chance(count));
    assert!(failed.failure.violation.contains("state-machine safety: "), "{failed}");
}

#[test]
fn a_state_that_depends_on_chance_is_found() {
    let count = Arc::new(AtomicU64::new(0));
    let failed = failure(Flaw::HiddenChance(count));
    assert!(failed.failure.violation.contains("machine differs"), "{failed}");
}

#[test]
fn a_machine_that_takes_back_replies_is_found_and_the_failure_repeats() {
    let failed = failure(Flaw::ClearsReply);
    let violation = &failed.failure.violation;
    assert!(violation.starts_with("assert: a machine only appends"), "{failed}");
    assert!(failed.to_string().contains(&format!("repeat:  {}", failed.plan)), "{failed}");
    assert!(!failed.failure.trace.is_empty(), "{failed}");
    let again = simulation(Flaw::ClearsReply).repeat(&failed.plan.to_string());
    assert!(matches!(again, Err(Failed::Seed(_))), "{again:?}");
    let unreadable = simulation(Flaw::None).repeat("--seed x");
    assert!(matches!(unreadable, Err(Failed::Plan(_))), "{unreadable:?}");
}

#[test]
fn a_failure_comes_with_a_smaller_plan() {
    let outcome = simulation(Flaw::ClearsReply).run_as(&few());
    let Err(Failed::Seed(failed)) = outcome else { panic!("found: {outcome:?}") };
    assert!(failed.smaller.steps < failed.plan.steps, "{failed}");
    assert!(failed.smaller.without.len() > 5, "no trouble is needed: {failed}");
    assert!(failed.to_string().contains("smaller: --seed"), "{failed}");
}
