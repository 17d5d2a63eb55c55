//! What nodes say to one another, and what that permits: which reads are confirmed, how often a
//! leader may speak. Must never ask a node what it has heard.

use std::collections::VecDeque;

use messages::{AppendEntries, AppendOutcome, LogIndex, LogPosition, Message, Round, Term};

use crate::checks::Violation;

/// What is known of appends that a follower has not answered, at most.
const REMEMBERED: usize = 64;
/// Copies of reads that are remembered.
const COPIES: usize = 512;

/// What one node has said and heard in its present run.
#[derive(Debug, Default)]
pub struct Lines {
    run: u32,
    office: Option<Office>,
    /// A quorum was heard to follow this node when it asked at this moment of the world's time.
    confirmed: u64,
    /// Leaders have told it that its log is committed up to here, and showed it as far.
    told: LogIndex,
    /// Copies of reads handed to others: their numbers, and when that was.
    copies: VecDeque<(u64, u64)>,
    /// What the present turn has taken.
    pub taken: Taken,
}

/// What a turn took from a node's mailbox.
#[derive(Debug, Default)]
pub struct Taken {
    /// Requests of the rules, by the sender's place.
    pub requests: Vec<u32>,
    /// Batches of reads, of clients and of other nodes.
    pub reads: u64,
    /// Copies answered with replies.
    pub copies_done: u64,
}

/// A node's time as a leader, as others hear it.
#[derive(Debug)]
struct Office {
    term: Term,
    /// When each round was sent, in the world's time.
    rounds: Vec<u64>,
    /// The send time of the newest round that each node has echoed.
    echoed: Vec<u64>,
    /// What the node's clock showed when it took office.
    since: u64,
    reads: u64,
    followers: Vec<Follower>,
}

/// Appends to one follower.
#[derive(Debug, Default)]
struct Follower {
    matched: LogIndex,
    /// What was sent ends here.
    sent_to: Option<LogIndex>,
    /// What appends built on that are not refused yet.
    open: VecDeque<LogIndex>,
    /// It has said something new since the last repetition.
    news: bool,
    /// When something was last said again, on the leader's clock.
    repeated: u64,
}

impl Lines {
    /// A turn begins, of a node that was started so often.
    pub fn begin(&mut self, run: u32, nodes: usize) {
        if self.run != run {
            *self = Lines { run, ..Lines::default() };
        }
        self.taken.requests.clear();
        self.taken.requests.resize(nodes, 0);
        self.taken.reads = 0;
        self.taken.copies_done = 0;
    }

    /// A message of the rules is taken.
    pub fn on_taken(&mut self, from: usize, term: Term, message: &Message) {
        if !message.is_reply() {
            self.taken.requests[from] += 1;
            match message {
                Message::AppendEntries(append) => {
                    self.told = self.told.max(append.commit.min(end_of(append)));
                }
                Message::Heartbeat(heartbeat) => self.told = self.told.max(heartbeat.commit),
                _ => {}
            }
            return;
        }
        let Some(office) = self.office.as_mut().filter(|office| office.term == term) else {
            return;
        };
        match message {
            Message::HeartbeatReply(reply) => {
                let place = (reply.round.0 as usize).wrapping_sub(1);
                if let Some(sent) = office.rounds.get(place) {
                    office.echoed[from] = office.echoed[from].max(*sent);
                }
            }
            Message::AppendEntriesReply(reply) => office.followers[from].on_reply(&reply.outcome),
            Message::Snapshotted(reply) => {
                // What comes next goes on behind the snapshot.
                let follower = &mut office.followers[from];
                follower.matched = follower.matched.max(reply.position.index);
                follower.news = true;
            }
            Message::PreVoteReply(_)
            | Message::RequestVoteReply(_)
            | Message::PreVote(_)
            | Message::RequestVote(_)
            | Message::AppendEntries(_)
            | Message::Heartbeat(_) => {}
        }
    }

    /// A leader shows its log up to here by a snapshot, and has applied it.
    pub fn on_snapshot(&mut self, covers: LogIndex) {
        self.told = self.told.max(covers);
    }

    /// All is taken: a quorum may have been heard.
    pub fn settle(&mut self, place: usize, now: u64) {
        let Some(office) = &mut self.office else { return };
        office.echoed[place] = now;
        office.reads += self.taken.reads;
        let echoed = &office.echoed;
        let agree = |moment: u64| echoed.iter().filter(|echo| **echo >= moment).count();
        let by_quorum = echoed.iter().filter(|echo| 2 * agree(**echo) > echoed.len()).max();
        self.confirmed = self.confirmed.max(by_quorum.copied().unwrap_or_default());
    }

    /// The turn has ended with the node in office, or not.
    pub fn on_office(&mut self, term: Option<Term>, nodes: usize, clock: u64) {
        if self.office.as_ref().map(|office| office.term) == term {
            return;
        }
        self.office = term.map(|term| Office {
            term,
            rounds: Vec::new(),
            echoed: vec![0; nodes],
            since: clock,
            reads: 0,
            followers: (0..nodes).map(|_| Follower::default()).collect(),
        });
    }

    /// A read asked at this moment of the world's time is answered: since then a quorum must have
    /// been heard to follow the node ("the leader ... exchanges heartbeat messages with a majority
    /// of the cluster before responding to read-only requests", paper, section 8).
    pub fn on_read_answered(&self, asked: u64) -> Result<(), Violation> {
        if self.confirmed < asked {
            return Err(format!(
                "read: asked at {asked}, answered though a quorum was last asked at {}",
                self.confirmed
            ));
        }
        Ok(())
    }

    /// Whoever does not lead commits up to "min(leaderCommit, index of last new entry)" (paper,
    /// Figure 2): what lies beyond in its log may be another's.
    pub fn on_follower_commit(&self, from: LogIndex, to: LogIndex) -> Result<(), Violation> {
        if to > from && to > self.told {
            return Err(format!("commit: a follower commits {to}, told only up to {}", self.told));
        }
        Ok(())
    }

    /// A copy of a read leaves for another node.
    pub fn on_copy(&mut self, number: u64, now: u64) {
        if self.copies.len() == COPIES {
            self.copies.pop_front();
        }
        self.copies.push_back((number, now));
    }

    /// When the copy of a read left.
    pub fn copied(&self, number: u64) -> Option<u64> {
        let place = self.copies.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.copies[place].1)
    }

    /// A round is sent: for a heartbeat that is due, or for reads that wait.
    pub fn on_round(
        &mut self,
        round: Round,
        now: u64,
        clock: u64,
        heartbeat: u64,
    ) -> Result<(), Violation> {
        let Some(office) = &mut self.office else { return Ok(()) };
        if office.rounds.len() as u64 >= round.0 {
            return Ok(()); // the same, to another follower
        }
        office.rounds.push(now);
        let due = (clock - office.since) / heartbeat + office.reads + 2;
        if office.rounds.len() as u64 != round.0 || round.0 > due {
            let reads = office.reads;
            return Err(format!(
                "storm: round {} where {due} were due, {reads} for reads",
                round.0
            ));
        }
        Ok(())
    }

    /// An append is sent to the follower at `to`: either it goes on where the last one ended, or the
    /// follower has said something new, or a heartbeat has passed since something was last said
    /// again. Silence is repaired by time, never by stale news.
    pub fn on_append(
        &mut self,
        to: usize,
        append: &AppendEntries,
        clock: u64,
        heartbeat: u64,
    ) -> Result<(), Violation> {
        let Some(office) = &mut self.office else { return Ok(()) };
        let follower = &mut office.followers[to];
        let end = end_of(append);
        let goes_on = match follower.sent_to {
            None => true,
            Some(sent_to) => end > sent_to && !append.entries.is_empty(),
        };
        if follower.sent_to.is_none() {
            follower.repeated = clock;
        }
        if !goes_on {
            if !follower.news && clock < follower.repeated + heartbeat {
                let LogPosition { index, .. } = append.previous;
                return Err(format!(
                    "storm: an append behind {index} is sent again {} after the last, without news",
                    clock - follower.repeated
                ));
            }
            follower.repeated = clock;
            follower.news = false;
        }
        follower.sent_to = Some(end);
        if follower.open.len() == REMEMBERED {
            follower.open.pop_front();
        }
        follower.open.push_back(append.previous.index);
        Ok(())
    }
}

/// Where the leader's log is shown to end, at least.
fn end_of(append: &AppendEntries) -> LogIndex {
    append.entries.last().map_or(append.previous, |entry| entry.position).index
}

impl Follower {
    fn on_reply(&mut self, outcome: &AppendOutcome) {
        match outcome {
            AppendOutcome::Matched(index) if *index > self.matched => {
                self.matched = *index;
                self.news = true;
            }
            AppendOutcome::Matched(_) => {}
            AppendOutcome::Mismatched { rejected, .. } => {
                if let Some(place) = self.open.iter().position(|index| index == rejected) {
                    self.open.remove(place);
                    self.news = true;
                }
            }
        }
    }
}

/// In one turn a node says to another no more than one thing of a kind, and answers what it was
/// asked.
pub fn check_turn(
    said: &[Said],
    taken: &Taken,
    (frames, peers): (usize, usize),
) -> Result<(), Violation> {
    if frames > 3 * peers {
        return Err(format!("storm: {frames} frames in one turn for {peers} peers"));
    }
    for (place, said) in said.iter().enumerate() {
        let asked = taken.requests[place];
        if said.replies > asked || said.appends > 1 || said.heartbeats > 1 || said.elections > 2 {
            return Err(format!("storm: asked {asked} things, one turn says {said:?}"));
        }
    }
    Ok(())
}

/// What one turn says to one peer, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said {
    replies: u32,
    appends: u32,
    heartbeats: u32,
    elections: u32,
}

impl Said {
    /// One more.
    pub fn add(&mut self, message: &Message) {
        match message {
            Message::AppendEntries(_) => self.appends += 1,
            Message::Heartbeat(_) => self.heartbeats += 1,
            Message::PreVote(_) | Message::RequestVote(_) => self.elections += 1,
            Message::PreVoteReply(_)
            | Message::RequestVoteReply(_)
            | Message::AppendEntriesReply(_)
            | Message::HeartbeatReply(_) => self.replies += 1,
            // It answers parts, or what became of them, not a message.
            Message::Snapshotted(_) => {}
        }
    }
}
