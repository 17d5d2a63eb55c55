//! Simulated clients: each hands one batch to some node, waits for its outcome, thinks, and goes on.
//! They keep what they were told, for the checks. Must never repeat a command.

use bytes::Bytes;
use messages::Operation;
use rand::RngExt;
use servers::host::Outcome;
use states::random::SplitMix64;

use crate::checks::{Checks, Violation};
use crate::journal::Seen;
use crate::trouble::Trouble;

/// What became of batches, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Answered with replies.
    pub done: u64,
    /// Answered "certainly not applied".
    pub refused: u64,
    /// Answered "may or may not be applied", or lost with the node.
    pub uncertain: u64,
}

impl Outcomes {
    /// All batches that have an outcome.
    pub fn total(self) -> u64 {
        self.done + self.refused + self.uncertain
    }
}

/// A batch under way.
pub struct Asked {
    /// Commands and queries.
    pub operations: Vec<Operation>,
    /// The client is content with what its node has applied.
    pub stale: bool,
    /// The longest list that any client knew of when it was asked.
    pub floor: u64,
}

/// All clients.
pub struct Clients {
    asked: Vec<Option<Asked>>,
    next_number: u64,
    /// What became of their batches.
    pub outcomes: Outcomes,
}

impl Clients {
    /// So many clients, none of which has asked anything yet.
    pub fn new(count: usize) -> Clients {
        let asked = (0..count).map(|_| None).collect();
        Clients { asked, next_number: 0, outcomes: Outcomes::default() }
    }

    /// Draws the client's next batch, to be handed to a node at once.
    pub fn ask(
        &mut self,
        client: usize,
        random: &mut SplitMix64,
        trouble: &Trouble,
        floor: u64,
    ) -> (Vec<Operation>, bool) {
        let stale = random.random_bool(0.05);
        let count = random.random_range(1..=trouble.batch);
        let mut operations = Vec::with_capacity(count);
        for _ in 0..count {
            if stale || random.random_bool(0.4) {
                operations.push(Operation::Query(Bytes::new()));
            } else {
                self.next_number += 1;
                let mut command = self.next_number.to_le_bytes().to_vec();
                command.resize(8 + random.random_range(0..=trouble.padding), 0);
                operations.push(Operation::Command(Bytes::from(command)));
            }
        }
        self.asked[client] = Some(Asked { operations: operations.clone(), stale, floor });
        (operations, stale)
    }

    /// Whether the client waits for an outcome.
    pub fn is_waiting(&self, client: usize) -> bool {
        self.asked[client].is_some()
    }

    /// The node died with the client's batch.
    pub fn lose(&mut self, client: usize) {
        if self.asked[client].take().is_some() {
            self.outcomes.uncertain += 1;
        }
    }

    /// The client's batch has its outcome.
    pub fn on_outcome(
        &mut self,
        client: usize,
        outcome: Outcome,
        checks: &mut Checks,
    ) -> Result<(), Violation> {
        let asked = self.asked[client].take().ok_or("an outcome for a batch nobody waits for")?;
        match &outcome {
            Outcome::Done { .. } => self.outcomes.done += 1,
            Outcome::NoLeader { .. } | Outcome::Busy | Outcome::Stopped => {
                self.outcomes.refused += 1;
            }
            Outcome::Uncertain { .. } => self.outcomes.uncertain += 1,
        }
        check_outcome(&asked, &outcome, checks)
    }
}

/// Whether a batch may have this outcome.
pub fn check_outcome(
    asked: &Asked,
    outcome: &Outcome,
    checks: &mut Checks,
) -> Result<(), Violation> {
    match outcome {
        Outcome::Done { replies, .. } => check_replies(asked, replies, checks),
        Outcome::NoLeader { .. } | Outcome::Busy | Outcome::Stopped => {
            numbers(asked).try_for_each(|number| checks.on_refused(number))
        }
        Outcome::Uncertain { .. } if numbers(asked).next().is_none() => {
            Err("a read was answered UNCERTAIN".to_string())
        }
        Outcome::Uncertain { .. } => Ok(()),
    }
}

fn numbers(asked: &Asked) -> impl Iterator<Item = u64> {
    asked.operations.iter().filter_map(number)
}

fn number(operation: &Operation) -> Option<u64> {
    match operation {
        Operation::Command(command) => Some(crate::checks::number_of(command)),
        Operation::Query(_) => None,
    }
}

/// Each operation of a batch sees the list right after those before it, and nothing in between.
fn check_replies(asked: &Asked, replies: &[Bytes], checks: &mut Checks) -> Result<(), Violation> {
    if replies.len() != asked.operations.len() {
        return Err(format!("{} replies for {} operations", replies.len(), asked.operations.len()));
    }
    let floor = if asked.stale { 0 } else { asked.floor };
    let mut last = None;
    for (operation, reply) in asked.operations.iter().zip(replies) {
        let seen = Seen::decode(reply).ok_or("a reply that the journal never gave")?;
        let command = number(operation);
        checks.on_answer(command, seen, floor)?;
        if let Some(last) = last
            && seen.length != last + u64::from(command.is_some())
        {
            return Err(format!("a batch saw {} after {last}: not in one piece", seen.length));
        }
        last = Some(seen.length);
    }
    Ok(())
}
