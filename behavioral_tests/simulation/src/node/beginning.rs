//! How a simulated node begins: founded once, started again and again on what its disk holds. Must
//! never start on anything else.

use std::collections::{BTreeMap, VecDeque};

use messages::{Boot, Entry, LogPosition, NodeId};
use servers::founding;
use servers::machine::StateMachine;
use servers::server::Settings;
use servers::storage::{self, Expected, Identity, OpenError, Options};
use servers::turn::{self, Started};
use states::random::SplitMix64;
use states::{Config, Micros};

use super::{Cluster, Node, Up};
use crate::checks::Violation;
use crate::damage::{Trial, Verdict};
use crate::disk::SimulatedDisk;
use crate::ledger::Ledger;
use crate::promises::{Change, Promises};
use crate::trouble::{Kind, Trouble};
use crate::witness::Witness;

/// Small segments, so that runs cross many of them.
const OPTIONS: Options = Options { first_segment: 16 << 10, segment: 64 << 10 };

/// How a start went.
#[derive(Debug)]
pub enum Beginning {
    /// It runs; perhaps a tail of its log had to go, perhaps a snapshot was there.
    Started { cut: bool, snapshot: bool },
    /// Its disk, which was told to fail, did.
    Failed(String),
}

fn config(trouble: &Trouble) -> Config {
    Config {
        heartbeat: Micros(trouble.election / 6),
        election: Micros(trouble.election),
        append_bytes: trouble.append_bytes,
        window_messages: trouble.window,
        uncommitted_bytes: trouble.waiting_bytes,
        kept_bytes: trouble.kept_bytes,
        pinned_bytes: trouble.pinned_bytes,
        ..Config::default()
    }
}

impl<M: StateMachine> Node<M> {
    /// A node whose folder was just founded.
    pub fn found(cluster: &Cluster, trouble: &Trouble, id: NodeId, drift: u32) -> Node<M> {
        let mut disk = SimulatedDisk::new();
        let members = cluster.ids().map(|id| (id, id.to_string())).collect();
        let identity = Identity { cluster: cluster.id, node: id, members };
        founding::found(&mut disk, &identity, &OPTIONS, id.0).expect("a healthy disk");
        let watched = trouble.damage > 0;
        if watched {
            disk.watch();
        }
        Node {
            id,
            disk,
            run: 0,
            promises: Promises::default(),
            change: Change::default(),
            ledger: watched.then(Ledger::default),
            boot: Boot(0),
            drift,
            behind: 0,
            paused: None,
            woken: None,
            disk_fails: false,
            waited_for_room: false,
            gray_until: 0,
            wall: 0,
            up: None,
        }
    }

    /// Starts on what its disk holds.
    pub fn start(
        &mut self,
        cluster: &Cluster,
        trouble: &Trouble,
        machine: M,
        seed: u64,
        now: u64,
    ) -> Result<Beginning, Violation> {
        self.run += 1;
        let expected = self.expected(cluster);
        let opened = match storage::open(self.disk.clone(), &expected, &OPTIONS, seed) {
            Ok(opened) => opened,
            Err(OpenError::Io(error)) if self.disk_fails() => {
                self.disk.heal();
                self.disk_fails = false;
                return Ok(Beginning::Failed(error.to_string()));
            }
            Err(error) => return Err(format!("node {} cannot start: {error}", self.id)),
        };
        self.disk.heal();
        self.disk_fails = false;
        let recovered = &opened.recovered;
        self.change = self.promises.on_recovered(self.id, recovered)?;
        if let Some(ledger) = &mut self.ledger {
            ledger.on_recovered(recovered.hard_state, &recovered.entries);
            self.disk.take_writes();
        }
        if opened.boot <= self.boot {
            return Err(format!("boot: {} starts as {} after {}", self.id, opened.boot, self.boot));
        }
        self.boot = opened.boot;
        if !recovered.lost.is_empty() {
            return Err(format!("storage: {} lost {:?}", self.id, recovered.lost));
        }
        let (cut, snapshot) = (recovered.cut.is_some(), recovered.snapshot.is_some());
        let settings = Settings {
            apply_budget: trouble.apply_budget,
            sessions: trouble.session_limits,
            waiting_bytes: trouble.waiting_bytes,
            snapshot_bytes: trouble.snapshot_bytes,
            snapshot_rate: trouble.snapshot_rate,
            snapshot_part: trouble.snapshot_part,
            ..Settings::default()
        };
        let machine = Witness::new(machine);
        let moment = self.moment(now);
        let started = turn::start(opened, settings, config(trouble), seed, machine, moment);
        let Started { server, gate, boot, wal, .. } =
            started.map_err(|error| format!("node {} cannot start: {error}", self.id))?;
        let committed = server.replica().commit_index();
        self.up = Some(Up {
            boot,
            server,
            gate,
            keeper: wal.keeper(),
            tasks: VecDeque::new(),
            keeping: false,
            rounds: storage::Rounds::new(wal),
            heard: BTreeMap::new(),
            mailbox: Vec::new(),
            newest: 0,
            changes: VecDeque::new(),
            gathered: None,
            undone: VecDeque::new(),
            queued: VecDeque::new(),
            stalled: false,
            syncing: false,
            sync_waits: false,
            turn_at: None,
            waiting: BTreeMap::new(),
            next_token: 0,
            committed,
        });
        Ok(Beginning::Started { cut, snapshot })
    }

    /// What its disk holds when it is read, as a start would; this must be what it owes.
    pub fn read_back(&self, cluster: &Cluster) -> Result<(LogPosition, Vec<Entry>), Violation> {
        let recovered = storage::open(self.disk.fork(), &self.expected(cluster), &OPTIONS, 1)
            .map_err(|error| format!("storage: the disk of {} at rest: {error}", self.id))?
            .recovered;
        if !self.promises.is_kept_by(&recovered) {
            return Err(format!("storage: the disk of {} does not hold what it owes", self.id));
        }
        let base = recovered.snapshot.map_or(LogPosition::ZERO, |meta| meta.position);
        Ok((base, recovered.entries))
    }

    fn expected(&self, cluster: &Cluster) -> Expected {
        Expected { cluster: cluster.id, name: self.id.to_string() }
    }

    /// How it would start on a copy of its disk with such damage.
    pub fn try_damage(
        &self,
        cluster: &Cluster,
        kind: Kind,
        random: &mut SplitMix64,
    ) -> Result<Option<Verdict>, Violation> {
        let Some(ledger) = &self.ledger else { return Ok(None) };
        let expected = &self.expected(cluster);
        let (disk, newest) = (&self.disk, self.boot);
        let trial = Trial { disk, ledger, newest, expected, options: &OPTIONS };
        trial.run(kind, random).map_err(|what| format!("{what}, on {}", self.id))
    }
}
