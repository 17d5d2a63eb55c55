//! Passing batches to the leader (rule 10), both sides: the numbers of the copies that this node
//! handed out, and the numbers it has seen of others. Must never let a batch take effect twice:
//! frames arrive twice and late, nodes restart, leaders change.

use std::collections::BTreeMap;

use messages::{
    Boot, Content, Envelope, Forward, ForwardOutcome, ForwardReply, NodeId, NotAppended, Term,
};
use states::{Micros, RequestId};

use crate::host::Outcome;
use crate::machine::StateMachine;
use crate::proposals::{Avoid, Copy, Request, Requester, Stage};
use crate::server::Server;

/// A forwarded read is sent again after so many heartbeats without an answer; what enters the log
/// after twice as many, and each time after twice as many as before: a leader with much to do must
/// not get more for that.
const SILENT_HEARTBEATS: u64 = 4;

/// A forwarded batch whose replies take more bytes than this cannot be answered in one frame.
const FORWARDED_REPLY_BYTES: usize = 7 << 20;

/// The copies that this node handed out and that may still be answered.
#[derive(Debug)]
pub struct Copies {
    /// Rises with each copy and from boot to boot, so that an answer meant for an earlier boot never
    /// fits a copy of this one.
    next: u64,
    out: BTreeMap<u64, RequestId>,
}

impl Copies {
    /// No copy is out. The boot's counter leaves room for 2³² copies a boot.
    pub fn new(boot: Boot) -> Copies {
        Copies { next: ((boot.0 >> 32) << 32) + 1, out: BTreeMap::new() }
    }

    /// A new copy of the request goes out; its number.
    pub fn hand_out(&mut self, id: RequestId) -> u64 {
        let number = self.next;
        self.next += 1;
        self.out.insert(number, id);
        number
    }

    /// The request whose copy has this number.
    pub fn request(&self, number: u64) -> Option<RequestId> {
        self.out.get(&number).copied()
    }

    /// Whatever comes of this copy no longer matters.
    pub fn forget(&mut self, number: u64) {
        self.out.remove(&number);
    }

    /// How many are out.
    pub fn count(&self) -> usize {
        self.out.len()
    }

    /// The requests that have a copy out.
    pub fn requests(&self) -> Vec<RequestId> {
        self.out.values().copied().collect()
    }
}

/// What this node has seen of the others' copies.
#[derive(Debug, Default)]
pub struct Origins {
    newest: BTreeMap<NodeId, (Boot, u64)>,
}

impl Origins {
    /// Whether a copy is new: of the origin's newest boot, with a number above all seen of it. From
    /// now on it is seen.
    pub fn admit(&mut self, origin: NodeId, boot: Boot, number: u64) -> bool {
        let seen = self.newest.entry(origin).or_insert((boot, 0));
        if boot < seen.0 || (boot == seen.0 && number <= seen.1) {
            return false;
        }
        *seen = (boot, number);
        true
    }
}

impl<M: StateMachine> Server<M> {
    /// A batch that another node passes on to the leader, which this node may be (rule 10).
    pub(crate) fn on_forward(&mut self, from: NodeId, boot: Boot, forward: Forward) {
        let Forward { number, only_in, operations } = forward;
        if !self.replica.membership.voters.contains(&from)
            || !self.origins.admit(from, boot, number)
        {
            return;
        }
        let requester = Requester::Peer { node: from, number, only_in };
        let expires = self.now + self.settings.client_timeout;
        match self.requests.add(Request::new(requester, operations, self.now, expires)) {
            Some(id) => self.from_peers.push(id),
            None => {
                let busy = ForwardOutcome::NotAppended(NotAppended::Busy);
                self.reply_to_peer(from, number, busy);
            }
        }
    }

    pub(crate) fn on_forward_reply(&mut self, from: NodeId, boot: Boot, reply: ForwardReply) {
        let Some((id, copy)) = self.waiting_copy(reply.number, from) else { return };
        let request = self.requests.get(id).expect("it waits");
        match reply.outcome {
            ForwardOutcome::Done(replies) if replies.len() == request.operations.len() => {
                self.reply(id, Outcome::Done { replies, position: None });
            }
            ForwardOutcome::Done(_) => {} // no honest peer's
            // Only the boot that the copy was meant for knows what became of it.
            ForwardOutcome::NotAppended(_) if request.writes && copy.boot != Some(boot) => {}
            ForwardOutcome::NotAppended(NotAppended::Busy) => self.refuse(id, Outcome::Busy),
            ForwardOutcome::NotAppended(NotAppended::Full) => self.refuse(id, Outcome::Full),
            ForwardOutcome::NotAppended(NotAppended::NotLeader) => {
                self.take_back(id, from, copy.term)
            }
        }
    }

    /// The request that waits for an answer to this copy from this node.
    pub(crate) fn waiting_copy(&self, number: u64, to: NodeId) -> Option<(RequestId, Copy)> {
        let id = self.copies.request(number)?;
        match self.stage(id)? {
            Stage::Forwarded(copy) if copy.number == number && copy.to == to => Some((id, *copy)),
            _ => None,
        }
    }

    /// The copy that `leader` was meant to get certainly has no effect: the request can be placed
    /// again, but not at once with the same leader.
    pub(crate) fn take_back(&mut self, id: RequestId, leader: NodeId, term: Term) {
        let until = self.now + self.replica.config.heartbeat;
        self.unplace(id, Some(Avoid { leader, term, until }));
    }

    /// These certainly never left for `to`: the batches in them have not been handed out.
    pub fn not_sent(&mut self, to: NodeId, envelopes: &[Envelope]) {
        for envelope in envelopes {
            let Content::Forward(forward) = &envelope.content else { continue };
            if let Some((id, _)) = self.waiting_copy(forward.number, to) {
                self.take_back(id, to, forward.only_in);
            }
        }
    }

    /// Another leads, or nobody: what may be placed again is. What stands in this node's own log
    /// only if somebody can take it, since it may yet be committed there.
    pub(crate) fn recall_repeatables(&mut self, led: bool) {
        for id in self.copies.requests() {
            if self.requests.get(id).is_some_and(|request| request.repeatable) {
                self.recall(id);
            }
        }
        if led {
            for id in self.requests.of_clients() {
                self.recall_appended(id);
            }
        }
    }

    /// Nobody waits for the copy that is out any longer; the request can be placed again.
    pub(crate) fn recall(&mut self, id: RequestId) {
        self.requests.set_astray(id);
        self.unplace(id, None);
    }

    fn recall_appended(&mut self, id: RequestId) {
        let request = self.requests.get(id).expect("it waits");
        if let Stage::Appended(position) = request.stage
            && request.repeatable
        {
            let operations = self.applier.take_proposal(position);
            self.requests.put_operations(id, operations);
            self.recall(id);
        }
    }

    pub(crate) fn forward(&mut self, id: RequestId, leader: NodeId, term: Term) {
        let request = self.requests.get(id).expect("it waits");
        if let Stage::Unplaced { avoid: Some(avoid) } = request.stage
            && (avoid.leader, avoid.term) == (leader, term)
        {
            return;
        }
        let operations = request.operations.clone();
        let number = self.copies.hand_out(id);
        let heartbeats = SILENT_HEARTBEATS << self.requests.hand_out(id);
        let silence = Micros(heartbeats * self.replica.config.heartbeat.0);
        let boot = self.heard.boot(leader);
        let copy = Copy { number, to: leader, term, boot, repeat: self.now + silence };
        self.requests.set(id, Stage::Forwarded(copy));
        let content = Content::Forward(Forward { number, only_in: term, operations });
        self.outbox.sends.add(leader, self.settings.group, content);
    }

    pub(crate) fn reply_to_peer(&mut self, to: NodeId, number: u64, outcome: ForwardOutcome) {
        let content = Content::ForwardReply(ForwardReply { number, outcome });
        self.outbox.sends.add(to, self.settings.group, content);
    }
}

/// What another node is told. Nothing where nothing is certain.
pub(crate) fn for_peer(outcome: Outcome, writes: bool) -> Option<ForwardOutcome> {
    match outcome {
        Outcome::Done { replies, .. } => {
            let bytes: usize = replies.iter().map(|reply| 8 + reply.len()).sum();
            if bytes <= FORWARDED_REPLY_BYTES {
                Some(ForwardOutcome::Done(replies))
            } else if writes {
                None
            } else {
                Some(ForwardOutcome::NotAppended(NotAppended::Busy))
            }
        }
        Outcome::Busy => Some(ForwardOutcome::NotAppended(NotAppended::Busy)),
        Outcome::Full => Some(ForwardOutcome::NotAppended(NotAppended::Full)),
        Outcome::NoLeader { .. } | Outcome::Stopped => {
            Some(ForwardOutcome::NotAppended(NotAppended::NotLeader))
        }
        Outcome::Uncertain { .. } => None,
    }
}
