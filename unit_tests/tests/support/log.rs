//! A log under test on a simulated disk, beside what it must hold. Must never take for promised what no
//! sync that returned covers.

#![allow(dead_code, reason = "each test uses its part")]

use bytes::Bytes;
use messages::{ClusterId, Entry, Item, LogPosition, LogTime, NodeId, Payload, Term};
use servers::storage::{OpenError, Options, Owner, Recovered, Wal, WalError};
use simulation::{Fate, SimulatedDisk};
use states::{HardState, Write, WriteId};

pub const OWNER: Owner = Owner { cluster: ClusterId(7), node: NodeId(1) };
pub const TINY: Options = Options { first_segment: 2048, segment: 2048 };
pub const PAGES: Options = Options { first_segment: 16 << 10, segment: 16 << 10 };

/// What a log amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    pub hard_state: HardState,
    pub entries: Vec<Entry>,
}

/// A log under test, beside what it must hold.
pub struct Fixture {
    pub disk: SimulatedDisk,
    pub options: Options,
    pub wal: Option<Wal<SimulatedDisk>>,
    /// What the log amounted to after each batch.
    pub contents: Vec<Content>,
    /// A sync has returned after this many batches.
    pub promised: usize,
    pub seeds: u64,
}

impl Fixture {
    pub fn new(options: Options) -> Fixture {
        let mut disk = SimulatedDisk::new();
        Wal::create(&mut disk, OWNER, &options, 1).expect("a healthy disk");
        let contents = vec![Content::default()];
        let mut fixture = Fixture { disk, options, wal: None, contents, promised: 0, seeds: 1 };
        fixture.reopen();
        fixture
    }

    pub fn open(&mut self) -> Result<Recovered, OpenError> {
        self.wal = None;
        self.seeds += 1;
        let (wal, recovered) = Wal::open(self.disk.clone(), OWNER, &self.options, self.seeds)?;
        self.wal = Some(wal);
        Ok(recovered)
    }

    /// Opens the log and checks that it holds what was promised, or more; from now on that is
    /// promised.
    pub fn reopen(&mut self) -> Recovered {
        let recovered = self.open().unwrap_or_else(|error| panic!("a crash is no damage: {error}"));
        self.accept(&recovered);
        recovered
    }

    pub fn accept(&mut self, recovered: &Recovered) {
        let found =
            Content { hard_state: recovered.hard_state, entries: recovered.entries.clone() };
        let place = self.contents[self.promised..].iter().rposition(|content| *content == found);
        let place = place.unwrap_or_else(|| {
            panic!(
                "found {found:?}, promised {:?} of {} batches",
                self.promised,
                self.contents.len() - 1
            )
        });
        self.contents.truncate(self.promised + place + 1);
        self.promised = self.contents.len() - 1;
    }

    pub fn last(&self) -> &Content {
        &self.contents[self.contents.len() - 1]
    }

    pub fn wal(&mut self) -> &mut Wal<SimulatedDisk> {
        self.wal.as_mut().expect("an open log")
    }

    pub fn stage(&mut self, hard_state: HardState, entries: Vec<Entry>) -> Result<(), WalError> {
        let mut after = self.last().clone();
        after.hard_state = hard_state;
        if let Some(first) = entries.first() {
            after.entries.truncate(first.position.index.0 as usize - 1);
            after.entries.extend(entries.iter().cloned());
        }
        // A write that fails may have been written all the same.
        self.contents.push(after);
        let id = WriteId(self.contents.len() as u64);
        let write = Write { id, hard_state, reset: None, entries };
        self.wal().stage(&write)?;
        self.wal().write()
    }

    /// Stages an entry of this many bytes at the end.
    pub fn append(&mut self, bytes: usize) {
        let last = self.last();
        let term = last.hard_state.term.max(Term(1));
        let hard_state = HardState { term, ..last.hard_state };
        let entry = entry(last.entries.len() as u64 + 1, term.0, bytes);
        self.stage(hard_state, vec![entry]).expect("a healthy disk");
    }

    pub fn sync(&mut self) -> Result<(), WalError> {
        self.wal().sync()?;
        self.promised = self.contents.len() - 1;
        Ok(())
    }

    /// A log whose promised part is copied, so that each test of a crash starts from the same.
    pub fn fork(&self) -> Fixture {
        Fixture {
            disk: self.disk.fork(),
            options: self.options,
            wal: None,
            contents: self.contents.clone(),
            promised: self.promised,
            seeds: self.seeds + 1000,
        }
    }

    /// A crash that does to each thing not synced yet what is said of its number, from 0.
    pub fn crash(&self, fate: impl Fn(usize) -> Fate) {
        let mut numbers = 0..;
        self.disk.crash(|| fate(numbers.next().expect("an endless range")));
    }

    /// After recovery all is durable, and the log goes on.
    pub fn check_usable(&mut self) {
        self.wal = None;
        self.disk.crash(|| Fate::Lost);
        self.reopen();
        self.append(100);
        self.sync().expect("a healthy disk");
        self.disk.crash(|| Fate::Lost);
        self.reopen();
    }
}

pub fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    let filler = (index * 31 + term * 7) as u8;
    let command = Bytes::from(vec![filler; bytes]);
    Entry {
        position: LogPosition::new(index, term),
        time: LogTime(index),
        payload: Payload::Command([Item::Plain(command)].into()),
    }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    pub fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// A synced batch, then several in one flight; each with a command of so many bytes.
pub fn flight(synced: usize, flight: &[usize]) -> Fixture {
    let mut fixture = Fixture::new(TINY);
    fixture.append(synced);
    fixture.sync().expect("a healthy disk");
    for bytes in flight {
        fixture.append(*bytes);
    }
    fixture
}

pub fn flight_within_a_segment() -> Fixture {
    flight(300, &[10, 300, 0, 250, 40])
}

/// A flight in which a segment is begun.
pub fn flight_over_a_segments_end() -> Fixture {
    flight(600, &[200, 30, 400, 300, 30])
}

/// A flight in which two segments are begun.
pub fn flight_over_three_segments() -> Fixture {
    flight(700, &[300, 1200, 1100])
}
