//! One line a hop at `debug`, in the notation of the scripts, so that a log can be read against one:
//! `n1@3 leader ← propose #17`, `n1@3 → n2 AppendEntries prev=4@3 [5@3] commit=4`. Must never cost
//! anything when nobody reads it.

use std::fmt::{self, Display, Formatter};

use log::{Level, debug, log_enabled};
use messages::{AppendOutcome, Message, NodeId, Round};
use states::{Input, Replica, State};

/// An input on its way into the state.
pub fn received(replica: &Replica, state: &State, input: &Input) {
    if log_enabled!(Level::Debug) {
        let (id, term, role) = (replica.id, replica.term(), state.role());
        debug!("n{id}@{term} {role} ← {}", InputLine(input));
    }
}

/// A message that the state made.
pub fn sent(replica: &Replica, to: NodeId, message: &Message) {
    if log_enabled!(Level::Debug) {
        let (id, term) = (replica.id, replica.term());
        debug!("n{id}@{term} → n{to} {}", MessageLine(message));
    }
}

struct InputLine<'a>(&'a Input);

impl Display for InputLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Input::Message { from, term, message } => {
                write!(f, "n{from}@{term} {}", MessageLine(message))
            }
            Input::Timeout => write!(f, "timeout"),
            Input::Written(id) => write!(f, "written w{}", id.0),
            Input::Propose { id, .. } => write!(f, "propose #{}", id.0),
            Input::Blank(id) => write!(f, "blank #{}", id.0),
            Input::Read(id) => write!(f, "read #{}", id.0),
            Input::Space(space) => write!(f, "space for the log: {space:?}"),
            Input::PeerLost(peer) => write!(f, "lost n{peer}"),
            Input::SnapshotTaken(meta) => write!(f, "snapshot {} in place", meta.position),
            Input::SnapshotPart { from, term, meta, complete } => {
                let what = if *complete { "all" } else { "part" };
                write!(f, "n{from}@{term} {what} of snapshot {}", meta.position)
            }
            Input::SnapshotRestored(meta) => write!(f, "snapshot {} restored", meta.position),
            Input::SnapshotFailed(peer) => write!(f, "snapshot to n{peer} failed"),
        }
    }
}

/// A message as a line shows it, without its sender and term.
pub struct MessageLine<'a>(pub &'a Message);

impl Display for MessageLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Message::PreVote(ask) => {
                write!(f, "PreVote proposed={} last={}", ask.proposed, ask.last)?;
                round(f, ask.round)
            }
            Message::PreVoteReply(reply) => {
                write!(f, "PreVoteReply proposed={} {}", reply.proposed, verdict(reply.granted))?;
                round(f, reply.round)
            }
            Message::RequestVote(ask) => write!(f, "RequestVote last={}", ask.last),
            Message::RequestVoteReply(reply) => {
                write!(f, "RequestVoteReply answers={} {}", reply.answers, verdict(reply.granted))
            }
            Message::AppendEntries(append) => {
                write!(f, "AppendEntries prev={} ", append.previous)?;
                match append.entries.as_slice() {
                    [] => write!(f, "[]")?,
                    [only] => write!(f, "[{}]", only.position)?,
                    [first, .., last] => write!(f, "[{}..{}]", first.position, last.position)?,
                }
                write!(f, " commit={}", append.commit)
            }
            Message::AppendEntriesReply(reply) => match reply.outcome {
                AppendOutcome::Matched(index) => write!(f, "AppendEntriesReply matched={index}"),
                AppendOutcome::Mismatched { rejected, try_at } => {
                    write!(f, "AppendEntriesReply mismatched={rejected} try={try_at}")
                }
            },
            Message::Heartbeat(beat) => {
                write!(f, "Heartbeat round={} commit={}", beat.round, beat.commit)
            }
            Message::HeartbeatReply(reply) => {
                write!(f, "HeartbeatReply round={}", reply.round)?;
                if reply.full { write!(f, " full") } else { Ok(()) }
            }
            Message::Snapshotted(reply) => write!(f, "Snapshotted {}", reply.position),
        }
    }
}

/// Named only by who asks on a hint.
fn round(f: &mut Formatter<'_>, round: Round) -> fmt::Result {
    if round == Round(0) { Ok(()) } else { write!(f, " round={round}") }
}

fn verdict(granted: bool) -> &'static str {
    if granted { "granted" } else { "refused" }
}
