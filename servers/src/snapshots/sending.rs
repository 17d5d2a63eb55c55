//! Snapshots on their way to followers whose logs end too early: to one at a time, in parts, no faster
//! than is set, and on from where a connection broke. Must never send anything in a term in which this
//! node does not lead, nor give up who makes progress.

use std::collections::VecDeque;

use messages::{Content, LogPosition, NodeId, SnapshotMeta, SnapshotPart, SnapshotPartReply};
use states::{Input, Micros, Time, Turn};

use super::Task;
use crate::machine::StateMachine;
use crate::server::Server;

/// Parts on their way to a follower at most.
const WINDOW: u64 = 4;
/// Without a reply for so long, what is on its way is taken for lost, and the follower is asked.
const REPEAT: Micros = Micros(500_000);
/// A follower that takes no part for so long is given up.
const PATIENCE: Micros = Micros(2_000_000);

/// Who is sent the newest snapshot, and how far that is.
#[derive(Default)]
pub(crate) struct Sending {
    /// Followers that need one, in turn; the first gets it.
    needy: VecDeque<NodeId>,
    transfer: Option<Transfer>,
}

/// A snapshot on its way to a follower.
struct Transfer {
    to: NodeId,
    meta: SnapshotMeta,
    size: u64,
    /// The follower has it up to here.
    taken: u64,
    /// It was read and sent up to here.
    sent: u64,
    /// The follower was asked how far it is: nothing is read before it has said so.
    asked: bool,
    /// When the follower last took something, or said that it has all.
    progress: Time,
    /// When something was last sent.
    last: Time,
    /// When the next part may leave.
    next: Time,
}

impl Sending {
    /// When a transfer wants to go on; `part` is how many bytes go at once.
    pub fn deadline(&self, part: u64) -> Option<Time> {
        let transfer = self.transfer.as_ref()?;
        let repeat = (transfer.last + REPEAT).min(transfer.progress + PATIENCE);
        Some(if transfer.has_room(part) { transfer.next.min(repeat) } else { repeat })
    }

    /// Whether a transfer can begin.
    pub fn has_more(&self) -> bool {
        self.transfer.is_none() && !self.needy.is_empty()
    }

    /// The transfer of this snapshot to this follower, if that is the one under way.
    fn transfer_to(&mut self, to: NodeId, position: LogPosition) -> Option<&mut Transfer> {
        self.transfer.as_mut().filter(|each| (each.to, each.meta.position) == (to, position))
    }
}

impl Transfer {
    /// Whether another part may be on its way.
    fn has_room(&self, part: u64) -> bool {
        !self.asked && self.sent < self.size && self.sent < self.taken + WINDOW * part
    }
}

impl<M: StateMachine> Server<M> {
    /// The rules want these followers to get a snapshot.
    pub(crate) fn need_snapshots(&mut self, followers: Vec<NodeId>) {
        for follower in followers {
            if !self.snapshots.sending.needy.contains(&follower) {
                self.snapshots.sending.needy.push_back(follower);
            }
        }
    }

    /// Goes on with the transfer that is under way, or begins the next.
    pub(crate) fn tend_transfer(&mut self, turn: &mut Turn) {
        let state = self.state.as_ref().expect("a state between inputs");
        let sending = &mut self.snapshots.sending;
        sending.needy.retain(|peer| state.needs_snapshot(*peer));
        sending.transfer.take_if(|each| !state.needs_snapshot(each.to));
        let now = self.now;
        if let Some(given_up) = sending.transfer.take_if(|each| now >= each.progress + PATIENCE) {
            sending.needy.retain(|peer| *peer != given_up.to);
            self.swap(turn, Input::SnapshotFailed(given_up.to));
        }
        if self.snapshots.sending.transfer.is_none() {
            self.begin_transfer();
        }
        self.go_on_with_transfer();
    }

    fn begin_transfer(&mut self) {
        let Some(to) = self.snapshots.sending.needy.pop_front() else { return };
        let Some((meta, size)) = self.snapshots.newest.clone() else { return };
        let now = self.now;
        let transfer = Transfer {
            to,
            meta,
            size,
            taken: 0,
            sent: 0,
            asked: false,
            progress: now,
            last: now,
            next: now,
        };
        self.snapshots.sending.transfer = Some(transfer);
        self.ask_how_far();
    }

    /// An empty part: its reply tells how much the follower has, perhaps of an earlier connection.
    fn ask_how_far(&mut self) {
        let term = self.replica.term();
        let Some(transfer) = &mut self.snapshots.sending.transfer else { return };
        (transfer.asked, transfer.last) = (true, self.now);
        let (meta, size, offset) = (transfer.meta.clone(), transfer.size, transfer.taken);
        let bytes = bytes::Bytes::new();
        let content = Content::SnapshotPart(SnapshotPart { term, meta, size, offset, bytes });
        self.outbox.sends.add(transfer.to, self.settings.group, content);
    }

    fn go_on_with_transfer(&mut self) {
        let hurries = self.replica.log().bytes() as u64 >= self.snapshot_due().saturating_mul(2);
        let part = self.settings.snapshot_part.max(1);
        let Some(transfer) = &mut self.snapshots.sending.transfer else { return };
        if self.now >= transfer.last + REPEAT {
            return self.ask_how_far();
        }
        while transfer.has_room(part) && (hurries || self.now >= transfer.next) {
            let length = part.min(transfer.size - transfer.sent);
            let (to, position, offset) = (transfer.to, transfer.meta.position, transfer.sent);
            let length = usize::try_from(length).expect("a part is small");
            self.outbox.tasks.push(Task::Read { to, position, offset, length });
            let pause = length as u64 * 1_000_000 / self.settings.snapshot_rate.max(1);
            transfer.next = transfer.next.max(self.now) + Micros(pause);
            transfer.sent += length as u64;
            transfer.last = self.now;
        }
    }

    /// What was read of the snapshot leaves; none: it is there no more.
    pub(super) fn send_part(
        &mut self,
        turn: &mut Turn,
        to: NodeId,
        position: LogPosition,
        offset: u64,
        bytes: Option<Vec<u8>>,
    ) {
        // Earlier in this turn another may have become the leader: in its term nothing is sent.
        let leads = self.state().needs_snapshot(to);
        let term = self.replica.term();
        let transfer = self.snapshots.sending.transfer_to(to, position);
        let Some(transfer) = transfer.filter(|_| leads) else { return };
        let Some(bytes) = bytes else {
            self.snapshots.sending.transfer = None; // a newer one took its place
            return self.swap(turn, Input::SnapshotFailed(to));
        };
        let (meta, size) = (transfer.meta.clone(), transfer.size);
        let part = SnapshotPart { term, meta, size, offset, bytes: bytes.into() };
        self.outbox.sends.add(to, self.settings.group, Content::SnapshotPart(part));
    }

    /// A follower says how far it is.
    pub(crate) fn on_part_reply(&mut self, from: NodeId, reply: SnapshotPartReply) {
        let now = self.now;
        let transfer = self.snapshots.sending.transfer_to(from, reply.position);
        let Some(transfer) = transfer else { return };
        let wanted = reply.wanted.min(transfer.size);
        if wanted > transfer.taken || wanted == transfer.size {
            transfer.progress = now;
        }
        if wanted < transfer.taken || transfer.asked {
            transfer.sent = wanted; // it has lost what it had, or that was lost on its way
        }
        (transfer.asked, transfer.taken) = (false, wanted);
        transfer.sent = transfer.sent.max(wanted);
    }
}
