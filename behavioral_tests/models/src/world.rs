//! A small world between two actions: nodes, what is under way between them, what clients wait for,
//! and what an observer of all this remembers. Compared and hashed by digests, so that a state costs
//! little; nodes and messages are shared between states. Must never forget what a later check needs.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use messages::{Entry, LogPosition, NodeId, Term};
use stateright::semantics::LinearizabilityTester;
use stateright::semantics::register::Register;
use states::Micros;

use crate::action::{Action, Parcel};
use crate::checks::Rule;
use crate::node::Node;
use crate::settings::{Operation, Setting};

/// One state of a small world.
#[derive(Clone)]
pub struct World {
    pub(crate) nodes: Vec<Arc<Node>>,
    /// A set, in the order of digests: the same message sent twice arrives once.
    pub(crate) network: Vec<Arc<Parcel>>,
    pub(crate) clients: Vec<Client>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) used: Used,
    /// Nodes to which something has happened: n1 to n`touched`.
    pub(crate) touched: u64,
    pub(crate) broken: Option<Arc<Broken>>,
    /// How this state was first reached. Tells no two states apart.
    pub(crate) path: Option<Arc<Step>>,
}

/// The last action on the way to a state.
pub(crate) struct Step {
    pub action: Action,
    pub before: Option<Arc<Step>>,
}

/// How much of the bounds is used.
#[derive(Clone, Copy, Debug, Default, Hash)]
pub(crate) struct Used {
    pub crashes: u8,
    pub repeats: u8,
    pub losses: u8,
}

/// One client: asks for one thing at a time.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Client {
    /// How many of its operations it has asked for.
    pub begun: usize,
    pub waiting: Option<Waiting>,
}

/// What a client waits for.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Waiting {
    pub node: NodeId,
    pub operation: Operation,
    /// What was committed anywhere when it asked.
    pub floor: u64,
    /// Where its entry stands, once it is told.
    pub appended: Option<LogPosition>,
}

/// A rule that does not hold.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
}

/// What an observer of the whole world remembers, to judge what comes later.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    /// Who led each term.
    pub leaders: BTreeMap<Term, NodeId>,
    /// For whom each node voted in a promise that left it.
    pub votes: BTreeMap<(NodeId, Term), NodeId>,
    /// What leaders have committed, each with the term of the leader that first did.
    pub committed: Vec<(Entry, Term)>,
    /// Votes that were not durable when their node crashed. Only a mark looks at it, so it tells no
    /// two states apart.
    pub lost_votes: BTreeMap<NodeId, Term>,
    /// What clients saw of the register; none if nobody asks.
    pub history: Option<LinearizabilityTester<usize, Register<u8>>>,
}

impl World {
    pub(crate) fn start(setting: &Setting) -> World {
        assert!(setting.election <= Micros(2), "timeouts have one value to draw");
        let node = |id| Arc::new(Node::start(NodeId(id), setting.voters, setting.config()));
        let history = setting.judges_clients.then(|| LinearizabilityTester::new(Register(0)));
        World {
            nodes: (1..=setting.voters).map(node).collect(),
            network: Vec::new(),
            clients: vec![Client::default(); setting.clients.len()],
            memory: Arc::new(Memory { history, ..Memory::default() }),
            used: Used::default(),
            touched: 0,
            broken: None,
            path: None,
        }
    }

    /// The first rule that was broken; after that nothing more happens.
    pub fn broken(&self) -> Option<&Broken> {
        self.broken.as_deref()
    }

    pub(crate) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    pub(crate) fn node(&self, id: NodeId) -> &Arc<Node> {
        &self.nodes[id.0 as usize - 1]
    }

    pub(crate) fn network(&self) -> &[Arc<Parcel>] {
        &self.network
    }

    pub(crate) fn used(&self) -> Used {
        self.used
    }

    pub(crate) fn touched(&self) -> u64 {
        self.touched
    }

    /// What the client asks for next, if it does not wait.
    pub(crate) fn next_operation<'a>(
        &self,
        setting: &'a Setting,
        client: usize,
    ) -> Option<&'a Operation> {
        let now = &self.clients[client];
        if now.waiting.is_some() {
            return None;
        }
        setting.clients[client].get(now.begun)
    }

    pub(crate) fn has_not_begun(&self, client: usize) -> bool {
        self.clients[client].begun == 0
    }

    pub(crate) fn put(&mut self, node: Node) {
        let place = node.id().0 as usize - 1;
        self.nodes[place] = Arc::new(node);
    }

    /// Puts a message under way, unless its like already is.
    pub(crate) fn post(&mut self, parcel: Parcel) {
        let place = self.network.binary_search_by_key(&parcel.digest(), |other| other.digest());
        if let Err(place) = place {
            self.network.insert(place, Arc::new(parcel));
        }
    }

    /// Equal for states that only the way to them tells apart.
    fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.nodes.iter().for_each(|node| node.digest().hash(&mut hasher));
        self.network.iter().for_each(|parcel| parcel.digest().hash(&mut hasher));
        let Memory { leaders, votes, committed, lost_votes: _, history } = &*self.memory;
        (self.network.len(), &self.clients, self.used, self.touched).hash(&mut hasher);
        (leaders, votes, committed, history).hash(&mut hasher);
        self.broken.is_some().hash(&mut hasher);
        hasher.finish()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.digest().hash(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &World) -> bool {
        self.digest() == other.digest()
    }
}

/// The actions on the way to a state.
pub(crate) fn actions(mut step: Option<&Arc<Step>>) -> Vec<Action> {
    let mut actions = Vec::new();
    while let Some(last) = step {
        actions.push(last.action.clone());
        step = last.before.as_ref();
    }
    actions.reverse();
    actions
}
