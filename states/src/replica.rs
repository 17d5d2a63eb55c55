//! What a node knows whatever its role: term, vote, log, members, how far the log is committed.
//! Must never know a role: a field enters only if every state uses it.

use messages::{
    Entry, LogIndex, LogPosition, LogTime, Membership, NodeId, Payload, SnapshotMeta, Term,
};
use rand::RngExt;

use crate::random::SplitMix64;
use crate::{Config, Decision, HardState, Log, Micros, Space, Time, Turn, Write, WriteId};

/// Bytes of entries forgotten in one turn, about: to give memory back takes time.
const FORGOTTEN_A_TURN: usize = 1 << 20;

/// A node's facts. Invariants: `base ≤ commit_index ≤ last`; the term never falls; one vote a term.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    /// This node.
    pub id: NodeId,
    /// Settings.
    pub config: Config,
    /// Who votes.
    pub membership: Membership,
    pub(crate) log: Log,
    pub(crate) commit_index: LogIndex,
    pub(crate) random: SplitMix64,
    hard_state: HardState,
    /// The newest snapshot on this node's disk.
    snapshot: Option<SnapshotMeta>,
    /// What room the disk has for the log.
    pub(crate) space: Space,
    /// Entries up to here are only kept for others.
    covered: LogIndex,
    /// What the next write says of where the log begins.
    reset: Option<LogPosition>,
    /// The hard state as last handed to the disk.
    handed_out: HardState,
    next_write: WriteId,
}

impl Replica {
    /// A node's facts as recovered from its disk: all of them durable.
    pub fn recovered(
        id: NodeId,
        membership: Membership,
        config: Config,
        seed: u64,
        hard_state: HardState,
        snapshot: Option<SnapshotMeta>,
        log: Log,
    ) -> Replica {
        assert!(log.last().term <= hard_state.term, "no entry is of a term above the node's");
        Replica {
            id,
            config,
            membership,
            commit_index: snapshot.as_ref().map_or(LogIndex(0), |meta| meta.position.index),
            snapshot,
            space: Space::Enough,
            covered: log.base().index,
            reset: None,
            log,
            random: SplitMix64::new(seed),
            hard_state,
            handed_out: hard_state,
            next_write: WriteId(1),
        }
    }

    /// The newest term seen.
    pub fn term(&self) -> Term {
        self.hard_state.term
    }

    /// Term and vote.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The log is known to be committed up to here.
    pub fn commit_index(&self) -> LogIndex {
        self.commit_index
    }

    /// The newest snapshot on this node's disk.
    pub fn snapshot(&self) -> Option<&SnapshotMeta> {
        self.snapshot.as_ref()
    }

    /// What room the disk has for the log.
    pub fn space(&self) -> Space {
        self.space
    }

    /// Whether the disk has room for an entry with this payload.
    pub(crate) fn has_room_for(&self, payload: &Payload) -> bool {
        match payload {
            Payload::Blank => self.space <= Space::Full,
            Payload::Command(_) => self.space == Space::Enough,
        }
    }

    /// Whether this node votes.
    pub fn is_voter(&self) -> bool {
        self.membership.voters.contains(&self.id)
    }

    /// The other voters.
    pub(crate) fn peers(&self) -> Vec<NodeId> {
        self.membership.voters.iter().copied().filter(|voter| *voter != self.id).collect()
    }

    /// The id that this turn's write will have, if it writes.
    pub(crate) fn upcoming_write(&self) -> WriteId {
        self.next_write
    }

    /// Moves to a higher term, where it has not voted (paper, section 5.1).
    pub(crate) fn adopt_term(&mut self, turn: &mut Turn, term: Term) {
        assert!(term > self.hard_state.term, "the term never falls");
        self.hard_state = HardState { term, voted_for: None };
        turn.decide(Decision::NewTerm(term));
    }

    /// Votes in the present term.
    pub(crate) fn vote_for(&mut self, candidate: NodeId) {
        let vote = self.hard_state.voted_for;
        assert!(vote.is_none() || vote == Some(candidate), "one vote a term");
        self.hard_state.voted_for = Some(candidate);
    }

    /// Appends an entry of the present term; returns where it stands.
    pub(crate) fn append(&mut self, time: LogTime, payload: Payload) -> messages::LogPosition {
        let index = self.log.last().index.next();
        let position = messages::LogPosition { term: self.term(), index };
        let time = time.max(self.log.last_time());
        self.log.append(Entry { position, time, payload });
        position
    }

    /// The log is committed up to `index`.
    pub(crate) fn commit(&mut self, turn: &mut Turn, index: LogIndex) {
        assert!(index <= self.log.last().index, "commit index ≤ last");
        if index > self.commit_index {
            self.commit_index = index;
            turn.effects.commit = Some(index);
        }
    }

    /// A snapshot of this node is in place: what it covers need not stay in memory, but for a little
    /// that others may lack.
    pub(crate) fn on_snapshot_taken(&mut self, meta: SnapshotMeta) {
        if self.snapshot.as_ref().is_some_and(|newest| newest.position >= meta.position) {
            return;
        }
        let index = meta.position.index;
        assert!(index <= self.commit_index, "snapshot ≤ commit index");
        self.covered = self.covered.max(self.log.before(index, self.config.kept_bytes));
        self.snapshot = Some(meta);
    }

    /// Whether everything that a snapshot up to here stands for is here: "if existing log entry has
    /// same index and term as snapshot's last included entry, retain log entries following it"
    /// (paper, Figure 13).
    pub(crate) fn has_all(&self, position: LogPosition) -> bool {
        position.index <= self.commit_index || self.log.holds(position)
    }

    /// A snapshot takes the place of the whole log. Never moves the commit index back.
    pub(crate) fn install(&mut self, turn: &mut Turn, meta: SnapshotMeta) {
        assert!(meta.position.index > self.commit_index, "a snapshot only moves forward");
        self.log.reset(&meta);
        self.commit_index = meta.position.index;
        self.covered = meta.position.index;
        self.reset = Some(meta.position);
        self.snapshot = Some(meta.clone());
        turn.decide(Decision::Installed(meta.position));
        turn.effects.install = Some(meta);
    }

    /// Forgets what a snapshot covers, as far as nobody needs it, a bounded number of bytes a turn.
    pub(crate) fn forget(&mut self, needed: Option<LogIndex>) {
        let pinned = needed.filter(|_| self.log.bytes() <= self.config.pinned_bytes);
        self.log.forget(pinned.unwrap_or(self.covered).min(self.covered), FORGOTTEN_A_TURN);
    }

    /// Puts what this turn changed into its one write.
    pub(crate) fn hand_out_write(&mut self, turn: &mut Turn) {
        if self.hard_state == self.handed_out && !self.log.has_unwritten() && self.reset.is_none() {
            return;
        }
        let id = self.next_write;
        self.next_write = WriteId(id.0 + 1);
        self.handed_out = self.hard_state;
        let entries = self.log.hand_out(id);
        let reset = self.reset.take();
        turn.effects.write = Some(Write { id, hard_state: self.hard_state, reset, entries });
    }

    /// A time by which to act if no leader is heard: `[election, 1.5 × election)` from now. Who has no
    /// room for writes lets others go first.
    pub(crate) fn election_deadline(&mut self, now: Time) -> Time {
        if self.membership.voters.len() == 1 {
            return now; // nobody to wait for
        }
        let election = self.config.election.0;
        let now = match self.space {
            Space::Enough => now,
            Space::Full | Space::Exhausted => now + self.config.election + self.config.election,
        };
        now + Micros(self.random.random_range(election..election + (election / 2).max(1)))
    }

    /// A time at which to try again after a refused or split election: up to half an election
    /// timeout from now.
    pub(crate) fn retry_deadline(&mut self, now: Time) -> Time {
        let half = (self.config.election.0 / 2).max(1);
        now + Micros(self.random.random_range(0..half))
    }
}
