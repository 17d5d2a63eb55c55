//! One node: the state object, its replica, and a disk whose writes are done when told. Must never
//! reach into the state: inputs go in, effects come out.

use std::collections::{BTreeSet, VecDeque};

use messages::{Entry, LogIndex, LogPosition, Membership, Message, NodeId, SnapshotMeta, Term};
use states::{
    Config, Effects, HardState, Input, Log, Replica, Role, State, Time, Turn, WallTime, Write,
    WriteId,
};

/// A message on its way: receiver, sender's term, content.
pub type Outgoing = (NodeId, Term, Message);

/// Wall clocks show this at virtual time zero.
pub const WALL_START: u64 = 1_000_000_000;

/// A node under test.
#[derive(Clone)]
pub struct Node {
    /// The state object.
    pub state: State,
    /// Its facts.
    pub replica: Replica,
    /// What survives a crash.
    disk: Disk,
    /// Writes handed out and not yet durable, with the promises that wait for them, in order.
    jobs: VecDeque<Job>,
    boots: u64,
    /// Snapshots that it took since its start.
    taken: Vec<SnapshotMeta>,
}

#[derive(Clone, Default)]
struct Disk {
    hard_state: HardState,
    /// The newest in place.
    snapshot: Option<SnapshotMeta>,
    /// The log begins after this.
    base: LogPosition,
    entries: Vec<Entry>,
}

/// What the disk is to do in one go.
#[derive(Clone)]
struct Job {
    /// A snapshot that comes into its place before the write.
    keep: Option<SnapshotMeta>,
    write: Option<Write>,
    promises: Vec<Outgoing>,
}

impl Disk {
    fn write(&mut self, write: Write) {
        self.hard_state = write.hard_state;
        if let Some(base) = write.reset {
            (self.base, self.entries) = (base, Vec::new());
        }
        if let Some(first) = write.entries.first() {
            let kept = (first.position.index.0 - self.base.index.0) as usize - 1;
            assert!(kept <= self.entries.len(), "no gap on the disk");
            self.entries.truncate(kept);
            self.entries.extend(write.entries);
        }
    }

    /// The log as a start finds it: what follows the snapshot, if it leads up to that (paper, section
    /// 7).
    fn log(&self) -> Log {
        let Some(meta) = &self.snapshot else { return Log::recovered(self.entries.clone()) };
        let behind = |entry: &&Entry| entry.position.index > meta.position.index;
        let leads_up = self.base == meta.position
            || self.entries.iter().any(|entry| entry.position == meta.position);
        let entries = self.entries.iter().filter(behind).filter(|_| leads_up).cloned().collect();
        Log::recovered_after(meta.position, meta.time, entries)
    }
}

impl Node {
    /// A node with an empty disk among the voters n1 to n`voters`; also what its first turn does.
    pub fn start(id: u64, voters: u64, config: Config, now: Time) -> (Node, Effects) {
        let voters: BTreeSet<NodeId> = (1..=voters).map(NodeId).collect();
        Node::boot(NodeId(id), Membership { voters }, config, Disk::default(), 0, now)
    }

    fn boot(
        id: NodeId,
        membership: Membership,
        config: Config,
        disk: Disk,
        boots: u64,
        now: Time,
    ) -> (Node, Effects) {
        let seed = id.0 * 1000 + boots;
        let (hard_state, snapshot, log) = (disk.hard_state, disk.snapshot.clone(), disk.log());
        let mut replica =
            Replica::recovered(id, membership, config, seed, hard_state, snapshot, log);
        let mut turn = Turn::new(now, wall(now));
        let mut state = State::new(&mut replica, &mut turn);
        state.finish(&mut replica, &mut turn);
        (
            Node { state, replica, disk, jobs: VecDeque::new(), boots, taken: Vec::new() },
            turn.effects,
        )
    }

    /// A crash and a start: what was not durable is forgotten, promises with it.
    pub fn restart(self, now: Time) -> (Node, Effects) {
        let Replica { id, membership, config, .. } = self.replica;
        Node::boot(id, membership, config, self.disk, self.boots + 1, now)
    }

    /// One turn: all inputs, then the end. Promises wait in the node until [`Node::write_one`].
    pub fn turn(&mut self, now: Time, inputs: impl IntoIterator<Item = Input>) -> Effects {
        let mut turn = Turn::new(now, wall(now));
        for input in inputs {
            self.state = self.state.clone().step(&mut self.replica, &mut turn, input);
        }
        self.state.finish(&mut self.replica, &mut turn);
        let effects = turn.effects;
        if effects.write.is_some() || !effects.promises.is_empty() {
            let (write, promises) = (effects.write.clone(), effects.promises.clone());
            self.jobs.push_back(Job { keep: effects.install.clone(), write, promises });
        }
        effects
    }

    /// Whether a write or a promise waits.
    pub fn is_writing(&self) -> bool {
        !self.jobs.is_empty()
    }

    /// The disk does the oldest job: what was written, and the promises that may now leave.
    pub fn write_one(&mut self) -> Option<(Option<WriteId>, Vec<Outgoing>)> {
        let Job { keep, write, promises } = self.jobs.pop_front()?;
        self.disk.snapshot = keep.or(self.disk.snapshot.take());
        let id = write.as_ref().map(|write| write.id);
        if let Some(write) = write {
            self.disk.write(write);
        }
        Some((id, promises))
    }

    /// A snapshot up to `index` comes into its place on the disk.
    ///
    /// # Panics
    /// If the entry there is not in memory.
    pub fn take_snapshot(&mut self, index: LogIndex) -> SnapshotMeta {
        let (log, membership) = (self.replica.log(), self.replica.membership.clone());
        let term = log.term_at(index).expect("an entry in memory");
        let time = log.time_at(index).expect("an entry in memory");
        let meta = SnapshotMeta { position: LogPosition { term, index }, time, membership };
        self.disk.snapshot = Some(meta.clone());
        self.taken.push(meta.clone());
        meta
    }

    /// What its newest snapshot stands for, or the one that it took up to `index`.
    pub fn snapshot(&self, index: Option<u64>) -> Option<&SnapshotMeta> {
        match index {
            None => self.replica.snapshot(),
            Some(index) => self.taken.iter().find(|meta| meta.position.index.0 == index),
        }
    }

    /// What would be found on the disk after a crash now.
    pub fn durable_log(&self) -> Vec<LogPosition> {
        self.disk.entries.iter().map(|entry| entry.position).collect()
    }

    /// Term and vote that would be found on the disk after a crash now.
    pub fn durable_hard_state(&self) -> HardState {
        self.disk.hard_state
    }

    /// The positions of the log in memory, durable or not.
    pub fn log(&self) -> Vec<LogPosition> {
        let first = self.replica.log().base().index.next();
        self.replica.log().slice(first, usize::MAX).map(|entry| entry.position).collect()
    }

    /// The role's name.
    pub fn role(&self) -> Role {
        self.state.role()
    }

    /// The present term.
    pub fn term(&self) -> u64 {
        self.replica.term().0
    }

    /// The commit index.
    pub fn commit(&self) -> u64 {
        self.replica.commit_index().0
    }
}

/// All wall clocks agree unless a test says otherwise.
pub fn wall(now: Time) -> WallTime {
    WallTime(WALL_START + now.0)
}
