//! The real driver of a server: gathers what came, reads the clock, runs a turn, does what the turn
//! left in the outbox. One task on the node's thread. Must never wait for the disk or a peer.

use std::collections::BTreeMap;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use log::{debug, info, warn};
use messages::{Boot, LogIndex, NodeId};
use rustix::time::{ClockId, clock_gettime};
use states::{Space, Time, WallTime};
use tokio::sync::oneshot;

use crate::gate::Gate;
use crate::host::{NoSnapshot, Outcome, Token};
use crate::keeping::{Keeping, Report};
use crate::machine::StateMachine;
use crate::mailbox::{Mailbox, SnapshotQuestion};
use crate::notices::Notices;
use crate::outbox::Parcel;
use crate::server::{Event, Server};
use crate::snapshots::Told;
use crate::status::Leadership;
use crate::storage::{WalError, Writer};
use crate::transport::{Change, Sent, Transport, readable};
use crate::turn::{self, Edges, Moment};

/// Frames taken in one turn at most; more wait for the next.
const FRAMES_A_TURN: usize = 256;
/// How soon a transport that could not send everything is tried again.
const RETRY_SENDING: Duration = Duration::from_millis(1);
/// How long a stop waits for what is under way.
const STOP_LIMIT: Duration = Duration::from_millis(3_500);

/// Told of each change of who leads.
pub type OnLeadership = Box<dyn FnMut(Leadership) + Send>;

/// This moment on the clock that never falls and goes on through suspend.
pub fn now() -> Time {
    let time = clock_gettime(ClockId::Boottime);
    Time(time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1_000)
}

/// This moment on the wall clock; the epoch's beginning if it stands before that.
pub fn wall() -> WallTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// A server and its edges.
pub struct Parts<M, T> {
    /// The server.
    pub server: Server<M>,
    /// Where frames come and go.
    pub transport: T,
    /// Which frames enter.
    pub gate: Gate,
    /// This run of the data folder, for the frames.
    pub boot: Boot,
    /// The disk; it wakes the mailbox.
    pub writer: Writer,
    /// Snapshots; they wake the mailbox, too.
    pub keeping: Keeping<M>,
    /// The way in.
    pub mailbox: Mailbox,
    /// What people call the nodes.
    pub names: BTreeMap<NodeId, String>,
    /// Called with each change of who leads, before it is logged.
    pub on_leadership: OnLeadership,
}

/// Drives a server.
pub struct Driver<M, T> {
    parts: Parts<M, T>,
    waiting: Waiting,
    events: Vec<Event>,
    leadership: Leadership,
    /// Who waits for a snapshot, and what it must cover.
    wishes: Vec<(LogIndex, SnapshotQuestion)>,
    notices: Notices,
}

impl<M: StateMachine + 'static, T: Transport> Driver<M, T> {
    /// Of these parts.
    pub fn new(parts: Parts<M, T>) -> Driver<M, T> {
        let leadership = parts.server.leadership();
        let (waiting, events, wishes) = (Waiting::default(), Vec::new(), Vec::new());
        Driver { parts, waiting, events, leadership, wishes, notices: Notices::default() }
    }

    /// Runs until the mailbox is told to stop, or the disk fails.
    pub async fn run(mut self) -> Result<(), WalError> {
        let mut stop_at = None;
        loop {
            self.wait(stop_at).await;
            if let Err(error) = self.turn() {
                self.end();
                return Err(error);
            }
            if self.parts.mailbox.is_stopping() {
                self.parts.server.stop();
                self.deliver();
                let limit = *stop_at.get_or_insert_with(|| now() + STOP_LIMIT.into());
                if self.parts.server.is_idle() || now() >= limit {
                    break;
                }
            }
        }
        self.end();
        let done = self.parts.writer.stop()?;
        send_all(&mut self.parts.transport, &self.parts.gate, self.parts.boot, &done.promises);
        self.parts.transport.flush();
        Ok(())
    }

    /// Waits until something came, or a time has; at least until the doors had their turn: what they
    /// read meanwhile is in the next batch.
    async fn wait(&mut self, stop_at: Option<Time>) {
        let left_over = self.parts.transport.flush();
        let deadline = self.parts.server.deadline().into_iter().chain(stop_at).min();
        let span = deadline.map(|deadline| Duration::from_micros((deadline - now()).0));
        let span =
            if left_over { Some(span.unwrap_or(RETRY_SENDING).min(RETRY_SENDING)) } else { span };
        if span == Some(Duration::ZERO) {
            return tokio::task::yield_now().await;
        }
        let nap = async {
            match span {
                Some(span) => tokio::time::sleep(span).await,
                None => pending().await,
            }
        };
        let mut something = pin!(async {
            tokio::select! {
                biased;
                () = self.parts.mailbox.news() => {}
                () = readable(&mut self.parts.transport) => {}
                () = nap => {}
            }
        });
        let mut was_there = true;
        poll_fn(|context| {
            let poll = something.as_mut().poll(context);
            was_there &= poll.is_ready();
            poll
        })
        .await;
        if was_there {
            tokio::task::yield_now().await;
        }
    }

    /// Takes all that came through one turn of the server.
    fn turn(&mut self) -> Result<(), WalError> {
        let Parts { server, transport, gate, boot, writer, mailbox, keeping, .. } = &mut self.parts;
        for report in keeping.take()? {
            match report {
                Report::Told(told) => self.events.push(Event::Told(told)),
                Report::Restored(meta, restored) => server.restored(meta, restored),
            }
        }
        let waiting = &mut self.waiting;
        let boot = *boot;
        let mut edges =
            RealEdges { transport, gate, boot, writer, mailbox, waiting, drained: false };
        turn::take(server, &mut edges, &mut self.events)?;
        self.deliver(); // what others wait for does not wait for the machine
        self.take_wishes();
        self.parts.server.apply();
        self.publish(); // before the replies: who has one sees what it brought
        self.deliver();
        self.answer_tail_questions();
        self.answer_wishes();
        Ok(())
    }

    /// Somebody wants a snapshot.
    fn take_wishes(&mut self) {
        for sender in self.parts.mailbox.take_snapshot_questions() {
            match self.parts.server.want_snapshot() {
                Some(index) => self.wishes.push((index, sender)),
                // Whoever no longer waits need not hear it.
                None => drop(sender.send(Err(NoSnapshot::NothingApplied))),
            }
        }
    }

    /// What is wanted is perhaps in place, or found no room.
    fn answer_wishes(&mut self) {
        if self.parts.server.take_found_no_room() {
            for (_, sender) in self.wishes.drain(..) {
                let _ = sender.send(Err(NoSnapshot::NoSpace)); // whoever no longer waits need not hear it
            }
        }
        let Some(snapshot) = self.parts.server.snapshot() else { return };
        let done = self.wishes.extract_if(.., |(index, _)| *index <= snapshot.position.index);
        for (_, sender) in done {
            let _ = sender.send(Ok(snapshot)); // likewise
        }
    }

    fn answer_tail_questions(&self) {
        for (count, sender) in self.parts.mailbox.take_tail_questions() {
            let log = self.parts.server.replica().log();
            let last = log.last().index.0;
            let first = last.saturating_sub(count as u64) + 1;
            let entries = (first..=last).filter_map(|index| log.entry(LogIndex(index)));
            let positions = entries.map(|entry| entry.position).collect();
            let _ = sender.send(positions); // whoever no longer waits need not hear it
        }
    }

    /// Does what the turn left to be done: what others wait for first.
    fn deliver(&mut self) {
        let Parts { server, transport, gate, boot, writer, keeping, .. } = &mut self.parts;
        for task in std::mem::take(&mut server.outbox().tasks) {
            keeping.submit(task, || server.fresh());
        }
        let sends = server.outbox().sends.take();
        for (to, _, envelopes) in send_all(transport, gate, *boot, &sends) {
            server.not_sent(*to, envelopes);
        }
        let outbox = server.outbox();
        for job in outbox.jobs.drain(..) {
            writer.submit(job);
        }
        for (token, outcome) in outbox.replies.drain(..) {
            self.waiting.answer(token, outcome);
        }
        for decision in std::mem::take(&mut outbox.decisions) {
            debug!("decided {decision:?}");
            let names = &self.parts.names;
            if let Some(warning) = self.notices.warning(&decision, |id| name(names, id)) {
                warn!("{warning}");
            }
        }
    }

    /// Tells others what they may see of the server.
    fn publish(&mut self) {
        let mut status = self.parts.server.status();
        let counts = self.parts.transport.counts();
        let shapeless = counts.malformed + counts.unnamed; // never came as far as the gate
        status.refused_frames = shapeless + self.parts.gate.refused().total();
        let leadership = self.parts.server.leadership();
        self.parts.mailbox.publish(status, leadership);
        if leadership != self.leadership {
            (self.parts.on_leadership)(leadership);
            self.log_change(leadership);
            self.leadership = leadership;
        }
    }

    fn log_change(&self, new: Leadership) {
        let old = self.leadership;
        if new.role != old.role {
            info!("{} in term {}, was {}", new.role, new.term, old.role);
        }
        match new.leader {
            Some(leader)
                if new.leader != old.leader && leader != self.parts.server.replica().id =>
            {
                info!("follows {} in term {}", name(&self.parts.names, leader), new.term);
            }
            Some(_) | None => {}
        }
    }

    /// Nobody waits any longer.
    fn end(&mut self) {
        if !self.parts.server.is_idle() {
            warn!("stopped before all requests were answered");
        }
        self.parts.server.abandon();
        self.deliver();
        self.parts.mailbox.close();
    }
}

/// Disk, clients, peers and clocks of a running node.
struct RealEdges<'a, T> {
    transport: &'a mut T,
    gate: &'a mut Gate,
    boot: Boot,
    writer: &'a Writer,
    mailbox: &'a Mailbox,
    waiting: &'a mut Waiting,
    /// No frame waits any more.
    drained: bool,
}

impl<T: Transport> Edges for RealEdges<'_, T> {
    type Error = WalError;

    fn gather(&mut self, events: &mut Vec<Event>) -> Result<(), WalError> {
        // What the disk released goes first: others wait for it.
        let done = self.writer.take()?;
        send_all(self.transport, self.gate, self.boot, &done.promises);
        events.extend(done.written.map(Event::Written));
        if let Some(space) = done.space {
            log_space(space);
            events.push(Event::Space(space));
        }
        events.extend(done.kept.into_iter().map(|kept| Event::Told(Told::Kept(kept))));
        for (batch, sender) in self.mailbox.take() {
            let token = self.waiting.add(sender);
            events.push(Event::Batch { token, batch });
        }
        for _ in 0..FRAMES_A_TURN {
            let Some(frame) = self.transport.receive() else {
                self.drained = true;
                break;
            };
            if let Some((from, boot, envelopes)) = self.gate.admit(&frame) {
                events.push(Event::Envelopes { from, boot, envelopes });
            }
        }
        Ok(())
    }

    fn change(&mut self) -> Option<Change> {
        if self.drained { self.transport.change() } else { None }
    }

    fn clock(&mut self) -> Moment {
        (now(), wall())
    }
}

fn log_space(space: Space) {
    match space {
        Space::Enough => info!("there is room for the log"),
        Space::Full => warn!(
            "no space left on the disk for another segment of the log: writes are refused until there \
             is, reads are served"
        ),
        Space::Exhausted => {
            warn!("no space left on the disk for more than some votes: see to it that there is");
        }
    }
}

/// What people call a node.
fn name(names: &BTreeMap<NodeId, String>, id: NodeId) -> String {
    names.get(&id).map_or_else(|| format!("node {id}"), |name| format!("node {name}"))
}

/// Sends parcels as frames; returns those that certainly never leave.
fn send_all<'a, T: Transport>(
    transport: &mut T,
    gate: &Gate,
    boot: Boot,
    parcels: &'a [Parcel],
) -> Vec<&'a Parcel> {
    let mut stayed = Vec::new();
    for parcel in parcels {
        let (to, lane, envelopes) = parcel;
        let frame = gate.seal(boot, *to, *lane, envelopes);
        if transport.send(*to, *lane, frame) == Sent::Dropped {
            stayed.push(parcel);
        }
    }
    stayed
}

/// Who waits for outcomes, by token. Tokens are used again once answered.
#[derive(Default)]
struct Waiting {
    senders: Vec<Option<oneshot::Sender<Outcome>>>,
    free: Vec<usize>,
}

impl Waiting {
    fn add(&mut self, sender: oneshot::Sender<Outcome>) -> Token {
        let place = self.free.pop().unwrap_or(self.senders.len());
        if place == self.senders.len() {
            self.senders.push(None);
        }
        self.senders[place] = Some(sender);
        Token(place as u64)
    }

    fn answer(&mut self, Token(place): Token, outcome: Outcome) {
        let place = place as usize;
        let sender = self.senders[place].take().expect("one outcome a batch");
        self.free.push(place);
        let _ = sender.send(outcome); // whoever no longer waits need not hear it
    }
}
