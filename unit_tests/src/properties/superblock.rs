//! A node's boots: whatever crashes, failing writes and damage to one slot at a time do to its
//! superblock, no boot comes twice and none is below an earlier one; or the folder is refused.

use servers::storage::{OpenError, Superblock};
use simulation::SimulatedDisk;

use super::written_log::{self, WrittenLog, fate, identity};
use super::{Choices, Marks, Target};

/// The superblock's property.
pub const TARGET: Target = Target {
    name: "superblock",
    check,
    marks: &[
        "started",
        "started with a damaged slot",
        "a slot was damaged twice",
        "both slots are damaged",
        "a slot is an older one",
        "a start failed",
        "power was lost in a start",
    ],
    longest: 120,
};

const FILE: &str = "superblock";
const SLOT: usize = 8192;

/// A folder under test.
struct Folder {
    disk: SimulatedDisk,
    newest: u64,
    seed: u64,
    /// Slots damaged since the last start.
    damaged: [bool; 2],
    /// How often each slot was damaged.
    damages: [usize; 2],
    /// The superblock as it was when the folder was first opened.
    first: Vec<u8>,
    marks: Marks,
}

fn check(bytes: &[u8]) -> Marks {
    let mut choices = Choices::new(bytes);
    let log = WrittenLog::new(1);
    let newest = log.boots.last().expect("it was opened").0 >> 32;
    let mut folder = Folder {
        disk: log.disk.clone(),
        newest,
        seed: 2000,
        damaged: [false; 2],
        damages: [0; 2],
        first: log.disk.contents()[FILE].clone(),
        marks: Marks::new(),
    };
    drop(log);
    while !choices.is_over() && folder.seed < 2040 {
        match choices.below(8) {
            0..=2 => folder.start(),
            3 | 4 => folder.start_badly(&mut choices),
            5 => folder.disk.crash(|| fate(&mut choices)),
            _ => folder.damage(&mut choices),
        }
        if folder.damaged == [true; 2] {
            break;
        }
    }
    // Nobody can know better than an older slot if the other one is lost.
    if folder.damaged != [true; 2] || !folder.marks.contains("a slot is an older one") {
        folder.start();
    }
    folder.marks
}

impl Folder {
    fn open(&mut self) -> Result<(), OpenError> {
        self.seed += 1;
        let opened = written_log::open(&self.disk, self.seed)?;
        let counter = opened.boot.0 >> 32;
        assert!(counter > self.newest, "boot {counter} after {}", self.newest);
        assert_eq!(opened.identity, identity(1));
        let read = Superblock::read(&self.disk).expect("it was just opened");
        assert_eq!(read.boot, opened.boot, "what is durable is what was told");
        self.newest = counter;
        if self.damaged != [false; 2] {
            self.marks.insert("started with a damaged slot");
            if self.damages.iter().any(|damages| *damages > 1) {
                self.marks.insert("a slot was damaged twice");
            }
        }
        self.damaged = [false; 2];
        Ok(())
    }

    fn start(&mut self) {
        match self.open() {
            Ok(()) => self.marks.insert("started"),
            Err(OpenError::Damaged(damage)) => {
                assert_eq!((&*damage.file, damage.offset), (FILE, 0));
                let unread = Superblock::read(&self.disk);
                assert!(unread.is_err(), "a slot can be read");
                self.marks.insert("both slots are damaged")
            }
            Err(error) => panic!("{error}"),
        };
    }

    /// The disk fails within the start; then the process dies, or the machine.
    fn start_badly(&mut self, choices: &mut Choices) {
        self.disk.fail_after(choices.below(8), std::io::ErrorKind::Other);
        match self.open() {
            Ok(()) => {}
            Err(OpenError::Io(_)) => {
                self.marks.insert("a start failed");
            }
            Err(OpenError::Damaged(_)) => {}
            Err(error) => panic!("{error}"),
        }
        self.disk.heal();
        if choices.one_in(2) {
            self.disk.crash(|| fate(choices));
            self.marks.insert("power was lost in a start");
        }
    }

    /// One slot can no longer be read.
    fn damage(&mut self, choices: &mut Choices) {
        let slot = choices.below(2);
        let (kind, at) = (choices.below(5), choices.below(SLOT));
        let length = self.disk.contents()[FILE].len();
        if length < 2 * SLOT {
            return; // it was cut before
        }
        match kind {
            0 => self.disk.corrupt(FILE, slot * SLOT + at, |bytes| bytes[0] ^= 1 << (at % 8)),
            1 => self.disk.corrupt(FILE, slot * SLOT, |bytes| bytes[..SLOT].fill(0)),
            2 => self.disk.corrupt(FILE, slot * SLOT, |bytes| bytes[..512].fill(at as u8)),
            3 => return self.revert(slot),
            _ if slot == 1 => self.disk.truncate(FILE, SLOT + at),
            _ => return,
        }
        self.damaged[slot] = true;
        self.damages[slot] += 1;
    }

    /// The writes to one slot since the folder was first opened were lost, though synced. Only while
    /// the other slot is whole: nobody can know better than an older slot that is all there is.
    fn revert(&mut self, slot: usize) {
        let other = self.disk.fork();
        other.corrupt(FILE, slot * SLOT, |bytes| bytes[..SLOT].fill(0));
        if Superblock::read(&other).is_err() {
            return;
        }
        let old = self.first[slot * SLOT..(slot + 1) * SLOT].to_vec();
        self.disk.corrupt(FILE, slot * SLOT, |bytes| bytes[..SLOT].copy_from_slice(&old));
        self.damaged[slot] = true;
        self.marks.insert("a slot is an older one");
    }
}
