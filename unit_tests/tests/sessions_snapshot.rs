//! Sessions and the machine go into one snapshot and come out of it: what took effect before takes
//! none after, wherever the snapshot was taken.

use bytes::Bytes;
use messages::{
    ClusterId, CommandNumber, Entry, Item, LogIndex, LogPosition, LogTime, Membership, NodeId,
    Operation, Payload, SessionId, SnapshotMeta,
};
use raft::store::{Store, arguments};
use servers::applier::{Applier, Finished};
use servers::keeping;
use servers::machine::StateMachine;
use servers::sessions::{Answer, Limits, Sessions};
use servers::snapshots::Replicated;
use servers::storage::keeper::{Keeper, Taken, Whole};
use simulation::SimulatedDisk;
use states::{Log, Micros, RequestId};

const LIMITS: Limits = Limits { idle: Micros(1_000_000), sessions: 3, bytes: 1 << 20 };

/// What opened it is the first item of entry 1.
const SESSION: SessionId = SessionId(1024);

fn empty() -> Replicated<Store> {
    (Store::new(), Sessions::new(LIMITS))
}

fn words(line: &str) -> Bytes {
    let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    arguments::encode(words).into()
}

fn numbered(number: u64, line: &str) -> Item {
    Item::Session { session: SESSION, number: CommandNumber(number), command: words(line) }
}

fn outcome(number: u64) -> Item {
    Item::Outcome { session: SESSION, number: CommandNumber(number) }
}

/// What a client would have sent for an item.
fn asked(item: &Item) -> Operation {
    match item.clone() {
        Item::Plain(command) => Operation::Command(command),
        Item::Session { session, number, command } => {
            Operation::Session { session, number, command }
        }
        Item::OpenSession => Operation::OpenSession,
        Item::Outcome { session, number } => Operation::Outcome { session, number },
        Item::CloseSession(session) => Operation::CloseSession(session),
    }
}

fn shown(reply: &[u8]) -> String {
    match Answer::read(reply) {
        Some(Answer::Reply(reply)) => String::from_utf8_lossy(reply).trim_end().to_owned(),
        Some(answer) => format!("{answer:?}"),
        None => panic!("no answer of a session: {reply:?}"),
    }
}

/// A log, and what is applied of it.
struct Replica {
    log: Log,
    applier: Applier<Store>,
}

impl Replica {
    fn new() -> Replica {
        Replica { log: Log::default(), applier: Applier::new(empty(), LogIndex(0)) }
    }

    /// The items of the next entry are applied; what they answer.
    fn run(&mut self, items: &[Item], after: u64) -> Vec<String> {
        let last = self.log.last();
        let position = LogPosition::new(last.index.0 + 1, 1);
        let time = LogTime(self.log.time_at(last.index).unwrap_or_default().0 + after);
        self.log.append(Entry { position, time, payload: Payload::Command(items.into()) });
        self.applier.wait_for(position, RequestId(1), items.iter().map(asked).collect());
        let finished = self.applier.apply(&self.log, position.index, 100, None);
        let [Finished::Applied { replies, .. }] = &finished[..] else { panic!("{finished:?}") };
        replies.iter().map(|reply| shown(reply)).collect()
    }

    /// Takes a snapshot; a replica that installed it, and has nothing else.
    fn successor(&mut self) -> Replica {
        let position = self.log.last();
        let time = self.log.time_at(position.index).expect("an entry");
        let membership = Membership { voters: [NodeId(1)].into() };
        let meta = SnapshotMeta { position, time, membership };
        let mut keeper = Keeper::new(SimulatedDisk::new(), ClusterId(7));
        let pieces = self.applier.snapshot().expect("no entry is half applied");
        keeper.take(&meta, pieces).expect("a healthy disk");
        let whole = written(&mut keeper);
        let restored = keeping::restored(&keeper, &whole, empty()).expect("a healthy disk");
        let mut applier = Applier::new(empty(), LogIndex(0));
        let waited = applier.install(restored.expect("its own snapshot"), &meta);
        assert_eq!(waited, []);
        Replica { log: Log::recovered_after(position, time, Vec::new()), applier }
    }
}

fn written(keeper: &mut Keeper<SimulatedDisk>) -> Whole {
    let taken =
        std::iter::from_fn(|| Some(keeper.go_on().expect("a healthy disk"))).flatten().next();
    taken.and_then(Taken::whole).expect("there is room")
}

fn assert_alike(one: &Replica, other: &Replica) {
    assert_eq!(one.applier.applied(), other.applier.applied());
    assert_eq!(one.applier.machine().digest(), other.applier.machine().digest());
    assert_eq!(one.applier.sessions().digest(), other.applier.sessions().digest());
}

#[test]
fn a_command_from_before_a_snapshot_is_answered_again_and_not_applied_again() {
    let mut first = Replica::new();
    assert_eq!(first.run(&[Item::OpenSession], 0), ["Opened(SessionId(1024))"]);
    let before = [numbered(1, "incr a"), numbered(2, "append b xyz"), outcome(3)];
    assert_eq!(first.run(&before, 10), [":1", ":3", "Closed"]);

    let mut second = first.successor();
    assert_alike(&first, &second);
    let again = [numbered(2, "append b xyz"), numbered(1, "incr a"), numbered(3, "incr a")];
    let more = [outcome(1), numbered(4, "incr a"), numbered(5, "get b")];
    for replica in [&mut first, &mut second] {
        assert_eq!(replica.run(&again, 10), [":3", ":1", "Closed"]);
        assert_eq!(replica.run(&more, 10), [":1", ":2", "$3\r\nxyz"]);
    }
    assert_alike(&first, &second);
    assert_alike(&first, &second.successor());
}

/// "Sessions end by log time", and by limits: the same with and without a snapshot between.
#[test]
fn sessions_end_after_a_snapshot_when_they_would_have_without_one() {
    for (after, ends) in [(LIMITS.idle.0, false), (LIMITS.idle.0 + 1, true)] {
        let mut first = Replica::new();
        first.run(&[Item::OpenSession], 0);
        first.run(&[numbered(1, "incr a")], 5);
        first.run(&[Item::OpenSession, Item::OpenSession], after / 2);
        let mut second = first.successor();
        let expected = if ends { "NoSession" } else { ":1" };
        for replica in [&mut first, &mut second] {
            assert_eq!(replica.run(&[numbered(1, "incr a")], after - after / 2), [expected]);
            let open = vec![Item::OpenSession; 3];
            replica.run(&open, 1); // more than there may be: the longest unused go
            assert_eq!(replica.run(&[numbered(2, "incr a")], 1), ["NoSession"]);
        }
        assert_alike(&first, &second);
    }
}
