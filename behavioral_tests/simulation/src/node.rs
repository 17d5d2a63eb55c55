//! One simulated node: the production server, gate and log, over a simulated disk, run by virtual
//! time. Must never keep anything over a crash but its disk.

mod beginning;
mod edges;
mod media;

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use messages::{Boot, ClusterId, Envelope, LogIndex, Membership, NodeId};
use rand::RngExt;
use servers::gate::{Gate, Refused};
use servers::host::{Batch, Outcome, Token};
use servers::machine::StateMachine;
use servers::outbox::{Job, Parcel};
use servers::server::{Event, Server};
use servers::snapshots::Task;
use servers::storage::keeper::Keeper;
use servers::storage::{self, Disk};
use servers::transport::{Change, Lane};
use servers::turn::{self, Moment};
use states::random::SplitMix64;
use states::{Decision, Replica, Role, Time};

use self::edges::{SimulatedEdges, moment};
use crate::checks::Violation;
use crate::disk::SimulatedDisk;
use crate::ledger::Ledger;
use crate::promises::{self, Promises};
use crate::turns::Effect;
use crate::witness::Witness;

pub use self::beginning::Beginning;

/// What founds a cluster.
pub struct Cluster {
    id: ClusterId,
    membership: Membership,
}

impl Cluster {
    /// Draws ids for a cluster of so many nodes.
    pub fn draw(random: &mut SplitMix64, nodes: usize) -> Cluster {
        let mut voters = std::collections::BTreeSet::new();
        while voters.len() < nodes {
            voters.insert(NodeId(random.random_range(1..1_000)));
        }
        Cluster { id: ClusterId(random.random()), membership: Membership { voters } }
    }

    /// The nodes' ids.
    pub fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.membership.voters.iter().copied()
    }
}

/// A node, running or not.
pub struct Node<M> {
    /// Its name in traces.
    pub id: NodeId,
    disk: SimulatedDisk,
    /// Rises with each start.
    run: u32,
    /// What its disk owes.
    promises: Promises,
    /// What became durable since somebody asked.
    change: promises::Change,
    /// What its log was given, if its disk is to be damaged.
    ledger: Option<Ledger>,
    /// The newest that it ever had.
    boot: Boot,
    /// How much faster its clock runs, out of 10,000.
    drift: u32,
    /// Time that passed while its clock stood still.
    behind: u64,
    paused: Option<Pause>,
    /// It goes on after a pause that began when its clock showed this.
    woken: Option<u64>,
    /// Its disk was told to fail.
    disk_fails: bool,
    /// Something was written that had waited for room.
    waited_for_room: bool,
    /// Its syncs take long until then.
    gray_until: u64,
    /// How far its wall clock was set forward or back, microseconds.
    wall: i64,
    up: Option<Up<M>>,
}

/// A node that takes no turns.
struct Pause {
    /// What its clock showed when this began.
    began: u64,
    /// Its clock stands still since then.
    frozen: Option<u64>,
    /// What arrives is lost.
    deaf: bool,
}

/// What a crash takes away.
struct Up<M> {
    boot: Boot,
    server: Server<Witness<M>>,
    gate: Gate,
    rounds: storage::Rounds<SimulatedDisk>,
    keeper: Keeper<SimulatedDisk>,
    /// What it is to do for snapshots, in turn.
    tasks: VecDeque<Task>,
    /// A step of that is due.
    keeping: bool,
    /// The newest boot of each peer that came through the gate.
    heard: BTreeMap<NodeId, Boot>,
    mailbox: Vec<Event>,
    /// What its clock showed when the last of these came.
    newest: u64,
    /// What became of its connections and it has not looked at.
    changes: VecDeque<Change>,
    /// Gathered for a turn that has not looked at the clock yet.
    gathered: Option<Vec<Event>>,
    /// What a turn left to be done, and the node did not get to.
    undone: VecDeque<Effect>,
    queued: VecDeque<Job>,
    /// The first of these waits for room on the disk.
    stalled: bool,
    syncing: bool,
    /// The sync is over, and the node did not get to that.
    sync_waits: bool,
    /// When its next turn is, if one is due.
    turn_at: Option<u64>,
    waiting: BTreeMap<Token, usize>,
    next_token: u64,
    committed: LogIndex,
}

/// What a turn left to be done, and what it changed.
pub struct TurnEnd {
    /// Events taken.
    pub inputs: u64,
    /// Frames that may leave at once.
    pub sends: Vec<Parcel>,
    /// For the writer.
    pub jobs: Vec<Job>,
    /// For whoever keeps its snapshots.
    pub tasks: Vec<Task>,
    /// For clients.
    pub replies: Vec<(usize, Outcome)>,
    /// Why.
    pub decisions: Vec<Decision>,
    /// The node's role after it.
    pub role: Role,
    /// How often the node was started.
    pub run: u32,
    /// The node's commit index before it.
    pub committed_before: LogIndex,
}

impl<M: StateMachine> Node<M> {
    /// Whether it runs (it may be paused).
    pub fn is_up(&self) -> bool {
        self.up.is_some()
    }

    /// Its clock at this moment of the world's time.
    pub fn clock(&self, now: u64) -> u64 {
        let frozen = self.paused.as_ref().and_then(|pause| pause.frozen);
        let passed = frozen.unwrap_or(now) - self.behind;
        passed + passed * u64::from(self.drift) / 10_000
    }

    /// The world's time at which its clock shows `time`.
    fn world_time(&self, time: Time) -> u64 {
        self.behind + time.0.saturating_mul(10_000) / (10_000 + u64::from(self.drift))
    }

    fn moment(&self, now: u64) -> Moment {
        moment(self.clock(now), self.wall)
    }

    /// Loses all but its disk; the clients whose batches died with it.
    pub fn kill(&mut self) -> Vec<usize> {
        self.paused = None;
        self.woken = None;
        self.disk_fails = false;
        self.disk.heal();
        let Some(up) = self.up.take() else { return Vec::new() };
        let unanswered = up.undone.into_iter().filter_map(|effect| match effect {
            Effect::Reply(client, _) => Some(client),
            Effect::Send(_) | Effect::Queue(_) | Effect::Keep(_) => None,
        });
        up.waiting.into_values().chain(unanswered).collect()
    }

    /// Stops taking turns and syncing; what arrives waits, or is lost if it is deaf. Its clock stands
    /// still if it is frozen.
    pub fn pause(&mut self, now: u64, frozen: bool, deaf: bool) {
        if self.is_up() && self.paused.is_none() {
            let began = self.clock(now);
            self.paused = Some(Pause { began, frozen: frozen.then_some(now), deaf });
        }
    }

    /// Goes on; false if it was not paused.
    pub fn resume(&mut self, now: u64) -> bool {
        let Some(pause) = self.paused.take() else { return false };
        self.behind += pause.frozen.map_or(0, |frozen| now - frozen);
        self.woken = Some(pause.began);
        true
    }

    /// What it has not got to, because it stands still or ends.
    pub fn leave_undone(&mut self, effects: VecDeque<Effect>) {
        if let Some(up) = &mut self.up {
            up.undone = effects;
        }
    }

    /// What it has not got to before it stood still.
    pub fn take_undone(&mut self) -> VecDeque<Effect> {
        self.up.as_mut().map(|up| std::mem::take(&mut up.undone)).unwrap_or_default()
    }

    /// Somebody sets its wall clock, by up to an hour.
    pub fn set_wall(&mut self, random: &mut SplitMix64) {
        self.wall = random.random_range(-3_600_000_000..3_600_000_000);
    }

    /// A frame arrives; false if nobody is there or the gate refused it. It must refuse what is
    /// `corrupt`, and what comes of an earlier boot of its sender than it has let in before.
    pub fn take_frame(&mut self, now: u64, frame: &[u8], corrupt: bool) -> Result<bool, Violation> {
        if self.paused.as_ref().is_some_and(|pause| pause.deaf) {
            return Ok(false);
        }
        let clock = self.clock(now);
        let Some(up) = &mut self.up else { return Ok(false) };
        let refused = up.gate.refused().total();
        let Some((from, boot, envelopes)) = up.gate.admit(&Bytes::copy_from_slice(frame)) else {
            return match up.gate.refused().total() - refused {
                1 => Ok(false),
                _ => Err(format!("gate: {} refused a frame and did not count it", self.id)),
            };
        };
        if corrupt {
            return Err(format!("gate: {} let a frame in that was changed on its way", self.id));
        }
        let newest = up.heard.entry(from).or_insert(boot);
        if boot < *newest {
            return Err(format!("gate: {} let {from}'s boot {boot} in after {newest}", self.id));
        }
        *newest = boot;
        up.newest = clock;
        up.mailbox.push(Event::Envelopes { from, boot, envelopes });
        Ok(true)
    }

    /// A client's batch arrives.
    pub fn take_batch(&mut self, client: usize, batch: Batch) {
        let Some(up) = &mut self.up else { return };
        up.newest = batch.arrived.0;
        let token = Token(up.next_token);
        up.next_token += 1;
        up.waiting.insert(token, client);
        up.mailbox.push(Event::Batch { token, batch });
    }

    /// Something became of one of this run's connections; false if that run is over.
    pub fn take_connection(&mut self, run: u32, change: Change) -> bool {
        let Some(up) = self.up.as_mut().filter(|_| run == self.run) else { return false };
        up.changes.push_back(change);
        true
    }

    /// Connections that it will find lost.
    pub fn lost(&self) -> impl Iterator<Item = NodeId> {
        let changes = self.up.iter().flat_map(|up| &up.changes);
        changes.filter_map(|change| match change {
            Change::Lost(peer) => Some(*peer),
            Change::Found(_) => None,
        })
    }

    /// Notes that a turn is wanted; the run it belongs to, unless an earlier one is due already.
    pub fn wants_turn(&mut self, at: u64) -> Option<u32> {
        let up = self.up.as_mut()?;
        if up.turn_at.is_some_and(|due| due <= at) {
            return None;
        }
        up.turn_at = Some(at);
        Some(self.run)
    }

    /// What has arrived since its last turn.
    pub fn mailbox(&self) -> &[Event] {
        self.up.as_ref().map_or(&[], |up| &up.mailbox)
    }

    /// What its next turn will take.
    pub fn coming(&self) -> &[Event] {
        let gathered = self.up.as_ref().and_then(|up| up.gathered.as_deref());
        gathered.unwrap_or_else(|| self.mailbox())
    }

    /// Whether the turn that this run wanted for now still is wanted.
    pub fn is_due(&self, run: u32, now: u64) -> bool {
        let wanted = self.up.as_ref().and_then(|up| up.turn_at);
        run == self.run && wanted == Some(now)
    }

    /// Gathers what has arrived for the next turn; what comes later is not in it. False if it stands
    /// still already.
    pub fn gather_early(&mut self) -> bool {
        let Some(up) = self.up.as_mut().filter(|_| self.paused.is_none()) else { return false };
        up.gathered = Some(std::mem::take(&mut up.mailbox));
        true
    }

    /// Takes a turn with all that has arrived; none while it is paused.
    pub fn turn(&mut self, now: u64) -> Result<Option<TurnEnd>, Violation> {
        let clock = self.clock(now);
        let (id, run) = (self.id, self.run);
        let Some(up) = &mut self.up else { return Ok(None) };
        up.turn_at = None;
        if self.paused.is_some() {
            return Ok(None);
        }
        let early = up.gathered.take();
        let inputs = early.as_ref().unwrap_or(&up.mailbox).len().max(1) as u64;
        let before = self.woken.take().unwrap_or(clock);
        let mut edges = SimulatedEdges {
            early,
            mailbox: &mut up.mailbox,
            changes: &mut up.changes,
            drained: false,
            gathered: false,
            before,
            after: clock,
            wall: self.wall,
            read: None,
        };
        turn::take(&mut up.server, &mut edges, &mut Vec::new())?;
        let read = edges.read.unwrap_or(0);
        up.server.apply();
        if read < up.newest {
            return Err(format!(
                "clock: {id} judges what came at {} as if it were {read}",
                up.newest
            ));
        }
        let outbox = up.server.outbox();
        let sends = outbox.sends.take();
        let jobs = std::mem::take(&mut outbox.jobs);
        let tasks = std::mem::take(&mut outbox.tasks);
        let decisions = std::mem::take(&mut outbox.decisions);
        let replies = std::mem::take(&mut outbox.replies)
            .into_iter()
            .filter_map(|(token, outcome)| Some((up.waiting.remove(&token)?, outcome)))
            .collect();
        let committed = up.server.replica().commit_index();
        let committed_before = std::mem::replace(&mut up.committed, committed);
        let role = up.server.state().role();
        Ok(Some(TurnEnd {
            inputs,
            sends,
            jobs,
            tasks,
            replies,
            decisions,
            role,
            run,
            committed_before,
        }))
    }

    /// When it wants a turn though nothing happens.
    pub fn deadline(&self) -> Option<u64> {
        let deadline = self.up.as_ref()?.server.deadline()?;
        Some(self.world_time(deadline) + 1)
    }

    /// Whether it leads, as it believes.
    pub fn leads(&self) -> bool {
        self.role() == Role::Leader
    }

    /// Its role; that in which a node starts if it does not run.
    pub fn role(&self) -> Role {
        self.up.as_ref().map_or(Role::Follower, |up| up.server.state().role())
    }

    /// Its server, if it runs.
    pub fn server(&self) -> Option<&Server<Witness<M>>> {
        self.up.as_ref().map(|up| &up.server)
    }

    /// What became durable since the last call.
    pub fn take_change(&mut self) -> promises::Change {
        std::mem::take(&mut self.change)
    }

    /// Files of its log.
    pub fn segments(&self) -> usize {
        let names = self.disk.list().unwrap_or_default();
        names.iter().filter(|name| name.ends_with(".log")).count()
    }

    /// Whether the first segment of its log is gone.
    pub fn has_dropped_segments(&self) -> bool {
        let names = self.disk.list().unwrap_or_default();
        !names.iter().any(|name| name.starts_with("0000000001-"))
    }

    /// How often it was started.
    pub fn run(&self) -> u32 {
        self.run
    }

    /// Whether it takes turns.
    pub fn is_awake(&self) -> bool {
        self.is_up() && self.paused.is_none()
    }

    /// Frames that its gate has refused since it was started.
    pub fn refused(&self) -> Refused {
        self.up.as_ref().map(|up| up.gate.refused()).unwrap_or_default()
    }

    /// Clients whose batches it has.
    pub fn waiting(&self) -> usize {
        self.up.as_ref().map_or(0, |up| up.waiting.len())
    }

    /// What its disk owes.
    pub fn promises(&self) -> &Promises {
        &self.promises
    }

    /// Its facts, if it runs.
    pub fn replica(&self) -> Option<&Replica> {
        self.up.as_ref().map(|up| up.server.replica())
    }

    /// These certainly never left.
    pub fn not_sent(&mut self, to: NodeId, envelopes: &[Envelope]) {
        if let Some(up) = &mut self.up {
            up.server.not_sent(to, envelopes);
        }
    }

    /// A frame as it leaves; what it promises must be durable by now.
    pub fn seal(
        &self,
        to: NodeId,
        lane: Lane,
        envelopes: &[Envelope],
    ) -> Result<Vec<u8>, Violation> {
        for envelope in envelopes {
            self.promises.on_sent(self.id, to, &envelope.content)?;
        }
        let up = self.up.as_ref().expect("only a node that runs sends");
        Ok(up.gate.seal(up.boot, to, lane, envelopes))
    }

    /// All that nodes must agree on when nothing happens any more, and all is on their disks.
    pub fn summary(&self) -> Option<(LogIndex, u64, LogIndex, u64)> {
        let server = self.server()?;
        let log = server.replica().log();
        let facts = (log.last().index, server.replica().term().0, server.applied());
        (log.durable() == facts.0 && facts.2 == facts.0)
            .then(|| (facts.0, facts.1, facts.2, server.machine().digest()))
    }

    /// A line about it.
    pub fn describe(&self) -> String {
        match &self.up {
            None => format!("{} is down", self.id),
            Some(up) => {
                let status = up.server.status();
                format!(
                    "{} {:?} term={} leader={:?} last={} durable={} commit={} applied={}{}",
                    self.id,
                    status.role,
                    status.term,
                    status.leader,
                    status.last,
                    status.durable,
                    status.commit_index,
                    status.applied_index,
                    if self.paused.is_some() { " paused" } else { "" }
                )
            }
        }
    }
}
