//! What a peer may say: messages of every kind, with numbers that an honest one would use, ones next
//! to those, and the ends of their range.

use bytes::Bytes;
use messages::{
    AppendEntries, AppendEntriesReply, AppendOutcome, CommandNumber, Content, Entry, Envelope,
    Forward, ForwardOutcome, ForwardReply, GroupId, Heartbeat, HeartbeatReply, Item, LogIndex,
    LogPosition, LogTime, Membership, Message, NodeId, NotAppended, Operation, Payload, PreVote,
    PreVoteReply, RequestVote, RequestVoteReply, Round, SessionId, SnapshotMeta, SnapshotPart,
    SnapshotPartReply, Snapshotted, Term,
};

use super::Choices;

/// The numbers that an honest peer would use now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Near {
    /// The receiver's term.
    pub term: u64,
    /// Where its log ends.
    pub last: LogPosition,
    /// Its last committed entry.
    pub commit: LogPosition,
    /// The entry before that.
    pub before: LogPosition,
    /// Whether it leads: then it is mostly answered, else mostly led.
    pub leads: bool,
    /// The newest round that it sent.
    pub round: u64,
    /// The newest copy that it handed out.
    pub copy: u64,
    /// The last entry's log time.
    pub time: u64,
    /// Up to where it has the snapshot that it is sent.
    pub wanted: u64,
}

/// A number: this one, one next to it, or one at the end of the range.
pub fn number(choices: &mut Choices, near: u64) -> u64 {
    match choices.below(16) {
        0..=7 => near,
        8 | 9 => near.saturating_add(1),
        10 => near.saturating_sub(1),
        11 => near.saturating_add(2 + u64::from(choices.byte())),
        12 => 0,
        13 => u64::MAX - u64::from(choices.byte() % 3),
        14 => near.saturating_add(1 << (choices.byte() % 64)),
        _ => choices.number(),
    }
}

/// An envelope of any kind.
pub fn envelope(choices: &mut Choices, near: &Near) -> Envelope {
    let group = if choices.one_in(24) { GroupId(number(choices, 1)) } else { GroupId(0) };
    let content = match choices.below(16) {
        0 => Content::Forward(forward(choices, near)),
        1 => Content::ForwardReply(forward_reply(choices, near)),
        8 => Content::SnapshotPart(snapshot_part(choices, near)),
        9 => Content::SnapshotPartReply(SnapshotPartReply {
            position: position(choices, near.last),
            wanted: number(choices, near.wanted),
        }),
        _ => {
            let term = if choices.one_in(3) { number(choices, near.term) } else { near.term };
            let term = Term(term);
            Content::Raft { term, message: message(choices, near, term) }
        }
    };
    Envelope { group, content }
}

/// A message of any kind, from a sender of this term.
pub fn message(choices: &mut Choices, near: &Near, term: Term) -> Message {
    let kind = match choices.below(32) {
        31 => 8,
        drawn => match drawn % 16 {
            often @ 0..8 => often / 4 + if near.leads { 2 } else { 0 },
            evenly => evenly - 8,
        },
    };
    match kind {
        0 => Message::AppendEntries(append(choices, near, term)),
        1 => {
            let round = Round(number(choices, near.round));
            Message::Heartbeat(Heartbeat {
                round,
                commit: LogIndex(number(choices, near.commit.index.0)),
            })
        }
        2 => Message::AppendEntriesReply(AppendEntriesReply { outcome: outcome(choices, near) }),
        3 => {
            let round = Round(number(choices, near.round));
            Message::HeartbeatReply(HeartbeatReply { round, full: round.0 % 4 == 1 })
        }
        4 => {
            let proposed = Term(number(choices, term.0.saturating_add(1)));
            let last = position(choices, near.last);
            Message::PreVote(PreVote { proposed, last, round: Round(number(choices, 0)) })
        }
        5 => Message::RequestVote(RequestVote { last: position(choices, near.last) }),
        6 => {
            let proposed = Term(number(choices, near.term.saturating_add(1)));
            let (granted, round) = (!choices.one_in(3), Round(number(choices, 0)));
            Message::PreVoteReply(PreVoteReply { proposed, granted, round })
        }
        8 => Message::Snapshotted(Snapshotted { position: position(choices, near.last) }),
        _ => {
            let answers = Term(number(choices, near.term));
            let (granted, wall) = (!choices.one_in(3), number(choices, near.time));
            Message::RequestVoteReply(RequestVoteReply { answers, granted, wall })
        }
    }
}

fn position(choices: &mut Choices, near: LogPosition) -> LogPosition {
    let index = number(choices, near.index.0);
    LogPosition::new(index, number(choices, near.term.0))
}

/// A part that mostly follows what came before, of a snapshot that is not there: its bytes are any.
fn snapshot_part(choices: &mut Choices, near: &Near) -> SnapshotPart {
    let beyond = LogPosition::new(near.last.index.0.saturating_add(9), near.term);
    let covers = choices.one_of(&[beyond, beyond, near.last, near.commit]);
    let membership = Membership { voters: (1..=choices.below(4) as u64).map(NodeId).collect() };
    let position = position(choices, covers);
    let meta = SnapshotMeta { position, time: LogTime(number(choices, near.time)), membership };
    let (term, size) = (Term(number(choices, near.term)), number(choices, 20));
    let offset = number(choices, near.wanted);
    SnapshotPart { term, meta, size, offset, bytes: Bytes::copy_from_slice(choices.bytes(20)) }
}

fn outcome(choices: &mut Choices, near: &Near) -> AppendOutcome {
    if choices.one_in(2) {
        let rejected = LogIndex(number(choices, near.last.index.0));
        return AppendOutcome::Mismatched { rejected, try_at: position(choices, near.last) };
    }
    AppendOutcome::Matched(LogIndex(number(choices, near.last.index.0)))
}

/// Entries that mostly follow what they build on.
fn append(choices: &mut Choices, near: &Near, term: Term) -> AppendEntries {
    let meets = choices.one_of(&[near.last, near.commit, near.before]);
    let previous = position(choices, meets);
    let mut entries = Vec::new();
    let mut time = near.time;
    for place in 1..=choices.below(4) as u64 {
        time = number(choices, time);
        let follows = LogPosition { index: LogIndex(previous.index.0.wrapping_add(place)), term };
        entries.push(entry(choices, follows, time));
    }
    AppendEntries { previous, entries, commit: LogIndex(number(choices, near.commit.index.0)) }
}

/// An entry that mostly stands where it should.
pub fn entry(choices: &mut Choices, follows: LogPosition, time: u64) -> Entry {
    let position = if choices.one_in(8) { position(choices, follows) } else { follows };
    Entry { position, time: LogTime(time), payload: payload(choices) }
}

fn payload(choices: &mut Choices) -> Payload {
    if choices.one_in(4) {
        return Payload::Blank;
    }
    let items: Vec<Item> = (0..choices.below(4)).map(|_| item(choices)).collect();
    Payload::Command(items.into())
}

/// An item, seldom one of a session.
fn item(choices: &mut Choices) -> Item {
    match choices.below(8) {
        0 => Item::OpenSession,
        1 => Item::Session {
            session: session(choices),
            number: CommandNumber(number(choices, 1)),
            command: request(choices),
        },
        2 => Item::Outcome { session: session(choices), number: CommandNumber(number(choices, 1)) },
        3 if choices.one_in(2) => Item::CloseSession(session(choices)),
        _ => Item::Plain(request(choices)),
    }
}

/// A session that may be open: one of the first entries opened it.
fn session(choices: &mut Choices) -> SessionId {
    let index = 1 + choices.below(4) as u64;
    SessionId(1024 * number(choices, index).min(1 << 50))
}

/// A request as the store spells it, or any bytes.
pub fn request(choices: &mut Choices) -> Bytes {
    let spelt = |arguments: &[&[u8]]| {
        Bytes::from(raft::store::arguments::encode(arguments.iter().copied()))
    };
    match choices.below(6) {
        0 => spelt(&[b"incr", b"n"]),
        1 => spelt(&[b"set", b"k", choices.bytes(30)]),
        2 => spelt(&[b"append", b"n", b"1"]),
        3 => spelt(&[b"get", b"n"]),
        4 => spelt(&[choices.bytes(8), b"n"]),
        _ => Bytes::copy_from_slice(choices.bytes(30)),
    }
}

/// Some operations of a client's batch.
pub fn operations(choices: &mut Choices) -> Vec<Operation> {
    let operation = |choices: &mut Choices| match item(choices) {
        _ if choices.one_in(2) => Operation::Query(request(choices)),
        Item::Plain(command) => Operation::Command(command),
        Item::Session { session, number, command } => {
            Operation::Session { session, number, command }
        }
        Item::OpenSession => Operation::OpenSession,
        Item::Outcome { session, number } => Operation::Outcome { session, number },
        Item::CloseSession(session) => Operation::CloseSession(session),
    };
    (0..choices.below(4)).map(|_| operation(choices)).collect()
}

fn forward(choices: &mut Choices, near: &Near) -> Forward {
    let (number_, only_in) = (number(choices, near.copy), Term(number(choices, near.term)));
    Forward { number: number_, only_in, operations: operations(choices) }
}

fn forward_reply(choices: &mut Choices, near: &Near) -> ForwardReply {
    let number = number(choices, near.copy);
    let outcome = match choices.below(4) {
        0 => ForwardOutcome::NotAppended(NotAppended::NotLeader),
        1 if number % 2 == 1 => ForwardOutcome::NotAppended(NotAppended::Full),
        1 => ForwardOutcome::NotAppended(NotAppended::Busy),
        _ => ForwardOutcome::Done((0..choices.below(4)).map(|_| request(choices)).collect()),
    };
    ForwardReply { number, outcome }
}
