//! Applies committed entries to the machine, runs reads at their place, and finds out what became of
//! the proposals that wait here. Must never keep anything of an entry, and never answer a proposal
//! with what another entry at its index did. Sessions and machine are changed here and nowhere else.
//!
//! Invariant: `applied ≤ commit`; while `progress` is set, entry `applied + 1` is half applied and
//! nothing looks at the machine but the queries of that entry's own batch.

use std::collections::BTreeMap;

use bytes::Bytes;
use messages::{
    Entry, Item, LogIndex, LogPosition, LogTime, Operation, Payload, SessionId, SnapshotMeta, Term,
};
use states::{Log, RequestId};

use crate::machine::{Applied, FORESEEN, Pieces, StateMachine};
use crate::sessions::Sessions;
use crate::snapshots::{Marked, Replicated};

/// A buffer for replies that grew beyond this is given back after use, bytes.
const KEPT_BUFFER: usize = 1 << 20;

/// What became of a request that waited here.
#[derive(Debug, PartialEq, Eq)]
pub enum Finished {
    /// Its entry was applied.
    Applied {
        /// The request.
        id: RequestId,
        /// Where its entry stands.
        position: LogPosition,
        /// One reply for each operation, in order.
        replies: Vec<Bytes>,
    },
    /// Another entry was applied at its index: its own certainly never is.
    Replaced {
        /// The request.
        id: RequestId,
        /// Its operations, so that it can be placed again.
        operations: Vec<Operation>,
    },
    /// Its queries have run.
    Read {
        /// The request.
        id: RequestId,
        /// One reply for each query, in order.
        replies: Vec<Bytes>,
    },
    /// Its queries have not run: what they ask for is due by the leader's time, but not by that of
    /// the log.
    Due {
        /// The request.
        id: RequestId,
        /// Its queries, for after a blank entry.
        queries: Vec<Operation>,
    },
}

/// By which time a read judges what is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsOf {
    /// The leader's, at the moment when it runs.
    Now,
    /// That of the last entry applied.
    Applied,
}

/// The machine and its clients' sessions, how far they have come, and who waits for it.
pub struct Applier<M> {
    machine: M,
    sessions: Sessions,
    applied: LogIndex,
    /// Bytes of entries applied since the last snapshot.
    logged: u64,
    progress: Option<Progress>,
    /// By index first: what waits at one index is found together. Two can wait there, when this node
    /// appended, lost the entry and appended again in a later term.
    proposals: BTreeMap<(LogIndex, Term), Waiting>,
    /// Each runs once its index is applied.
    reads: BTreeMap<(LogIndex, RequestId), Read>,
    replies: Replies,
    /// So many items that come next the machine was told of.
    foreseen: usize,
}

struct Waiting {
    id: RequestId,
    operations: Vec<Operation>,
}

struct Read {
    queries: Vec<Operation>,
    as_of: AsOf,
}

/// How far the entry after `applied` has come.
#[derive(Default)]
struct Progress {
    /// Items applied.
    items: usize,
    /// Operations of the waiting batch executed: the items and the queries between them.
    operations: usize,
}

impl<M: StateMachine> Applier<M> {
    /// Machine and sessions are what the log up to `applied` made of them; nobody waits.
    pub fn new((machine, sessions): Replicated<M>, applied: LogIndex) -> Applier<M> {
        Applier {
            machine,
            sessions,
            applied,
            logged: 0,
            progress: None,
            proposals: BTreeMap::new(),
            reads: BTreeMap::new(),
            replies: Replies::default(),
            foreseen: 0,
        }
    }

    /// All entries up to here are applied.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// Whether the entry behind that is half applied.
    pub fn is_within_entry(&self) -> bool {
        self.progress.is_some()
    }

    /// The machine, for comparing replicas.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// Bytes of entries applied since a snapshot was taken.
    pub fn logged(&self) -> u64 {
        self.logged
    }

    /// Machine and sessions as they are after `applied`; none in the middle of an entry.
    pub fn snapshot(&mut self) -> Option<Box<dyn Pieces>> {
        if self.progress.is_some() {
            return None;
        }
        self.logged = 0;
        Some(Box::new(Marked::new(self.sessions.snapshot(), self.machine.snapshot())))
    }

    /// What a snapshot was restored into takes the place of machine and sessions. Who waits for an entry that
    /// the snapshot covers will not learn what became of it here.
    pub fn install(&mut self, restored: Replicated<M>, meta: &SnapshotMeta) -> Vec<RequestId> {
        let applied = meta.position.index;
        assert!(applied > self.applied, "installing never moves applied back");
        (self.machine, self.sessions) = restored;
        self.applied = applied;
        self.logged = 0;
        self.progress = None;
        self.foreseen = 0;
        self.replies.clear();
        let covered = self.proposals.range(..=(applied, Term(u64::MAX)));
        covered.map(|(_, waiting)| waiting.id).collect()
    }

    /// The sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// A proposal was appended at `position`; what becomes of it is told when something is applied
    /// at its index.
    pub fn wait_for(&mut self, position: LogPosition, id: RequestId, operations: Vec<Operation>) {
        let waiting = Waiting { id, operations };
        let before = self.proposals.insert((position.index, position.term), waiting);
        assert!(before.is_none(), "one proposal at a position");
    }

    /// Queries to run once the log is applied up to `index`.
    pub fn read_at(
        &mut self,
        index: LogIndex,
        id: RequestId,
        queries: Vec<Operation>,
        as_of: AsOf,
    ) {
        self.reads.insert((index, id), Read { queries, as_of });
    }

    /// The proposal at `position` no longer waits; its entry is applied all the same.
    pub fn forget_proposal(&mut self, position: LogPosition) {
        self.proposals.remove(&(position.index, position.term));
    }

    /// The proposal at `position` no longer waits; its operations, so that they can be placed again.
    pub fn take_proposal(&mut self, position: LogPosition) -> Vec<Operation> {
        let waiting = self.proposals.remove(&(position.index, position.term));
        waiting.map(|waiting| waiting.operations).unwrap_or_default()
    }

    /// The read no longer waits.
    pub fn forget_read(&mut self, index: LogIndex, id: RequestId) {
        self.reads.remove(&(index, id));
    }

    /// How many proposals and reads wait.
    pub fn waiting(&self) -> (usize, usize) {
        (self.proposals.len(), self.reads.len())
    }

    /// Whether `apply` would do something.
    pub fn has_more(&self, commit: LogIndex) -> bool {
        self.applied < commit || self.next_read().is_some()
    }

    /// Applies entries up to `commit` and runs the reads that become due, but executes no more than
    /// about `budget` operations, so that heartbeats never wait for the machine; it may stop inside
    /// an entry. `now` is log time at this moment, if this node leads.
    pub fn apply(
        &mut self,
        log: &Log,
        commit: LogIndex,
        budget: usize,
        now: Option<LogTime>,
    ) -> Vec<Finished> {
        let mut finished = Vec::new();
        let mut left = budget;
        while left > 0 {
            if self.run_read(&mut left, now, &mut finished) {
                continue;
            }
            if self.applied >= commit {
                break;
            }
            let next = self.applied.next();
            let entry = log.entry(next).expect("a committed entry is in the log");
            let later = (next.0 + 1..=commit.0).map_while(|index| log.entry(LogIndex(index)));
            if self.apply_entry(entry, later, &mut left) {
                self.logged += entry.size() as u64;
                self.settle(entry.position, &mut finished);
            }
        }
        finished
    }

    /// The read that may run now: never in the middle of an entry.
    fn next_read(&self) -> Option<(LogIndex, RequestId)> {
        let (key, _) = self.reads.first_key_value()?;
        (self.progress.is_none() && key.0 <= self.applied).then_some(*key)
    }

    fn run_read(
        &mut self,
        left: &mut usize,
        now: Option<LogTime>,
        finished: &mut Vec<Finished>,
    ) -> bool {
        let Some(key) = self.next_read() else { return false };
        let Read { queries, as_of } = self.reads.remove(&key).expect("just found");
        if let (AsOf::Now, Some(now)) = (as_of, now)
            && self.is_due(&queries, now)
        {
            finished.push(Finished::Due { id: key.1, queries });
            return true;
        }
        for some in queries.chunks(FORESEEN) {
            foresee(&self.machine, some.iter().filter_map(query_of));
            for operation in some {
                if let Some(query) = query_of(operation) {
                    self.machine.query(query, &mut self.replies.buffer);
                }
                self.replies.cut();
            }
        }
        *left = left.saturating_sub(queries.len().max(1));
        finished.push(Finished::Read { id: key.1, replies: self.replies.take() });
        true
    }

    fn is_due(&self, queries: &[Operation], now: LogTime) -> bool {
        queries.iter().filter_map(query_of).any(|query| self.machine.is_due(query, now))
    }

    /// Goes on with the entry after `applied`; whether it is finished. The entry drives the machine;
    /// the batch that waits for it only adds its queries, each at its place (rule 9).
    /// `later` are the entries behind it.
    fn apply_entry<'a>(
        &mut self,
        entry: &'a Entry,
        later: impl Iterator<Item = &'a Entry> + Clone,
        left: &mut usize,
    ) -> bool {
        let mut at = Applied { index: entry.position.index, place: 0, time: entry.time };
        if self.progress.is_none() {
            self.sessions.advance(entry.position, entry.time);
            self.machine.advance(at);
        }
        let waiting = self.proposals.get(&(entry.position.index, entry.position.term));
        let operations = waiting.map_or(&[][..], |waiting| &waiting.operations);
        let items = items_of(entry);
        let progress = self.progress.get_or_insert_default();
        loop {
            let operation = operations.get(progress.operations);
            let item = items.get(progress.items);
            if operation.is_none() && item.is_none() {
                *left = left.saturating_sub(1);
                self.progress = None;
                return true;
            }
            if *left == 0 {
                return false;
            }
            *left -= 1;
            match (operation, item) {
                (Some(Operation::Query(query)), _) => {
                    self.machine.query(query, &mut self.replies.buffer);
                }
                (_, Some(item)) => {
                    at.place = progress.items;
                    if self.foreseen == 0 {
                        let rest = items[progress.items..].iter();
                        let next = rest.chain(later.clone().flat_map(items_of));
                        self.foreseen = foresee(&self.machine, next.map(command_of));
                    }
                    self.foreseen = self.foreseen.saturating_sub(1);
                    let reply = &mut self.replies.buffer;
                    apply_item(&mut self.machine, &mut self.sessions, at, item, reply);
                    progress.items += 1;
                }
                (_, None) => {} // a command without its item: not what was appended here
            }
            progress.operations += 1;
            match (waiting, operation) {
                (Some(_), Some(_)) => self.replies.cut(),
                (Some(_), None) => {} // an item without its command: likewise
                (None, _) => self.replies.clear(),
            }
        }
    }

    /// The entry at `position` is applied: tells everybody who waited at its index what that means.
    fn settle(&mut self, position: LogPosition, finished: &mut Vec<Finished>) {
        self.applied = position.index;
        while let Some(first) = self.proposals.first_entry() {
            let (index, term) = *first.key();
            if index > position.index {
                break;
            }
            let Waiting { id, operations } = first.remove();
            if term == position.term {
                let replies = self.replies.take();
                finished.push(Finished::Applied { id, position, replies });
            } else {
                finished.push(Finished::Replaced { id, operations });
            }
        }
        self.replies.clear();
    }
}

/// Tells the machine what is likely to come next, if that is more than one thing; how much it is.
fn foresee<'a, M: StateMachine>(machine: &M, next: impl Iterator<Item = &'a [u8]>) -> usize {
    let mut commands = [&[][..]; FORESEEN];
    let count = commands.iter_mut().zip(next).map(|(place, command)| *place = command).count();
    if count > 1 {
        machine.foresee(&commands[..count]);
    }
    count
}

fn items_of(entry: &Entry) -> &[Item] {
    match &entry.payload {
        Payload::Blank => &[],
        Payload::Command(items) => items,
    }
}

fn query_of(operation: &Operation) -> Option<&[u8]> {
    match operation {
        Operation::Query(query) => Some(query),
        Operation::Command(_)
        | Operation::Session { .. }
        | Operation::OpenSession
        | Operation::CloseSession(_)
        | Operation::Outcome { .. } => None,
    }
}

/// What the machine will get of an item, if anything.
fn command_of(item: &Item) -> &[u8] {
    match item {
        Item::Plain(command) | Item::Session { command, .. } => command,
        Item::OpenSession | Item::Outcome { .. } | Item::CloseSession(_) => &[],
    }
}

/// Executes an item, and appends what it answers.
fn apply_item<M: StateMachine>(
    machine: &mut M,
    sessions: &mut Sessions,
    at: Applied,
    item: &Item,
    reply: &mut Vec<u8>,
) {
    match item {
        Item::Plain(command) => machine.apply(at, command, reply),
        Item::Session { session, number, command } => {
            sessions.execute(*session, *number, reply, |reply| machine.apply(at, command, reply));
        }
        Item::OpenSession => sessions.open(SessionId(at.stamp()), reply),
        Item::Outcome { session, number } => sessions.outcome(*session, *number, reply),
        Item::CloseSession(session) => sessions.close(*session, reply),
    }
}

/// Replies of one batch, one after the other in a buffer that is used again.
#[derive(Default)]
struct Replies {
    buffer: Vec<u8>,
    ends: Vec<usize>,
}

impl Replies {
    /// The reply under way is complete.
    fn cut(&mut self) {
        self.ends.push(self.buffer.len());
    }

    /// Nobody waits for what is in it.
    fn clear(&mut self) {
        self.buffer.clear();
        self.buffer.shrink_to(KEPT_BUFFER);
        self.ends.clear();
    }

    /// The replies: slices of one allocation.
    fn take(&mut self) -> Vec<Bytes> {
        let all = Bytes::copy_from_slice(&self.buffer);
        let mut start = 0;
        let replies = self
            .ends
            .iter()
            .map(|end| {
                let reply = all.slice(start..*end);
                start = *end;
                reply
            })
            .collect();
        self.clear();
        replies
    }
}
