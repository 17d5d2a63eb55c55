//! What a machine is told before it gets it: the commands that come next, each once and in their
//! order, whatever entries they are in; and a store that was told is what it would have been.

use std::cell::RefCell;

use bytes::Bytes;
use messages::{Entry, Item, LogIndex, LogPosition, LogTime, Operation, Payload};
use raft::store::table::Table;
use raft::store::{Store, arguments};
use servers::applier::{Applier, AsOf};
use servers::machine::{Applied, FORESEEN, Pieces, StateMachine, Unreadable, one_piece};
use servers::sessions::Sessions;
use states::{Log, RequestId};

/// Remembers what it was told and what it got.
#[derive(Default)]
struct Told {
    told: RefCell<Vec<Vec<u8>>>,
    got: RefCell<Vec<Vec<u8>>>,
    /// The largest number of commands told at once.
    most: RefCell<usize>,
}

impl StateMachine for Told {
    fn apply(&mut self, _: Applied, command: &[u8], _: &mut Vec<u8>) {
        self.query(command, &mut Vec::new());
    }

    fn foresee(&self, commands: &[&[u8]]) {
        assert_eq!(self.told.borrow().len(), self.got.borrow().len(), "told too early");
        self.told.borrow_mut().extend(commands.iter().map(|command| command.to_vec()));
        let most = (*self.most.borrow()).max(commands.len());
        self.most.replace(most);
    }

    fn query(&self, query: &[u8], _: &mut Vec<u8>) {
        self.got.borrow_mut().push(query.to_vec());
    }

    fn fresh(&self) -> Told {
        Told::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece(Vec::new())
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), Unreadable> {
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.got.borrow().len() as u64
    }
}

fn command(number: usize) -> Bytes {
    Bytes::from(format!("command {number}").into_bytes())
}

/// Entries of so many commands each.
fn log_of(sizes: &[usize]) -> Log {
    let mut log = Log::default();
    let mut number = 0;
    for (index, size) in (1..).zip(sizes) {
        let items = (0..*size).map(|_| {
            number += 1;
            Item::Plain(command(number))
        });
        let payload = match size {
            0 => Payload::Blank,
            _ => Payload::Command(items.collect()),
        };
        log.append(Entry { position: LogPosition::new(index, 1), time: LogTime(index), payload });
    }
    log
}

#[test]
fn what_comes_next_is_told_across_entries_whatever_a_turn_applies() {
    let sizes = [1, 1, 0, 3, 40, 1, 0, 0, 16, 1, 1, 1, 1];
    let (log, commit) = (log_of(&sizes), LogIndex(sizes.len() as u64));
    for budget in [1, 7, 1_000] {
        let mut applier = Applier::new((Told::default(), Sessions::default()), LogIndex(0));
        while applier.has_more(commit) {
            applier.apply(&log, commit, budget, None);
        }
        let machine = applier.machine();
        let count: usize = sizes.iter().sum();
        let all: Vec<Bytes> = (1..=count).map(command).collect();
        assert_eq!(*machine.got.borrow(), all);
        assert_eq!(*machine.told.borrow(), all, "with {budget} a turn");
        assert_eq!(*machine.most.borrow(), FORESEEN);
    }
}

/// Beyond what is committed nothing is looked at: it may be replaced.
#[test]
fn what_is_not_committed_is_not_told() {
    let log = log_of(&[2, 2, 2]);
    let mut applier = Applier::new((Told::default(), Sessions::default()), LogIndex(0));
    applier.apply(&log, LogIndex(2), 100, None);
    assert_eq!(applier.machine().told.borrow().len(), 4);
}

#[test]
fn the_queries_of_a_read_are_told_and_one_alone_is_not() {
    let mut applier = Applier::new((Told::default(), Sessions::default()), LogIndex(0));
    let queries: Vec<Operation> =
        (1..=20).map(|number| Operation::Query(command(number))).collect();
    let id = |number| RequestId(number);
    applier.read_at(LogIndex(0), id(1), queries, AsOf::Applied);
    applier.apply(&Log::default(), LogIndex(0), 100, None);
    let all: Vec<Bytes> = (1..=20).map(command).collect();
    assert_eq!(*applier.machine().told.borrow(), all);
    applier.read_at(LogIndex(0), id(2), vec![Operation::Query(command(21))], AsOf::Applied);
    applier.apply(&Log::default(), LogIndex(0), 100, None);
    assert_eq!(applier.machine().told.borrow().len(), 20);
    assert_eq!(applier.machine().got.borrow().len(), 21);
}

/// Any bytes may be told: they need not even be commands.
#[test]
fn a_store_that_was_told_is_as_it_was() {
    let mut store = Store::new();
    let at = Applied { index: LogIndex(1), place: 0, time: LogTime(1) };
    let spell = |words: &[&[u8]]| arguments::encode(words.iter().copied());
    for key in 0..1_000_u32 {
        store.apply(at, &spell(&[b"set", &key.to_le_bytes(), b"value"]), &mut Vec::new());
    }
    let digest = store.digest();
    let known = spell(&[b"get", &7_u32.to_le_bytes()]);
    let unknown = spell(&[b"get", b"nowhere"]);
    let long = vec![0xff; 100];
    store.foresee(&[&known, &unknown, b"", b"\x01", b"\x05\x03get", &long, &known[..3]]);
    store.foresee(&[&known[..]; FORESEEN]);
    assert_eq!(store.digest(), digest);
    let mut reply = Vec::new();
    store.query(&known, &mut reply);
    assert_eq!(reply, b"$5\r\nvalue\r\n");
}

/// With hashes that differ in all bits, what is likely is what is there.
#[test]
fn what_a_table_says_is_likely_is_there() {
    let hash = |key: &u64| key.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let mut table: Table<u64> = Table::new();
    for key in 0..4_000 {
        table.insert(hash(&key), key, hash);
    }
    let mut right = 0;
    for first in (0..4_000).step_by(16) {
        let keys: [u64; 16] = std::array::from_fn(|place| first + place as u64);
        let likely = table.likely(keys.map(|key| hash(&key)));
        right += keys.iter().zip(likely).filter(|(key, found)| Some(*key) == *found).count();
    }
    assert!(right > 3_800, "{right} of 4000");
}
