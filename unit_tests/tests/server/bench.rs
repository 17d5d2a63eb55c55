//! A few servers on a bench: virtual time, a network that does as it is told, disks that are done at
//! once unless a test turns one server by hand.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use messages::{
    Boot, Content, Entry, Envelope, Forward, ForwardOutcome, ForwardReply, GroupId, Heartbeat,
    LogIndex, LogTime, Membership, Message, NodeId, Operation, Round, Term,
};
use servers::host::{Batch, Outcome, Token};
use servers::machine::{Applied, Pieces, StateMachine, Unreadable, one_piece};
use servers::outbox::{Job, Parcel};
use servers::server::{Event, Server, Settings};
use servers::sessions::Sessions;
use states::{Config, HardState, Log, Micros, Replica, Role, Time, WallTime, WriteId};

/// Long enough after zero that something can have happened before.
const START_MILLIS: u64 = 10_000;

/// Remembers all commands; answers a command with its number, a query with how many there were. The
/// command `alarm 500` is due 500 ms later, and then removed, two by an entry; the query `alarms`
/// asks how many are left.
#[derive(Default)]
pub struct History(Vec<String>, BTreeSet<(LogTime, usize)>);

impl StateMachine for History {
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>) {
        let text = String::from_utf8(command.to_vec()).unwrap();
        if let Some(millis) = text.strip_prefix("alarm ") {
            let due = at.time.0 + millis.parse::<u64>().unwrap() * 1_000;
            self.1.insert((LogTime(due), self.0.len()));
        }
        self.0.push(text);
        reply.extend_from_slice(command);
        reply.extend_from_slice(format!("#{}", self.0.len()).as_bytes());
    }

    fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        let count = if query == b"alarms" { self.1.len() } else { self.0.len() };
        reply.extend_from_slice(query);
        reply.extend_from_slice(format!("={count}").as_bytes());
    }

    fn advance(&mut self, at: Applied) {
        for _ in 0..2 {
            if self.next_due().is_some_and(|due| due <= at.time) {
                self.1.pop_first();
            }
        }
    }

    fn next_due(&self) -> Option<LogTime> {
        self.1.first().map(|(due, _)| *due)
    }

    fn is_due(&self, query: &[u8], now: LogTime) -> bool {
        query == b"alarms" && self.next_due().is_some_and(|due| due <= now)
    }

    fn fresh(&self) -> History {
        History::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece(self.0.join("\n").into_bytes())
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let text = std::str::from_utf8(piece).map_err(|_| Unreadable("text"))?;
        self.0 = text.lines().map(str::to_owned).collect();
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.0.len() as u64
    }
}

pub fn command(text: &str) -> Operation {
    Operation::Command(Bytes::copy_from_slice(text.as_bytes()))
}

pub fn query(text: &str) -> Operation {
    Operation::Query(Bytes::copy_from_slice(text.as_bytes()))
}

struct Node {
    server: Server<History>,
    boot: Boot,
    running: bool,
    inbox: Vec<Event>,
    jobs: Vec<Job>,
    /// What its disk holds.
    hard_state: HardState,
    entries: Vec<Entry>,
    last_turn: (Vec<Parcel>, Vec<Job>),
}

pub struct Bench {
    nodes: BTreeMap<u64, Node>,
    now: Time,
    settings: Settings,
    seed: u64,
    next_token: u64,
    outcomes: BTreeMap<Token, Vec<Outcome>>,
    cut: BTreeSet<(u64, u64)>,
    holding: BTreeSet<(u64, u64)>,
    held: Vec<(u64, Event)>,
    refusing: BTreeSet<(u64, u64)>,
    duplicating: bool,
    forwards_to_lose: usize,
    forwards: Vec<Forward>,
    forward_replies: Vec<(u64, ForwardOutcome)>,
}

impl Bench {
    /// `count` nodes, 1 to `count`; node 1 will be the first to stand for election.
    pub fn new(count: u64) -> Bench {
        Bench::with_settings(count, Settings::default())
    }

    /// Node 1 leads and everybody knows it.
    pub fn elected(count: u64) -> Bench {
        let mut bench = Bench::new(count);
        bench.elect();
        bench
    }

    pub fn with_budget(count: u64, apply_budget: usize) -> Bench {
        let mut bench =
            Bench::with_settings(count, Settings { apply_budget, ..Settings::default() });
        bench.elect();
        bench
    }

    pub fn with_waiting_bytes(count: u64, waiting_bytes: usize) -> Bench {
        let mut bench =
            Bench::with_settings(count, Settings { waiting_bytes, ..Settings::default() });
        bench.elect();
        bench
    }

    fn with_settings(count: u64, settings: Settings) -> Bench {
        (0..)
            .map(|seed| Bench::seeded(count, settings.clone(), seed))
            .find(Bench::one_first)
            .unwrap()
    }

    fn seeded(count: u64, settings: Settings, seed: u64) -> Bench {
        let mut bench = Bench {
            nodes: BTreeMap::new(),
            now: Time(START_MILLIS * 1_000),
            settings,
            seed,
            next_token: 1,
            outcomes: BTreeMap::new(),
            cut: BTreeSet::new(),
            holding: BTreeSet::new(),
            held: Vec::new(),
            refusing: BTreeSet::new(),
            duplicating: false,
            forwards_to_lose: 0,
            forwards: Vec::new(),
            forward_replies: Vec::new(),
        };
        for id in 1..=count {
            let boot = Boot(1 << 32);
            let (hard_state, entries) = (HardState::default(), Vec::new());
            let server = bench.start(id, count, boot, hard_state, entries.clone());
            let node = Node {
                server,
                boot,
                running: true,
                inbox: Vec::new(),
                jobs: Vec::new(),
                hard_state,
                entries,
                last_turn: Default::default(),
            };
            bench.nodes.insert(id, node);
        }
        bench
    }

    fn start(
        &self,
        id: u64,
        count: u64,
        boot: Boot,
        hard_state: HardState,
        entries: Vec<Entry>,
    ) -> Server<History> {
        let membership = Membership { voters: (1..=count).map(NodeId).collect() };
        let seed = self.seed * 100 + id + boot.0;
        let config = Config::default();
        let log = Log::recovered(entries);
        let replica =
            Replica::recovered(NodeId(id), membership, config, seed, hard_state, None, log);
        let settings = Settings { boot, ..self.settings.clone() };
        Server::new(
            settings,
            replica,
            (History::default(), Sessions::default()),
            0,
            self.now,
            self.wall(),
        )
    }

    /// Whether node 1 will stand well before the others.
    fn one_first(&self) -> bool {
        let due = |id: &u64| self.nodes[id].server.deadline().unwrap();
        self.nodes.keys().skip(1).all(|other| due(&1) + Micros(20_000) < due(other))
    }

    fn elect(&mut self) {
        self.run_for(600);
        for node in self.nodes.values() {
            assert_eq!(node.server.leadership().leader, Some(NodeId(1)), "node 1 leads");
        }
        self.forwards.clear();
    }

    fn wall(&self) -> WallTime {
        WallTime(1_700_000_000_000_000 + self.now.0)
    }

    // What clients do.

    pub fn submit(&mut self, at: u64, operations: Vec<Operation>) -> Token {
        let arrived = self.now;
        self.submit_batch(at, Batch { arrived, operations, stale: false })
    }

    pub fn submit_stale(&mut self, at: u64, operations: Vec<Operation>) -> Token {
        let arrived = self.now;
        self.submit_batch(at, Batch { arrived, operations, stale: true })
    }

    pub fn submit_arrived(&mut self, at: u64, millis: u64, operations: Vec<Operation>) -> Token {
        let arrived = Time(millis * 1_000);
        self.submit_batch(at, Batch { arrived, operations, stale: false })
    }

    fn submit_batch(&mut self, at: u64, batch: Batch) -> Token {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.nodes.get_mut(&at).unwrap().inbox.push(Event::Batch { token, batch });
        token
    }

    pub fn outcome(&self, token: Token) -> Option<&Outcome> {
        self.outcomes.get(&token).and_then(|outcomes| outcomes.first())
    }

    pub fn replies_to(&self, token: Token) -> usize {
        self.outcomes.get(&token).map_or(0, Vec::len)
    }

    // What time, disks and servers do.

    /// Runs until nothing happens any more within the next `millis` milliseconds.
    pub fn run_for(&mut self, millis: u64) {
        let end = self.now + Micros(millis * 1_000);
        loop {
            self.settle();
            let deadlines = self.nodes.values().filter(|node| node.running);
            let next = deadlines.filter_map(|node| node.server.deadline()).min();
            match next {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
    }

    fn settle(&mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for round in 0.. {
            assert!(round < 10_000, "the servers never come to rest");
            let mut quiet = true;
            for id in &ids {
                let node = &self.nodes[id];
                let due = node.server.deadline().is_some_and(|deadline| deadline <= self.now);
                if node.running && (due || !node.inbox.is_empty() || !node.jobs.is_empty()) {
                    quiet = false;
                    self.turn(*id);
                    self.complete_writes(*id);
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// One turn of one server, with all that has come for it.
    pub fn turn(&mut self, id: u64) {
        let (now, wall) = (self.now, self.wall());
        let node = self.nodes.get_mut(&id).unwrap();
        let events = std::mem::take(&mut node.inbox);
        node.server.receive(now, wall, events);
        node.server.apply();
        let outbox = node.server.outbox();
        let sends = outbox.sends.take();
        let jobs = std::mem::take(&mut outbox.jobs);
        let replies = std::mem::take(&mut outbox.replies);
        outbox.decisions.clear();
        node.last_turn = (sends.clone(), jobs.clone());
        node.jobs.extend(jobs);
        for (token, outcome) in replies {
            self.outcomes.entry(token).or_default().push(outcome);
        }
        for parcel in sends {
            self.send(id, parcel);
        }
    }

    /// The disk of a server has done all it was given.
    pub fn complete_writes(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        let mut written: Option<WriteId> = None;
        let mut promises = Vec::new();
        for job in std::mem::take(&mut node.jobs) {
            if let Some(write) = job.write {
                node.hard_state = write.hard_state;
                if let Some(first) = write.entries.first() {
                    node.entries.truncate(first.position.index.0 as usize - 1);
                    node.entries.extend(write.entries);
                }
                written = Some(write.id);
            }
            promises.extend(job.promises);
        }
        node.inbox.extend(written.map(Event::Written));
        for parcel in promises {
            self.send(id, parcel);
        }
    }

    pub fn pass_time(&mut self, millis: u64) {
        self.now = self.now + Micros(millis * 1_000);
    }

    pub fn now_millis(&self) -> u64 {
        self.now.0 / 1_000
    }

    /// The process is gone.
    pub fn stop(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.running = false;
        node.inbox.clear();
        node.jobs.clear();
    }

    /// The process is killed and started again with what its disk holds.
    pub fn restart(&mut self, id: u64) {
        self.stop(id);
        let count = self.nodes.len() as u64;
        let node = &self.nodes[&id];
        let (boot, hard_state) = (node.boot.next(17), node.hard_state);
        let server = self.start(id, count, boot, hard_state, node.entries.clone());
        let node = self.nodes.get_mut(&id).unwrap();
        (node.server, node.boot, node.running) = (server, boot, true);
    }

    pub fn server(&self, id: u64) -> &Server<History> {
        &self.nodes[&id].server
    }

    pub fn server_mut(&mut self, id: u64) -> &mut Server<History> {
        &mut self.nodes.get_mut(&id).unwrap().server
    }

    /// The commands applied on a node.
    pub fn history(&self, id: u64) -> Vec<String> {
        self.server(id).machine().0.clone()
    }

    pub fn leader_among(&self, ids: &[u64]) -> Option<u64> {
        ids.iter().copied().find(|id| self.server(*id).leadership().role == Role::Leader)
    }

    /// What the last turn of a server left in its outbox.
    pub fn last_turn(&self, id: u64) -> &(Vec<Parcel>, Vec<Job>) {
        &self.nodes[&id].last_turn
    }

    // What the network does.

    fn send(&mut self, from: u64, (to, _, mut envelopes): Parcel) {
        let to = to.0;
        for envelope in &envelopes {
            match &envelope.content {
                Content::Forward(forward) => self.forwards.push(forward.clone()),
                Content::ForwardReply(reply) => {
                    self.forward_replies.push((reply.number, reply.outcome.clone()));
                }
                Content::Raft { .. } | Content::SnapshotPart(_) | Content::SnapshotPartReply(_) => {
                }
            }
        }
        if self.refusing.contains(&(from, to)) {
            self.server_mut(from).not_sent(NodeId(to), &envelopes);
            return;
        }
        if self.forwards_to_lose > 0 {
            let before = envelopes.len();
            envelopes.retain(|envelope| !matches!(envelope.content, Content::Forward(_)));
            self.forwards_to_lose -= before - envelopes.len();
        }
        if self.holding.contains(&(from, to)) {
            let boot = self.nodes[&from].boot;
            self.held.push((to, Event::Envelopes { from: NodeId(from), boot, envelopes }));
        } else if !self.cut.contains(&(from, to)) {
            if self.duplicating {
                self.deliver(from, to, envelopes.clone());
            }
            self.deliver(from, to, envelopes);
        }
    }

    /// Puts a frame into a server's hands. The sender need not exist.
    pub fn deliver(&mut self, from: u64, to: u64, envelopes: Vec<Envelope>) {
        let boot = self.nodes.get(&from).map_or(Boot(1), |node| node.boot);
        let Some(node) = self.nodes.get_mut(&to).filter(|node| node.running) else { return };
        node.inbox.push(Event::Envelopes { from: NodeId(from), boot, envelopes });
    }

    pub fn deliver_forward(
        &mut self,
        from: u64,
        to: u64,
        number: u64,
        only_in: Term,
        operations: Vec<Operation>,
    ) {
        let content = Content::Forward(Forward { number, only_in, operations });
        self.deliver(from, to, vec![Envelope { group: GroupId(0), content }]);
    }

    /// The sender leads that term, it says.
    pub fn deliver_heartbeat(&mut self, from: u64, to: u64, term: Term) {
        let heartbeat = Heartbeat { round: Round(1), commit: LogIndex(0) };
        let content = Content::Raft { term, message: Message::Heartbeat(heartbeat) };
        self.deliver(from, to, vec![Envelope { group: GroupId(0), content }]);
    }

    pub fn deliver_reply(&mut self, from: u64, to: u64, number: u64, outcome: ForwardOutcome) {
        let content = Content::ForwardReply(ForwardReply { number, outcome });
        self.deliver(from, to, vec![Envelope { group: GroupId(0), content }]);
    }

    /// Frames this way are lost.
    pub fn cut(&mut self, from: u64, to: u64) {
        self.cut.insert((from, to));
    }

    /// Frames this way wait until the network is healed.
    pub fn hold(&mut self, from: u64, to: u64) {
        self.holding.insert((from, to));
    }

    pub fn isolate(&mut self, id: u64) {
        for other in self.nodes.keys().copied().filter(|other| *other != id) {
            self.cut.extend([(id, other), (other, id)]);
        }
    }

    /// All frames pass again; those that were held arrive.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.holding.clear();
        for (to, event) in std::mem::take(&mut self.held) {
            self.nodes.get_mut(&to).unwrap().inbox.push(event);
        }
    }

    /// The transport drops frames this way and says so.
    pub fn refuse_to_send(&mut self, from: u64, to: u64) {
        self.refusing.insert((from, to));
    }

    pub fn send_again(&mut self, from: u64, to: u64) {
        self.refusing.remove(&(from, to));
    }

    /// From now on every frame arrives twice.
    pub fn duplicate_frames(&mut self) {
        self.duplicating = true;
    }

    pub fn lose_next_forward(&mut self) {
        self.forwards_to_lose = 1;
    }

    pub fn lose_forwards(&mut self) {
        self.forwards_to_lose = usize::MAX;
    }

    /// Copies handed to the network since the election.
    pub fn forwards_sent(&self) -> usize {
        self.forwards.len()
    }

    pub fn last_forward(&self) -> (Forward, u64) {
        let forward = self.forwards.last().expect("a copy was handed out").clone();
        let number = forward.number;
        (forward, number)
    }

    /// Answers to copies handed to the network.
    pub fn forward_replies(&self) -> Vec<(u64, ForwardOutcome)> {
        self.forward_replies.clone()
    }
}
