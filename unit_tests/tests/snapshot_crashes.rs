//! Power lost at every step of taking, receiving, renaming and installing snapshots, and of dropping
//! segments, in any combination of what reached the disk: a start finds what was promised, and a
//! snapshot that the log leads up to, or that stands alone because it was received (paper, section 7).

#[path = "support/keeping.rs"]
mod keeping;

use std::io;

use keeping::{Given, OWNER, TINY, at, entries, meta, open, part, snapshot_of, write};
use messages::{LogPosition, NodeId, Term};
use servers::storage::keeper::{Taken, Whole};
use servers::storage::{OpenError, Recovered, Wal, WalError};
use simulation::{Fate, SimulatedDisk};
use states::HardState;

/// What happens to a folder, one thing after the other.
enum Step {
    /// So many entries from this position on, not synced.
    Append(LogPosition, u64),
    /// Term and vote.
    Vote(u64, u64),
    Sync,
    /// A snapshot of this node's is taken, and put in place.
    Take(LogPosition),
    /// A snapshot of another node's is received, and put in place.
    Receive(LogPosition),
    /// The log begins after it.
    Reset(LogPosition),
}

/// Snapshots between appends that no sync has covered, a vote, segments that are dropped, a log that
/// gives way to a snapshot, and the same again behind it.
fn life() -> Vec<Step> {
    use Step::{Append, Receive, Reset, Sync, Take, Vote};
    vec![
        Append(at(1, 1), 4),
        Sync,
        Append(at(5, 1), 4),
        Take(at(6, 1)),
        Append(at(9, 1), 8),
        Sync,
        Vote(2, 3),
        Append(at(17, 2), 4),
        Take(at(12, 1)),
        Append(at(21, 2), 6),
        Take(at(26, 2)),
        Append(at(27, 2), 3),
        Vote(3, 2), // a leader's part brings its term before it brings a snapshot
        Receive(at(40, 3)),
        Reset(at(40, 3)),
        Append(at(41, 4), 9),
        Sync,
        Take(at(44, 4)),
        Append(at(50, 4), 9),
        Take(at(58, 4)),
        Append(at(59, 4), 1),
    ]
}

/// What a log amounts to.
#[derive(Clone, Debug, Default, PartialEq)]
struct Content {
    hard_state: HardState,
    /// It begins after this.
    base: LogPosition,
    log: Vec<LogPosition>,
}

impl Content {
    /// The entries behind a snapshot; none if the log does not lead up to it.
    fn behind(&self, covered: LogPosition) -> Option<&[LogPosition]> {
        if covered == self.base {
            return Some(&self.log);
        }
        let place = self.log.iter().position(|position| *position == covered)?;
        Some(&self.log[place + 1..])
    }
}

/// A folder, and what it owes.
struct Witness {
    disk: SimulatedDisk,
    /// What the log was, one a batch.
    line: Vec<Content>,
    /// A sync has returned after this one.
    promised: usize,
    /// Snapshots of its own that were to be put in place.
    own: Vec<LogPosition>,
    /// Those of others.
    others: Vec<LogPosition>,
    /// The newest that is in place for certain.
    kept: LogPosition,
}

impl Witness {
    fn new() -> Witness {
        let mut disk = SimulatedDisk::new();
        Wal::create(&mut disk, OWNER, &TINY, 1).expect("a healthy disk");
        Witness {
            disk,
            line: vec![Content::default()],
            promised: 0,
            own: vec![LogPosition::ZERO],
            others: Vec::new(),
            kept: LogPosition::ZERO,
        }
    }

    fn last(&self) -> Content {
        self.line[self.line.len() - 1].clone()
    }

    /// Lives through the steps until the disk fails.
    fn live(&mut self, steps: &[Step]) -> Result<(), OpenError> {
        let (mut wal, _) = open(&self.disk, 2)?;
        let mut keeper = wal.keeper();
        for step in steps {
            let mut after = self.last();
            match step {
                Step::Append(first, count) => {
                    let mut write = entries(first.index.0, first.term.0, *count);
                    let term = first.term.max(after.hard_state.term);
                    if term > after.hard_state.term {
                        after.hard_state = HardState { term, voted_for: None };
                    }
                    write.hard_state = after.hard_state;
                    after.log.extend(write.entries.iter().map(|entry| entry.position));
                    self.line.push(after); // what fails may have been written all the same
                    wal.stage(&write)?;
                    wal.write()?;
                }
                Step::Vote(term, vote) => {
                    after.hard_state =
                        HardState { term: Term(*term), voted_for: Some(NodeId(*vote)) };
                    let write = write(after.hard_state, None, Vec::new());
                    self.line.push(after);
                    wal.stage(&write)?;
                    wal.write()?;
                }
                Step::Sync => {
                    wal.sync()?;
                    self.promised = self.line.len() - 1;
                }
                Step::Take(position) => {
                    let pieces = vec![vec![1; 700], vec![2; 10]];
                    keeper.take(&meta(*position), Box::new(Given(pieces.into())))?;
                    let mut whole = None;
                    while whole.is_none() {
                        whole = keeper.go_on()?.and_then(Taken::whole);
                    }
                    self.own.push(*position);
                    self.keep(&mut wal, whole)?;
                }
                Step::Receive(position) => {
                    let file = snapshot_of(OWNER.cluster, *position, vec![vec![3; 900]]);
                    let mut whole = None;
                    for offset in (0..file.len()).step_by(400) {
                        let length = (file.len() - offset).min(400);
                        let part = part(&file, *position, offset, length);
                        whole = keeper.store(NodeId(2), &part)?.whole;
                    }
                    self.others.push(*position);
                    self.keep(&mut wal, whole)?;
                }
                Step::Reset(position) => {
                    let term = position.term.max(after.hard_state.term);
                    if term > after.hard_state.term {
                        after.hard_state = HardState { term, voted_for: None };
                    }
                    (after.base, after.log) = (*position, Vec::new());
                    let write = write(after.hard_state, Some(*position), Vec::new());
                    self.line.push(after);
                    wal.stage(&write)?;
                    wal.write()?;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, wal: &mut Wal<SimulatedDisk>, whole: Option<Whole>) -> Result<(), WalError> {
        let whole = whole.expect("all of it");
        let kept = wal.keep(whole.clone())?;
        wal.keeper().remove_obsolete(&kept.obsolete)?;
        self.kept = whole.meta.position;
        self.promised = self.line.len() - 1;
        Ok(())
    }

    /// What a start found is right; what it amounts to.
    fn check(&self, recovered: &Recovered) -> Result<Content, String> {
        let covered = recovered.snapshot.as_ref().map_or(LogPosition::ZERO, |meta| meta.position);
        let found: Vec<LogPosition> =
            recovered.entries.iter().map(|entry| entry.position).collect();
        if !recovered.lost.is_empty() {
            return Err(format!("a crash damaged a snapshot: {:?}", recovered.lost));
        }
        if covered.index < self.kept.index {
            return Err(format!("{covered} is found, {} was in place", self.kept));
        }
        let is_other = self.others.contains(&covered);
        if !is_other && !self.own.contains(&covered) {
            return Err(format!("{covered} was never taken"));
        }
        let fits = |content: &&Content| {
            content.hard_state == recovered.hard_state
                && match content.behind(covered) {
                    Some(behind) => behind == found,
                    None => is_other && found.is_empty(),
                }
        };
        match self.line[self.promised..].iter().find(fits) {
            Some(content) => {
                Ok(Content { hard_state: content.hard_state, base: covered, log: found })
            }
            None => Err(format!(
                "found {:?}, {covered} and {found:?}; promised {:?}",
                recovered.hard_state, self.line[self.promised]
            )),
        }
    }

    /// The same, for what a start at this disk finds.
    fn find(&self, disk: &SimulatedDisk) -> Result<Content, String> {
        let (_, recovered) = open(disk, 7).map_err(|error| error.to_string())?;
        self.check(&recovered)
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % limit
    }

    /// What becomes of one thing that was not synced; often the same for all.
    fn fates(mut self) -> impl FnMut() -> Fate {
        let mood = self.below(4);
        move || match mood {
            0 => Fate::Kept,
            1 => Fate::Lost,
            _ => match self.below(5) {
                0 | 1 => Fate::Kept,
                2 | 3 => Fate::Lost,
                _ => Fate::Torn(self.below(513) as usize),
            },
        }
    }
}

/// How many operations of the disk the life takes.
fn operations() -> usize {
    let mut witness = Witness::new();
    let before = witness.disk.operations();
    witness.live(&life()).expect("a healthy disk");
    assert_eq!(witness.kept, at(58, 4));
    (witness.disk.operations() - before) as usize
}

#[test]
fn the_life_has_all_that_can_go_wrong() {
    let mut witness = Witness::new();
    witness.live(&life()).expect("a healthy disk");
    let files = witness.disk.contents();
    let snapshots = files.keys().filter(|name| name.ends_with(".snap")).count();
    assert_eq!(snapshots, 2, "older ones went");
    assert!(!files.keys().any(|name| name.starts_with("0000000001-")), "segments went: {files:?}");
    assert!(witness.disk.unsynced() > 0, "something is under way at its end");
}

#[test]
fn power_lost_at_any_step_leaves_a_folder_that_starts() {
    let operations = operations();
    assert!(operations > 100, "{operations} operations are hardly a life");
    for after in 0..=operations {
        let mut witness = Witness::new();
        witness.disk.fail_after(after, io::ErrorKind::Other);
        let ended = witness.live(&life());
        assert_eq!(ended.is_ok(), after == operations, "it ends where the disk fails");
        for seed in 0..12 {
            let case = format!("after {after} operations, seed {seed}");
            let disk = witness.disk.fork();
            disk.crash(Random(seed * 1000 + after as u64).fates());
            let found = witness.find(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));

            // All that was found is durable, and the log goes on behind it.
            disk.crash(|| Fate::Lost);
            let (mut wal, again) = open(&disk, 8).expect("a folder that started");
            assert_eq!(witness.check(&again), Ok(found.clone()), "{case}, again");
            let next = found.log.last().unwrap_or(&found.base).index.0 + 1;
            let mut more = entries(next, 9, 1);
            more.hard_state = HardState { term: Term(9), voted_for: None };
            wal.stage(&more).and_then(|()| wal.sync()).expect("a healthy disk");
            disk.crash(|| Fate::Lost);
            let (_, grown) = open(&disk, 9).expect("a folder that started");
            let last = grown.entries.last().map(|entry| entry.position);
            assert_eq!(last, Some(at(next, 9)), "{case}, grown");
            assert_eq!(grown.entries.len(), found.log.len() + 1, "{case}, grown");
        }
    }
}

/// A start may lose its power, too: the next finds the same, or less of what was never promised.
#[test]
fn power_lost_in_a_start_changes_nothing() {
    for after in (0..=operations()).step_by(3) {
        let mut witness = Witness::new();
        witness.disk.fail_after(after, io::ErrorKind::Other);
        drop(witness.live(&life()));
        let crashed = witness.disk.fork();
        crashed.crash(Random(after as u64).fates());
        for within in 0.. {
            let case = format!("after {after} operations, {within} of the start");
            let disk = crashed.fork();
            disk.fail_after(within, io::ErrorKind::Other);
            let started = open(&disk, 5).is_ok();
            disk.crash(Random(within as u64 * 77 + after as u64).fates());
            if let Err(error) = witness.find(&disk) {
                panic!("{case}: {error}");
            }
            if started {
                break;
            }
        }
    }
}
