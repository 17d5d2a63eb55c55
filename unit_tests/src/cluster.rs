//! Some nodes, queues between them, and virtual time: messages arrive and writes are done when the
//! test says so. After each turn it checks what must hold of any cluster (paper, Figure 3). Must
//! never deliver what a test did not ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;
use messages::{Item, LogIndex, LogPosition, Message, NodeId, Term};
use states::{Config, Effects, Input, Micros, RequestId, Role, Time};

use crate::node::{Node, Outgoing};
use crate::{inputs, notation};

/// One message under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTransit {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's term when it made the message.
    pub term: Term,
    /// What it says.
    pub message: Message,
}

/// Nodes n1, n2, … and what is under way between them.
pub struct Cluster {
    /// Virtual time.
    pub now: Time,
    /// The nodes.
    pub nodes: BTreeMap<NodeId, Node>,
    /// Sent and not yet arrived, oldest first.
    pub queue: Vec<InTransit>,
    /// What was done since the trace was last taken.
    trace: String,
    /// Nodes whose messages are lost, both ways.
    cut: BTreeSet<NodeId>,
    crashed: BTreeSet<NodeId>,
    /// Inputs kept for one turn.
    held: BTreeMap<NodeId, Vec<Input>>,
    last_request: u64,
    leaders: BTreeMap<Term, NodeId>,
    committed: BTreeMap<u64, LogPosition>,
}

impl Cluster {
    /// `voters` nodes with empty disks and default settings.
    pub fn new(voters: u64) -> Cluster {
        Cluster::with(voters, Config::default())
    }

    /// `voters` nodes with empty disks.
    pub fn with(voters: u64, config: Config) -> Cluster {
        let now = Time(0);
        let nodes = (1..=voters)
            .map(|id| (NodeId(id), Node::start(id, voters, config.clone(), now).0))
            .collect();
        Cluster {
            now,
            nodes,
            queue: Vec::new(),
            trace: String::new(),
            cut: BTreeSet::new(),
            crashed: BTreeSet::new(),
            held: BTreeMap::new(),
            last_request: 0,
            leaders: BTreeMap::new(),
            committed: BTreeMap::new(),
        }
    }

    /// The node with this number.
    pub fn node(&self, id: u64) -> &Node {
        &self.nodes[&NodeId(id)]
    }

    /// What was done since the last call.
    pub fn take_trace(&mut self) -> String {
        std::mem::take(&mut self.trace)
    }

    /// Time passes, and nothing else happens.
    pub fn advance(&mut self, span: Micros) {
        self.now = self.now + span;
    }

    /// One input, one turn; or, if the node gathers inputs, it is kept for that turn.
    pub fn input(&mut self, id: u64, input: Input) -> Effects {
        if let Some(held) = self.held.get_mut(&NodeId(id)) {
            held.push(input);
            return Effects::default();
        }
        self.turn(id, vec![input])
    }

    /// From now on this node's inputs are gathered, until [`Cluster::end_turn`].
    pub fn begin_turn(&mut self, id: u64) {
        self.held.insert(NodeId(id), Vec::new());
    }

    /// All that was gathered happens in one turn.
    pub fn end_turn(&mut self, id: u64) -> Effects {
        let inputs = self.held.remove(&NodeId(id)).unwrap_or_default();
        self.turn(id, inputs)
    }

    /// Several inputs in one turn. Promises leave at once if no write is under way.
    pub fn turn(&mut self, id: u64, inputs: Vec<Input>) -> Effects {
        let node = self.nodes.get_mut(&NodeId(id)).expect("a node of this number");
        let was_writing = node.is_writing();
        for input in &inputs {
            let (term, role) = (node.term(), node.role());
            let _ = writeln!(self.trace, "n{id}@{term} {role} ← {}", notation::input(input));
        }
        let effects = node.turn(self.now, inputs);
        let waits = was_writing || effects.write.is_some();
        let term = self.node(id).term();
        self.trace.push_str(&notation::turn(NodeId(id), Term(term), &effects, waits));
        self.post(id, effects.sends.clone());
        if !waits && !effects.promises.is_empty() {
            let (_, promises) =
                self.nodes.get_mut(&NodeId(id)).expect("as above").write_one().expect("a job");
            self.post(id, promises);
        }
        self.check();
        effects
    }

    /// The node's deadline passes.
    pub fn timeout(&mut self, id: u64) -> Effects {
        let deadline = self.node(id).state.deadline().expect("a deadline");
        self.now = self.now.max(deadline);
        self.input(id, Input::Timeout)
    }

    /// A command of `bytes` bytes.
    pub fn propose(&mut self, id: u64, bytes: usize, only_in: Option<Term>) -> Effects {
        let items = vec![Item::Plain(Bytes::from(vec![b'x'; bytes]))];
        let request = self.next_request();
        self.input(id, Input::Propose { id: request, only_in, items })
    }

    /// An entry without commands.
    pub fn blank(&mut self, id: u64) -> Effects {
        let request = self.next_request();
        self.input(id, Input::Blank(request))
    }

    /// A linearizable read.
    pub fn read(&mut self, id: u64) -> Effects {
        let request = self.next_request();
        self.input(id, Input::Read(request))
    }

    /// A snapshot up to `index`, or as far as the node has committed, comes into its place.
    pub fn take_snapshot(&mut self, id: u64, index: Option<u64>) {
        let node = self.nodes.get_mut(&NodeId(id)).expect("a node of this number");
        let index = index.unwrap_or(node.commit());
        let meta = node.take_snapshot(LogIndex(index));
        self.input(id, Input::SnapshotTaken(meta));
    }

    /// What the servers do with a leader's snapshot: its parts arrive as far as they are wanted, and
    /// it is restored. The newest, or that up to `index`.
    pub fn transfer(&mut self, to: u64, from: u64, index: Option<u64>) {
        let sender = self.node(from);
        let meta = sender.snapshot(index).expect("a snapshot in place").clone();
        let term = sender.term();
        if self.input(to, inputs::part(from, term, meta.clone(), false)).receive.is_empty() {
            return;
        }
        if self.input(to, inputs::part(from, term, meta.clone(), true)).restore.is_some() {
            self.input(to, Input::SnapshotRestored(meta));
        }
    }

    fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// The disk does the oldest job: its promises leave, then the node learns of the write.
    pub fn write_one(&mut self, id: u64) -> Effects {
        let node = self.nodes.get_mut(&NodeId(id)).expect("a node of this number");
        let Some((write, promises)) = node.write_one() else { return Effects::default() };
        for (to, term, message) in &promises {
            let to = notation::node(*to);
            let _ = writeln!(self.trace, "n{id}@{term} → {to} {}", notation::message(message));
        }
        self.post(id, promises);
        write.map_or_else(Effects::default, |write| self.input(id, Input::Written(write)))
    }

    /// The disk does all that it was given up to now.
    pub fn write_all(&mut self, id: u64) {
        let mut jobs = self.nodes[&NodeId(id)].is_writing();
        while jobs {
            self.write_one(id);
            jobs = self.nodes[&NodeId(id)].is_writing();
        }
    }

    /// The queued messages between these two arrive, in order; those that they cause do not.
    pub fn deliver(&mut self, from: Option<u64>, to: Option<u64>) {
        let is_meant = |message: &InTransit| {
            from.is_none_or(|from| message.from.0 == from) && to.is_none_or(|to| message.to.0 == to)
        };
        let (meant, others) = std::mem::take(&mut self.queue).into_iter().partition(is_meant);
        self.queue = others;
        let arriving: Vec<InTransit> = meant;
        for InTransit { from, to, term, message } in arriving {
            if self.nodes.contains_key(&to) && !self.crashed.contains(&to) {
                self.input(to.0, Input::Message { from, term, message });
            }
        }
    }

    /// The queued messages between these two are lost.
    pub fn lose(&mut self, from: Option<u64>, to: Option<u64>) -> usize {
        let before = self.queue.len();
        self.queue.retain(|message| {
            from.is_some_and(|from| message.from.0 != from)
                || to.is_some_and(|to| message.to.0 != to)
        });
        before - self.queue.len()
    }

    /// Messages arrive and writes are done until nothing is under way. No time passes.
    pub fn settle(&mut self) {
        for _ in 0..1000 {
            self.deliver(None, None);
            let ids: Vec<u64> = self.nodes.keys().map(|id| id.0).collect();
            ids.iter().for_each(|id| self.write_all(*id));
            if self.queue.is_empty() && self.nodes.values().all(|node| !node.is_writing()) {
                return;
            }
        }
        panic!("messages multiply: nothing settles");
    }

    /// Elects this node by ordinary means: its timeout, votes, and its blank entry committed.
    pub fn elect(&mut self, id: u64) {
        self.timeout(id);
        self.settle();
        assert_eq!(self.node(id).role(), Role::Leader, "n{id} was not elected:\n{}", self.trace);
    }

    /// From now on messages from and to this node are lost.
    pub fn cut(&mut self, id: u64) {
        self.cut.insert(NodeId(id));
        self.queue.retain(|message| message.from.0 != id && message.to.0 != id);
    }

    /// All nodes reach each other again.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// The node stops; what was not durable is forgotten.
    pub fn crash(&mut self, id: u64) {
        self.crashed.insert(NodeId(id));
        self.queue.retain(|message| message.to.0 != id);
        let node = self.nodes.remove(&NodeId(id)).expect("a node of this number");
        let (node, _) = node.restart(self.now);
        self.nodes.insert(NodeId(id), node);
    }

    /// The node starts from what its disk holds.
    pub fn restart(&mut self, id: u64) {
        self.crash(id);
        self.crashed.remove(&NodeId(id));
    }

    fn post(&mut self, from: u64, messages: Vec<Outgoing>) {
        let from = NodeId(from);
        for (to, term, message) in messages {
            if !self.cut.contains(&from) && !self.cut.contains(&to) {
                self.queue.push(InTransit { from, to, term, message });
            }
        }
    }

    /// Figure 3: Election Safety, Log Matching, and of Leader Completeness and State Machine Safety
    /// what can be seen from outside: what is committed somewhere stays, everywhere the same.
    fn check(&mut self) {
        for (id, node) in &self.nodes {
            if node.role() == Role::Leader {
                let leader = *self.leaders.entry(node.replica.term()).or_insert(*id);
                assert_eq!(leader, *id, "two leaders in term {}", node.term());
            }
            let log = node.log();
            let base = Some(node.replica.log().base()).filter(|base| *base != LogPosition::ZERO);
            let committed = log.iter().filter(|position| position.index.0 <= node.commit());
            for position in base.iter().chain(committed) {
                let index = position.index.0;
                let committed = *self.committed.entry(index).or_insert(*position);
                assert_eq!(committed, *position, "n{id} commits another entry at {index}");
            }
        }
    }
}
