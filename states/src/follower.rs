//! The follower: answers leaders and candidates, and asks for an election when it hears no leader
//! (paper, section 5.2). Must never start anything else by itself.

use messages::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Entry, Heartbeat, HeartbeatReply, LogIndex,
    LogPosition, LogTime, Message, NodeId, RequestVote, SnapshotMeta, Snapshotted,
};

use crate::hint::{self, Experience, Suspicion};
use crate::{Decision, PreCandidate, Replica, Role, Space, State, Time, Turn, voting};

/// A follower's own facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Follower {
    leader: Option<Heard>,
    /// None on a node that does not vote: it never stands.
    deadline: Option<Time>,
    suspicion: Option<Suspicion>,
    experience: Experience,
}

/// The leader of the present term, and when it was last heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Heard {
    leader: NodeId,
    at: Time,
}

impl Follower {
    /// A follower that knows no leader.
    pub(crate) fn new(replica: &mut Replica, turn: &mut Turn) -> Follower {
        turn.decide(Decision::Became(Role::Follower, replica.term()));
        let mut follower = Follower {
            leader: None,
            deadline: None,
            suspicion: None,
            experience: Experience::default(),
        };
        follower.put_off_election(replica, turn);
        follower
    }

    /// The same follower in a new term, whose leader it does not know yet. Its deadline stays as it
    /// was before any hint: a term alone is no sign of a leader, and a hint was about another.
    pub(crate) fn into_leaderless(self) -> Follower {
        let experience = match self.suspicion {
            Some(_) => Experience::default(), // it proved right, or no matter
            None => self.experience,
        };
        Follower { leader: None, suspicion: None, experience, ..self.after_asking() }
    }

    /// The same follower with the deadline from before any hint. It goes on suspecting its leader.
    pub(crate) fn after_asking(self) -> Follower {
        let deadline = self.suspicion.map_or(self.deadline, |suspicion| suspicion.before);
        Follower { deadline, ..self }
    }

    pub(crate) fn deadline(&self) -> Option<Time> {
        self.deadline
    }

    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader.map(|heard| heard.leader)
    }

    /// Whether a leader was heard within the least election timeout, and nothing hints that it is
    /// gone since.
    pub(crate) fn hears_leader(&self, replica: &Replica, now: Time) -> bool {
        self.suspicion.is_none()
            && self.leader.is_some_and(|heard| now < heard.at + replica.config.election)
    }

    pub(crate) fn on_message(
        mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        message: Message,
    ) -> State {
        match message {
            Message::PreVote(request) => {
                if voting::answer_pre_vote(replica, turn, from, request) {
                    self.make_way(replica, turn, from);
                }
            }
            Message::RequestVote(request) => self.on_request_vote(replica, turn, from, request),
            Message::AppendEntries(request) => self.on_append_entries(replica, turn, from, request),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(replica, turn, from, heartbeat),
            // Answers to a candidacy or leadership that this node has left.
            Message::PreVoteReply(_)
            | Message::RequestVoteReply(_)
            | Message::AppendEntriesReply(_)
            | Message::HeartbeatReply(_)
            | Message::Snapshotted(_) => {}
        }
        State::Follower(self)
    }

    pub(crate) fn on_timeout(self, replica: &mut Replica, turn: &mut Turn) -> State {
        if self.suspicion.is_some_and(|suspicion| Some(turn.now) < suspicion.before) {
            return PreCandidate::probe_on_hint(self, replica, turn);
        }
        PreCandidate::probe(replica, turn)
    }

    /// The connection to a peer was lost. If that is the leader, it is perhaps gone: one hint is
    /// believed until it is heard again, and then none for a while. Nobody who would have to refuse
    /// every write stands on a hint.
    pub(crate) fn on_peer_lost(&mut self, replica: &mut Replica, turn: &mut Turn, peer: NodeId) {
        if self.leader() != Some(peer)
            || self.suspicion.is_some()
            || replica.space != Space::Enough
            || !self.experience.believes(turn.now)
        {
            return;
        }
        turn.decide(Decision::Suspects(peer));
        self.suspicion = Some(Suspicion { before: self.deadline, made_way: false });
        let soon = hint::deadline(replica, peer, turn.now);
        self.deadline = self.deadline.map(|before| before.min(soon));
    }

    /// Who would vote for another lets it go first, once, if it would stand on a mere hint; says
    /// whether it did.
    pub(crate) fn make_way(&mut self, replica: &Replica, turn: &mut Turn, other: NodeId) -> bool {
        let (Some(suspicion), Some(deadline)) = (&mut self.suspicion, self.deadline) else {
            return false;
        };
        let Some(before) = suspicion.before.filter(|before| deadline < *before) else {
            return false;
        };
        if std::mem::replace(&mut suspicion.made_way, true) {
            return false;
        }
        turn.decide(Decision::MadeWay(other));
        self.deadline = Some((deadline.max(turn.now) + hint::way(&replica.config)).min(before));
        true
    }

    fn on_request_vote(
        &mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        request: RequestVote,
    ) {
        // "If election timeout elapses without receiving AppendEntries RPC from current leader or
        // granting vote to candidate: convert to candidate" (paper, Figure 2, followers).
        if voting::answer_request_vote(replica, turn, from, request) {
            self.put_off_election(replica, turn);
        }
    }

    pub(crate) fn on_append_entries(
        &mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        mut request: AppendEntries,
    ) {
        if !self.hear(replica, turn, from) {
            return;
        }
        let Some(outcome) = splice(replica, turn, from, &mut request) else { return };
        if let AppendOutcome::Matched(matched) = outcome {
            // "set commitIndex = min(leaderCommit, index of last new entry)" (paper, Figure 2):
            // only what this message proved to match.
            replica.commit(turn, request.commit.min(matched));
        }
        let reply = AppendEntriesReply { outcome };
        turn.promise(from, replica.term(), Message::AppendEntriesReply(reply));
    }

    pub(crate) fn on_heartbeat(
        &mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        heartbeat: Heartbeat,
    ) {
        if heartbeat.commit > replica.log.last().index {
            turn.decide(Decision::Impossible(from, "a heartbeat commits beyond what matched"));
            return;
        }
        if !self.hear(replica, turn, from) {
            return;
        }
        replica.commit(turn, heartbeat.commit);
        let full = replica.space != Space::Enough;
        let reply = HeartbeatReply { round: heartbeat.round, full };
        turn.send(from, replica.term(), Message::HeartbeatReply(reply));
    }

    /// The leader sends a snapshot: what is wanted of it, or the promise that it is not needed.
    pub(crate) fn on_snapshot_part(
        &mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        from: NodeId,
        meta: SnapshotMeta,
        complete: bool,
    ) {
        if meta.position.term > replica.term() {
            turn.decide(Decision::Impossible(from, "a snapshot of a later term than its sender's"));
            return;
        }
        if !self.hear(replica, turn, from) {
            return;
        }
        if replica.has_all(meta.position) {
            replica.commit(turn, meta.position.index); // the leader has applied it
            self.promise_snapshotted(replica, turn, &meta);
        } else if complete {
            turn.effects.restore = Some(meta);
        } else {
            turn.effects.receive.push((from, meta.position));
        }
    }

    pub(crate) fn on_snapshot_restored(
        &mut self,
        replica: &mut Replica,
        turn: &mut Turn,
        meta: SnapshotMeta,
    ) {
        if !replica.has_all(meta.position) {
            replica.install(turn, meta.clone());
        }
        self.promise_snapshotted(replica, turn, &meta);
    }

    /// Tells the leader, if one is known, that everything up to there is here: once it is durable.
    fn promise_snapshotted(&self, replica: &Replica, turn: &mut Turn, meta: &SnapshotMeta) {
        if let Some(leader) = self.leader() {
            let reply = Snapshotted { position: meta.position };
            turn.promise(leader, replica.term(), Message::Snapshotted(reply));
        }
    }

    /// Notes the leader of this term; false if another already leads it.
    fn hear(&mut self, replica: &mut Replica, turn: &mut Turn, from: NodeId) -> bool {
        if self.leader().is_some_and(|leader| leader != from) {
            turn.decide(Decision::Impossible(from, "two leaders in one term"));
            return false;
        }
        self.leader = Some(Heard { leader: from, at: turn.now });
        if self.suspicion.take().is_some() {
            turn.decide(Decision::HeardAgain(from));
            self.experience.on_false(&replica.config, turn.now);
        }
        self.put_off_election(replica, turn);
        true
    }

    fn put_off_election(&mut self, replica: &mut Replica, turn: &Turn) {
        self.deadline = replica.is_voter().then(|| replica.election_deadline(turn.now));
    }
}

/// Makes the log equal the leader's up to the request's last entry, if it holds what the request
/// builds on; takes what it appends out of the request. None for a request that no honest leader
/// sends, and for what there is no room for.
fn splice(
    replica: &mut Replica,
    turn: &mut Turn,
    from: NodeId,
    request: &mut AppendEntries,
) -> Option<AppendOutcome> {
    if let Err(why) = check(replica, request) {
        turn.decide(Decision::Impossible(from, why));
        return None;
    }
    let matched = LogIndex(request.previous.index.0 + request.entries.len() as u64);
    if let Err(why) = skip_covered(replica.log.base(), request) {
        turn.decide(Decision::Impossible(from, why));
        return None;
    }
    if matched < replica.log.base().index {
        return Some(AppendOutcome::Matched(matched));
    }
    if !replica.log.holds(request.previous) {
        turn.decide(Decision::Mismatched(from, request.previous));
        return Some(AppendOutcome::Mismatched {
            rejected: request.previous.index,
            try_at: replica.log.last_not_above(request.previous),
        });
    }
    let held = request.entries.iter().take_while(|entry| replica.log.holds(entry.position)).count();
    let new = &request.entries[held..];
    if !new.iter().all(|entry| replica.has_room_for(&entry.payload)) {
        turn.decide(Decision::NoSpace); // as if it had been lost on the way
        return None;
    }
    if let Some(first) = new.first() {
        let last = replica.log.last().index;
        let before = replica.log.time_at(LogIndex(first.position.index.0 - 1));
        if before.is_some_and(|time| first.time < time) {
            turn.decide(Decision::Impossible(from, "log time falls along the entries"));
            return None;
        }
        if first.position.index <= last {
            // "If an existing entry conflicts with a new one (same index but different terms),
            // delete the existing entry and all that follow it" (paper, Figure 2): never because a
            // message is merely shorter than the log.
            if first.position.index <= replica.commit_index {
                turn.decide(Decision::Impossible(from, "committed entries are never replaced"));
                return None;
            }
            turn.decide(Decision::Truncated(first.position));
            replica.log.truncate(first.position.index);
        }
        request.entries.drain(held..).for_each(|entry| replica.log.append(entry));
    }
    Some(AppendOutcome::Matched(matched))
}

/// Takes from the request what a snapshot covers: that is committed, so that the leader has the same
/// (paper, section 5.4).
fn skip_covered(base: LogPosition, request: &mut AppendEntries) -> Result<(), &'static str> {
    let Some(covered) = base.index.0.checked_sub(request.previous.index.0) else { return Ok(()) };
    let covered = usize::try_from(covered).unwrap_or(usize::MAX).min(request.entries.len());
    if let Some(last) = request.entries.drain(..covered).next_back() {
        request.previous = last.position;
    }
    if request.previous.index == base.index && request.previous.term != base.term {
        return Err("an append contradicts what a snapshot covers");
    }
    Ok(())
}

/// What every honest leader's request fulfils: entries follow `previous` without a gap, terms and
/// times never fall, no entry is of a later term than the leader's.
fn check(replica: &Replica, request: &AppendEntries) -> Result<(), &'static str> {
    let mut last = request.previous;
    let mut time = LogTime(0);
    if last.term > replica.term() {
        return Err("an append builds on a later term than its sender's");
    }
    for Entry { position, time: entry_time, .. } in &request.entries {
        if last.index.0.checked_add(1) != Some(position.index.0) {
            return Err("a gap between entries");
        }
        if position.term < last.term || position.term > replica.term() {
            return Err("terms fall along the entries, or pass their leader's");
        }
        if *entry_time < time {
            return Err("log time falls along the entries");
        }
        (last, time) = (*position, *entry_time);
    }
    Ok(())
}
