//! The values whose spelling is frozen: all of `values.txt`, `older.txt` and `frames.txt`, as Rust
//! has them.

use std::fmt::Debug;

use bytes::Bytes;
use messages::frame::Header;
use messages::wire::{self, Decode, Encode};
use messages::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Boot, ClusterId, CommandNumber, Content,
    DecodeError, Entry, Envelope, Forward, ForwardOutcome, ForwardReply, GroupId, Heartbeat,
    HeartbeatReply, Item, LogIndex, LogPosition, LogTime, Membership, Message, NodeId, NotAppended,
    Operation, Payload, PreVote, PreVoteReply, RequestVote, RequestVoteReply, Round, SessionId,
    SnapshotMeta, SnapshotPart, SnapshotPartReply, Snapshotted, Term,
};

/// A value with a frozen spelling, its type forgotten.
pub struct Case {
    /// Its name in `values.txt`.
    pub name: &'static str,
    /// As we spell it.
    pub spelt: Vec<u8>,
    /// Whether bytes are read as this value.
    pub reads: Box<Reads>,
    /// Whether what bytes are read as, if they can be, survives being spelt and read again.
    pub survives: Box<Survives>,
}

type Reads = dyn Fn(&[u8]) -> Result<bool, DecodeError>;
type Survives = dyn Fn(&[u8]) -> bool;

fn case<T: Encode + Decode + Debug + PartialEq + 'static>(name: &'static str, value: T) -> Case {
    let spelt = spell(&value);
    Case {
        name,
        spelt,
        reads: Box::new(move |bytes| wire::decode::<T>(bytes).map(|read| read == value)),
        survives: Box::new(|bytes| {
            wire::decode::<T>(bytes).is_ok_and(|read| wire::decode(&spell(&read)) == Ok(read))
        }),
    }
}

fn spell<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    wire::encode(value, &mut bytes);
    bytes
}

fn plain(command: impl Into<Bytes>) -> Item {
    Item::Plain(command.into())
}

/// `entry/blank`.
pub fn entry_blank() -> Entry {
    Entry { position: LogPosition::new(1, 1), time: LogTime(0), payload: Payload::Blank }
}

/// `entry/command`.
pub fn entry_command() -> Entry {
    Entry {
        position: LogPosition::new(70_000, 300),
        time: LogTime(1_700_000_000_000_000),
        payload: Payload::Command([plain("SET a 1"), plain("")].into()),
    }
}

fn pre_vote(round: u64) -> Message {
    let last = LogPosition::new(5, 3);
    Message::PreVote(PreVote { proposed: Term(8), last, round: Round(round) })
}

fn pre_vote_reply(round: u64) -> Message {
    let reply = PreVoteReply { proposed: Term(8), granted: true, round: Round(round) };
    Message::PreVoteReply(reply)
}

fn heartbeat() -> Message {
    Message::Heartbeat(Heartbeat { round: Round(99), commit: LogIndex(70_000) })
}

fn raft(message: Message) -> Content {
    Content::Raft { term: Term(7), message }
}

fn forward() -> Content {
    let operations = vec![Operation::Command("INCR n".into()), Operation::Query("GET n".into())];
    Content::Forward(Forward { number: 12, only_in: Term(7), operations })
}

fn membership<const COUNT: usize>(voters: [u64; COUNT]) -> Membership {
    Membership { voters: voters.map(NodeId).into() }
}

fn snapshot_meta() -> SnapshotMeta {
    SnapshotMeta {
        position: LogPosition::new(70_000, 300),
        time: LogTime(1_700_000_000_000_000),
        membership: membership([1, 2, u64::MAX]),
    }
}

fn snapshot_part(offset: u64, bytes: Vec<u8>) -> Content {
    let (term, meta, bytes) = (Term(7), snapshot_meta(), bytes.into());
    Content::SnapshotPart(SnapshotPart { term, meta, size: 1 << 32, offset, bytes })
}

fn snapshot_part_reply() -> Content {
    let position = LogPosition::new(70_000, 300);
    Content::SnapshotPartReply(SnapshotPartReply { position, wanted: 131_072 })
}

/// 300 bytes: more than the shortest form of bytes holds.
fn blob() -> Vec<u8> {
    (0..=255).chain([255; 44]).collect()
}

/// Something said to a group.
pub fn envelope(group: u64, content: Content) -> Envelope {
    Envelope { group: GroupId(group), content }
}

fn append_entries(entries: Vec<Entry>) -> Message {
    let previous = LogPosition::new(69_999, 299);
    Message::AppendEntries(AppendEntries { previous, entries, commit: LogIndex(69_998) })
}

fn mismatched() -> AppendOutcome {
    let try_at = LogPosition::new(60_000, 2);
    AppendOutcome::Mismatched { rejected: LogIndex(70_000), try_at }
}

fn matched() -> AppendOutcome {
    AppendOutcome::Matched(LogIndex(70_000))
}

/// All of `values.txt`.
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("ids/zero", LogIndex(0)),
        case("ids/127", Term(127)),
        case("ids/128", GroupId(128)),
        case("ids/256", Round(256)),
        case("ids/65536", NodeId(65_536)),
        case("ids/2^32", Boot(1 << 32)),
        case("ids/max", ClusterId(u64::MAX)),
        case("position", LogPosition::new(5, 3)),
        case("position/zero", LogPosition::ZERO),
        case("position/max", LogPosition::new(u64::MAX, u64::MAX)),
    ];
    cases.extend(entry_cases());
    cases.extend(message_cases());
    cases.extend(server_cases());
    cases
}

fn entry_cases() -> Vec<Case> {
    vec![
        case("membership", membership([1, 2, u64::MAX])),
        case("membership/nobody", membership([])),
        case("snapshot_meta", snapshot_meta()),
        case("payload/blank", Payload::Blank),
        case("payload/command", Payload::Command([plain("SET a 1"), plain("")].into())),
        case("payload/command/empty", Payload::Command([].into())),
        case("payload/command/16", Payload::Command((0..16).map(|i| plain(vec![i])).collect())),
        case("item/plain", plain("SET a 1")),
        case("item/plain/300", plain(blob())),
        case(
            "item/session",
            Item::Session {
                session: SessionId(70_000 * 1024 + 3),
                number: CommandNumber(12),
                command: "SET a 1".into(),
            },
        ),
        case("item/open_session", Item::OpenSession),
        case("item/outcome", Item::Outcome { session: SessionId(1024), number: CommandNumber(1) }),
        case("item/close_session", Item::CloseSession(SessionId(70_000 * 1024 + 3))),
        case("entry/blank", entry_blank()),
        case("entry/command", entry_command()),
    ]
}

fn message_cases() -> Vec<Case> {
    let last = LogPosition::new(5, 3);
    let wall = 1_700_000_000_000_000;
    let reply = |outcome| Message::AppendEntriesReply(AppendEntriesReply { outcome });
    let refused = RequestVoteReply { answers: Term(8), granted: false, wall };
    let probe =
        AppendEntries { previous: LogPosition::new(4, 2), entries: vec![], commit: LogIndex(0) };
    vec![
        case("message/pre_vote", pre_vote(99)),
        case("message/pre_vote_reply", pre_vote_reply(99)),
        case("message/request_vote", Message::RequestVote(RequestVote { last })),
        case("message/request_vote_reply", Message::RequestVoteReply(refused)),
        case("message/append_entries", append_entries(vec![entry_command(), entry_blank()])),
        case("message/append_entries/probe", Message::AppendEntries(probe)),
        case("message/append_entries_reply/matched", reply(matched())),
        case("message/append_entries_reply/mismatched", reply(mismatched())),
        case("message/heartbeat", heartbeat()),
        case("message/heartbeat_reply", heartbeat_reply(false)),
        case("message/heartbeat_reply/full", heartbeat_reply(true)),
        case(
            "message/snapshotted",
            Message::Snapshotted(Snapshotted { position: LogPosition::new(70_000, 300) }),
        ),
        case("append_outcome/matched", matched()),
        case("append_outcome/mismatched", mismatched()),
    ]
}

fn server_cases() -> Vec<Case> {
    let reply = |outcome| Content::ForwardReply(ForwardReply { number: 12, outcome });
    let done = |replies: [&'static str; 2]| {
        ForwardOutcome::Done(replies.map(|reply| Bytes::from_static(reply.as_bytes())).into())
    };
    vec![
        case("operation/command", Operation::Command("SET a 1".into())),
        case("operation/query", Operation::Query("GET a".into())),
        case(
            "operation/session",
            Operation::Session {
                session: SessionId(u64::MAX),
                number: CommandNumber(300),
                command: "SET a 1".into(),
            },
        ),
        case("operation/open_session", Operation::OpenSession),
        case(
            "operation/outcome",
            Operation::Outcome { session: SessionId(1024), number: CommandNumber(1) },
        ),
        case("operation/close_session", Operation::CloseSession(SessionId(1024))),
        case("not_appended/not_leader", NotAppended::NotLeader),
        case("not_appended/busy", NotAppended::Busy),
        case("not_appended/full", NotAppended::Full),
        case("outcome/done", done(["+OK\r\n", ":2\r\n"])),
        case("outcome/not_appended", ForwardOutcome::NotAppended(NotAppended::NotLeader)),
        case("content/raft", raft(pre_vote(99))),
        case("content/forward", forward()),
        case("content/forward_reply", reply(done([":1\r\n", ":1\r\n"]))),
        case("content/snapshot_part", snapshot_part(65_536, blob())),
        case("content/snapshot_part/question", snapshot_part(0, vec![])),
        case("content/snapshot_part_reply", snapshot_part_reply()),
        case("envelope/raft", envelope(0, raft(pre_vote(99)))),
        case("envelope/forward", envelope(0, forward())),
        case("envelope/snapshot_part", envelope(0, snapshot_part(65_536, blob()))),
        case("envelope/snapshot_part_reply", envelope(3, snapshot_part_reply())),
        case(
            "envelope/forward_reply",
            envelope(3, reply(ForwardOutcome::NotAppended(NotAppended::Busy))),
        ),
    ]
}

/// All of `older.txt`: a field that was not there yet has its default.
pub fn older_cases() -> Vec<Case> {
    vec![
        case("message/pre_vote", pre_vote(0)),
        case("message/pre_vote_reply", pre_vote_reply(0)),
        case("message/heartbeat_reply", heartbeat_reply(false)),
        case("content/raft", raft(pre_vote(0))),
        case("envelope/raft", envelope(0, raft(pre_vote(0)))),
    ]
}

fn heartbeat_reply(full: bool) -> Message {
    Message::HeartbeatReply(HeartbeatReply { round: Round(99), full })
}

/// All of `frames.txt`.
pub fn frames() -> Vec<(&'static str, Header, Vec<Envelope>)> {
    let control = Header {
        lane: 0,
        cluster: ClusterId(0x1122_3344_5566_7788),
        from: NodeId(1),
        boot: Boot(0x5_dead_beef),
        to: NodeId(2),
    };
    let log = Header { lane: 1, from: NodeId(u64::MAX), ..control };
    let bulk = Header { lane: 2, ..control };
    let entries = envelope(0, raft(append_entries(vec![entry_command()])));
    let parts = [snapshot_part(65_536, blob()), snapshot_part_reply()];
    vec![
        ("frame/empty", control, vec![]),
        ("frame/control", control, vec![envelope(0, raft(heartbeat()))]),
        ("frame/log", log, vec![entries, envelope(0, forward())]),
        ("frame/bulk", bulk, parts.map(|part| envelope(0, part)).into()),
    ]
}
