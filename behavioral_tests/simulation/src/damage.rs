//! What a node does with a disk that was damaged while it was down. The damage is done to a copy of
//! its disk, and the node then starts on its own: so logs that real runs made are damaged in every
//! way, and no quorum is lost by it. Must never ask more of a start than the disk can still tell.
//!
//! A known limit, which no single disk can tell from a crash: the batches that no later one proves
//! may be cut off as a torn tail, and with the newest segment all that lies in it. Nor can it survive two
//! faults of the superblock: where a start ended while it wrote one slot, and the other slot is damaged.

use rand::RngExt;
use servers::storage::{self, Expected, OpenError, Opened, Options};
use states::random::SplitMix64;

use crate::checks::Violation;
use crate::disk::{Extent, Fate, SECTOR, SimulatedDisk};
use crate::ledger::Ledger;
use crate::tally::named;
use crate::trouble::Kind;
use messages::Boot;

named! {
    /// What a start made of a damaged disk.
    Verdict {
        /// It refused it, and changed nothing.
        Refused = "refused",
        /// It found all that was durable.
        Survived = "survived",
        /// It cut off what nothing proved.
        TailCut = "tail cut",
    }
}

/// A disk before its node starts, and what is known of it.
pub struct Trial<'a> {
    /// The node's own disk.
    pub disk: &'a SimulatedDisk,
    /// What its log was given.
    pub ledger: &'a Ledger,
    /// The newest boot that the node ever had.
    pub newest: Boot,
    /// Whose it is.
    pub expected: &'a Expected,
    /// How its log is laid out.
    pub options: &'a Options,
}

impl Trial<'_> {
    /// Damages a copy and opens it; none if that was one fault too many.
    ///
    /// # Errors
    /// If something that the disk still proves is gone, or something is there that never was.
    pub fn run(&self, kind: Kind, random: &mut SplitMix64) -> Result<Option<Verdict>, Violation> {
        let disk = self.disk.fork();
        if random.random_bool(0.5) {
            disk.crash(|| if random.random_bool(0.5) { Fate::Kept } else { Fate::Lost });
        }
        let whole = disk.fork();
        let damaged = damage(&disk, kind, random);
        let fail = |what: String| Err(format!("damage: {kind:?} at {damaged:?}: {what}"));
        let before = disk.contents();
        let opened = match self.open(&disk, random) {
            Ok(opened) => opened,
            Err(OpenError::Damaged(damage)) if !damage.file.is_empty() => {
                return match disk.contents() == before {
                    true => Ok(Some(Verdict::Refused)),
                    false => fail("it was refused, and changed".to_string()),
                };
            }
            Err(OpenError::Empty { .. }) if !before.contains_key(SUPERBLOCK) => {
                return Ok(Some(Verdict::Refused));
            }
            Err(error) => return fail(error.to_string()),
        };
        if opened.boot <= self.newest {
            if self.rests_on_one_slot(&whole, random) {
                return Ok(None);
            }
            return fail(format!("boot {} after {}", opened.boot, self.newest));
        }
        let found = &opened.recovered;
        let held = match self.ledger.batches_of(found.hard_state, &found.entries) {
            None => return fail("it opens as a log that never was".to_string()),
            Some(held) => held,
        };
        let proven = self.ledger.proven(&damaged);
        if held < proven {
            return fail(format!("{held} batches are found, {proven} are proven"));
        }
        // What it holds now, it holds: it may be promised from here on.
        disk.crash(|| Fate::Lost);
        match self.open(&disk, random) {
            Ok(again) if again.boot > opened.boot && again.recovered.entries == found.entries => {}
            other => {
                return fail(format!("opened again it is {:?}", other.map(|again| again.boot)));
            }
        }
        let is_cut = held < self.ledger.synced();
        Ok(Some(if is_cut { Verdict::TailCut } else { Verdict::Survived }))
    }

    /// Whether only one slot of the superblock knows the newest boot.
    fn rests_on_one_slot(&self, whole: &SimulatedDisk, random: &mut SplitMix64) -> bool {
        let mut starts =
            |disk: SimulatedDisk| self.open(&disk, random).map_or(0, |opened| opened.boot.0 >> 32);
        let known = starts(whole.fork());
        [0, 1].into_iter().any(|slot| {
            let disk = whole.fork();
            disk.corrupt(SUPERBLOCK, 0, |bytes| {
                let half = bytes.len() / 2;
                bytes[slot * half..][..half].fill(0);
            });
            starts(disk) != known
        })
    }

    fn open(
        &self,
        disk: &SimulatedDisk,
        random: &mut SplitMix64,
    ) -> Result<Opened<SimulatedDisk>, OpenError> {
        storage::open(disk.clone(), self.expected, self.options, random.random())
    }
}

const SUPERBLOCK: &str = "superblock";

/// Does it; where.
fn damage(disk: &SimulatedDisk, kind: Kind, random: &mut SplitMix64) -> Vec<Extent> {
    let used = disk.used();
    let mut draw = || {
        let (name, used) = &used[random.random_range(0..used.len())];
        let sectors = used.div_ceil(SECTOR).max(1);
        (name.as_str(), random.random_range(0..sectors))
    };
    let (name, sector) = draw();
    let mut other = draw();
    for _ in 0..20 {
        if other != (name, sector) && (other.0 == SUPERBLOCK) == (name == SUPERBLOCK) {
            break;
        }
        other = draw();
    }
    match kind {
        Kind::BitFlip => {
            let bits: Vec<usize> = (0..random.random_range(1..4))
                .map(|_| random.random_range(0..8 * SECTOR))
                .collect();
            vec![disk.corrupt_sector(name, sector, |bytes| {
                for bit in bits {
                    if let Some(byte) = bytes.get_mut(bit / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
            })]
        }
        Kind::ZeroedSector => vec![disk.corrupt_sector(name, sector, |bytes| bytes.fill(0))],
        Kind::StaleSector => disk.age(name, random.random()).into_iter().collect(),
        Kind::SwappedSectors => disk.swap((name, sector), other).into(),
        _ if random.random_bool(0.3) => vec![disk.lose(name)],
        _ => vec![disk.truncate_at(name, sector * SECTOR + random.random_range(0..SECTOR))],
    }
}
