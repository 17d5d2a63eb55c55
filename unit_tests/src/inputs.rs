//! Inputs in a line, with plain numbers: `vote_reply(2, 3, 3, true)` is node 2's vote in term 3.
//! Must never decide what is allowed: tests feed what no honest node sends, too.

use bytes::Bytes;
use messages::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Entry, Heartbeat, HeartbeatReply, Item,
    LogIndex, LogPosition, LogTime, Membership, Message, NodeId, Payload, PreVote, PreVoteReply,
    RequestVote, RequestVoteReply, Round, SnapshotMeta, Snapshotted, Term,
};
use states::Input;

/// Index `index` made in term `term`, as in `5@3`.
pub fn at(index: u64, term: u64) -> LogPosition {
    LogPosition::new(index, term)
}

/// Any message.
pub fn message(from: u64, term: u64, message: Message) -> Input {
    Input::Message { from: NodeId(from), term: Term(term), message }
}

/// A small command at this place, made at this log time.
pub fn entry(position: LogPosition, time: u64) -> Entry {
    let command = Bytes::from(format!("{position}"));
    let payload = Payload::Command([Item::Plain(command)].into());
    Entry { position, time: LogTime(time), payload }
}

/// AppendEntries of entries after `previous`, one for each of `terms`; all made at log time 1.
pub fn append(from: u64, term: u64, previous: LogPosition, terms: &[u64], commit: u64) -> Input {
    let first = previous.index.0 + 1;
    let entries = (first..).zip(terms).map(|(index, term)| entry(at(index, *term), 1)).collect();
    append_entries(from, term, previous, entries, commit)
}

/// AppendEntries of these entries, whatever they are.
pub fn append_entries(
    from: u64,
    term: u64,
    previous: LogPosition,
    entries: Vec<Entry>,
    commit: u64,
) -> Input {
    let request = AppendEntries { previous, entries, commit: LogIndex(commit) };
    message(from, term, Message::AppendEntries(request))
}

/// A heartbeat.
pub fn heartbeat(from: u64, term: u64, round: u64, commit: u64) -> Input {
    let heartbeat = Heartbeat { round: Round(round), commit: LogIndex(commit) };
    message(from, term, Message::Heartbeat(heartbeat))
}

/// A request for a vote in `term`.
pub fn request_vote(from: u64, term: u64, last: LogPosition) -> Input {
    message(from, term, Message::RequestVote(RequestVote { last }))
}

/// The question whether a vote would be given in the term after `term`.
pub fn pre_vote(from: u64, term: u64, last: LogPosition) -> Input {
    pre_vote_in(from, term, last, 0)
}

/// The same, asked on a hint, in this round.
pub fn pre_vote_in(from: u64, term: u64, last: LogPosition, round: u64) -> Input {
    let question = PreVote { proposed: Term(term + 1), last, round: Round(round) };
    message(from, term, Message::PreVote(question))
}

/// A voter's answer to the request of term `answers`; its wall clock shows zero.
pub fn vote_reply(from: u64, term: u64, answers: u64, granted: bool) -> Input {
    let reply = RequestVoteReply { answers: Term(answers), granted, wall: 0 };
    message(from, term, Message::RequestVoteReply(reply))
}

/// An answer to a pre-vote that proposed the term `proposed`.
pub fn pre_vote_reply(from: u64, term: u64, proposed: u64, granted: bool) -> Input {
    pre_vote_reply_in(from, term, proposed, granted, 0)
}

/// The same, to a question asked on a hint, in this round.
pub fn pre_vote_reply_in(from: u64, term: u64, proposed: u64, granted: bool, round: u64) -> Input {
    let reply = PreVoteReply { proposed: Term(proposed), granted, round: Round(round) };
    message(from, term, Message::PreVoteReply(reply))
}

/// "My log equals yours up to `index`, durably."
pub fn matched(from: u64, term: u64, index: u64) -> Input {
    let outcome = AppendOutcome::Matched(LogIndex(index));
    message(from, term, Message::AppendEntriesReply(AppendEntriesReply { outcome }))
}

/// "I do not hold what you built on."
pub fn mismatched(from: u64, term: u64, rejected: u64, try_at: LogPosition) -> Input {
    let outcome = AppendOutcome::Mismatched { rejected: LogIndex(rejected), try_at };
    message(from, term, Message::AppendEntriesReply(AppendEntriesReply { outcome }))
}

/// What a snapshot up to `position` stands for, made at this log time where n1 to n`voters` vote.
pub fn snapshot(position: LogPosition, time: u64, voters: u64) -> SnapshotMeta {
    let membership = Membership { voters: (1..=voters).map(NodeId).collect() };
    SnapshotMeta { position, time: LogTime(time), membership }
}

/// A part of a leader's snapshot, or all of it.
pub fn part(from: u64, term: u64, meta: SnapshotMeta, complete: bool) -> Input {
    Input::SnapshotPart { from: NodeId(from), term: Term(term), meta, complete }
}

/// "I need no snapshot up to `position`."
pub fn snapshotted(from: u64, term: u64, position: LogPosition) -> Input {
    message(from, term, Message::Snapshotted(Snapshotted { position }))
}

/// The echo of a heartbeat's round.
pub fn echo(from: u64, term: u64, round: u64) -> Input {
    message(
        from,
        term,
        Message::HeartbeatReply(HeartbeatReply { round: Round(round), full: false }),
    )
}
