//! Situations that a batch of seeds must have come into: a simulator that never gets near a rule says
//! nothing of it. Must never steer what happens.

use states::{Decision, Refusal, Role};

use crate::tally::{Tally, named};
use crate::trouble::Trouble;

named! {
    /// A situation worth reaching.
    Mark {
        // Elections.
        /// A node was refused a pre-vote because its peer hears a leader (thesis, section 4.2.3).
        LeaderHeard = "vote refused: a leader is heard",
        /// A vote was refused because the candidate's log is behind (paper, section 5.4.1).
        LogBehind = "vote refused: log behind",
        /// A vote was refused because it had been given to another (paper, section 5.2).
        VotedForOther = "vote refused: given to another",
        /// Two nodes stood for election in one term (paper, section 5.2: split votes).
        SplitVote = "two candidates in one term",
        /// An election ended without a leader.
        FailedElection = "election without a winner",
        /// A candidate found that another had won, and followed.
        CandidateFollows = "candidate follows the winner",
        /// A leader heard no quorum and stepped down.
        LostQuorum = "leader lost its quorum",
        /// A leader heard of a higher term and stepped down.
        Deposed = "leader deposed by a higher term",
        /// Two nodes led at once, in different terms.
        TwoLeaders = "two leaders at once",
        /// A node stood on a hint that its leader was gone, and won.
        ReplacedOnHint = "leader replaced by a hint",
        /// A leader was heard again after a hint that it was gone.
        FalseHint = "hint was false",
        /// A follower lost the connection to its leader, and nothing came of it.
        FlapAtOne = "flap at one follower without a new term",
        /// Several lost it, and one election came of it.
        FlapAtMany = "flap at a majority: one election at most",
        /// Who would have stood on a hint let another go first.
        MadeWay = "way made for another's candidacy",
        /// A node was elected again.
        LeadsAgain = "a node leads a second time",
        /// A leader was elected whose log ended with entries of older terms that nobody had committed
        /// (paper, section 5.4.2).
        OldTail = "leader elected with an uncommitted tail of older terms",
        // Logs.
        /// A follower replaced entries that conflicted with its leader's (paper, section 5.3).
        ConflictTruncation = "conflict truncation",
        /// An entry durable on a majority was replaced (paper, Figure 8).
        Figure8 = "figure 8: a majority's entry replaced",
        /// A leader committed entries of older terms by one of its own (paper, section 5.4.2).
        OldTermCommitted = "older term's entry committed by a newer one",
        /// A leader committed what its own disk did not hold yet.
        CommittedBeforeOwnDisk = "committed before the leader's own disk",
        /// A follower that lacked what an append built on came to match in the same term.
        ProbedBack = "mismatch, then probed back",
        /// A leader went back to probing a silent follower.
        Probing = "silent follower probed",
        /// A follower far behind caught up.
        CaughtUp = "caught up from far behind",
        /// A leader crashed with entries that no other disk holds, and came back with them.
        CameBackAlone = "came back with entries that only it has",
        // Snapshots.
        /// A node took a snapshot, and its log went on after it.
        SnapshotTaken = "snapshot taken",
        /// A leader took one while appends were on their way to followers.
        SnapshotInFlight = "snapshot while appends are in flight",
        /// A follower lacked what the leader's log no longer held.
        SnapshotNeeded = "follower needs a snapshot",
        /// A snapshot took the place of a follower's log.
        SnapshotInstalled = "snapshot installed",
        /// It came in several parts, some of which were lost.
        SnapshotResumed = "snapshot resumed at the part that was lost",
        /// A node crashed while it took or received one.
        CrashInSnapshot = "crash in the middle of a snapshot",
        /// A node crashed when a snapshot had its name, which no sync had covered.
        CrashAfterRename = "crash between a snapshot's rename and its folder's sync",
        /// A node started on a snapshot and the log behind it.
        SnapshotStarted = "started from a snapshot",
        /// A node started without the first segments of its log.
        SegmentsDropped = "started without the log's first segments",
        // Disks.
        /// A node crashed with writes that no sync had covered.
        CrashBeforeSync = "crash between write and sync",
        /// A node crashed with entries durable, and the acknowledgement not sent.
        CrashBeforeAck = "crash between sync and acknowledgement",
        /// A node crashed with a vote written that nobody had heard of.
        CrashBeforeVote = "crash between vote and reply",
        /// A start cut off a tail that no sync had covered.
        TailCut = "torn tail cut at start",
        /// A node started on a log of several segments.
        SegmentCrossed = "log of several segments recovered",
        /// A start refused a damaged log.
        DamageRefused = "damaged disk refused at start",
        /// A sync failed and its node stopped.
        SyncFailed = "sync failed, node stopped",
        /// A disk had no room and its node stopped.
        DiskFull = "disk full, node stopped",
        /// A leader without room on its disk let another lead.
        FullLeader = "full disk: leader made way",
        /// A follower without room did not append.
        FullFollower = "full disk: follower did not append",
        /// A client was told that there is no room.
        FullRefused = "full disk: write refused",
        /// What was handed to the disk before it was known to be full waited, and was written when there
        /// was room again.
        FullWaited = "full disk: write waited for room",
        // Reads.
        /// A read asked before its leader was paused was answered after.
        ReadOverPause = "read confirmed after a pause",
        /// A read waited for the leader to commit the first entry of its term (paper, section 8).
        ReadWaited = "read waited for the term's blank",
        /// A read met what is due by the leader's time, and waited for a blank entry.
        ReadHeld = "read waited for the time to be told",
        /// An entry without commands changed the machine.
        Aged = "machine changed by time alone",
        /// A read of what a node has applied was old.
        StaleRead = "old answer for who is content with it",
        /// The same, by a node that believed to lead.
        StaleLeaderRead = "old answer of a deposed leader",
        // Requests.
        /// A batch of commands was handed to a leader, refused, and handed out again.
        PlacedAgain = "forwarded, not appended, placed again",
        /// A client was told that a forwarded batch may or may not take effect.
        ForwardUncertain = "forwarded and uncertain",
        /// A command came into the log again, after another entry took its place.
        Replaced = "proposal replaced, and placed again",
        /// Too much waited.
        Busy = "busy",
        /// An entry was applied over several turns.
        InParts = "entry applied over several turns",
        /// A batch had queries between its commands.
        MixedBatch = "queries between commands",
        /// A copy of a batch came twice.
        CopyTwice = "forwarded copy came twice",
        // Sessions.
        /// A session's command came into the log again after it had taken effect.
        SessionRepeated = "session: command in the log again",
        /// An outcome was asked for before its command came: it closed the number.
        SessionClosed = "session: number closed by its outcome",
        /// The copy of a command came into the log after its number was closed.
        SessionClosedCopy = "session: copy of a closed number",
        /// A session was not used for too long.
        SessionIdle = "session ended by log time",
        /// Its client had no more use for a session.
        SessionEnded = "session closed by its client",
        /// There were too many sessions.
        SessionPushedOut = "session ended for another",
        /// A batch of a session was handed to a leader, and again before it was known what became of
        /// it.
        SessionPlacedAgain = "session: batch handed out again",
        // The gate.
        /// A frame of an earlier boot came, and was dropped.
        OlderBoot = "frame of an earlier boot dropped",
        /// A frame that was changed on its way was dropped.
        Garbage = "corrupt frame dropped",
        // Clusters.
        /// A cluster of one.
        One = "cluster of one",
        /// A cluster of seven.
        Seven = "cluster of seven",
        /// A majority served while one node was cut off in one direction.
        ServedOneWay = "served past a one-way cut",
        /// Majorities served while two halves could meet only by one node.
        ServedBridge = "served over a bridge",
    }
}

/// Situations that a machine in which nothing waits for time never comes into: neither of them.
pub const OF_TIME: [Mark; 2] = [Mark::ReadHeld, Mark::Aged];

/// Situations of features that are not there yet, and the feature.
pub const NOT_YET: [(&str, &str); 4] = [
    ("learner promoted from a snapshot", "learners"),
    ("joint configuration left by a crashed leader", "membership changes"),
    ("leader removes itself", "membership changes"),
    ("leadership handed over under load", "leadership transfer"),
];

/// Seeds in a batch, from which on every mark must have been reached.
pub const BATCH: u64 = 300;

/// Committed entries without which a seed has shown nothing. Without faults every client gets its
/// answers; with them, one client may wait for seconds again and again.
pub fn least_commits(trouble: &Trouble, steps: u64) -> u64 {
    let calm = trouble.fault_every == 0 && trouble.loss == 0;
    steps / 1_000 * if calm { trouble.clients as u64 } else { 1 }
}

/// How often each situation came up.
pub type Coverage = Tally<Mark>;

impl Coverage {
    /// What a turn's decisions show, of a node that had this role before them.
    pub fn on_decisions(&mut self, mut role: Role, decisions: &[Decision]) {
        for decision in decisions {
            match decision {
                Decision::Truncated(_) => self.add(Mark::ConflictTruncation),
                Decision::LostQuorum => self.add(Mark::LostQuorum),
                Decision::NewTerm(_) if role == Role::Leader => self.add(Mark::Deposed),
                Decision::VoteRefused(_, refusal) => self.on_refusal(*refusal),
                Decision::ElectionFailed(_) if role == Role::Candidate => {
                    self.add(Mark::FailedElection);
                }
                Decision::Probing(_) | Decision::SnapshotFailed(_) => self.add(Mark::Probing),
                Decision::NeedsSnapshot(_) => self.add(Mark::SnapshotNeeded),
                Decision::Installed(_) => self.add(Mark::SnapshotInstalled),
                Decision::NoSpace if role == Role::Leader => self.add(Mark::FullLeader),
                Decision::NoSpace => self.add(Mark::FullFollower),
                Decision::HeardAgain(_) => self.add(Mark::FalseHint),
                Decision::MadeWay(_) => self.add(Mark::MadeWay),
                Decision::Became(new, _) => {
                    if (role, *new) == (Role::Candidate, Role::Follower) {
                        self.add(Mark::CandidateFollows);
                    }
                    role = *new;
                }
                Decision::NewTerm(_)
                | Decision::Snapshotted(..)
                | Decision::Unpinned(_)
                | Decision::ElectionFailed(_)
                | Decision::VoteGranted(..)
                | Decision::Suspects(_)
                | Decision::Mismatched(..)
                | Decision::StrangerIgnored(_)
                | Decision::Impossible(..) => {}
            }
        }
    }

    fn on_refusal(&mut self, refusal: Refusal) {
        match refusal {
            Refusal::HearsLeader => self.add(Mark::LeaderHeard),
            Refusal::LogBehind => self.add(Mark::LogBehind),
            Refusal::VotedForOther => self.add(Mark::VotedForOther),
            Refusal::OldTerm => {}
        }
    }
}
