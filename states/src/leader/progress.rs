//! How far one follower is. Must never send more because of stale news: replies that say nothing
//! new change nothing, and silence is repaired by time.
//!
//! Invariant: `matched < next ≤ last + 1`.

use std::collections::VecDeque;

use messages::{AppendEntries, LogIndex, LogPosition, Round};

use crate::{Replica, Time};

/// A probe asks where the logs meet; it carries no more than this, since much of it may be refused.
const PROBE_BYTES: usize = 4096;

/// What a leader knows of one follower (paper, Figure 2: nextIndex and matchIndex).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Progress {
    matched: LogIndex,
    next: LogIndex,
    echoed: Round,
    /// By its last word the follower's disk has no room.
    full: bool,
    flow: Flow,
}

/// How entries are sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Flow {
    /// One at a time, until one matches.
    Probe { asked: Option<Time> },
    /// Many in flight, without waiting for replies.
    Replicate { in_flight: VecDeque<InFlight>, news: Time },
    /// None: what it needs the log no longer holds, and it is sent a snapshot up to here.
    Snapshot { covers: LogIndex },
}

/// What a follower gets now.
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// Entries, or a probe.
    Append(AppendEntries),
    /// A snapshot: the server is to send it.
    Snapshot,
}

/// One append under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct InFlight {
    previous: LogIndex,
    last: LogIndex,
    bytes: usize,
}

impl Progress {
    /// A follower of which nothing is known.
    pub fn new(next: LogIndex) -> Progress {
        let flow = Flow::Probe { asked: None };
        Progress { matched: LogIndex(0), next, echoed: Round(0), full: false, flow }
    }

    /// The follower's log equals the leader's up to here, durably.
    pub fn matched(&self) -> LogIndex {
        self.matched
    }

    /// Appends under way, and their bytes. A probe is one, of which nothing is counted.
    pub fn in_flight(&self) -> (usize, usize) {
        match &self.flow {
            Flow::Probe { asked } => (usize::from(asked.is_some()), 0),
            Flow::Replicate { in_flight, .. } => {
                (in_flight.len(), in_flight.iter().map(|append| append.bytes).sum())
            }
            Flow::Snapshot { .. } => (0, 0),
        }
    }

    /// Whether the follower waits for a snapshot.
    pub fn needs_snapshot(&self) -> bool {
        matches!(self.flow, Flow::Snapshot { .. })
    }

    /// Entries after this one the follower needs next, if it makes progress.
    pub fn needs(&self) -> Option<LogIndex> {
        match &self.flow {
            Flow::Probe { .. } => None,
            Flow::Replicate { .. } => Some(self.matched),
            Flow::Snapshot { covers } => Some(*covers),
        }
    }

    /// The newest heartbeat round that the follower echoed.
    pub fn echoed(&self) -> Round {
        self.echoed
    }

    /// Whether, by its last word, the follower's disk has no room.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The follower echoed this round, and says whether its disk has no room.
    pub fn on_echo(&mut self, round: Round, full: bool) {
        if round >= self.echoed {
            self.full = full;
        }
        self.echoed = self.echoed.max(round);
    }

    /// The follower holds everything up to `index`.
    pub fn on_matched(&mut self, index: LogIndex, now: Time) {
        let is_news = index > self.matched;
        self.matched = self.matched.max(index);
        match &mut self.flow {
            // What a probe asks is never known yet, so that this answers something older.
            Flow::Probe { .. } if !is_news => {}
            Flow::Probe { .. } => {
                self.next = self.matched.next();
                self.flow = Flow::Replicate { in_flight: VecDeque::new(), news: now };
            }
            Flow::Replicate { in_flight, news } => {
                while in_flight.pop_front_if(|append| append.last <= self.matched).is_some() {}
                self.next = self.next.max(self.matched.next());
                if is_news {
                    *news = now;
                }
            }
            // An append from before was not lost after all; the snapshot is on its way.
            Flow::Snapshot { .. } => self.next = self.next.max(self.matched.next()),
        }
        self.check();
    }

    /// The follower needs no snapshot up to `index`.
    pub fn on_snapshotted(&mut self, index: LogIndex, now: Time) {
        self.matched = self.matched.max(index);
        if let Flow::Snapshot { .. } = self.flow {
            self.next = self.matched.next();
            self.flow = Flow::Replicate { in_flight: VecDeque::new(), news: now };
        } else {
            self.next = self.next.max(self.matched.next());
        }
        self.check();
    }

    /// The follower took nothing of the snapshot for too long: probes, after a heartbeat; says whether
    /// it was to get one.
    pub fn on_snapshot_failed(&mut self, now: Time) -> bool {
        let was_sent = matches!(self.flow, Flow::Snapshot { .. });
        if was_sent {
            self.next = self.matched.next();
            self.flow = Flow::Probe { asked: Some(now) };
        }
        was_sent
    }

    /// The follower does not hold what an append built on, at `rejected`; `meet` is where the logs
    /// may meet.
    pub fn on_mismatched(&mut self, rejected: LogIndex, meet: LogPosition) {
        if rejected <= self.matched {
            return; // an old refusal: by now it holds that
        }
        match &self.flow {
            Flow::Probe { .. } if rejected.next() == self.next => {
                self.next = meet.index.next().min(rejected).max(self.matched.next());
                self.flow = Flow::Probe { asked: None };
            }
            // An append was lost on the way, and those behind it could not match.
            Flow::Replicate { in_flight, .. }
                if in_flight.iter().any(|append| append.previous == rejected) =>
            {
                self.probe();
            }
            // Answers an earlier probe, or what was under way before one.
            Flow::Probe { .. } | Flow::Replicate { .. } | Flow::Snapshot { .. } => {}
        }
        self.check();
    }

    /// Falls back to probing if the follower owes an answer and has said nothing new for two
    /// heartbeats; says whether it did.
    pub fn repair_silence(&mut self, replica: &Replica, now: Time) -> bool {
        let Flow::Replicate { in_flight, news } = &self.flow else { return false };
        let patience = replica.config.heartbeat;
        if in_flight.is_empty() || now < *news + patience + patience {
            return false;
        }
        self.probe();
        true
    }

    /// The connection to the follower was lost: probes, after a heartbeat, if something was under way
    /// over it; says whether.
    pub fn on_lost(&mut self, now: Time) -> bool {
        let was_under_way =
            matches!(&self.flow, Flow::Replicate { in_flight, .. } if !in_flight.is_empty());
        if was_under_way {
            self.next = self.matched.next();
            self.flow = Flow::Probe { asked: Some(now) };
        }
        was_under_way
    }

    /// What may leave now.
    pub fn next(&mut self, replica: &Replica, now: Time) -> Next {
        let limit = match &self.flow {
            // A probe is repeated at most once per heartbeat.
            Flow::Probe { asked: Some(at) } if now < *at + replica.config.heartbeat => {
                return Next::Nothing;
            }
            Flow::Probe { .. } => PROBE_BYTES,
            Flow::Replicate { in_flight, .. } => {
                let bytes: usize = in_flight.iter().map(|append| append.bytes).sum();
                if self.next > replica.log.last().index
                    || in_flight.len() >= replica.config.window_messages
                    || bytes >= replica.config.window_bytes
                {
                    return Next::Nothing;
                }
                replica.config.append_bytes
            }
            Flow::Snapshot { .. } => return Next::Nothing,
        };
        let previous_index = LogIndex(self.next.0 - 1);
        let Some(previous_term) = replica.log.term_at(previous_index) else {
            let newest = replica.snapshot().expect("what the log lacks, a snapshot covers");
            self.flow = Flow::Snapshot { covers: newest.position.index };
            return Next::Snapshot;
        };
        let previous = LogPosition { term: previous_term, index: previous_index };
        let entries: Vec<_> = replica.log.slice(self.next, limit).cloned().collect();
        self.note_sent(now, previous_index, &entries);
        Next::Append(AppendEntries { previous, entries, commit: replica.commit_index })
    }

    fn note_sent(&mut self, now: Time, previous: LogIndex, entries: &[messages::Entry]) {
        match &mut self.flow {
            Flow::Probe { asked } => *asked = Some(now),
            Flow::Replicate { in_flight, news } => {
                if in_flight.is_empty() {
                    *news = now; // the wait for an answer begins
                }
                if let Some(last) = entries.last() {
                    let bytes = entries.iter().map(|entry| entry.size()).sum();
                    in_flight.push_back(InFlight { previous, last: last.position.index, bytes });
                    self.next = last.position.index.next();
                }
            }
            Flow::Snapshot { .. } => {}
        }
    }

    fn probe(&mut self) {
        self.next = self.matched.next();
        self.flow = Flow::Probe { asked: None };
    }

    fn check(&self) {
        assert!(self.matched < self.next, "matched < next");
    }
}
