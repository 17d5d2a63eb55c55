//! What can happen to a small world, and which of it may happen next. Must never leave out what the
//! bounds allow, but by the two arguments written out here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use messages::{Message, NodeId, Term};
use states::{Micros, Role};

use crate::settings::{Operation, PreVotes, Setting};
use crate::world::World;

/// One message under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parcel {
    /// The sender.
    pub from: NodeId,
    /// The receiver.
    pub to: NodeId,
    /// The sender's term when it made the message.
    pub term: Term,
    /// What it says.
    pub message: Message,
    digest: u64,
}

impl Parcel {
    pub(crate) fn new(from: NodeId, to: NodeId, term: Term, message: Message) -> Parcel {
        let mut hasher = DefaultHasher::new();
        (from, to, term, &message).hash(&mut hasher);
        Parcel { from, to, term, message, digest: hasher.finish() }
    }

    /// Equal for equal messages.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The node's clock shows its deadline, or later, and it is told.
    Timeout(NodeId),
    /// An election timeout passes on the node's clock, and it is not told yet.
    Lapse(NodeId),
    /// The node's time is out, and a pre-vote with `asked` succeeds, with nothing between.
    Stand {
        /// Who stands.
        node: NodeId,
        /// Who would vote for it.
        asked: NodeId,
    },
    /// A message arrives.
    Deliver(Arc<Parcel>),
    /// A message arrives, and will arrive again.
    Repeat(Arc<Parcel>),
    /// The node's disk does its oldest job: promises leave, then the node learns of the write.
    Write(NodeId),
    /// The node forgets what is not durable, and starts again.
    Crash(NodeId),
    /// The node loses its connection to a peer, and nothing else is wrong.
    Lose {
        /// Who is told so.
        node: NodeId,
        /// Whose connection it was.
        peer: NodeId,
    },
    /// A client's next request reaches a leader.
    Request {
        /// Which of the setting's clients.
        client: usize,
        /// Whom it asks.
        node: NodeId,
    },
}

/// All that may happen next, in an order that is always the same.
pub(crate) fn possible(setting: &Setting, world: &World, actions: &mut Vec<Action>) {
    if world.broken().is_some() {
        return;
    }
    for parcel in world.network() {
        actions.push(Action::Deliver(Arc::clone(parcel)));
        if world.used().repeats < setting.bounds.repeats {
            actions.push(Action::Repeat(Arc::clone(parcel)));
        }
    }
    for node in world.nodes() {
        let id = node.id();
        if node.is_writing() {
            actions.push(Action::Write(id));
        }
        if world.used().crashes < setting.bounds.crashes {
            actions.push(Action::Crash(id));
        }
        time_passes(setting, world, id, actions);
    }
    if world.used().losses < setting.bounds.losses {
        let lost = |(node, peer): &(u64, u64)| (NodeId(*node), NodeId(*peer));
        let losses = setting.shaky.iter().map(lost);
        actions.extend(losses.map(|(node, peer)| Action::Lose { node, peer }));
    }
    requests(setting, world, actions);
    actions.retain(|action| !is_mirrored(world, action));
}

fn time_passes(setting: &Setting, world: &World, id: NodeId, actions: &mut Vec<Action>) {
    let node = world.node(id);
    let limit = setting.bounds.clock(id);
    let may_stand = node.term().0 < setting.bounds.terms;
    if setting.pre_votes == PreVotes::AtOnce {
        if may_stand && node.state().deadline().is_some() {
            let others = world.nodes().iter().map(|other| other.id()).filter(|other| *other != id);
            actions.extend(others.map(|asked| Action::Stand { node: id, asked }));
        }
        return;
    }
    let stands = node.role() != Role::Leader || setting.election == Micros(0);
    let deadline = node.state().deadline().map(|deadline| deadline.max(node.clock()));
    if deadline.is_some_and(|at| at.0 <= limit) && (may_stand || !stands) {
        actions.push(Action::Timeout(id));
    }
    if setting.election > Micros(0) && (node.clock() + setting.election).0 <= limit {
        actions.push(Action::Lapse(id));
    }
}

/// Each client asks once at a time, a node that leads; of clients that want the same, the first
/// goes first: which of them it is makes no difference to anyone.
fn requests(setting: &Setting, world: &World, actions: &mut Vec<Action>) {
    for (client, operations) in setting.clients.iter().enumerate() {
        let wants: Option<&Operation> = world.next_operation(setting, client);
        let twin_waits = setting.clients[..client]
            .iter()
            .enumerate()
            .any(|(twin, theirs)| theirs == operations && world.has_not_begun(twin));
        if wants.is_none() || twin_waits {
            continue;
        }
        let leaders = world.nodes().iter().filter(|node| node.leads());
        actions.extend(leaders.map(|node| Action::Request { client, node: node.id() }));
    }
}

/// Nodes to which nothing has happened yet are alike but for their names, and whatever was sent to
/// one was sent to all of them. So of several such nodes only the first need be the next to which
/// something happens: all else is the same story with the names exchanged. (A setting with a prelude
/// has no such nodes.)
fn is_mirrored(world: &World, action: &Action) -> bool {
    let fresh = players(action).filter(|id| id.0 > world.touched());
    fresh.zip(world.touched() + 1..).any(|(id, first)| id.0 != first)
}

/// The nodes to which an action happens; they are, from then on, not alike.
pub(crate) fn players(action: &Action) -> impl Iterator<Item = NodeId> {
    let (player, other) = match action {
        Action::Timeout(node) | Action::Lapse(node) | Action::Write(node) | Action::Crash(node) => {
            (*node, None)
        }
        Action::Lose { node, .. } | Action::Request { node, .. } => (*node, None),
        Action::Deliver(parcel) | Action::Repeat(parcel) => (parcel.to, None),
        Action::Stand { node, asked } => (*node, Some(*asked)),
    };
    std::iter::once(player).chain(other)
}
