//! What must hold of one server whatever its peers say, seen from outside. Written against the
//! paper; must never look at how the rules came to it.

use std::collections::BTreeMap;

use messages::{
    AppendOutcome, Content, Entry, Envelope, Item, Message, NodeId, Payload, SessionId, Term,
};
use servers::host::{Outcome, Token};
use servers::machine::Applied;
use servers::server::Event;
use servers::sessions::Sessions;
use states::{Decision, HardState, Role};

use super::Marks;
use super::sequence_node::Node;

/// What went into a turn, and what came of it.
#[derive(Debug, Default)]
pub struct Turned {
    /// Requests of the rules that each peer sent.
    requests: BTreeMap<NodeId, usize>,
    /// Up to where peers said that the log is committed, and what they sent or promised matches.
    told: u64,
    /// Clients' batches, with how many operations each has.
    asked: Vec<(Token, usize)>,
    /// What may leave at once.
    pub sends: Vec<(NodeId, Envelope)>,
    /// What leaves once it is durable.
    pub promises: Vec<(NodeId, Envelope)>,
    /// Answers for clients.
    pub replies: Vec<(Token, Outcome)>,
    /// What was decided.
    pub decisions: Vec<Decision>,
    /// Frames refused at the gate so far.
    pub refused: u64,
}

impl Turned {
    /// A turn with these events, before anything came of it.
    pub fn of(events: &[Event]) -> Turned {
        let mut turned = Turned::default();
        for event in events {
            match event {
                Event::Envelopes { from, envelopes, .. } => {
                    let is_request = |envelope: &&Envelope| match &envelope.content {
                        Content::Raft { message, .. } => !message.is_reply(),
                        Content::SnapshotPart(_) => true, // whose answer may be a reply of the rules
                        Content::Forward(_)
                        | Content::ForwardReply(_)
                        | Content::SnapshotPartReply(_) => false,
                    };
                    let requests = envelopes.iter().filter(is_request).count();
                    *turned.requests.entry(*from).or_default() += requests;
                    let told = envelopes.iter().map(|envelope| told(&envelope.content)).max();
                    turned.told = turned.told.max(told.unwrap_or(0));
                }
                Event::Batch { token, batch } => {
                    turned.asked.push((*token, batch.operations.len()));
                }
                Event::Written(_) | Event::Space(_) | Event::Lost(_) | Event::Told(_) => {}
            }
        }
        turned
    }

    /// Whether it sent anything that asks for an answer of a peer's rules.
    pub fn starts_something(&self) -> bool {
        let asks = |(_, envelope): &(NodeId, Envelope)| match &envelope.content {
            Content::Raft { message, .. } => !message.is_reply(),
            Content::Forward(_)
            | Content::ForwardReply(_)
            | Content::SnapshotPart(_)
            | Content::SnapshotPartReply(_) => false,
        };
        self.sends.iter().chain(&self.promises).any(asks)
    }
}

/// How far a follower may commit by it: "min(leaderCommit, index of last new entry)" (paper, Figure
/// 2); a heartbeat's commit index is what its sender knows to match, and a snapshot covers what is
/// committed.
fn told(content: &Content) -> u64 {
    match content {
        Content::Raft { message: Message::AppendEntries(request), .. } => {
            let last = request.previous.index.0.saturating_add(request.entries.len() as u64);
            last.min(request.commit.0)
        }
        Content::Raft { message: Message::Heartbeat(heartbeat), .. } => heartbeat.commit.0,
        Content::SnapshotPart(part) => part.meta.position.index.0,
        Content::Raft { .. }
        | Content::Forward(_)
        | Content::ForwardReply(_)
        | Content::SnapshotPartReply(_) => 0,
    }
}

/// What was seen so far.
#[derive(Default)]
pub struct Checks {
    /// Cases met.
    pub marks: Marks,
    state: HardState,
    /// Everything that was committed in this run.
    committed: Vec<Entry>,
    /// Whom it voted for, by what left it; over all runs.
    votes: BTreeMap<Term, NodeId>,
    waiting: BTreeMap<Token, usize>,
}

const OWN: NodeId = NodeId(1);

impl Checks {
    /// A run begins. What was not durable may be gone.
    pub fn on_start(&mut self, node: &Node) {
        let newest = self.votes.last_key_value();
        self.state = node.server.replica().hard_state();
        if let Some((term, vote)) = newest {
            assert!(self.state.term >= *term, "the term of a promise is remembered");
            let forgot = self.state.term == *term && self.state.voted_for != Some(*vote);
            assert!(!forgot, "a vote that left is remembered");
        }
        self.committed.clear();
        self.waiting.clear();
    }

    /// After each turn.
    pub fn on_turn(&mut self, node: &Node, turned: &Turned) {
        self.check_state(node);
        self.check_commit(node, turned);
        self.check_applied(node);
        self.check_sends(node, turned);
        self.check_promises(node, turned);
        self.check_clients(turned);
        drop(node.server.status());
        self.note(node, turned);
    }

    /// "currentTerm ... increases monotonically" (paper, Figure 2); one vote a term (section 5.2).
    fn check_state(&mut self, node: &Node) {
        let (old, new) = (self.state, node.server.replica().hard_state());
        assert!(new.term >= old.term, "the term fell from {} to {}", old.term, new.term);
        if new.term == old.term && old.voted_for.is_some() {
            assert_eq!(new.voted_for, old.voted_for, "two votes in term {}", new.term);
        }
        if new.term.0 - old.term.0 > 1000 {
            self.marks.insert("the term rose by a hostile jump");
        }
        self.state = new;
    }

    /// Committed entries stay, and the commit index never falls (paper, Figure 2).
    fn check_commit(&mut self, node: &Node, turned: &Turned) {
        let replica = node.server.replica();
        let commit = replica.commit_index();
        let log = replica.log();
        assert!(commit.0 >= self.committed.len() as u64, "the commit index fell");
        assert!(commit <= log.last().index, "committed beyond the log");
        let leads = node.server.state().role() == Role::Leader;
        let rises = commit.0 > self.committed.len() as u64;
        assert!(!rises || leads || commit.0 <= turned.told, "committed beyond what matched");
        for (place, entry) in self.committed.iter().enumerate() {
            let index = messages::LogIndex(place as u64 + 1);
            assert_eq!(log.entry(index), Some(entry), "a committed entry changed");
        }
        for index in self.committed.len() as u64 + 1..=commit.0 {
            let entry = log.entry(messages::LogIndex(index)).expect("an entry up to commit");
            self.committed.push(entry.clone());
        }
    }

    /// What was applied is what was committed, in order, each once, as far as sessions let it.
    fn check_applied(&self, node: &Node) {
        let applied = node.server.status().applied_index;
        assert!(applied.0 <= self.committed.len() as u64, "applied ≤ commit");
        let seen = &node.server.machine().applied;
        let all = commands(&self.committed);
        let least = commands(&self.committed[..applied.0 as usize]).len();
        assert!(seen.len() >= least, "something was committed and not applied");
        assert!(seen.len() <= all.len(), "something was applied that was not committed");
        assert!(seen.iter().zip(&all).all(|((_, seen), command)| seen == command));
    }

    /// What leaves at once is right even if the turn is forgotten; and no news sends more than one
    /// of a kind to a peer.
    fn check_sends(&self, node: &Node, turned: &Turned) {
        let term_now = node.server.replica().term();
        let mut counts: BTreeMap<(NodeId, &str), usize> = BTreeMap::new();
        for (to, envelope) in turned.sends.iter().chain(&turned.promises) {
            assert_ne!(*to, OWN, "it talks to itself");
            let Content::Raft { term, message } = &envelope.content else { continue };
            assert!(*term <= term_now, "a message of a term to come");
            assert!(
                message.is_reply() || (1..=node.size).contains(&to.0),
                "it asks one who is no member"
            );
            let kind = match message {
                Message::AppendEntries(_) => "AppendEntries",
                Message::Heartbeat(_) => "Heartbeat",
                Message::PreVote(_) => "PreVote",
                Message::RequestVote(_) => "RequestVote",
                _ => "a reply",
            };
            *counts.entry((*to, kind)).or_default() += 1;
        }
        for ((to, kind), count) in counts {
            let most = match kind {
                "a reply" => turned.requests.get(&to).copied().unwrap_or(0),
                _ => 1,
            };
            assert!(count <= most, "{count} of {kind} to {to} in a turn, {most} at most");
        }
        let durable = node.line[node.promised].hard_state;
        for (_, envelope) in &turned.sends {
            let Content::Raft { term, message } = &envelope.content else { continue };
            match message {
                Message::AppendEntries(_) | Message::Heartbeat(_) => {
                    let voted = HardState { term: *term, voted_for: Some(OWN) };
                    assert_eq!(durable, voted, "it leads in a term that is not durable");
                }
                Message::RequestVote(_)
                | Message::RequestVoteReply(_)
                | Message::AppendEntriesReply(_)
                | Message::Snapshotted(_) => panic!("a promise that waits for nothing"),
                Message::PreVote(_) | Message::PreVoteReply(_) | Message::HeartbeatReply(_) => {}
            }
        }
    }

    /// A promise is covered by what was written before it, or with it.
    fn check_promises(&self, node: &Node, turned: &Turned) {
        let written = &node.line[node.line.len() - 1];
        for (to, envelope) in &turned.promises {
            let Content::Raft { term, message } = &envelope.content else { continue };
            assert!(written.hard_state.term >= *term, "a promise of a term that is not written");
            let vote = match message {
                Message::RequestVoteReply(reply) if reply.granted => {
                    assert_eq!(reply.answers, *term, "a vote in the voter's term");
                    Some(*to)
                }
                Message::RequestVote(_) => Some(OWN),
                _ => None,
            };
            if vote.is_some() && written.hard_state.term == *term {
                assert_eq!(written.hard_state.voted_for, vote, "the vote is written");
            }
        }
        // What a later message of the same turn took back need not be there; alone it must.
        if let [(_, envelope)] = &turned.promises[..]
            && let Content::Raft { message: Message::AppendEntriesReply(reply), .. } =
                &envelope.content
            && let AppendOutcome::Matched(index) = reply.outcome
            && turned.requests.values().sum::<usize>() == 1
        {
            assert!(written.entries.len() as u64 >= index.0, "an acknowledged entry is written");
        }
    }

    /// A promise leaves: one vote a term, over all runs.
    pub fn on_promise(&mut self, to: NodeId, envelope: &Envelope) {
        let Content::Raft { term, message } = &envelope.content else { return };
        let (term, vote) = match message {
            Message::RequestVoteReply(reply) if reply.granted => (reply.answers, to),
            Message::RequestVote(_) => (*term, OWN),
            _ => return,
        };
        let first = *self.votes.entry(term).or_insert(vote);
        assert_eq!(first, vote, "two votes in term {term}");
        self.marks.insert("a vote was granted");
    }

    /// Each batch has one answer, with a reply for each of its operations if it was done.
    fn check_clients(&mut self, turned: &Turned) {
        self.waiting.extend(turned.asked.iter().copied());
        for (token, outcome) in &turned.replies {
            let operations = self.waiting.remove(token).expect("somebody waits for the answer");
            if let Outcome::Done { replies, .. } = outcome {
                assert_eq!(replies.len(), operations, "a reply for each operation");
            }
        }
    }

    fn note(&mut self, node: &Node, turned: &Turned) {
        let role = node.server.state().role();
        let commits = !self.committed.is_empty();
        let mut mark = |met: bool, name| met.then(|| self.marks.insert(name));
        mark(role == Role::Leader, "it led");
        mark(role == Role::Leader && commits, "it led and committed");
        mark(role == Role::Follower && commits, "it followed and committed");
        mark(turned.refused > 0, "a frame was refused");
        let is_snapshotted = |(_, envelope): &(NodeId, Envelope)| {
            matches!(&envelope.content, Content::Raft { message: Message::Snapshotted(_), .. })
        };
        mark(turned.promises.iter().any(is_snapshotted), "it needed no snapshot");
        let done = |(_, outcome): &(Token, Outcome)| matches!(outcome, Outcome::Done { .. });
        mark(turned.replies.iter().any(done), "a client was answered");
        let forwards =
            |(_, envelope): &(NodeId, Envelope)| matches!(envelope.content, Content::Forward(_));
        mark(turned.sends.iter().any(forwards), "a batch was forwarded");
        for decision in &turned.decisions {
            match decision {
                Decision::Truncated(_) => mark(true, "entries were truncated"),
                Decision::Impossible(_, why) => mark(true, why),
                _ => None,
            };
        }
    }
}

/// The commands that these entries have a machine execute, all of the log so far.
fn commands(entries: &[Entry]) -> Vec<Vec<u8>> {
    let (mut sessions, mut executed) = (Sessions::default(), Vec::new());
    for entry in entries {
        sessions.advance(entry.position, entry.time);
        let Payload::Command(items) = &entry.payload else { continue };
        for (place, item) in items.iter().enumerate() {
            let at = Applied { index: entry.position.index, place, time: entry.time };
            let out = &mut Vec::new();
            match item {
                Item::Plain(command) => executed.push(command.to_vec()),
                Item::OpenSession => sessions.open(SessionId(at.stamp()), out),
                Item::Outcome { session, number } => sessions.outcome(*session, *number, out),
                Item::CloseSession(session) => sessions.close(*session, out),
                Item::Session { session, number, command } => {
                    sessions.execute(*session, *number, out, |_| executed.push(command.to_vec()));
                }
            }
        }
    }
    executed
}
