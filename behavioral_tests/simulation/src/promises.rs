//! What a node's disk owes: what every sync that returned made durable, kept outside the node and
//! the disk. Must never ask the node or its log what they believe.
//!
//! A vote or an acknowledgement may leave only when what it promises is here; and what is here, or
//! that and more of what was written since, batch by batch, is what a restart must find.

use std::collections::VecDeque;

use messages::{
    AppendEntriesReply, AppendOutcome, Content, Entry, LogIndex, LogPosition, Message, NodeId,
    RequestVoteReply, Snapshotted, Term,
};
use servers::storage::Recovered;
use states::{HardState, Write};

use crate::checks::{Violation, payload_hash};

/// Term, vote and log of one node, as durable.
#[derive(Debug, Default)]
pub struct Promises {
    durable: Kept,
    /// Written, and no sync has returned since; oldest first.
    staged: VecDeque<Batch>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Kept {
    hard_state: HardState,
    /// A snapshot stands for the log up to here.
    base: LogPosition,
    /// Term and payload of each entry behind that.
    log: Vec<(Term, u64)>,
}

#[derive(Debug)]
struct Batch {
    hard_state: HardState,
    reset: Option<LogPosition>,
    first: Option<LogIndex>,
    entries: Vec<(Term, u64)>,
}

/// What became durable, and what it replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Entries that are on the disk no longer.
    pub replaced: Vec<LogPosition>,
    /// Entries that now are, some of them perhaps replaced at once.
    pub added: Vec<LogPosition>,
}

impl Kept {
    fn take(&mut self, batch: Batch, change: &mut Change) {
        self.hard_state = batch.hard_state;
        let position = |(index, term)| LogPosition { term, index: LogIndex(index) };
        if let Some(base) = batch.reset {
            self.reset(base, change);
        }
        if let Some(first) = batch.first {
            let end = (first.0 - 1).saturating_sub(self.base.index.0);
            let cut = self.log.drain((end as usize).min(self.log.len())..).map(|(term, _)| term);
            change.replaced.extend((first.0..).zip(cut).map(position));
            let terms = batch.entries.iter().map(|(term, _)| *term);
            change.added.extend((first.0..).zip(terms).map(position));
            self.log.extend(batch.entries);
        }
    }

    /// A snapshot up to `base` takes the log's place.
    fn reset(&mut self, base: LogPosition, change: &mut Change) {
        let old =
            (self.base.index.0 + 1..).zip(&self.log).skip_while(|(at, _)| *at <= base.index.0);
        let gone =
            old.map(|(index, (term, _))| LogPosition { term: *term, index: LogIndex(index) });
        change.replaced.extend(gone);
        (self.base, self.log) = (base, Vec::new());
    }

    /// The log behind a snapshot up to `base`, if that agrees with it.
    fn behind(&self, base: LogPosition) -> Option<&[(Term, u64)]> {
        let covered = base.index.0.checked_sub(self.base.index.0)? as usize;
        let (term, rest) = match covered.checked_sub(1) {
            None => (self.base.term, &self.log[..]),
            Some(place) => (self.log.get(place)?.0, &self.log[place + 1..]),
        };
        (term == base.term).then_some(rest)
    }

    /// Whether a node that found this found what is here, perhaps with a later snapshot of its own.
    fn is(&self, found: &Kept) -> bool {
        self.hard_state == found.hard_state && self.behind(found.base) == Some(&found.log)
    }
}

impl Promises {
    /// A batch was written; a crash may take it away whole.
    pub fn on_staged(&mut self, write: &Write) {
        self.staged.push_back(Batch {
            hard_state: write.hard_state,
            reset: write.reset,
            first: write.entries.first().map(|entry| entry.position.index),
            entries: write.entries.iter().map(fact).collect(),
        });
    }

    /// A sync returned that began after all that was staged.
    pub fn on_synced(&mut self) -> Change {
        let mut change = Change::default();
        for batch in self.staged.drain(..) {
            self.durable.take(batch, &mut change);
        }
        change
    }

    /// Whether something was written that no sync has covered.
    pub fn has_staged(&self) -> bool {
        !self.staged.is_empty()
    }

    /// Whether a vote for another was written that no sync has covered.
    pub fn has_staged_vote(&self, node: NodeId) -> bool {
        let before = self.durable.hard_state;
        self.staged.iter().any(|batch| {
            batch.hard_state != before
                && batch.hard_state.voted_for.is_some_and(|vote| vote != node)
        })
    }

    /// The term of the entry that the disk holds at `index`; of one that a snapshot covers it is not
    /// known.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        let covered = index.0.checked_sub(self.durable.base.index.0)?;
        match covered.checked_sub(1) {
            None => Some(self.durable.base.term),
            Some(place) => self.durable.log.get(place as usize).map(|(term, _)| *term),
        }
    }

    /// Whether a snapshot on the disk covers the entry at `index`.
    pub fn covers(&self, index: LogIndex) -> bool {
        index <= self.durable.base.index
    }

    /// The term in which it can still vote and acknowledge.
    pub fn term(&self) -> Term {
        self.durable.hard_state.term
    }

    /// Whom it voted for in this term, if that is its newest.
    pub fn voted_in(&self, term: Term) -> Option<NodeId> {
        let HardState { term: newest, voted_for } = self.durable.hard_state;
        voted_for.filter(|_| newest == term)
    }

    /// Whether its vote in this term is given to the candidate for good, or can be given to nobody
    /// any more.
    pub fn elects(&self, term: Term, candidate: NodeId) -> bool {
        self.keeps_vote(term, candidate)
    }

    /// Something leaves for `to`: what it promises must be durable.
    pub fn on_sent(&self, from: NodeId, to: NodeId, content: &Content) -> Result<(), Violation> {
        let (term, kept) = match content {
            Content::Raft { term, message } => (term, self.keeps(from, to, *term, message)),
            // As an append does.
            Content::SnapshotPart(part) => (&part.term, self.keeps_vote(part.term, from)),
            Content::SnapshotPartReply(_) | Content::Forward(_) | Content::ForwardReply(_) => {
                return Ok(());
            }
        };
        if kept {
            return Ok(());
        }
        Err(format!("promise: {from} sends {to} what its disk does not hold: @{term} {content:?}"))
    }

    fn keeps(&self, from: NodeId, to: NodeId, term: Term, message: &Message) -> bool {
        match message {
            Message::RequestVote(_) => self.keeps_vote(term, from),
            Message::RequestVoteReply(RequestVoteReply { answers, granted: true, .. }) => {
                self.keeps_vote(*answers, to)
            }
            Message::AppendEntriesReply(AppendEntriesReply {
                outcome: AppendOutcome::Matched(index),
            }) => self.keeps_log(term, *index),
            Message::Snapshotted(Snapshotted { position }) => self.keeps_log(term, position.index),
            // An entry of a term speaks of an election, in which its leader gave its vote away.
            Message::AppendEntries(_) | Message::Heartbeat(_) => self.keeps_vote(term, from),
            Message::RequestVoteReply(_)
            | Message::AppendEntriesReply(_)
            | Message::HeartbeatReply(_)
            | Message::PreVote(_)
            | Message::PreVoteReply(_) => true,
        }
    }

    /// A later term says that this one is over: it can neither vote nor acknowledge in it again.
    fn keeps_vote(&self, term: Term, candidate: NodeId) -> bool {
        let HardState { term: durable, voted_for } = self.durable.hard_state;
        durable > term || (durable == term && voted_for == Some(candidate))
    }

    fn keeps_log(&self, term: Term, matched: LogIndex) -> bool {
        let durable = self.durable.hard_state.term;
        let end = self.durable.base.index.0 + self.durable.log.len() as u64;
        durable > term || (durable == term && end >= matched.0)
    }

    /// Whether this is all that was written, and it is durable.
    pub fn is_kept_by(&self, recovered: &Recovered) -> bool {
        self.staged.is_empty() && self.durable.is(&kept(recovered))
    }

    /// A restart found this: all that was durable, and perhaps some of the batches after it, none
    /// of them in part.
    pub fn on_recovered(
        &mut self,
        node: NodeId,
        recovered: &Recovered,
    ) -> Result<Change, Violation> {
        let mut change = Change::default();
        let found = kept(recovered);
        while !self.durable.is(&found) {
            let Some(batch) = self.staged.pop_front() else {
                let Kept { hard_state, base, log } = found;
                return Err(format!(
                    "promise: {node} forgot what was durable: it starts with {hard_state:?} and {} \
                     entries after {base}",
                    log.len()
                ));
            };
            // A snapshot comes into its place before the log says that it begins there.
            if batch.reset == Some(found.base) && found.log.is_empty() {
                self.durable.reset(found.base, &mut change);
                if self.durable.is(&found) {
                    break;
                }
            }
            self.durable.take(batch, &mut change);
        }
        self.staged.clear();
        Ok(change)
    }
}

fn kept(recovered: &Recovered) -> Kept {
    let base = recovered.snapshot.as_ref().map_or(LogPosition::ZERO, |meta| meta.position);
    let log = recovered.entries.iter().map(fact).collect();
    Kept { hard_state: recovered.hard_state, base, log }
}

fn fact(entry: &Entry) -> (Term, u64) {
    (entry.position.term, payload_hash(entry))
}
