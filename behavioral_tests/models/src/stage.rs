//! Carries out one action: inputs into the production rules, and what a server does with their
//! effects. Must never do with an effect what a server would not.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use messages::{Item, LogIndex, Message, NodeId};
use stateright::semantics::ConsistencyTester;
use stateright::semantics::register::{RegisterOp, RegisterRet};
use states::{Answer, Decision, Effects, Input, RequestId, Role};

use crate::action::{Action, Parcel, players};
use crate::checks::Rule;
use crate::marks::{Mark, Met};
use crate::node::{Node, Outgoing};
use crate::settings::{DiskPace, Operation, Setting};
use crate::world::{Broken, Step, Waiting, World};
use crate::{checks, notation, script};

/// A world while one action happens to it.
pub(crate) struct Stage<'a> {
    pub setting: &'a Setting,
    pub met: &'a Met,
    pub world: World,
    /// What happens, in the notation of the golden scripts; none if nobody reads it.
    pub trace: Option<String>,
}

/// The world after this action; none if it is the same as before.
pub(crate) fn act(setting: &Setting, met: &Met, before: &World, action: &Action) -> Option<World> {
    let mut stage = Stage::new(setting, met, before.clone());
    stage.perform(before, action).then_some(stage.world)
}

impl<'a> Stage<'a> {
    pub(crate) fn new(setting: &'a Setting, met: &'a Met, world: World) -> Stage<'a> {
        Stage { setting, met, world, trace: None }
    }

    /// Carries an action out in the world, which was `before`; says whether anything came of it.
    pub(crate) fn perform(&mut self, before: &World, action: &Action) -> bool {
        let done = match action {
            Action::Timeout(id) => self.time_out(*id),
            Action::Lapse(id) => {
                let span = self.setting.election.0;
                self.remark(|| format!("{span} µs pass on n{id}'s clock"));
                let node = self.world.node(*id);
                let node = node.at(node.clock() + self.setting.election);
                self.world.put(node);
                true
            }
            Action::Stand { node, asked } => self.stand(*node, *asked),
            Action::Deliver(parcel) => self.deliver(parcel),
            Action::Repeat(parcel) => {
                let arrived = self.deliver(parcel);
                self.world.post(Parcel::clone(parcel));
                self.world.used.repeats += 1;
                arrived
            }
            Action::Write(id) => self.write_one(*id),
            Action::Crash(id) => self.crash(*id),
            Action::Lose { node, peer } => {
                self.say(|| format!("lost n{node} peer=n{peer}"));
                self.input(*node, Input::PeerLost(*peer));
                self.world.used.losses += 1;
                true
            }
            Action::Request { client, node } => self.request(*client, *node),
        };
        if self.setting.loses_stale {
            let nodes = &self.world.nodes;
            self.world.network.retain(|parcel| {
                parcel.term >= nodes[parcel.to.0 as usize - 1].disk().hard_state.term
            });
        }
        let is_new = done && !same(before, &self.world);
        if is_new {
            let players = players(action).map(|id| id.0).max().unwrap_or(0);
            self.world.touched = self.world.touched.max(players);
            let step = Step { action: action.clone(), before: before.path.clone() };
            self.world.path = Some(Arc::new(step));
            checks::world(self, before);
        }
        is_new
    }

    /// Notes a rule that does not hold; the first one stays.
    pub(crate) fn breaks(&mut self, rule: Rule, what: String) {
        self.world.broken.get_or_insert_with(|| Arc::new(Broken { rule, what }));
    }

    fn time_out(&mut self, id: NodeId) -> bool {
        let node = self.world.node(id);
        let Some(deadline) = node.state().deadline() else { return false };
        let clock = deadline.max(node.clock());
        let node = node.at(clock);
        self.world.put(node);
        self.say(|| format!("timeout n{id}"));
        self.input(id, Input::Timeout);
        true
    }

    /// Timeouts until the node asks for pre-votes, and one other node's answer to it: all that is
    /// under way of the others' is lost.
    fn stand(&mut self, id: NodeId, asked: NodeId) -> bool {
        self.time_out(id);
        if self.world.node(id).role() == Role::Follower {
            self.time_out(id); // it led, and heard no quorum
        }
        let is_pre_vote = |parcel: &Parcel| {
            matches!(parcel.message, Message::PreVote(_) | Message::PreVoteReply(_))
        };
        for (from, to) in [(id, asked), (asked, id)] {
            let sent = |parcel: &&Arc<Parcel>| {
                is_pre_vote(parcel) && parcel.from == from && parcel.to == to
            };
            let Some(parcel) = self.world.network.iter().find(sent).cloned() else { return false };
            self.deliver(&parcel);
        }
        self.world.network.retain(|parcel| !is_pre_vote(parcel));
        matches!(self.world.node(id).role(), Role::Candidate | Role::Leader)
    }

    pub(crate) fn deliver(&mut self, parcel: &Arc<Parcel>) -> bool {
        self.world.network.retain(|other| other != parcel);
        self.say(|| script::arrival(parcel));
        let Parcel { from, to, term, message, .. } = Parcel::clone(parcel);
        let (digest, under_way) = (self.world.node(to).digest(), self.world.network.len());
        self.input(to, Input::Message { from, term, message });
        self.world.node(to).digest() != digest
            || self.world.network.len() > under_way
            || self.world.broken.is_some()
    }

    /// One input, one turn.
    pub(crate) fn input(&mut self, id: NodeId, input: Input) {
        let before = Arc::clone(self.world.node(id));
        if let Some(trace) = &mut self.trace {
            let (term, role) = (before.term(), before.role());
            let _ = writeln!(trace, "n{id}@{term} {role} ← {}", notation::input(&input));
        }
        let (node, effects, waits) = before.turn(input);
        if let Some(trace) = &mut self.trace {
            trace.push_str(&notation::turn(id, node.term(), &effects, waits));
        }
        self.world.put(node);
        checks::turn(self, &before, &effects);
        self.note(id, &effects);
        self.post(id, &effects.sends);
        if !waits {
            self.release(id, &effects.promises);
        }
        for (request, answer) in &effects.answers {
            self.answered(*request, answer);
        }
        self.finish_requests(id);
        while self.setting.disk == DiskPace::Prompt && self.world.node(id).is_writing() {
            self.write_one(id);
        }
    }

    /// The oldest job is durable: its promises leave, then the node is told.
    pub(crate) fn write_one(&mut self, id: NodeId) -> bool {
        let Some((node, job)) = self.world.node(id).write_one() else { return false };
        self.world.put(node);
        self.say(|| format!("write n{id} jobs=1"));
        if let Some(trace) = &mut self.trace {
            for (to, term, message) in &job.promises {
                let _ = writeln!(trace, "n{id}@{term} → n{to} {}", notation::message(message));
            }
        }
        self.release(id, &job.promises);
        if let Some(write) = job.write {
            self.input(id, Input::Written(write.id));
        }
        true
    }

    fn crash(&mut self, id: NodeId) -> bool {
        let node = Arc::clone(self.world.node(id));
        let hard_state = node.replica().hard_state();
        if node.is_writing() {
            self.met.add(Mark::CrashLost);
        }
        if hard_state.voted_for.is_some() && hard_state != node.disk().hard_state {
            let memory = Arc::make_mut(&mut self.world.memory);
            memory.lost_votes.insert(id, hard_state.term);
        }
        self.say(|| format!("restart n{id}"));
        self.world.put(node.restart());
        self.world.used.crashes += 1;
        true
    }

    /// Messages leave; what the setting loses is lost.
    fn post(&mut self, from: NodeId, messages: &[Outgoing]) {
        for (to, term, message) in messages {
            let is_lost = self.setting.lost_links.contains(&(from.0, to.0))
                || (self.setting.loses)(*term, message);
            if !is_lost {
                self.world.post(Parcel::new(from, *to, *term, message.clone()));
            }
        }
    }

    /// Promises leave: what they rest on must be on the disk.
    fn release(&mut self, id: NodeId, promises: &[Outgoing]) {
        for promise in promises {
            checks::promise(self, id, promise);
        }
        self.post(id, promises);
    }

    fn note(&mut self, id: NodeId, effects: &Effects) {
        for decision in &effects.decisions {
            match decision {
                Decision::Became(Role::Leader, _) => self.met.add(Mark::Elected),
                Decision::Became(Role::Candidate, term) | Decision::VoteGranted(_, term) => {
                    if self.world.memory.lost_votes.get(&id) == Some(term) {
                        self.met.add(Mark::VoteLostAndRepeated);
                    }
                }
                Decision::VoteRefused(_, states::Refusal::HearsLeader) => {
                    self.met.add(Mark::HeardLeader);
                }
                Decision::Suspects(_) => self.met.add(Mark::Suspected),
                Decision::HeardAgain(_) => self.met.add(Mark::HeardAgain),
                Decision::LostQuorum => self.met.add(Mark::LostQuorum),
                Decision::Truncated(_) => self.met.add(Mark::Truncated),
                Decision::Mismatched(..) => self.met.add(Mark::Mismatched),
                Decision::Became(..)
                | Decision::NewTerm(_)
                | Decision::VoteRefused(..)
                | Decision::ElectionFailed(_)
                | Decision::MadeWay(_)
                | Decision::Probing(_)
                | Decision::NeedsSnapshot(_)
                | Decision::SnapshotFailed(_)
                | Decision::Unpinned(_)
                | Decision::Snapshotted(..)
                | Decision::Installed(_)
                | Decision::NoSpace
                | Decision::StrangerIgnored(_)
                | Decision::Impossible(..) => {}
            }
        }
    }
}

/// Clients.
impl Stage<'_> {
    fn request(&mut self, client: usize, id: NodeId) -> bool {
        let Some(operation) = self.world.next_operation(self.setting, client).copied() else {
            return false;
        };
        let floor = self.world.memory.committed.len() as u64;
        let now = &mut self.world.clients[client];
        now.begun += 1;
        if self.setting.judges_clients {
            now.waiting = Some(Waiting { node: id, operation, floor, appended: None });
            let asked = match operation {
                Operation::Write(value) => RegisterOp::Write(value),
                Operation::Read => RegisterOp::Read,
            };
            let memory = Arc::make_mut(&mut self.world.memory);
            let history = memory.history.as_mut().expect("a history");
            history.on_invoke(client, asked).expect("one operation at a time");
        }
        let request = RequestId(client as u64);
        let bytes = self.setting.command_bytes;
        match operation {
            Operation::Read => {
                self.say(|| format!("read n{id}"));
                self.input(id, Input::Read(request));
            }
            Operation::Write(value) => {
                self.say(|| format!("propose n{id} bytes={bytes}"));
                // A command that sets the register: its first byte is the value.
                let items = vec![Item::Plain(Bytes::from(vec![value; bytes]))];
                self.input(id, Input::Propose { id: request, only_in: None, items });
            }
        }
        true
    }

    fn answered(&mut self, request: RequestId, answer: &Answer) {
        let client = request.0 as usize;
        let Some(waiting) = self.world.clients.get(client).and_then(|now| now.waiting.clone())
        else {
            return;
        };
        match answer {
            Answer::Appended(position) => {
                let appended = Some(*position);
                self.world.clients[client].waiting = Some(Waiting { appended, ..waiting });
            }
            Answer::ReadAt(index) => self.read_at(client, &waiting, *index),
            // It never happened, or its outcome stays unknown: no return either way.
            Answer::NotLeader | Answer::Busy | Answer::Full => {
                if waiting.operation == Operation::Read {
                    self.met.add(Mark::ReadRefused);
                }
            }
        }
    }

    /// The read runs on the leader's machine, once that has applied the log up to `index`.
    fn read_at(&mut self, client: usize, waiting: &Waiting, index: LogIndex) {
        self.met.add(Mark::ReadAnswered);
        let node = Arc::clone(self.world.node(waiting.node));
        if index.0 < waiting.floor {
            let floor = waiting.floor;
            let what = format!("n{} reads at {index}; committed before: {floor}", node.id());
            self.breaks(Rule::FreshReads, what);
        }
        if index.0 > node.commit() {
            let what = format!("n{} reads at {index}, which it has not committed", node.id());
            self.breaks(Rule::FreshReads, what);
        }
        self.returns(client, RegisterRet::ReadOk(register(&node)));
    }

    /// Writes whose place is committed on the node that took them: done, if the entry is theirs.
    fn finish_requests(&mut self, id: NodeId) {
        let node = Arc::clone(self.world.node(id));
        for client in 0..self.world.clients.len() {
            let Some(waiting) = &self.world.clients[client].waiting else { continue };
            let Some(position) = waiting.appended else { continue };
            let is_applied = waiting.node == id && node.commit() >= position.index.0;
            if is_applied && node.replica().log().holds(position) {
                self.returns(client, RegisterRet::WriteOk);
            }
        }
    }

    fn returns(&mut self, client: usize, returned: RegisterRet<u8>) {
        self.world.clients[client].waiting = None;
        let memory = Arc::make_mut(&mut self.world.memory);
        let history = memory.history.as_mut().expect("a history");
        let what = format!("client {client} gets {returned:?}");
        history.on_return(client, returned).expect("an operation under way");
        if !history.is_consistent() {
            self.breaks(Rule::Linearizability, what);
        }
    }
}

/// The register as this node's machine has it: the last command that it has applied.
fn register(node: &Node) -> u8 {
    let applied = &node.log()[..node.commit() as usize];
    applied.iter().rev().find_map(checks::value).unwrap_or(0)
}

/// Whether an action changed nothing but, perhaps, what is under way.
fn same(before: &World, after: &World) -> bool {
    let nodes = before.nodes.iter().zip(&after.nodes);
    nodes.into_iter().all(|(a, b)| a.digest() == b.digest())
        && before.network.len() == after.network.len()
        && before.network == after.network
        && after.broken.is_none()
}
