//! What a damaged disk still proves, and whether a start is judged by that.

use messages::{Boot, ClusterId};
use servers::founding;
use servers::storage::{self, Expected, Identity, Opened, Options};
use states::random::SplitMix64;
use states::{HardState, Write, WriteId};

use super::*;
use crate::damage::{Trial, Verdict};
use crate::disk::{Extent, Room, SimulatedDisk};
use crate::ledger::Ledger;
use crate::trouble::{DAMAGES, Kind};

const OPTIONS: Options = Options { first_segment: 4 << 10, segment: 8 << 10 };

/// A node's log that grows by entries of some bytes, each batch with a sync of its own.
struct Grown {
    disk: SimulatedDisk,
    ledger: Ledger,
    boot: Boot,
    places: Vec<Vec<Extent>>,
}

fn expected() -> Expected {
    Expected { cluster: ClusterId(5), name: "1".to_owned() }
}

fn open(disk: &SimulatedDisk, seed: u64) -> Opened<SimulatedDisk> {
    storage::open(disk.clone(), &expected(), &OPTIONS, seed).expect("a healthy disk")
}

fn grow(entries: u64) -> Grown {
    let mut disk = SimulatedDisk::new();
    let members = [(A, "1".to_owned()), (B, "2".to_owned())].into();
    let identity = Identity { cluster: ClusterId(5), node: A, members };
    founding::found(&mut disk, &identity, &OPTIONS, 1).expect("a healthy disk");
    disk.watch();
    let Opened { mut wal, boot, .. } = open(&disk, 2);
    disk.take_writes();
    let (mut ledger, mut places) = (Ledger::default(), Vec::new());
    for index in 1..=entries {
        let write = Write {
            id: WriteId(index),
            hard_state: STATE,
            reset: None,
            entries: vec![long(index)],
        };
        wal.stage(&write).and_then(|()| wal.write()).expect("a healthy disk");
        let place = disk.take_writes();
        places.push(place.clone());
        ledger.on_written(&[write], &place);
        wal.sync().expect("a healthy disk");
        ledger.on_synced();
    }
    Grown { disk, ledger, boot, places }
}

const STATE: HardState = HardState { term: Term(1), voted_for: None };

/// An entry that fills some sectors.
fn long(index: u64) -> Entry {
    let command = [&index.to_le_bytes()[..], &[0x41; 1_200]].concat();
    let payload = Payload::Command([Item::Plain(command.into())].into());
    Entry { payload, ..entry(index, 1, index) }
}

impl Grown {
    fn trial(&self, kind: Kind, seed: u64) -> Result<Verdict, Violation> {
        let (disk, ledger, newest) = (&self.disk, &self.ledger, self.boot);
        let trial = Trial { disk, ledger, newest, expected: &expected(), options: &OPTIONS };
        let verdict = trial.run(kind, &mut SplitMix64::new(seed))?;
        Ok(verdict.expect("a superblock with two whole slots stands every single fault"))
    }
}

#[test]
fn a_batch_is_proven_by_a_later_one_that_is_whole() {
    let grown = grow(5);
    let place = |batch: usize| grown.places[batch - 1].clone();
    assert_eq!(grown.ledger.proven(&[]), 4, "nothing proves the last");
    assert_eq!(grown.ledger.proven(&place(2)), 4);
    // Zeros behind a batch may be its own, so damage to one touches the one before it.
    assert_eq!(grown.ledger.proven(&place(5)), 2);
    assert_eq!(grown.ledger.proven(&[place(3), place(5)].concat()), 1);
}

#[test]
fn what_no_sync_covers_proves_nothing() {
    let mut grown = grow(3);
    let write = Write { id: WriteId(9), hard_state: STATE, reset: None, entries: vec![long(4)] };
    grown.ledger.on_written(&[write], &[]);
    assert_eq!(grown.ledger.proven(&[]), 2);
    grown.ledger.on_synced();
    assert_eq!(grown.ledger.proven(&[]), 3);
    grown.ledger.on_marked(Vec::new());
    assert_eq!(grown.ledger.proven(&[]), 4);
}

#[test]
fn a_start_forgets_what_it_did_not_find() {
    let entries: Vec<Entry> = (1..=4).map(long).collect();
    let mut grown = grow(3);
    let write =
        Write { id: WriteId(9), hard_state: STATE, reset: None, entries: entries[3..].to_vec() };
    grown.ledger.on_written(&[write], &[]);
    assert_eq!(grown.ledger.batches_of(STATE, &entries), Some(4));
    grown.ledger.on_recovered(STATE, &entries[..3]);
    assert_eq!(grown.ledger.batches_of(STATE, &entries), None);
    assert_eq!(
        (grown.ledger.batches_of(STATE, &entries[..3]), grown.ledger.synced()),
        (Some(3), 3)
    );
}

#[test]
fn damage_is_refused_or_survived_or_cuts_what_nothing_proves() {
    let grown = grow(20);
    let mut seen = std::collections::BTreeSet::new();
    for kind in DAMAGES {
        for seed in 0..60 {
            let verdict = grown.trial(kind, seed).expect("a log that keeps its word");
            seen.insert(format!("{verdict:?}"));
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

/// Some trial of these must fail with this word.
#[track_caller]
fn is_found(grown: &Grown, word: &str) {
    let trials = (0..60).map(|seed| grown.trial(Kind::BitFlip, seed));
    let found: Vec<Violation> = trials.filter_map(Result::err).collect();
    assert!(!found.is_empty(), "nothing is found");
    assert!(found.iter().all(|violation| violation.contains(word)), "{found:?}");
}

#[test]
fn a_start_with_less_than_is_proven_is_found() {
    let mut grown = grow(6);
    // As if two more batches had been durable that the disk does not hold.
    for index in 7..9 {
        let write =
            Write { id: WriteId(9), hard_state: STATE, reset: None, entries: vec![long(index)] };
        grown.ledger.on_written(&[write], &[]);
        grown.ledger.on_synced();
    }
    is_found(&grown, "are proven");
}

#[test]
fn a_start_with_a_log_that_never_was_is_found() {
    let mut grown = grow(6);
    grown.ledger = Ledger::default();
    is_found(&grown, "never was");
}

#[test]
fn a_boot_that_was_used_is_found() {
    let mut grown = grow(6);
    grown.boot = Boot(u64::MAX);
    is_found(&grown, "boot");
}

#[test]
fn a_full_disk_takes_no_more_files_and_lets_the_old_ones_be_written() {
    use servers::storage::Disk;
    let mut disk = SimulatedDisk::new();
    disk.create("old", 1_000).expect("room");
    disk.fill(Room::Bytes(500));
    assert!(disk.create("large", 501).is_err());
    assert!(disk.create("small", 400).is_ok());
    assert!(disk.write_at("old", 900, &[1; 100]).is_ok());
    assert!(disk.write_at("old", 900, &[1; 300]).is_err(), "it would grow");
    disk.crash(|| crate::Fate::Kept);
    assert!(disk.create("large", 501).is_err(), "a crash makes no room");
    disk.free();
    assert!(disk.create("large", 501).is_ok());
    disk.fill(Room::Operations(1));
    assert!(disk.write_at("old", 0, &[2]).is_ok() && disk.write_at("old", 0, &[3]).is_err());
    assert!(disk.sync("old").is_ok());
}
