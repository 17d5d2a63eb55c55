//! One server that leads itself, whose snapshots are written when a test says so.
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

use bytes::Bytes;
use messages::{Boot, LogIndex, LogPosition, Membership, NodeId, Operation};
use servers::host::{Batch, Outcome, Token};
use servers::server::{Event, Server, Settings};
use servers::sessions::Sessions;
use servers::snapshots::{Task, Told};
use servers::storage::keeper::{Keeper, Kept, Taken, Whole};
use simulation::SimulatedDisk;
use states::{Config, HardState, Log, Micros, Replica, Role, Time, WallTime};
use unit_tests::counter::Counter;

use crate::keeping::{OWNER, part, snapshot_of};

/// The only node of its cluster.
pub struct Alone {
    pub server: Server<Counter>,
    keeper: Keeper<SimulatedDisk>,
    now: Time,
    events: Vec<Event>,
    tasks: Vec<Task>,
    token: u64,
}

impl Alone {
    /// It leads, and has applied its blank entry. Its own snapshots are due after so many bytes.
    pub fn with_snapshot_bytes(snapshot_bytes: u64) -> Alone {
        let mut node = Alone::started(Settings { snapshot_bytes, ..Settings::default() });
        while node.server.leadership().role != Role::Leader || node.server.applied() == LogIndex(0)
        {
            node.now = node.server.deadline().map_or(node.now, |due| node.now.max(due));
            node.turn();
        }
        node
    }

    /// Before its first turn.
    pub fn started(settings: Settings) -> Alone {
        let membership = Membership { voters: [NodeId(1)].into() };
        let log = Log::recovered(Vec::new());
        let pinned_bytes = usize::try_from(4 * settings.snapshot_bytes).expect("a small number");
        let config = Config { pinned_bytes, ..Config::default() };
        let hard_state = HardState::default();
        let replica = Replica::recovered(NodeId(1), membership, config, 1, hard_state, None, log);
        let settings = Settings { boot: Boot(1 << 32), ..settings };
        let fresh = (Counter::default(), Sessions::default());
        let now = Time(10_000_000);
        Alone {
            server: Server::new(settings, replica, fresh, 0, now, WallTime(now.0)),
            keeper: Keeper::new(SimulatedDisk::new(), OWNER.cluster),
            now,
            events: Vec::new(),
            tasks: Vec::new(),
            token: 0,
        }
    }

    /// One turn; the log's disk is done at once.
    pub fn turn(&mut self) {
        let events = std::mem::take(&mut self.events);
        self.server.receive(self.now, WallTime(self.now.0), events);
        self.server.apply();
        let outbox = self.server.outbox();
        let jobs = std::mem::take(&mut outbox.jobs);
        self.tasks.append(&mut outbox.tasks);
        for (_, outcome) in outbox.replies.drain(..) {
            assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
        }
        let written = jobs.into_iter().filter_map(|job| Some(Event::Written(job.write?.id)));
        self.events.extend(written);
    }

    /// So many commands of about 200 bytes, each an entry.
    pub fn apply(&mut self, count: u64) {
        for _ in 0..count {
            self.token += 1;
            let operations = vec![Operation::Command(Bytes::from(vec![b'x'; 200]))];
            let batch = Batch { arrived: self.now, operations, stale: false };
            self.events.push(Event::Batch { token: Token(self.token), batch });
            self.now = self.now + Micros(1_000);
            self.turn();
            self.turn(); // the log is durable
        }
    }

    /// Up to where the server has asked for a snapshot since the last question; its writing begins.
    pub fn taken(&mut self) -> Option<LogPosition> {
        let task = self.tasks.drain(..).next()?;
        let Task::Take { meta, pieces } = task else { panic!("nothing else is to be done") };
        assert!(!self.keeper.is_taking(), "one at a time");
        self.keeper.take(&meta, pieces).expect("a healthy disk");
        Some(meta.position)
    }

    /// The snapshot under writing is whole.
    pub fn write_out(&mut self) -> Whole {
        loop {
            if let Some(whole) = self.keeper.go_on().expect("a healthy disk").and_then(Taken::whole)
            {
                self.tell(Told::Taken(Taken::Whole(whole.clone())));
                return whole;
            }
        }
    }

    /// A snapshot of another node's that came whole.
    pub fn received(&mut self, position: LogPosition) -> Whole {
        let file = snapshot_of(OWNER.cluster, position, vec![vec![1; 8]]);
        let part = part(&file, position, 0, file.len());
        let stored = self.keeper.store(NodeId(2), &part).expect("a healthy disk");
        stored.whole.expect("all of it")
    }

    /// It is in place.
    pub fn kept(&mut self, whole: Whole) {
        self.tell(Told::Kept(Kept { whole, obsolete: Vec::new() }));
    }

    fn tell(&mut self, told: Told) {
        self.events.push(Event::Told(told));
        self.turn();
    }
}
