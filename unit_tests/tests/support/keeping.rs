//! A folder with a log and snapshots, on a simulated disk, for tests of both. Must never write a file
//! that production code would not, unless a test hands it the bytes.
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use messages::{
    ClusterId, Entry, Item, LogPosition, LogTime, Membership, NodeId, Payload, SnapshotMeta,
    SnapshotPart, Term,
};
use servers::machine::Pieces;
use servers::storage::keeper::{Keeper, Taken, Whole};
use servers::storage::{Disk, OpenError, Options, Owner, Recovered, Wal};
use simulation::SimulatedDisk;
use states::{HardState, Write, WriteId};

pub const OWNER: Owner = Owner { cluster: ClusterId(7), node: NodeId(1) };
/// Small segments, so that a short log has several.
pub const TINY: Options = Options { first_segment: 2048, segment: 2048 };

pub fn at(index: u64, term: u64) -> LogPosition {
    LogPosition::new(index, term)
}

/// What a snapshot of a cluster of three stands for.
pub fn meta(position: LogPosition) -> SnapshotMeta {
    let membership = Membership { voters: [1, 2, 3].map(NodeId).into() };
    SnapshotMeta { position, time: LogTime(position.index.0 * 1000), membership }
}

/// The name of the snapshot up to there.
pub fn name(position: LogPosition) -> String {
    format!("snapshot-{:020}-{:020}.snap", position.index.0, position.term.0)
}

/// So many entries of this term from `first` on, 200 bytes each.
pub fn entries(first: u64, term: u64, count: u64) -> Write {
    let entry = |index| Entry {
        position: at(index, term),
        time: LogTime(index * 1000),
        payload: Payload::Command([Item::Plain(Bytes::from(vec![b'x'; 200]))].into()),
    };
    let entries = (first..first + count).map(entry).collect();
    write(HardState { term: Term(term), voted_for: None }, None, entries)
}

pub fn write(hard_state: HardState, reset: Option<LogPosition>, entries: Vec<Entry>) -> Write {
    Write { id: WriteId(1), hard_state, reset, entries }
}

/// A machine as it is to be written.
pub struct Given(pub VecDeque<Vec<u8>>);

impl Pieces for Given {
    fn next(&mut self) -> Option<Vec<u8>> {
        self.0.pop_front()
    }
}

/// Takes a snapshot of these pieces; it is not in place yet.
pub fn take<D: Disk>(keeper: &mut Keeper<D>, meta: &SnapshotMeta, pieces: Vec<Vec<u8>>) -> Whole {
    keeper.take(meta, Box::new(Given(pieces.into()))).expect("a healthy disk");
    loop {
        if let Some(whole) = keeper.go_on().expect("a healthy disk").and_then(Taken::whole) {
            return whole;
        }
    }
}

/// Puts a snapshot in place, and removes what is not needed any more.
pub fn keep<D: Disk>(wal: &mut Wal<D>, whole: Whole) {
    let kept = wal.keep(whole).expect("a healthy disk");
    wal.keeper().remove_obsolete(&kept.obsolete).expect("a healthy disk");
}

/// The file that a node of this cluster makes of these pieces.
pub fn snapshot_of(cluster: ClusterId, position: LogPosition, pieces: Vec<Vec<u8>>) -> Vec<u8> {
    let disk = SimulatedDisk::new();
    take(&mut Keeper::new(disk.clone(), cluster), &meta(position), pieces);
    disk.contents().into_values().next().expect("one file")
}

/// Bytes of a file on their way.
pub fn part(file: &[u8], position: LogPosition, offset: usize, length: usize) -> SnapshotPart {
    SnapshotPart {
        term: Term(3),
        meta: meta(position),
        size: file.len() as u64,
        offset: offset as u64,
        bytes: Bytes::copy_from_slice(&file[offset..offset + length]),
    }
}

pub fn open(disk: &SimulatedDisk, seed: u64) -> Result<(Wal<SimulatedDisk>, Recovered), OpenError> {
    Wal::open(disk.clone(), OWNER, &TINY, seed)
}

/// All pieces of a snapshot in place.
pub fn pieces_of<D: Disk>(wal: &Wal<D>, position: LogPosition) -> Vec<Vec<u8>> {
    let mut reader = wal.snapshot(position).expect("a snapshot");
    std::iter::from_fn(|| reader.next_piece().expect("as it was written")).collect()
}

/// A healthy disk with these files, all durable.
pub fn disk_of(files: &BTreeMap<String, Vec<u8>>) -> SimulatedDisk {
    unit_tests::properties::written_log::disk_of(files)
}

/// A folder whose log is open.
pub struct Folder {
    pub disk: SimulatedDisk,
    pub wal: Wal<SimulatedDisk>,
}

impl Folder {
    /// An empty log.
    pub fn new() -> Folder {
        let mut disk = SimulatedDisk::new();
        Wal::create(&mut disk, OWNER, &TINY, 1).expect("a healthy disk");
        let (wal, _) = open(&disk, 2).expect("an empty log");
        Folder { disk, wal }
    }

    /// Eight entries of term 1 and a snapshot of these pieces up to 3@1.
    pub fn with_snapshot(pieces: Vec<Vec<u8>>) -> Folder {
        let mut folder = Folder::new();
        folder.append(1, 1, 8);
        let whole = take(&mut folder.wal.keeper(), &meta(at(3, 1)), pieces);
        keep(&mut folder.wal, whole);
        folder
    }

    /// So many entries from `first` on, durable.
    pub fn append(&mut self, first: u64, term: u64, count: u64) {
        let mut write = entries(first, term, count);
        write.hard_state = self.hard_state().max_term(term);
        self.stage(&write);
    }

    pub fn set(&mut self, hard_state: HardState) {
        self.stage(&write(hard_state, None, Vec::new()));
    }

    /// The log now begins after `position`.
    pub fn reset(&mut self, position: LogPosition, term: u64) {
        let hard_state = self.hard_state().max_term(term);
        self.stage(&write(hard_state, Some(position), Vec::new()));
    }

    fn stage(&mut self, write: &Write) {
        self.wal.stage(write).and_then(|()| self.wal.sync()).expect("a healthy disk");
    }

    fn hard_state(&self) -> Kept {
        let (_, recovered) = open(&self.disk.fork(), 3).expect("a healthy folder");
        Kept(recovered.hard_state)
    }

    /// A snapshot of this node's comes into its place.
    pub fn snapshot(&mut self, position: LogPosition) {
        let pieces = vec![format!("all up to {position}").into_bytes(), vec![1; 300]];
        let whole = take(&mut self.wal.keeper(), &meta(position), pieces);
        keep(&mut self.wal, whole);
    }

    /// A snapshot that another node sent, whole, not in place yet.
    pub fn received(&mut self, position: LogPosition) -> Whole {
        let file = snapshot_of(OWNER.cluster, position, vec![vec![9; 300]]);
        let part = part(&file, position, 0, file.len());
        let stored = self.wal.keeper().store(NodeId(2), &part).expect("a healthy disk");
        stored.whole.expect("all of it")
    }

    /// The names of the log's segments, oldest first.
    pub fn segments(&self) -> Vec<String> {
        self.disk.contents().into_keys().filter(|name| name.ends_with(".log")).collect()
    }
}

struct Kept(HardState);

impl Kept {
    /// The same vote, unless the term rises.
    fn max_term(&self, term: u64) -> HardState {
        if Term(term) > self.0.term {
            HardState { term: Term(term), voted_for: None }
        } else {
            self.0
        }
    }
}
