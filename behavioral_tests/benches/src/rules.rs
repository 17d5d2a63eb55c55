//! Three state objects on one thread: whatever one sends is the others' next input, and what it
//! writes is durable at once. Must never skip what a server does for the rules: one turn takes all
//! that waits, and messages go in frames if asked to.

use messages::{Boot, ClusterId, Content, GroupId, Item, LogIndex, Membership, NodeId};
use servers::gate::Gate;
use servers::outbox::Parcels;
use states::{
    Config, Effects, HardState, Input, Log, Micros, Replica, RequestId, Role, State, Time, Turn,
    WallTime,
};

use crate::samples;

const NODES: u64 = 3;

/// How messages go from one node to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passing {
    /// As values.
    Values,
    /// Spelt into frames, sealed, admitted at the other's gate and read again.
    Frames,
}

/// Three nodes, of which the first leads.
pub struct Trio {
    nodes: Vec<Node>,
    now: Time,
    passing: Passing,
    requests: u64,
}

struct Node {
    id: NodeId,
    state: Option<State>,
    replica: Replica,
    gate: Gate,
    inbox: Vec<Input>,
}

impl Trio {
    /// Three nodes with empty logs; the first is elected.
    pub fn elected(passing: Passing) -> Trio {
        let nodes = (1..=NODES).map(|id| Node::new(NodeId(id))).collect();
        let mut trio = Trio { nodes, now: Time(0), passing, requests: 0 };
        let first = trio.nodes[0].state.as_ref().expect("a state between turns");
        trio.now = first.deadline().expect("a voter stands some time");
        trio.nodes[0].inbox.push(Input::Timeout);
        trio.run();
        let first = trio.nodes[0].state.as_ref().expect("a state between turns");
        assert_eq!(first.role(), Role::Leader, "nobody else stands");
        trio
    }

    /// Proposes so many entries of so many commands each in one turn of the leader, and goes on
    /// until nobody has anything to say: then the leader knows that they are committed, and the
    /// followers will with the next append.
    pub fn commit(&mut self, entries: usize, commands: usize) {
        for _ in 0..entries {
            self.requests += 1;
            let items = (0..commands).map(|_| Item::Plain(samples::command())).collect();
            let id = RequestId(self.requests);
            self.nodes[0].inbox.push(Input::Propose { id, only_in: None, items });
        }
        self.run();
    }

    /// One heartbeat, by which the followers learn what is committed. All of the log is then, on
    /// all.
    pub fn settle(&mut self) {
        self.now = self.now + Micros(100_000);
        self.nodes[0].inbox.push(Input::Timeout);
        self.run();
        let last = self.nodes[0].replica.log().last().index;
        assert!(last > LogIndex(self.requests), "an entry for each proposal, and a blank one");
        assert!(self.nodes.iter().all(|node| node.replica.commit_index() == last), "on all");
    }

    /// Turns until nothing waits.
    fn run(&mut self) {
        while let Some(place) = self.nodes.iter().position(|node| !node.inbox.is_empty()) {
            for place in place..self.nodes.len() {
                if !self.nodes[place].inbox.is_empty() {
                    self.turn(place);
                }
            }
        }
    }

    fn turn(&mut self, place: usize) {
        let node = &mut self.nodes[place];
        let from = node.id;
        let Effects { sends, write, promises, .. } = node.turn(self.now);
        node.inbox.extend(write.map(|write| Input::Written(write.id)));
        match self.passing {
            Passing::Values => {
                for (to, term, message) in sends.into_iter().chain(promises) {
                    let inbox = &mut self.nodes[place_of(to)].inbox;
                    inbox.push(Input::Message { from, term, message });
                }
            }
            Passing::Frames => {
                for messages in [sends, promises] {
                    let mut parcels = Parcels::default();
                    for (to, term, message) in messages {
                        parcels.add(to, GroupId(0), Content::Raft { term, message });
                    }
                    self.post(place, parcels);
                }
            }
        }
    }

    fn post(&mut self, place: usize, mut parcels: Parcels) {
        for (to, lane, envelopes) in parcels.take() {
            let frame = self.nodes[place].gate.seal(Boot(1), to, lane, &envelopes);
            let receiver = &mut self.nodes[place_of(to)];
            let (from, _, envelopes) = receiver.gate.admit(&frame.into()).expect("a frame of ours");
            for envelope in envelopes {
                let Content::Raft { term, message } = envelope.content else { continue };
                receiver.inbox.push(Input::Message { from, term, message });
            }
        }
    }
}

impl Node {
    fn new(id: NodeId) -> Node {
        let membership = Membership { voters: (1..=NODES).map(NodeId).collect() };
        let (config, hard_state) = (Config::default(), HardState::default());
        let log = Log::default();
        let mut replica = Replica::recovered(id, membership, config, id.0, hard_state, None, log);
        let state = State::new(&mut replica, &mut Turn::new(Time(0), WallTime(0)));
        let gate = Gate::new(ClusterId(1), id);
        Node { id, state: Some(state), replica, gate, inbox: Vec::new() }
    }

    fn turn(&mut self, now: Time) -> Effects {
        let mut turn = Turn::new(now, WallTime(now.0));
        let mut state = self.state.take().expect("a state between turns");
        for input in self.inbox.drain(..) {
            state = state.step(&mut self.replica, &mut turn, input);
        }
        state.finish(&mut self.replica, &mut turn);
        self.state = Some(state);
        turn.effects
    }
}

fn place_of(id: NodeId) -> usize {
    (id.0 - 1) as usize
}
