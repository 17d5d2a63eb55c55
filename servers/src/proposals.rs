//! The requests that wait for an answer: where each stands, and when it must be looked at again.
//! Must never tell a
//! client more than its stage makes certain.

use std::collections::{BTreeSet, VecDeque};

use messages::{
    Boot, ForwardOutcome, Item, LogIndex, LogPosition, NodeId, NotAppended, Operation, Term,
};
use states::{Input, RequestId, Time, Turn};

use crate::applier::AsOf;
use crate::host::{Batch, Outcome, Token};
use crate::machine::StateMachine;
use crate::server::Server;

/// Bytes counted for each operation besides its own, so that many small ones count too.
const OPERATION_BYTES: usize = 64;

/// The time after which a copy is sent again does not double more often.
const MOST_DOUBLINGS: u32 = 10;

/// A batch that waits.
#[derive(Debug)]
pub struct Request {
    /// Who wants the answer.
    pub requester: Requester,
    /// The batch; empty while the applier holds it.
    pub operations: Vec<Operation>,
    /// Whether it enters the log.
    pub writes: bool,
    /// Whether it may be placed again wherever its copies are: it only reads, or sessions see to it
    /// that nothing is done twice.
    pub repeatable: bool,
    /// A copy is out, or stands in a log, that nobody waits for any longer: it may yet take effect.
    pub astray: bool,
    /// Copies handed out, of what enters the log.
    copies: u32,
    /// When its first bytes were read.
    pub arrived: Time,
    /// When an answer is due, whatever is known by then.
    pub expires: Time,
    /// How far it has come.
    pub stage: Stage,
    bytes: usize,
    wake: Time,
}

/// Who wants the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requester {
    /// A client of this node.
    Client(Token),
    /// Another node, for a client of its own.
    Peer {
        /// The node.
        node: NodeId,
        /// Its number for the copy.
        number: u64,
        /// The term of the leader that the copy is meant for.
        only_in: Term,
    },
}

/// How far a request has come. Only what `Unplaced` says is certain to have had no effect, unless a
/// copy is astray.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Nobody has it: it was never handed out, or surely refused.
    Unplaced {
        /// Who need not be asked again for a while.
        avoid: Option<Avoid>,
    },
    /// The rules of this node have it.
    Asked,
    /// It stands in this node's log; the applier has it.
    Appended(LogPosition),
    /// A read that runs once the log is applied up to here; the applier has it.
    ReadAt(LogIndex),
    /// A copy was handed to the leader.
    Forwarded(Copy),
}

/// A leader that refused, or could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avoid {
    /// The leader.
    pub leader: NodeId,
    /// The term it was asked in. Another leader, or another term, may be asked at once.
    pub term: Term,
    /// From when on it may be asked again.
    pub until: Time,
}

/// The one copy of a request that is out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Answers name it.
    pub number: u64,
    /// The leader it was handed to.
    pub to: NodeId,
    /// The term it leads.
    pub term: Term,
    /// The newest boot of that leader seen before. A refusal by a later one proves nothing: the
    /// boot before may have appended the copy.
    pub boot: Option<Boot>,
    /// When it is sent again if nothing was heard and it is repeatable.
    pub repeat: Time,
}

/// All requests that wait.
#[derive(Debug)]
pub struct Requests {
    /// By number, without gaps from `first` on; those that are gone leave their place empty until all
    /// older ones are gone.
    places: VecDeque<Option<Box<Request>>>,
    first: RequestId,
    /// How many wait.
    count: usize,
    /// All in stage `Unplaced`, and some that were.
    unplaced: Vec<RequestId>,
    timers: BTreeSet<(Time, RequestId)>,
    bytes: usize,
    limit: usize,
}

impl Request {
    /// A batch that nobody has yet.
    pub fn new(
        requester: Requester,
        operations: Vec<Operation>,
        arrived: Time,
        expires: Time,
    ) -> Request {
        let bytes = operations.iter().map(|each| OPERATION_BYTES + each.size()).sum();
        let writes = operations.iter().any(Operation::is_command);
        let repeatable = operations.iter().all(Operation::is_repeatable);
        Request {
            requester,
            operations,
            writes,
            repeatable,
            astray: false,
            copies: 0,
            arrived,
            expires,
            stage: Stage::Unplaced { avoid: None },
            bytes,
            wake: expires,
        }
    }

    /// When it must be looked at next.
    fn next_wake(&self) -> Time {
        let sooner = match &self.stage {
            Stage::Unplaced { avoid: Some(avoid) } => avoid.until,
            Stage::Forwarded(copy) if self.repeatable => copy.repeat,
            Stage::Unplaced { avoid: None }
            | Stage::Forwarded(_)
            | Stage::Asked
            | Stage::Appended(_)
            | Stage::ReadAt(_) => self.expires,
        };
        sooner.min(self.expires)
    }
}

impl Requests {
    /// None wait; at most `limit` bytes ever will.
    pub fn new(limit: usize) -> Requests {
        Requests {
            places: VecDeque::new(),
            first: RequestId(1),
            count: 0,
            unplaced: Vec::new(),
            timers: BTreeSet::new(),
            bytes: 0,
            limit,
        }
    }

    /// Takes a request in, in stage `Unplaced`; refuses it if too many bytes wait.
    pub fn add(&mut self, request: Request) -> Option<RequestId> {
        if self.bytes + request.bytes > self.limit && self.count > 0 {
            return None;
        }
        let id = RequestId(self.first.0 + self.places.len() as u64);
        self.bytes += request.bytes;
        self.count += 1;
        self.timers.insert((request.wake, id));
        self.unplaced.push(id);
        self.places.push_back(Some(Box::new(request)));
        if self.unplaced.len() > 2 * self.count + 64 {
            self.forget_placed();
        }
        Some(id)
    }

    fn place(&self, id: RequestId) -> Option<usize> {
        usize::try_from(id.0.checked_sub(self.first.0)?).ok()
    }

    fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        let place = self.place(id)?;
        self.places.get_mut(place)?.as_deref_mut()
    }

    /// The request, if it still waits.
    pub fn get(&self, id: RequestId) -> Option<&Request> {
        self.places.get(self.place(id)?)?.as_deref()
    }

    /// Moves a request that waits to another stage.
    pub fn set(&mut self, id: RequestId, stage: Stage) {
        let unplaced = matches!(stage, Stage::Unplaced { .. });
        let request = self.get_mut(id).expect("only a request that waits moves");
        let was_unplaced = matches!(request.stage, Stage::Unplaced { .. });
        request.stage = stage;
        let (old, new) = (request.wake, request.next_wake());
        request.wake = new;
        if unplaced && !was_unplaced {
            self.unplaced.push(id);
        }
        if old != new {
            self.timers.remove(&(old, id));
            self.timers.insert((new, id));
        }
    }

    /// A copy goes out: how many did by now of what enters the log, for a read none.
    pub fn hand_out(&mut self, id: RequestId) -> u32 {
        let Some(request) = self.get_mut(id) else { return 0 };
        request.copies = (request.copies + u32::from(request.writes)).min(MOST_DOUBLINGS);
        request.copies
    }

    /// A copy of the request is left to itself.
    pub fn set_astray(&mut self, id: RequestId) {
        if let Some(request) = self.get_mut(id) {
            request.astray |= request.writes;
        }
    }

    /// Takes the operations out, for the applier to hold.
    pub fn take_operations(&mut self, id: RequestId) -> Vec<Operation> {
        self.get_mut(id).map(|each| std::mem::take(&mut each.operations)).unwrap_or_default()
    }

    /// Gives the operations back.
    pub fn put_operations(&mut self, id: RequestId, operations: Vec<Operation>) {
        if let Some(request) = self.get_mut(id) {
            request.operations = operations;
        }
    }

    /// The request no longer waits.
    pub fn remove(&mut self, id: RequestId) -> Option<Box<Request>> {
        let place = self.place(id)?;
        let request = self.places.get_mut(place)?.take()?;
        while self.places.front().is_some_and(Option::is_none) {
            self.places.pop_front();
            self.first.0 += 1;
        }
        self.count -= 1;
        self.bytes -= request.bytes;
        self.timers.remove(&(request.wake, id));
        Some(request)
    }

    /// The requests that nobody has, oldest first.
    pub fn unplaced(&mut self) -> Vec<RequestId> {
        self.forget_placed();
        self.unplaced.clone()
    }

    fn forget_placed(&mut self) {
        let mut unplaced = std::mem::take(&mut self.unplaced);
        let is_unplaced = |request: &Request| matches!(request.stage, Stage::Unplaced { .. });
        unplaced.retain(|id| self.get(*id).is_some_and(is_unplaced));
        unplaced.sort_unstable();
        unplaced.dedup();
        self.unplaced = unplaced;
    }

    /// The requests to look at by `now`.
    pub fn due(&self, now: Time) -> Vec<RequestId> {
        self.timers.iter().take_while(|(wake, _)| *wake <= now).map(|(_, id)| *id).collect()
    }

    /// All requests of this node's own clients.
    pub fn of_clients(&self) -> Vec<RequestId> {
        let of_client = |each: &Request| matches!(each.requester, Requester::Client(_));
        let waiting = (self.first.0..).map(RequestId).zip(&self.places);
        let mine = waiting.filter(|(_, place)| place.as_deref().is_some_and(of_client));
        mine.map(|(id, _)| id).collect()
    }

    /// How many wait, and their bytes, counted over.
    pub fn load(&self) -> (usize, usize) {
        let waiting = || self.places.iter().flatten();
        (waiting().count(), waiting().map(|each| each.bytes).sum())
    }

    /// When the next of them must be looked at.
    pub fn deadline(&self) -> Option<Time> {
        self.timers.first().map(|(wake, _)| *wake)
    }
}

impl<M: StateMachine> Server<M> {
    pub(crate) fn on_batch(&mut self, token: Token, batch: Batch) {
        let Batch { arrived, operations, stale } = batch;
        if self.stopping {
            return self.outbox.replies.push((token, Outcome::Stopped));
        }
        let expires = arrived + self.settings.client_timeout;
        let request = Request::new(Requester::Client(token), operations, arrived, expires);
        let local = stale && !request.writes;
        match self.requests.add(request) {
            Some(id) if local => self.read_at(id, self.applier.applied(), AsOf::Applied),
            Some(_) => {}
            None => self.outbox.replies.push((token, Outcome::Busy)),
        }
    }

    /// Requests that may be tried again, and those too old to be placed.
    pub(crate) fn wake_requests(&mut self) {
        for id in self.requests.due(self.now) {
            let request = self.requests.get(id).expect("it waits");
            let expired = request.expires <= self.now;
            match request.stage {
                Stage::Unplaced { .. } if expired => self.time_out(id),
                _ if expired => {} // what this turn brings may still answer it
                Stage::Unplaced { .. } => self.unplace(id, None),
                Stage::Forwarded(_) => self.recall(id),
                Stage::Asked | Stage::Appended(_) | Stage::ReadAt(_) => {}
            }
        }
    }

    /// Hands every request that nobody has to the rules, or to the leader if that is another node.
    pub(crate) fn place_requests(&mut self, turn: &mut Turn) {
        self.place_again = false;
        for id in std::mem::take(&mut self.from_peers) {
            if let Some(Requester::Peer { only_in, .. }) = self.requester(id) {
                self.ask(turn, id, Some(only_in));
            }
        }
        let leader = self.state().leader(&self.replica);
        let known = leader.map(|leader| (leader, self.replica.term()));
        if known != self.led_by {
            self.led_by = known;
            self.recall_repeatables(leader.is_some());
        }
        let Some((leader, term)) = known else { return }; // they wait for one
        for id in self.requests.unplaced() {
            if leader == self.replica.id {
                self.ask(turn, id, None);
            } else {
                self.forward(id, leader, term);
            }
        }
    }

    /// The rules of this node take the request; they answer it in this turn or, a read, in a later.
    pub(crate) fn ask(&mut self, turn: &mut Turn, id: RequestId, only_in: Option<Term>) {
        let request = self.requests.get(id).expect("it waits");
        let input = if request.writes {
            let items = request.operations.iter().filter_map(as_item).collect();
            Input::Propose { id, only_in, items }
        } else {
            Input::Read(id)
        };
        self.requests.set(id, Stage::Asked);
        self.swap(turn, input);
    }

    pub(crate) fn read_at(&mut self, id: RequestId, index: LogIndex, as_of: AsOf) {
        let queries = self.requests.take_operations(id);
        self.applier.read_at(index, id, queries, as_of);
        self.requests.set(id, Stage::ReadAt(index));
    }

    /// The request is certainly not in the log: a client's is placed again, a peer told.
    pub(crate) fn not_appended(&mut self, id: RequestId) {
        match self.requester(id) {
            Some(Requester::Client(_)) => {
                self.requests.set(id, Stage::Unplaced { avoid: None });
                self.place_again = true;
            }
            Some(Requester::Peer { node, number, .. }) => {
                self.requests.remove(id);
                let outcome = ForwardOutcome::NotAppended(NotAppended::NotLeader);
                self.reply_to_peer(node, number, outcome);
            }
            None => {}
        }
    }

    pub(crate) fn expire_requests(&mut self) {
        for id in self.requests.due(self.now) {
            if self.requests.get(id).is_some_and(|request| request.expires <= self.now) {
                self.time_out(id);
            }
        }
    }

    /// The time is over. What the client hears is what is certain by now; a peer hears nothing, its
    /// own client is told there.
    pub(crate) fn time_out(&mut self, id: RequestId) {
        let request = self.requests.get(id).expect("it waits");
        if let Requester::Peer { .. } = request.requester {
            self.release(id);
            return;
        }
        let outcome = match request.stage {
            Stage::Unplaced { .. } if !request.astray => self.no_leader(request.arrived),
            _ if !request.writes => self.no_leader(request.arrived),
            Stage::Appended(position) => Outcome::Uncertain { position: Some(position) },
            Stage::Unplaced { .. } | Stage::Asked | Stage::Forwarded(_) | Stage::ReadAt(_) => {
                Outcome::Uncertain { position: None }
            }
        };
        self.reply(id, outcome);
    }

    pub(crate) fn no_leader(&self, arrived: Time) -> Outcome {
        let span = self.replica.config.election;
        Outcome::NoLeader {
            waited: (self.now - arrived).0,
            heard: 1 + self.heard.count_within(span, self.now),
            members: self.replica.membership.voters.len(),
        }
    }

    pub(crate) fn unplace(&mut self, id: RequestId, avoid: Option<Avoid>) {
        if let Some(Stage::Forwarded(copy)) = self.stage(id) {
            self.copies.forget(copy.number);
        }
        self.requests.set(id, Stage::Unplaced { avoid });
    }

    pub(crate) fn requester(&self, id: RequestId) -> Option<Requester> {
        self.requests.get(id).map(|request| request.requester)
    }

    pub(crate) fn stage(&self, id: RequestId) -> Option<&Stage> {
        self.requests.get(id).map(|request| &request.stage)
    }
}

/// What enters the log of an operation.
fn as_item(operation: &Operation) -> Option<Item> {
    match operation {
        Operation::Command(command) => Some(Item::Plain(command.clone())),
        Operation::Query(_) => None,
        Operation::Session { session, number, command } => {
            let (session, number) = (*session, *number);
            Some(Item::Session { session, number, command: command.clone() })
        }
        Operation::OpenSession => Some(Item::OpenSession),
        Operation::Outcome { session, number } => {
            Some(Item::Outcome { session: *session, number: *number })
        }
        Operation::CloseSession(session) => Some(Item::CloseSession(*session)),
    }
}
