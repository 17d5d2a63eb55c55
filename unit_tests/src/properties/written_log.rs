//! A node's folder with a log that the production writer made, and what that log has been: every
//! state that it ever had, and which bytes on the disk prove which of them. Must never ask the
//! recovery code what is right.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use messages::{Boot, ClusterId, Entry, Item, LogPosition, LogTime, NodeId, Payload, Term};
use servers::founding;
use servers::storage::{self, Disk, Expected, Identity, OpenError, Opened, Options, Wal};
use simulation::{Fate, SimulatedDisk};
use states::{HardState, Write, WriteId};

use super::Choices;

/// Small segments, so that a short log has several.
pub const OPTIONS: Options = Options { first_segment: 2048, segment: 2048 };

/// The bytes of a folder's files.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What a log amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Term and vote.
    pub hard_state: HardState,
    /// All entries.
    pub entries: Vec<Entry>,
}

/// Bytes on the disk that say: a sync had returned by then.
#[derive(Clone, Debug)]
pub struct Witness {
    /// The file.
    pub file: String,
    /// Where in the file.
    pub offset: usize,
    /// A batch's header, or a segment's head.
    pub bytes: Vec<u8>,
    /// The state that was synced, by its place in the line.
    pub proves: usize,
}

/// A log in the making, beside what it must hold.
pub struct WrittenLog {
    /// Its disk.
    pub disk: SimulatedDisk,
    wal: Option<Wal<SimulatedDisk>>,
    /// The states it had, one a batch.
    pub line: Vec<Content>,
    /// States that a crash took back, each with the place in the line after which it came.
    pub cut: Vec<(usize, Content)>,
    /// A sync has returned after this state.
    pub promised: usize,
    /// What proves what.
    pub witnesses: Vec<Witness>,
    /// Every boot so far.
    pub boots: Vec<Boot>,
    /// The files as they were at times.
    pub history: Vec<Files>,
    seed: u64,
}

/// Whose folder it is.
pub fn identity(node: u64) -> Identity {
    let members = (1..=3).map(|node| (NodeId(node), format!("n{node}"))).collect();
    Identity { cluster: ClusterId(7), node: NodeId(node), members }
}

/// Whom the configuration means.
pub fn expected() -> Expected {
    identity(1).expected()
}

/// What a crash does with one thing that was not synced.
pub fn fate(choices: &mut Choices) -> Fate {
    match choices.below(5) {
        0 | 1 => Fate::Lost,
        2 | 3 => Fate::Kept,
        _ => Fate::Torn(choices.below(513)),
    }
}

/// A healthy disk with these files, all durable.
pub fn disk_of(files: &Files) -> SimulatedDisk {
    let mut disk = SimulatedDisk::new();
    for (name, bytes) in files {
        disk.create(name, bytes.len() as u64)
            .and_then(|()| disk.write_at(name, 0, bytes))
            .and_then(|()| disk.sync(name))
            .expect("a healthy disk");
    }
    disk.sync_dir().expect("a healthy disk");
    disk
}

impl WrittenLog {
    /// The log of node `node`, with nothing in it.
    pub fn new(node: u64) -> WrittenLog {
        let mut disk = SimulatedDisk::new();
        founding::found(&mut disk, &identity(node), &OPTIONS, node).expect("a healthy disk");
        let mut log = WrittenLog {
            disk,
            wal: None,
            line: vec![Content::default()],
            cut: Vec::new(),
            promised: 0,
            witnesses: Vec::new(),
            boots: Vec::new(),
            history: Vec::new(),
            seed: node << 32,
        };
        log.reopen(&identity(node).expected());
        log
    }

    /// A log of this node after some life, that ends with a stop or a crash.
    pub fn drawn(choices: &mut Choices, node: u64) -> WrittenLog {
        let mut log = WrittenLog::new(node);
        for _ in 0..choices.below(16) {
            match choices.below(10) {
                0..=5 => log.write(choices),
                6 | 7 => log.sync(),
                8 => log.mark(),
                _ => {
                    log.history.push(log.disk.contents());
                    log.crash(choices);
                    log.reopen(&identity(node).expected());
                }
            }
        }
        match choices.below(4) {
            0 => log.crash(choices),
            1 => log.sync(),
            _ => log.mark(), // as a node does that has nothing to do, or stops
        }
        log.wal = None;
        log
    }

    /// The state that it has now.
    pub fn last(&self) -> &Content {
        &self.line[self.line.len() - 1]
    }

    fn crash(&mut self, choices: &mut Choices) {
        self.wal = None;
        if !choices.one_in(4) {
            self.disk.crash(|| fate(choices)); // else the process alone, the cache is kept
        }
    }

    fn reopen(&mut self, expected: &Expected) {
        self.wal = None;
        self.seed += 1;
        let opened = storage::open(self.disk.clone(), expected, &OPTIONS, self.seed)
            .unwrap_or_else(|error| panic!("a crash is no damage: {error}"));
        self.accept(&opened);
        self.wal = Some(opened.wal);
    }

    /// After a crash it holds what was promised, or more; that is promised from now on.
    fn accept(&mut self, opened: &Opened<SimulatedDisk>) {
        let found = content(opened);
        let place = self.line[self.promised..].iter().rposition(|state| *state == found);
        let place = self.promised + place.expect("what was promised, or more");
        let cut = self.line.split_off(place + 1);
        self.cut.extend(cut.into_iter().map(|state| (place, state)));
        self.promised = place;
        self.take_boot(opened.boot);
    }

    fn take_boot(&mut self, boot: Boot) {
        let newest = self.boots.last().map_or(0, |boot| boot.0 >> 32);
        assert!(boot.0 >> 32 > newest, "boots rise");
        self.boots.push(boot);
    }

    fn write(&mut self, choices: &mut Choices) {
        let mut next = self.last().clone();
        let state = &mut next.hard_state;
        if choices.one_in(4) || state.term == Term(0) {
            *state = HardState { term: Term(state.term.0 + 1), voted_for: None };
        }
        if state.voted_for.is_none() && choices.one_in(2) {
            state.voted_for = Some(NodeId(1 + choices.below(3) as u64));
        }
        let back = if choices.one_in(4) { choices.below(4) } else { 0 };
        let first = next.entries.len().saturating_sub(back);
        let count = choices.below(4);
        let mut entries = Vec::new();
        for place in 0..count {
            let size = choices.one_of(&[0, 1, 17, 120, 380, 470, 1500]);
            entries.push(entry((first + place + 1) as u64, state.term, size));
        }
        if !entries.is_empty() {
            next.entries.truncate(first);
            next.entries.extend(entries.iter().cloned());
        }
        let (hard_state, id) = (next.hard_state, WriteId(self.line.len() as u64));
        let wal = self.wal.as_mut().expect("an open log");
        let before = self.disk.contents();
        wal.stage(&Write { id, hard_state, reset: None, entries }).expect("there is room");
        wal.write().expect("a healthy disk");
        self.line.push(next);
        self.find_witnesses(before, self.promised);
    }

    fn sync(&mut self) {
        self.wal.as_mut().expect("an open log").sync().expect("a healthy disk");
        self.promised = self.line.len() - 1;
    }

    fn mark(&mut self) {
        let before = self.disk.contents();
        self.wal.as_mut().expect("an open log").mark().expect("a healthy disk");
        self.promised = self.line.len() - 1;
        self.find_witnesses(before, self.promised);
    }

    /// The header that was just written begins with the first byte that changed: before it there
    /// was nothing but zeros. A segment that was begun has its head before that.
    fn find_witnesses(&mut self, before: Files, proves: usize) {
        for (file, bytes) in self.disk.contents() {
            let (begin, is_begun) = match before.get(&file) {
                None => (512, true),
                Some(before) => match before.iter().zip(&bytes).position(|(a, b)| a != b) {
                    Some(begin) => (begin, false),
                    None => continue,
                },
            };
            assert_eq!(&bytes[begin..begin + 4], b"RBCH", "a batch begins with its header");
            let mut witness = |offset: usize, length: usize| {
                let bytes = bytes[offset..offset + length].to_vec();
                self.witnesses.push(Witness { file: file.clone(), offset, bytes, proves });
            };
            witness(begin, 72);
            if is_begun {
                witness(0, 512);
            }
        }
        self.history.push(before);
    }

    /// The newest state that what is left of the bytes proves: at their place in their own file, or
    /// in another segment of this log, as long as there still is a file of their own name.
    pub fn proven(&self, files: &Files) -> usize {
        let own: BTreeSet<&String> = self.witnesses.iter().map(|witness| &witness.file).collect();
        let segments: Vec<&Vec<u8>> = own.into_iter().filter_map(|name| files.get(name)).collect();
        let stands = |witness: &&Witness| {
            let place = witness.offset..witness.offset + witness.bytes.len();
            let is_there = |file: &&Vec<u8>| file.get(place.clone()) == Some(&*witness.bytes);
            files.contains_key(&witness.file) && segments.iter().any(is_there)
        };
        self.witnesses.iter().filter(stands).map(|witness| witness.proves).max().unwrap_or(0)
    }

    /// Whether the log once was in this state, with all of the states up to `proven` in it.
    pub fn had(&self, found: &Content, proven: usize) -> bool {
        self.line[proven..].contains(found)
            || self.cut.iter().any(|(after, state)| *after >= proven && state == found)
    }
}

/// What an opened log amounts to.
pub fn content(opened: &Opened<SimulatedDisk>) -> Content {
    let recovered = &opened.recovered;
    Content { hard_state: recovered.hard_state, entries: recovered.entries.clone() }
}

/// Opens a folder of node 1.
pub fn open(disk: &SimulatedDisk, seed: u64) -> Result<Opened<SimulatedDisk>, OpenError> {
    storage::open(disk.clone(), &expected(), &OPTIONS, seed)
}

fn entry(index: u64, term: Term, bytes: usize) -> Entry {
    let filler = (index * 31 + term.0 * 7) as u8;
    let payload = if bytes == 1 {
        Payload::Blank
    } else {
        Payload::Command([Item::Plain(Bytes::from(vec![filler; bytes]))].into())
    };
    Entry { position: LogPosition::new(index, term.0), time: LogTime(index), payload }
}
