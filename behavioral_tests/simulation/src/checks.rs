//! What must hold whatever happens: the properties of the paper's Figure 3, checked against what
//! nodes write, apply and answer. Shares no code with what it checks; its memory lies outside the
//! nodes and survives them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use messages::{Entry, Item, LogIndex, LogPosition, NodeId, Operation, Payload, Term};
use servers::machine::{Applied, StateMachine};
use states::Log;

use crate::witness::{Seen, Witness, chain, number_of, own_part};

/// A property that did not hold: its name, a colon, what happened.
pub type Violation = String;

/// What all nodes of a cluster have shown so far.
pub struct Checks<M> {
    /// Who leads each term, and in which of its runs.
    leaders: BTreeMap<Term, (NodeId, u32)>,
    /// For each entry ever written: the term of the entry before it, and a hash of its payload.
    written: BTreeMap<(LogIndex, Term), (Term, u64)>,
    /// What is committed, from index one on: the entry's term, its payload's hash.
    committed: Vec<(Term, u64)>,
    /// The term in which each of them was seen committed first: that of the leader that did it.
    committed_in: Vec<Term>,
    /// Place in the list of all commands, by the command's number.
    applied: BTreeMap<u64, u64>,
    /// The list after each command.
    seen: Vec<Seen>,
    /// Commands committed since they were last asked for.
    fresh: Vec<Bytes>,
    /// A machine that is no node's: it executes what is committed, once, in the order of the log.
    reference: Witness<M>,
    /// Commands of which a client was told that they never happen.
    refused: BTreeSet<u64>,
    /// The longest list that any client has been told of.
    acknowledged: u64,
}

impl<M: StateMachine> Checks<M> {
    /// Nothing is known yet; `machine` is one to which nothing was applied.
    pub fn new(machine: M) -> Checks<M> {
        Checks {
            leaders: BTreeMap::new(),
            written: BTreeMap::new(),
            committed: Vec::new(),
            committed_in: Vec::new(),
            applied: BTreeMap::new(),
            seen: Vec::new(),
            fresh: Vec::new(),
            reference: Witness::new(machine),
            refused: BTreeSet::new(),
            acknowledged: 0,
        }
    }

    /// Election Safety: "at most one leader can be elected in a given term" (Figure 3).
    /// A node that starts again is another: it must not lead a term twice.
    pub fn on_leader(
        &mut self,
        leader: (NodeId, u32),
        term: Term,
        log: &Log,
    ) -> Result<(), Violation> {
        let node = leader.0;
        match self.leaders.insert(term, leader) {
            Some(other) if other == leader => return Ok(()),
            Some(other) => {
                return Err(format!(
                    "election safety: {other:?} and {leader:?} (node, run) both lead term {term}"
                ));
            }
            None => {}
        }
        // Leader Completeness: "if a log entry is committed in a given term, then that entry will
        // be present in the logs of the leaders for all higher-numbered terms" (Figure 3).
        let earlier = self.committed_in.partition_point(|committed_in| *committed_in < term);
        for (place, (entry_term, _)) in self.committed[..earlier].iter().enumerate() {
            let index = LogIndex(place as u64 + 1);
            if log.term_at(index) != Some(*entry_term) {
                return Err(format!(
                    "leader completeness: {node} leads term {term} without {index}@{entry_term}"
                ));
            }
        }
        Ok(())
    }

    /// Log Matching: "if two logs contain an entry with the same index and term, then the logs are
    /// identical in all entries up through the given index" (Figure 3): the same entry, and the
    /// same before it, by induction.
    pub fn on_written(&mut self, log: &Log, entries: &[Entry]) -> Result<(), Violation> {
        for entry in entries {
            let LogPosition { term, index } = entry.position;
            let before = log.term_at(LogIndex(index.0 - 1)).unwrap_or_default();
            let fact = (before, payload_hash(entry));
            let known = *self.written.entry((index, term)).or_insert(fact);
            if known != fact {
                return Err(format!("log matching: two different entries {}", entry.position));
            }
        }
        Ok(())
    }

    /// State Machine Safety: "if a server has applied a log entry at a given index to its state
    /// machine, no other server will ever apply a different log entry for the same index"
    /// (Figure 3).
    /// `term` is the committing node's.
    pub fn on_commit(
        &mut self,
        term: Term,
        log: &Log,
        from: LogIndex,
        to: LogIndex,
    ) -> Result<(), Violation> {
        for index in from.0 + 1..=to.0 {
            let entry = log.entry(LogIndex(index)).ok_or("committed beyond the log")?;
            let fact = (entry.position.term, payload_hash(entry));
            match self.committed.get(index as usize - 1) {
                Some(known) if *known == fact => {}
                Some(known) => {
                    return Err(format!(
                        "state-machine safety: {index}@{} committed after {index}@{}",
                        fact.0, known.0
                    ));
                }
                None => {
                    self.committed.push(fact);
                    // A deposed leader may come to know late what it committed; what comes after it
                    // in the log was committed no earlier.
                    let before = self.committed_in.last().copied().unwrap_or_default();
                    self.committed_in.push(term.max(before));
                    self.note_commands(entry)?;
                }
            }
        }
        Ok(())
    }

    fn note_commands(&mut self, entry: &Entry) -> Result<(), Violation> {
        let Payload::Command(items) = &entry.payload else { return Ok(()) };
        let at = Applied { index: entry.position.index, time: entry.time };
        for Item::Plain(command) in items.iter() {
            let number = number_of(command);
            self.reference.apply(at, command, &mut Vec::new());
            self.fresh.push(own_part(command));
            self.seen.push(self.reference.seen());
            if self.applied.insert(number, self.seen.len() as u64).is_some() {
                return Err(format!("exactly once: command {number} is in the log twice"));
            }
            if self.refused.contains(&number) {
                return Err(format!("outcome: {number} was refused, and committed afterwards"));
            }
        }
        Ok(())
    }

    /// Commands, as the workload drew them, that were committed since the last call, in order.
    pub fn take_fresh(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.fresh)
    }

    /// A client was told that this command never happens.
    pub fn on_refused(&mut self, number: u64) -> Result<(), Violation> {
        self.refused.insert(number);
        match self.applied.get(&number) {
            Some(_) => Err(format!("outcome: {number} was committed, and refused afterwards")),
            None => Ok(()),
        }
    }

    /// The longest list that any client knows of: what begins now must see no less.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// A client got an answer to an operation that was begun when `floor` was the longest list
    /// known. For a list that only grows this is linearizability; and the machine's own part of the
    /// reply must be what the reference says.
    pub fn on_answer(
        &mut self,
        operation: &Operation,
        seen: Seen,
        own: &[u8],
        floor: u64,
    ) -> Result<(), Violation> {
        let length = seen.length;
        if self.list_of(length) != Some(seen) {
            return Err(format!("answer: it shows a list of {length} that never was"));
        }
        let commands = match operation {
            Operation::Command(command) => {
                let number = number_of(command);
                if self.applied.get(&number) != Some(&length) {
                    return Err(format!("answer: command {number} got another's place"));
                }
                if self.list_of(length - 1).map(|list| list.then(command, own)) != Some(seen) {
                    return Err(format!("answer: command {number} got another's reply"));
                }
                1
            }
            Operation::Query(query) => {
                if self.reference.seen() == seen && self.ask_reference(query) != own {
                    return Err(format!("answer: a query at {length} got another's reply"));
                }
                0
            }
        };
        if length < floor + commands {
            return Err(format!(
                "stale: an answer shows {length} commands, {floor} were known before it was asked"
            ));
        }
        self.acknowledged = self.acknowledged.max(length);
        Ok(())
    }

    fn list_of(&self, length: u64) -> Option<Seen> {
        match length {
            0 => Some(Seen::EMPTY),
            length => self.seen.get(length as usize - 1).copied(),
        }
    }

    fn ask_reference(&self, query: &[u8]) -> Vec<u8> {
        let mut reply = Vec::new();
        self.reference.machine().query(query, &mut reply);
        reply
    }

    /// Entries known to be committed.
    pub fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// Terms that had a leader.
    pub fn elections(&self) -> usize {
        self.leaders.len()
    }
}

/// A hash of what an entry says, whatever its position.
pub(crate) fn payload_hash(entry: &Entry) -> u64 {
    let start = chain(0, &entry.time.0.to_le_bytes());
    match &entry.payload {
        Payload::Blank => start,
        Payload::Command(items) => {
            items.iter().fold(start, |hash, Item::Plain(command)| chain(hash, command))
        }
    }
}
