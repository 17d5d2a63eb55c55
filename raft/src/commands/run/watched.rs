//! A machine under watch: after each command it tells whether one key has another value. Must never
//! change what the machine does.

use messages::{LogIndex, LogTime};
use servers::machine::{Applied, Pieces, StateMachine, Unreadable};
use tokio::sync::mpsc::UnboundedSender;

/// One key's new value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The entry that changed it.
    pub index: LogIndex,
    /// What the machine answers to the question now.
    pub answer: Vec<u8>,
}

/// A machine, and a question whose answer is followed.
pub struct Watched<M> {
    machine: M,
    question: Vec<u8>,
    answer: Vec<u8>,
    changes: UnboundedSender<Change>,
}

impl<M: StateMachine> Watched<M> {
    /// Tells each change of the answer to `question`.
    pub fn new(machine: M, question: Vec<u8>, changes: UnboundedSender<Change>) -> Watched<M> {
        let mut answer = Vec::new();
        machine.query(&question, &mut answer);
        Watched { machine, question, answer, changes }
    }

    fn compare(&mut self, index: LogIndex) {
        let mut answer = Vec::new();
        self.machine.query(&self.question, &mut answer);
        if answer != self.answer {
            self.answer.clone_from(&answer);
            let _ = self.changes.send(Change { index, answer }); // nobody listens: the end is near
        }
    }
}

impl<M: StateMachine> StateMachine for Watched<M> {
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>) {
        self.machine.apply(at, command, reply);
        self.compare(at.index);
    }

    fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        self.machine.query(query, reply);
    }

    fn advance(&mut self, at: Applied) {
        self.machine.advance(at);
        self.compare(at.index);
    }

    fn next_due(&self) -> Option<LogTime> {
        self.machine.next_due()
    }

    fn is_due(&self, query: &[u8], now: LogTime) -> bool {
        self.machine.is_due(query, now)
    }

    fn fresh(&self) -> Watched<M> {
        Watched {
            machine: self.machine.fresh(),
            question: self.question.clone(),
            answer: self.answer.clone(),
            changes: self.changes.clone(),
        }
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        self.machine.snapshot()
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        self.machine.restore(piece)
    }

    fn digest(&self) -> u64 {
        self.machine.digest()
    }
}
