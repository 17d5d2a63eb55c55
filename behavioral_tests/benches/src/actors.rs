//! Three servers on one thread, with the store, the codec and the log over files in memory: all that
//! a write costs but sockets, threads and the disk itself. Must never hand a server anything in
//! another order than a driver does.

use messages::Operation;
use raft::store::Store;
use servers::founding;
use servers::gate::Gate;
use servers::host::{Batch, Outcome, Token};
use servers::outbox::Parcel;
use servers::server::{Event, Server, Settings};
use servers::storage::{self, Options, Rounds};
use servers::turn::{self, Started};
use states::{Config, Role, Time, WallTime};

use crate::memory_disk::MemoryDisk;
use crate::samples;

const NAMES: [&str; 3] = ["n1", "n2", "n3"];

/// Three servers, of which the first leads.
pub struct Servers {
    nodes: Vec<Node>,
    now: Time,
    keys: u64,
}

struct Node {
    server: Server<Store>,
    gate: Gate,
    boot: messages::Boot,
    disk: Rounds<MemoryDisk>,
    events: Vec<Event>,
    /// Batches that were done.
    done: usize,
}

impl Servers {
    /// Three servers with empty stores; the first is elected.
    pub fn elected() -> Servers {
        let nodes = NAMES.iter().zip(1..).map(|(name, seed)| Node::new(name, seed)).collect();
        let mut servers = Servers { nodes, now: Time(0), keys: 0 };
        servers.now = servers.nodes[0].server.deadline().expect("a voter stands some time");
        servers.turn(0);
        servers.run();
        assert_eq!(servers.nodes[0].server.state().role(), Role::Leader, "nobody else stands");
        servers
    }

    /// So many clients send one `SET` each, in one turn of the leader; goes on until all have their
    /// replies and nobody has anything to say.
    pub fn set(&mut self, clients: usize) {
        let before = self.nodes[0].done;
        for client in 0..clients {
            self.keys += 1;
            let operations = vec![Operation::Command(samples::set(self.keys % 10_000))];
            let batch = Batch { arrived: self.now, operations, stale: false };
            self.nodes[0].events.push(Event::Batch { token: Token(client as u64), batch });
        }
        self.run();
        assert_eq!(self.nodes[0].done - before, clients, "all have their replies");
    }

    fn run(&mut self) {
        while let Some(place) = self.nodes.iter().position(Node::has_work) {
            for place in place..self.nodes.len() {
                if self.nodes[place].has_work() {
                    self.turn(place);
                }
            }
        }
    }

    /// One turn as `servers::run` takes it, and then the disk's.
    fn turn(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        node.server.receive(self.now, WallTime(self.now.0), node.events.drain(..));
        let outbox = node.server.outbox();
        let (sends, jobs) = (outbox.sends.take(), std::mem::take(&mut outbox.jobs));
        for (_, outcome) in outbox.replies.drain(..) {
            assert!(matches!(outcome, Outcome::Done { .. }), "nothing is refused: {outcome:?}");
            node.done += 1;
        }
        outbox.decisions.clear();
        self.post(place, &sends);
        if jobs.is_empty() {
            return;
        }
        let node = &mut self.nodes[place];
        for job in jobs {
            assert_eq!(node.disk.stage(job).expect("memory does not fail"), None, "there is room");
        }
        let done = node.disk.sync().expect("memory does not fail");
        node.events.extend(done.written.map(Event::Written));
        self.post(place, &done.promises);
    }

    fn post(&mut self, place: usize, parcels: &[Parcel]) {
        for (to, lane, envelopes) in parcels {
            let sender = &self.nodes[place];
            let frame = sender.gate.seal(sender.boot, *to, *lane, envelopes);
            let is_receiver = |node: &&mut Node| node.server.replica().id == *to;
            let receiver = self.nodes.iter_mut().find(is_receiver).expect("one of the three");
            let (from, boot, envelopes) =
                receiver.gate.admit(&frame.into()).expect("a frame of ours");
            receiver.events.push(Event::Envelopes { from, boot, envelopes });
        }
    }
}

impl Node {
    fn new(name: &str, seed: u64) -> Node {
        let identity = founding::by_names(&NAMES.map(str::to_owned), name);
        let mut disk = MemoryDisk::default();
        let options = Options::default();
        founding::found(&mut disk, &identity, &options, seed).expect("memory does not fail");
        let opened = storage::open(disk, &identity.expected(), &options, seed)
            .expect("memory does not fail");
        let moment = (Time(0), WallTime(0));
        let settings = Settings::default();
        let started = turn::start(opened, settings, Config::default(), seed, Store::new(), moment);
        let Started { server, gate, boot, wal, .. } = started.expect("an empty folder");
        Node { server, gate, boot, disk: Rounds::new(wal), events: Vec::new(), done: 0 }
    }

    fn has_work(&self) -> bool {
        !self.events.is_empty() || self.server.has_more()
    }
}
