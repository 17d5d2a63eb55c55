//! What must hold whatever happens: the properties of the paper's Figure 3, checked against what
//! nodes write, apply and answer. Shares no code with what it checks; its memory lies outside the
//! nodes and survives them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use messages::{Entry, Item, LogIndex, LogPosition, NodeId, Operation, Payload, SessionId, Term};
use servers::machine::{Applied, StateMachine};
use servers::sessions::Limits;
use states::Log;

use crate::coverage::Mark;
use crate::once::Once;
use crate::witness::{Seen, Witness, chain, number_of, own_part};

/// A property that did not hold: its name, a colon, what happened.
pub type Violation = String;

/// What all nodes of a cluster have shown so far.
pub struct Checks<M> {
    /// Who leads each term, and in which of its runs.
    leaders: BTreeMap<Term, (NodeId, u32)>,
    /// The entries ever written at each index, from index one on.
    written: Vec<Vec<Written>>,
    /// What is committed, from index one on: the entry's term, its payload's hash.
    committed: Vec<(Term, u64)>,
    /// After each of these: how long the list of all commands is, and the machine's digest.
    after: Vec<(u64, u64)>,
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
    /// Time alone has changed it since the last command.
    aged: bool,
    /// Commands of which a client was told that they never happen.
    refused: BTreeSet<u64>,
    once: Once,
    /// What the table of sessions stands for after each entry, as the first node had it.
    tables: BTreeMap<LogIndex, u64>,
}

/// An entry that some node wrote.
#[derive(Debug)]
struct Written {
    term: Term,
    /// Stands for it and all entries before it.
    chain: u64,
    /// The nodes on whose disks it is durable, one bit each.
    holders: u32,
}

/// How far a machine has come.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// All entries up to here are applied.
    pub applied: LogIndex,
    /// The list of all commands, perhaps in the middle of the entry behind that.
    pub seen: Seen,
    /// The machine's digest; none in the middle of an entry, where time has gone on already.
    pub digest: Option<u64>,
    /// The sessions' digest; none likewise.
    pub sessions: Option<u64>,
}

impl<M: StateMachine> Checks<M> {
    /// Nothing is known yet; `machine` is one to which nothing was applied.
    pub fn new(machine: M, limits: Limits) -> Checks<M> {
        Checks {
            leaders: BTreeMap::new(),
            written: Vec::new(),
            committed: Vec::new(),
            after: Vec::new(),
            committed_in: Vec::new(),
            applied: BTreeMap::new(),
            seen: Vec::new(),
            fresh: Vec::new(),
            reference: Witness::new(machine),
            aged: false,
            refused: BTreeSet::new(),
            once: Once::new(limits),
            tables: BTreeMap::new(),
        }
    }

    /// Election Safety: "at most one leader can be elected in a given term" (Figure 3).
    /// A node that starts again is another: it must not lead a term twice. Whether the term had no
    /// leader before.
    pub fn on_elected(&mut self, leader: (NodeId, u32), term: Term) -> Result<bool, Violation> {
        match self.leaders.insert(term, leader) {
            None => Ok(true),
            Some(other) if other == leader => Ok(false),
            Some(other) => Err(format!(
                "election safety: {other:?} and {leader:?} (node, run) both lead term {term}"
            )),
        }
    }

    /// A node leads, with this log.
    pub fn on_leader(
        &mut self,
        leader: (NodeId, u32),
        term: Term,
        log: &Log,
    ) -> Result<(), Violation> {
        let node = leader.0;
        if !self.on_elected(leader, term)? {
            return Ok(());
        }
        // Leader Completeness: "if a log entry is committed in a given term, then that entry will
        // be present in the logs of the leaders for all higher-numbered terms" (Figure 3).
        let earlier = self.committed_in.partition_point(|committed_in| *committed_in < term);
        for (place, (entry_term, _)) in self.committed[..earlier].iter().enumerate() {
            let index = LogIndex(place as u64 + 1);
            if index >= log.base().index && log.term_at(index) != Some(*entry_term) {
                return Err(format!(
                    "leader completeness: {node} leads term {term} without {index}@{entry_term}"
                ));
            }
        }
        Ok(())
    }

    /// Log Matching: "if two logs contain an entry with the same index and term, then the logs are
    /// identical in all entries up through the given index" (Figure 3): a hash stands for the entry
    /// and all before it, and what is written builds on what was written.
    pub fn on_written(&mut self, log: &Log, entries: &[Entry]) -> Result<(), Violation> {
        let Some(first) = entries.first() else { return Ok(()) };
        let before = LogIndex(first.position.index.0 - 1);
        let before = LogPosition { index: before, term: log.term_at(before).unwrap_or_default() };
        let mut link = match self.find(before) {
            _ if before.index == LogIndex(0) => 0,
            Some(written) => written.chain,
            None => return Err(format!("log matching: {before} was never written")),
        };
        for entry in entries {
            let LogPosition { term, index } = entry.position;
            link = chain(link ^ payload_hash(entry), &term.0.to_le_bytes());
            match self.find(entry.position).map(|known| known.chain) {
                Some(known) if known == link => {}
                Some(_) => {
                    return Err(format!(
                        "log matching: two different logs up to {}",
                        entry.position
                    ));
                }
                None => {
                    let place = index.0 as usize - 1;
                    if self.written.len() <= place {
                        self.written.resize_with(place + 1, Vec::new);
                    }
                    self.written[place].push(Written { term, chain: link, holders: 0 });
                }
            }
        }
        Ok(())
    }

    fn find(&mut self, position: LogPosition) -> Option<&mut Written> {
        let place = position.index.0.checked_sub(1)? as usize;
        self.written.get_mut(place)?.iter_mut().find(|written| written.term == position.term)
    }

    /// The node's disk now holds these, durably.
    pub fn on_durable(&mut self, place: usize, added: &[LogPosition]) {
        for position in added {
            if let Some(written) = self.find(*position) {
                written.holders |= 1 << place;
            }
        }
    }

    /// The node's disk no longer holds these. Those of them that a majority of `nodes` held.
    pub fn on_replaced(
        &mut self,
        place: usize,
        nodes: usize,
        replaced: &[LogPosition],
    ) -> Vec<LogPosition> {
        let mut held = Vec::new();
        for position in replaced {
            let Some(written) = self.find(*position) else { continue };
            if 2 * written.holders.count_ones() as usize > nodes {
                held.push(*position);
            }
            written.holders &= !(1 << place);
        }
        held
    }

    /// On which disks the entry is durable, one bit each.
    pub fn holders(&mut self, position: LogPosition) -> u32 {
        self.find(position).map_or(0, |written| written.holders)
    }

    /// "A log entry is committed once the leader that created the entry has replicated it on a
    /// majority of the servers" (paper, section 5.3), and "only log entries from the leader's current
    /// term are committed by counting replicas" (5.4.2): so much must lie on disks when `leader`, in
    /// office in `term`, says that its log is committed up to `to`.
    pub fn on_leader_commit(
        &mut self,
        (leader, term): (NodeId, Term),
        log: &Log,
        to: LogIndex,
        nodes: usize,
    ) -> Result<(), Violation> {
        let found = log.term_at(to).unwrap_or_default();
        if found != term {
            return Err(format!("commit: {leader} in term {term} commits up to {to}@{found}"));
        }
        let holders = self.holders(LogPosition { term, index: to }).count_ones() as usize;
        if 2 * holders <= nodes {
            return Err(format!(
                "commit: {leader} commits {to}@{term}, durable on {holders} of {nodes} disks"
            ));
        }
        Ok(())
    }

    /// Whoever does not lead commits only what a leader has committed before.
    pub fn on_follower_commit(&self, node: NodeId, to: LogIndex) -> Result<(), Violation> {
        let known = self.committed();
        if to.0 > known {
            return Err(format!("commit: {node} commits {to}, leaders only up to {known}"));
        }
        Ok(())
    }

    /// A leader said in `term` that its log is committed up to `to`: the leader of a later term
    /// holds that (Leader Completeness, for a commit that is found out late).
    pub fn on_later_leader(
        &self,
        leader: NodeId,
        log: &Log,
        to: LogIndex,
    ) -> Result<(), Violation> {
        let Some((term, _)) = self.committed.get(to.0 as usize - 1) else { return Ok(()) };
        if to >= log.base().index && log.term_at(to) != Some(*term) {
            return Err(format!("leader completeness: {leader} leads without {to}@{term}"));
        }
        Ok(())
    }

    /// Applied state: at each index there is one, whoever applies the log and however often a node
    /// starts again.
    pub fn on_applied(&mut self, node: NodeId, progress: Progress) -> Result<(), Violation> {
        let Progress { applied, seen, digest, sessions } = progress;
        if let Some(sessions) = sessions
            && *self.tables.entry(applied).or_insert(sessions) != sessions
        {
            return Err(format!("state-machine safety: {node}'s sessions differ at {applied}"));
        }
        let place = applied.0 as usize;
        let (full, expected) = match place.checked_sub(1) {
            None => (0, None),
            Some(place) => match self.after.get(place) {
                Some((full, digest)) => (*full, Some(*digest)),
                None => {
                    return Err(format!("state-machine safety: {node} applied {applied} early"));
                }
            },
        };
        let next = self.after.get(place).map_or(full, |(next, _)| *next);
        if self.list_of(seen.length) != Some(seen) || seen.length < full || seen.length > next {
            return Err(format!(
                "state-machine safety: {node} at {applied} has a list of {}, not {full} to {next}",
                seen.length
            ));
        }
        let comparable = (seen.length == full).then(|| expected.zip(digest)).flatten();
        if comparable.is_some_and(|(expected, digest)| expected != digest) {
            return Err(format!("state-machine safety: {node}'s machine differs at {applied}"));
        }
        Ok(())
    }

    /// Whether a machine with such a list stands in the middle of the entry behind `applied`.
    pub fn is_within(&self, progress: Progress) -> bool {
        let place = progress.applied.0 as usize;
        let full = place.checked_sub(1).map_or(0, |place| self.after[place].0);
        progress.seen.length > full
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
        let base = log.base();
        if base.index > from && self.committed_term(base.index) != Some(base.term) {
            return Err(format!("state-machine safety: a snapshot covers {base}, not committed"));
        }
        for index in from.max(base.index).0 + 1..=to.0 {
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
                    let digest = self.reference.machine().digest();
                    self.after.push((self.seen.len() as u64, digest));
                }
            }
        }
        Ok(())
    }

    fn note_commands(&mut self, entry: &Entry) -> Result<(), Violation> {
        let mut at = Applied { index: entry.position.index, place: 0, time: entry.time };
        let before = self.reference.machine().digest();
        self.reference.advance(at);
        self.aged |= self.reference.machine().digest() != before;
        self.once.begin(entry);
        let Payload::Command(items) = &entry.payload else { return Ok(()) };
        for (place, item) in items.iter().enumerate() {
            let executes = self.once.executes(place, item);
            let Some(command) = item.command().filter(|_| executes) else { continue };
            at.place = place;
            let number = number_of(command);
            self.reference.apply(at, command, &mut Vec::new());
            self.aged = false;
            self.fresh.push(own_part(command));
            self.seen.push(self.reference.seen());
            if self.applied.insert(number, self.seen.len() as u64).is_some() {
                return Err(format!("exactly once: command {number} takes effect twice"));
            }
            if self.refused.contains(&number) {
                return Err(format!("outcome: {number} was refused, and committed afterwards"));
            }
        }
        Ok(())
    }

    /// Whether time alone has changed the machine since the last command.
    pub fn is_aged(&self) -> bool {
        self.aged
    }

    /// Commands, as the workload drew them, that were committed since the last call, in order.
    pub fn take_fresh(&mut self) -> Vec<Bytes> {
        std::mem::take(&mut self.fresh)
    }

    /// What came up of sessions since the last call.
    pub fn take_marks(&mut self) -> Vec<Mark> {
        std::mem::take(&mut self.once.marks)
    }

    /// Whether a session is open, after all that is committed.
    pub fn is_open(&self, session: SessionId) -> bool {
        self.once.is_open(session.0)
    }

    /// A client was told that this command never happens.
    pub fn on_refused(&mut self, number: u64) -> Result<(), Violation> {
        self.refused.insert(number);
        match self.applied.get(&number) {
            Some(_) => Err(format!("outcome: {number} was committed, and refused afterwards")),
            None => Ok(()),
        }
    }

    /// The list of all that is committed, whether or not a client was told: what begins now must see
    /// no less, since no quorum follows a leader that lacks it.
    pub fn length(&self) -> u64 {
        self.seen.len() as u64
    }

    /// A client got an answer to an operation that was begun when the list of what was committed
    /// was `floor` long. For a list that only grows this is linearizability, and more; and the
    /// machine's own part of the reply must be what the reference says.
    pub fn on_answer(
        &self,
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
            Operation::Command(command) | Operation::Session { command, .. } => {
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
                let comparable = self.reference.seen() == seen && !self.aged;
                if comparable && self.ask_reference(query) != own {
                    return Err(format!("answer: a query at {length} got another's reply"));
                }
                0
            }
            Operation::OpenSession | Operation::Outcome { .. } | Operation::CloseSession(_) => 0,
        };
        if length < floor + commands {
            return Err(format!(
                "stale: an answer shows {length} commands, {floor} were there before it was asked"
            ));
        }
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

    /// The term of the entry committed at `index`.
    pub fn committed_term(&self, index: LogIndex) -> Option<Term> {
        match index.0.checked_sub(1) {
            None => Some(Term(0)),
            Some(place) => self.committed.get(place as usize).map(|(term, _)| *term),
        }
    }

    /// Entries known to be committed.
    pub fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// Who led the term.
    pub fn leader_of(&self, term: Term) -> Option<NodeId> {
        self.leaders.get(&term).map(|(node, _)| *node)
    }

    /// The newest term that had a leader.
    pub fn newest_leader(&self) -> Term {
        self.leaders.last_key_value().map(|(term, _)| *term).unwrap_or_default()
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
            let spell = |hash, item: &Item| chain(hash, format!("{item:?}").as_bytes());
            items.iter().fold(start, spell)
        }
    }
}
