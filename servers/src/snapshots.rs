//! Snapshots, as a server sees them: when one is taken, what of a leader's is received, and how one goes
//! to a follower whose log ends too early. Must never touch a disk, nor decide who needs one: the rules
//! do.

mod pieces;
mod sending;

use log::warn;
use messages::{
    Content, LogIndex, LogPosition, NodeId, SnapshotMeta, SnapshotPart, SnapshotPartReply, Term,
};
use states::{Input, Micros, Time, Turn};

use crate::machine::{Pieces, StateMachine};
use crate::server::Server;
use crate::storage::Job;
use crate::storage::keeper::{Kept, Stored, Taken, Whole};

pub(crate) use self::pieces::Marked;
pub use self::pieces::{Replicated, restore};
use self::sending::Sending;

/// After one that found no room, none is taken for so long.
const RETRY: Micros = Micros(1_000_000);

/// What the driver is to have done beside the log, by whoever keeps the folder's snapshots.
pub enum Task {
    /// Write a snapshot; then comes `Told::Taken`.
    Take {
        /// What it stands for.
        meta: SnapshotMeta,
        /// Machine and sessions.
        pieces: Box<dyn Pieces>,
    },
    /// Write a part that was received; then comes `Told::Stored`.
    Store {
        /// Who sent it.
        from: NodeId,
        /// The part.
        part: SnapshotPart,
    },
    /// Read a part of the snapshot in place up to `position`; then comes `Told::Read`.
    Read {
        /// Who shall get it.
        to: NodeId,
        /// Which snapshot.
        position: LogPosition,
        /// Where the part begins.
        offset: u64,
        /// Bytes at most.
        length: usize,
    },
    /// Restore a snapshot into what [`Server::fresh`] gives; then [`Server::restored`] and
    /// `Told::Restored`.
    Restore(Whole),
    /// Remove a snapshot that was received in vain.
    Discard(Whole),
    /// Remove files that are not needed any more, in this order.
    Remove(Vec<String>),
}

/// What became of tasks.
#[derive(Debug)]
pub enum Told {
    /// A snapshot of this node's machine is whole, or found no room.
    Taken(Taken),
    /// A part was written, or was not to be.
    Stored {
        /// Who sent it.
        from: NodeId,
        /// The sender's term when it did.
        term: Term,
        /// Which snapshot.
        meta: SnapshotMeta,
        /// What came of it.
        stored: Stored,
    },
    /// A part for a follower; none if the snapshot is there no more.
    Read {
        /// Who shall get it.
        to: NodeId,
        /// Which snapshot.
        position: LogPosition,
        /// Where the part begins.
        offset: u64,
        /// The part.
        bytes: Option<Vec<u8>>,
    },
    /// What was handed to [`Server::restored`].
    Restored,
    /// A snapshot is in place.
    Kept(Kept),
}

/// The snapshots of one server.
pub(crate) struct Snapshots<M> {
    /// The newest in place, and its bytes.
    newest: Option<(SnapshotMeta, u64)>,
    taking: Option<Taking>,
    /// None is taken before: the last found no room.
    retry: Time,
    /// It did since somebody asked.
    found_no_room: bool,
    /// One up to here at least is to be taken, whatever the log has grown by.
    wanted: LogIndex,
    /// Parts that came in this turn, and whose they are.
    parts: Vec<(NodeId, SnapshotPart)>,
    /// One that was received whole; it is being restored, or waits for the rules' word.
    received: Option<Whole>,
    restored: Option<(SnapshotMeta, Replicated<M>)>,
    pub sending: Sending,
}

/// A snapshot of this node's machine on its way into place.
enum Taking {
    /// It is under writing.
    Begun,
    /// It is with the writer.
    Whole(Whole),
}

impl<M> Snapshots<M> {
    /// With the newest in place, if there is one.
    pub fn new(newest: Option<(SnapshotMeta, u64)>) -> Snapshots<M> {
        Snapshots {
            newest,
            taking: None,
            retry: Time(0),
            found_no_room: false,
            wanted: LogIndex(0),
            parts: Vec::new(),
            received: None,
            restored: None,
            sending: Sending::default(),
        }
    }

    /// Whether it is the one that was being taken, not one that was received.
    fn is_own(&self, whole: &Whole) -> bool {
        matches!(&self.taking, Some(Taking::Whole(own)) if own == whole)
    }

    /// The newest in place: where it ends, and its bytes.
    pub fn newest(&self) -> Option<(LogPosition, u64)> {
        self.newest.as_ref().map(|(meta, size)| (meta.position, *size))
    }
}

impl<M: StateMachine> Server<M> {
    /// What a snapshot can be restored into.
    pub fn fresh(&self) -> Replicated<M> {
        (self.applier.machine().fresh(), self.applier.sessions().fresh())
    }

    /// What was restored as `Task::Restore` asked; `Told::Restored` is to follow.
    pub fn restored(&mut self, meta: SnapshotMeta, restored: Replicated<M>) {
        self.snapshots.restored = Some((meta, restored));
    }

    /// A snapshot of what is applied now is to be taken soon, unless there is one. The index that it
    /// covers at least; none if nothing is applied yet.
    pub fn want_snapshot(&mut self) -> Option<LogIndex> {
        let applied = self.applier.applied();
        self.snapshots.wanted = applied;
        (applied > LogIndex(0)).then_some(applied)
    }

    /// Whether one found no room on the disk, since somebody asked.
    pub fn take_found_no_room(&mut self) -> bool {
        std::mem::take(&mut self.snapshots.found_no_room)
    }

    /// A leader's part came: the rules say whether it is wanted.
    pub(crate) fn on_snapshot_part(&mut self, turn: &mut Turn, from: NodeId, part: SnapshotPart) {
        let (term, meta) = (part.term, part.meta.clone());
        self.snapshots.parts.push((from, part));
        self.swap(turn, Input::SnapshotPart { from, term, meta, complete: false });
    }

    /// What the rules want of the parts of this turn is written; of what is here already the sender is
    /// told.
    pub(crate) fn receive_parts(&mut self, wanted: &[(NodeId, LogPosition)]) {
        for (from, part) in std::mem::take(&mut self.snapshots.parts) {
            if !wanted.contains(&(from, part.meta.position)) {
                continue;
            }
            match &self.snapshots.received {
                Some(whole) if whole.meta == part.meta => {
                    self.reply_to_part(from, part.meta.position, part.size);
                }
                Some(_) | None => self.outbox.tasks.push(Task::Store { from, part }),
            }
        }
    }

    fn reply_to_part(&mut self, to: NodeId, position: LogPosition, wanted: u64) {
        let content = Content::SnapshotPartReply(SnapshotPartReply { position, wanted });
        self.outbox.sends.add(to, self.settings.group, content);
    }

    pub(crate) fn on_told(&mut self, turn: &mut Turn, told: Told) {
        match told {
            Told::Taken(Taken::NoSpace { why }) => {
                warn!("no space left for a snapshot: {why}");
                self.snapshots.taking = None;
                self.snapshots.retry = self.now + RETRY;
                self.snapshots.wanted = LogIndex(0); // who wants one is told
                self.snapshots.found_no_room = true;
            }
            Told::Taken(Taken::Whole(whole)) => {
                self.snapshots.taking = Some(Taking::Whole(whole.clone()));
                // In its order in the writer's queue: all that it covers is handed out already.
                self.outbox.jobs.push(Job { keep: Some(whole), ..Job::default() });
            }
            Told::Kept(Kept { whole, obsolete }) => {
                if !obsolete.is_empty() {
                    self.outbox.tasks.push(Task::Remove(obsolete));
                }
                if self.snapshots.is_own(&whole) {
                    self.snapshots.taking = None;
                }
                // One that was received may have come first, and be newer.
                let newest = self.snapshots.newest.as_ref().map(|(meta, _)| meta.position.index);
                if newest < Some(whole.meta.position.index) {
                    self.snapshots.newest = Some((whole.meta.clone(), whole.size));
                    self.bound_log();
                }
                self.swap(turn, Input::SnapshotTaken(whole.meta));
            }
            Told::Stored { from, term, meta, stored } => {
                self.reply_to_part(from, meta.position, stored.wanted);
                if let Some(whole) = stored.whole {
                    self.on_received(turn, from, term, whole);
                }
            }
            Told::Read { to, position, offset, bytes } => {
                self.send_part(turn, to, position, offset, bytes);
            }
            Told::Restored => self.on_restored(turn),
        }
    }

    /// A snapshot is here whole.
    fn on_received(&mut self, turn: &mut Turn, from: NodeId, term: Term, whole: Whole) {
        let meta = whole.meta.clone();
        if self.snapshots.received.as_ref().is_some_and(|before| before.meta == meta) {
            return self.outbox.tasks.push(Task::Discard(whole)); // its parts came twice
        }
        self.discard_received(); // an older one
        self.snapshots.received = Some(whole);
        self.swap(turn, Input::SnapshotPart { from, term, meta, complete: true });
        if turn.effects.restore.is_none() {
            self.discard_received(); // it came too late
        }
    }

    fn on_restored(&mut self, turn: &mut Turn) {
        let restored = self.snapshots.restored.as_ref().map(|(meta, _)| meta.clone());
        let received = self.snapshots.received.as_ref().map(|whole| whole.meta.clone());
        match restored {
            Some(meta) if Some(&meta) == received.as_ref() => {
                self.swap(turn, Input::SnapshotRestored(meta));
            }
            // Another was received meanwhile, and is being restored.
            Some(_) => return self.snapshots.restored = None,
            None => {}
        }
        if turn.effects.install.is_none() {
            self.snapshots.restored = None;
            self.discard_received();
        }
    }

    fn discard_received(&mut self) {
        if let Some(whole) = self.snapshots.received.take() {
            self.outbox.tasks.push(Task::Discard(whole));
        }
    }

    /// The snapshot that was received is to be restored.
    pub(crate) fn restore(&mut self, meta: &SnapshotMeta) {
        if let Some(whole) = self.snapshots.received.as_ref().filter(|whole| whole.meta == *meta) {
            self.outbox.tasks.push(Task::Restore(whole.clone()));
        }
    }

    /// What was restored takes the place of machine and sessions; the file goes into its own before the log says so.
    pub(crate) fn install(&mut self, meta: &SnapshotMeta) -> Option<Whole> {
        let (_, restored) = self.snapshots.restored.take().expect("a snapshot was restored");
        for id in self.applier.install(restored, meta) {
            self.time_out(id);
        }
        let whole = self.snapshots.received.take();
        assert!(whole.as_ref().is_some_and(|whole| whole.meta == *meta), "it was received");
        whole
    }

    /// Bytes that the log grows by before the next snapshot.
    pub(crate) fn snapshot_due(&self) -> u64 {
        let last = self.snapshots.newest().map_or(0, |(_, size)| size);
        last.max(self.settings.snapshot_bytes)
    }

    /// What may stay in memory for followers that are behind grows with the snapshots, as does what one
    /// is taken after.
    pub(crate) fn bound_log(&mut self) {
        let usual = self.settings.snapshot_bytes.max(1);
        let grown = self.pinned_bytes as u128 * u128::from(self.snapshot_due()) / u128::from(usual);
        self.replica.config.pinned_bytes = usize::try_from(grown).unwrap_or(usize::MAX);
    }

    /// Takes a snapshot if the log has grown enough since the last, or somebody wants one.
    pub(crate) fn take_snapshot_if_due(&mut self) {
        let newest = self.snapshots.newest().map_or(LogPosition::ZERO, |(position, _)| position);
        let enough = self.applier.logged() >= self.snapshot_due();
        let wanted = self.snapshots.wanted > newest.index;
        if self.snapshots.taking.is_some() || self.now < self.snapshots.retry || !(enough || wanted)
        {
            return;
        }
        let log = self.replica.log();
        let index = self.applier.applied();
        let (Some(term), Some(time)) = (log.term_at(index), log.time_at(index)) else { return };
        let position = LogPosition { term, index };
        if newest >= position {
            return;
        }
        let Some(pieces) = self.applier.snapshot() else { return };
        let meta = SnapshotMeta { position, time, membership: self.replica.membership.clone() };
        self.snapshots.taking = Some(Taking::Begun);
        self.outbox.tasks.push(Task::Take { meta, pieces });
    }
}
