//! The checks themselves: each is shown a history that it must refuse, and its likeness that is
//! right.

use bytes::Bytes;
use messages::{Entry, Item, LogIndex, LogPosition, LogTime, NodeId, Payload, Term};
use servers::machine::{Applied, Pieces, StateMachine, Unreadable, one_piece};
use states::Log;

use crate::checks::{Checks, Violation};
use crate::witness::Witness;

mod answers;
mod damage;
mod disks;
mod hearing;
mod links;
mod logs;
mod once;
mod traffic;
mod watch;

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn command(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

/// An entry with one command.
fn entry(index: u64, term: u64, number: u64) -> Entry {
    Entry {
        position: LogPosition { term: Term(term), index: LogIndex(index) },
        time: LogTime(0),
        payload: Payload::Command([Item::Plain(command(number))].into()),
    }
}

fn log(entries: &[Entry]) -> Log {
    Log::recovered(entries.to_vec())
}

/// Checks that saw these entries committed.
fn committed(entries: &[Entry]) -> Checks<Count> {
    let mut checks = nothing_yet();
    commit(&mut checks, entries).expect("a good history");
    checks
}

fn commit(checks: &mut Checks<Count>, entries: &[Entry]) -> Result<(), Violation> {
    let term = entries.last().map_or(Term(1), |entry| entry.position.term);
    checks.on_commit(term, &log(entries), LogIndex(0), LogIndex(entries.len() as u64))
}

/// A machine that counts its commands.
#[derive(Default)]
struct Count(u64);

impl StateMachine for Count {
    fn apply(&mut self, _: Applied, _: &[u8], reply: &mut Vec<u8>) {
        self.0 += 1;
        reply.extend_from_slice(&self.0.to_le_bytes());
    }

    fn query(&self, _: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(&self.0.to_le_bytes());
    }

    fn fresh(&self) -> Count {
        Count::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece(self.0.to_le_bytes().to_vec())
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let number = piece.first_chunk().ok_or(Unreadable("a number of eight bytes"))?;
        self.0 = u64::from_le_bytes(*number);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.0
    }
}

fn nothing_yet() -> Checks<Count> {
    Checks::new(Count::default(), servers::sessions::Limits::default())
}

/// What a machine with a witness answers after each of these commands.
fn answers(numbers: &[u64]) -> Vec<Bytes> {
    let mut machine = Witness::new(Count::default());
    let at = Applied { index: LogIndex(1), place: 0, time: LogTime(0) };
    let mut answer = |number: &u64| {
        let mut reply = Vec::new();
        machine.apply(at, &command(*number), &mut reply);
        Bytes::from(reply)
    };
    numbers.iter().map(&mut answer).collect()
}

#[track_caller]
fn refuses(verdict: Result<(), Violation>, word: &str) {
    let violation = verdict.expect_err("a bad history");
    assert!(violation.contains(word), "refused, but for another reason: {violation}");
}
