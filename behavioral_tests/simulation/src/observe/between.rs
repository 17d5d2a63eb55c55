//! Looks at what happens to nodes between their turns: frames and answers that leave, what becomes
//! durable, crashes and starts. Must never change what happens.

use std::collections::VecDeque;

use messages::{AppendOutcome, Content, Message};
use servers::gate::Refused;
use servers::host::Outcome;

use super::Seen;
use crate::checks::Violation;
use crate::coverage::Mark;
use crate::turns::Effect;
use crate::workload::Workload;
use crate::world::World;

impl<W: Workload> World<W> {
    /// An acknowledgement leaves: what it says must be so on the leader it is for.
    pub(crate) fn check_promise(
        &mut self,
        (from, to): (usize, usize),
        content: &Content,
    ) -> Result<(), Violation> {
        let Content::Raft { term, message: Message::AppendEntriesReply(reply) } = content else {
            return Ok(());
        };
        let AppendOutcome::Matched(index) = reply.outcome else { return Ok(()) };
        let seen = &mut self.observed.nodes[from];
        if seen.mismatched == Some(*term) {
            seen.mismatched = None;
            self.report.coverage.add(Mark::ProbedBack);
        }
        let Some(leader) = self.nodes[to].replica().filter(|_| self.nodes[to].leads()) else {
            return Ok(());
        };
        let promises = self.nodes[from].promises();
        let held = promises.term_at(index);
        if promises.covers(index) || index <= leader.log().base().index {
            return Ok(()); // committed, as others check
        }
        // A disk that has gone on to a later term may have replaced what was acknowledged before
        // that, in the same sync: the later leader was elected without it, so nothing is lost by that.
        let present = promises.term() == *term && leader.term() == *term;
        if present && leader.log().term_at(index) != held {
            let id = self.nodes[from].id;
            return Err(format!(
                "promise: {id} acknowledges {index}, where its disk holds {held:?}"
            ));
        }
        Ok(())
    }

    /// A frame was dropped at a node that had refused so many before.
    pub(crate) fn note_refusal(&mut self, node: usize, before: &Refused) {
        let now = self.nodes[node].refused();
        if now.older_boot > before.older_boot {
            self.report.coverage.add(Mark::OlderBoot);
        }
        if now.garbage > before.garbage {
            self.report.coverage.add(Mark::Garbage);
        }
    }

    /// A node's disk holds something new.
    pub(crate) fn note_durable(&mut self, node: usize) {
        let change = self.nodes[node].take_change();
        let nodes = self.nodes.len();
        for replaced in self.checks.on_replaced(node, nodes, &change.replaced) {
            self.note(|| format!("{replaced} was durable on a majority, and is replaced"));
            self.report.coverage.add(Mark::Figure8);
        }
        self.checks.on_durable(node, &change.added);
    }

    /// A node is about to crash.
    pub(crate) fn note_crash(&mut self, node: usize) {
        let (id, promises) = (self.nodes[node].id, self.nodes[node].promises());
        if promises.has_staged() {
            self.report.coverage.add(Mark::CrashBeforeSync);
        }
        if promises.has_staged_vote(id) {
            self.report.coverage.add(Mark::CrashBeforeVote);
        }
        self.observed.nodes[node] =
            Seen { has_led: self.observed.nodes[node].has_led, ..Seen::default() };
    }

    /// A node crashes and these never leave it, though what they promise is durable.
    pub(crate) fn note_unsaid(&mut self, undone: &VecDeque<Effect>) {
        for effect in undone {
            let Effect::Send((_, _, envelopes)) = effect else { continue };
            for envelope in envelopes {
                match &envelope.content {
                    Content::Raft { message: Message::AppendEntriesReply(_), .. } => {
                        self.report.coverage.add(Mark::CrashBeforeAck);
                    }
                    Content::Raft { message: Message::RequestVoteReply(reply), .. }
                        if reply.granted =>
                    {
                        self.report.coverage.add(Mark::CrashBeforeVote);
                    }
                    _ => {}
                }
            }
        }
    }

    /// A node has started.
    pub(crate) fn note_start(&mut self, node: usize) {
        let Some(last) = self.nodes[node].replica().map(|replica| replica.log().last()) else {
            return;
        };
        self.note_durable(node);
        let alone = self.checks.holders(last) == 1 << node && self.nodes.len() > 1;
        if alone && self.checks.leader_of(last.term) == Some(self.nodes[node].id) {
            self.report.coverage.add(Mark::CameBackAlone);
        }
        if self.nodes[node].segments() > 1 {
            self.report.coverage.add(Mark::SegmentCrossed);
        }
    }

    /// A node goes on after a pause.
    pub(crate) fn note_resume(&mut self, node: usize) {
        self.observed.nodes[node].paused = self.nodes[node].leads().then_some(self.now);
    }

    /// A client is about to learn what became of its batch.
    pub(crate) fn note_outcome(&mut self, node: usize, client: usize, outcome: &Outcome) {
        let coverage = &mut self.report.coverage;
        match outcome {
            Outcome::Busy => coverage.add(Mark::Busy),
            Outcome::Full => coverage.add(Mark::FullRefused),
            Outcome::Uncertain { position: None } => coverage.add(Mark::ForwardUncertain),
            Outcome::Done { .. } => {
                let Some(asked) = self.clients.asked(client) else { return };
                let commands = asked.operations.iter().filter(|each| each.is_command()).count();
                if commands > 1 && commands < asked.operations.len() {
                    coverage.add(Mark::MixedBatch);
                }
                let Some(server) = self.nodes[node].server() else { return };
                if asked.stale && server.machine().seen().length < self.checks.length() {
                    coverage.add(Mark::StaleRead);
                    let newest = self.checks.newest_leader();
                    let led = self.nodes[node].leads() || self.observed.nodes[node].led_before;
                    if led && self.observed.nodes[node].led_in < newest {
                        coverage.add(Mark::StaleLeaderRead);
                    }
                }
            }
            Outcome::NoLeader { .. } | Outcome::Uncertain { .. } | Outcome::Stopped => {}
        }
    }
}
