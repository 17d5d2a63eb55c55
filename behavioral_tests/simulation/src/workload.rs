//! What a simulated cluster replicates and what its clients ask: the part that a user brings. Must
//! never draw chance from anything but what it is handed, else a seed cannot be repeated.

use bytes::Bytes;
use servers::machine::StateMachine;

use crate::chance::Chance;
use crate::checks::Violation;

/// A machine, the requests that its clients make, and what else must hold of their answers. That
/// replicas agree, that answers are linearizable, and that nothing is lost or done twice is checked
/// for every workload.
pub trait Workload {
    /// What is replicated.
    type Machine: StateMachine;

    /// The machine as every node starts it, and starts it again after each crash: the same each time.
    fn machine(&self) -> Self::Machine;

    /// A client begins to put a batch together: what is drawn until the next call belongs to it.
    fn begin_batch(&mut self, chance: &mut Chance) {
        let _ = chance;
    }

    /// Draws a command.
    fn command(&mut self, chance: &mut Chance) -> Bytes;

    /// Draws a query.
    fn query(&mut self, chance: &mut Chance) -> Bytes;

    /// A batch has come to its end. Called in the order in which clients learn of it.
    ///
    /// # Errors
    /// What did not hold.
    fn on_end(&mut self, exchange: Exchange) -> Result<(), Violation> {
        drop(exchange);
        Ok(())
    }

    /// A command is the next in the one order that all replicas follow: it stands at the place after
    /// that of the last call, and the first at one.
    fn on_commit(&mut self, command: Bytes) {
        drop(command);
    }

    /// The run is over: checks what can only be judged from all of it.
    ///
    /// # Errors
    /// What did not hold.
    fn finish(&mut self) -> Result<Judged, Violation> {
        Ok(Judged::default())
    }
}

/// What a workload's own judge came to, in operations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Could all have come from one copy of the data.
    pub good: u64,
    /// The search was given up.
    pub undecided: u64,
}

/// One batch of a client and what it was told. Moments only rise, and no two are alike.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The client.
    pub client: usize,
    /// When it asked.
    pub asked: u64,
    /// When it was answered, or its node died.
    pub answered: u64,
    /// It was content with what its node had applied: such a read may be old.
    pub stale: bool,
    /// What it asked, as drawn; executed in this order, with nothing of others in between.
    pub operations: Vec<Request>,
    /// What it was told.
    pub answer: Answer,
    /// The place of each operation, if it was done: of a command its own; of a query that of the last
    /// command before it.
    pub places: Vec<u64>,
}

/// An operation of a workload, as drawn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Changes the machine.
    Command(Bytes),
    /// Only looks.
    Query(Bytes),
}

/// What a client was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It took effect; one reply for each operation.
    Done(Vec<Bytes>),
    /// It has not taken effect, and never will.
    Refused,
    /// It may have taken effect, or may yet.
    Unknown,
}
