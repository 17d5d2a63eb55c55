//! Every batch that a node's log was given: what the log was after it, where it lies on the disk,
//! and which batches before it were durable when it was written. So it is known, without asking the
//! log, what a damaged disk still proves. Must never learn anything from the bytes of a log.
//!
//! A batch is *proven* when a later one was written after its sync had returned, and that later one
//! is durable and undamaged: a start that finds the later one knows that the first must be there.

use states::{HardState, Write};

use crate::checks::payload_hash;
use crate::disk::Extent;
use crate::witness::chain;
use messages::Entry;

/// What a log was at some time, whole: its hard state, its length, a hash of all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    hard_state: HardState,
    entries: usize,
    hash: u64,
}

#[derive(Debug)]
struct Batch {
    after: State,
    /// So many batches were covered by a sync that had returned.
    synced_before: usize,
    /// And perhaps those of batches that were written with it.
    places: Vec<Extent>,
}

/// All batches that the log holds, and those that it may hold.
#[derive(Debug, Default)]
pub struct Ledger {
    batches: Vec<Batch>,
    /// A hash of the log up to and with each entry.
    hashes: Vec<u64>,
    /// So many of the batches are durable.
    synced: usize,
}

impl Ledger {
    /// Batches were written at once, to these places.
    pub fn on_written(&mut self, writes: &[Write], places: &[Extent]) {
        for write in writes {
            if let Some(first) = write.entries.first() {
                self.hashes.truncate(first.position.index.0 as usize - 1);
                extend(&mut self.hashes, &write.entries);
            }
            self.add(write.hard_state, places.to_vec());
        }
    }

    /// A batch without content was written and synced.
    pub fn on_marked(&mut self, places: Vec<Extent>) {
        self.add(self.last().hard_state, places);
        self.on_synced();
    }

    fn add(&mut self, hard_state: HardState, places: Vec<Extent>) {
        let after = state(hard_state, &self.hashes);
        self.batches.push(Batch { after, synced_before: self.synced, places });
    }

    /// A sync returned that began after all that was written.
    pub fn on_synced(&mut self) {
        self.synced = self.batches.len();
    }

    /// The node's own log was opened and holds this. What is not known to be in it is forgotten.
    pub fn on_recovered(&mut self, hard_state: HardState, entries: &[Entry]) {
        let (found, hashes) = read(hard_state, entries);
        let held =
            (self.synced..=self.batches.len()).find(|count| self.state_after(*count) == found);
        self.batches.truncate(held.unwrap_or(self.synced));
        self.hashes = hashes;
        self.synced = self.batches.len();
    }

    /// How many batches are proven by what lies outside of these places.
    pub fn proven(&self, damaged: &[Extent]) -> usize {
        let touched = |place: &Extent| damaged.iter().any(|damage| damage.touches(place));
        let whole = |batch: &&Batch| !batch.places.iter().any(touched);
        let proofs = self.batches[..self.synced].iter().filter(whole);
        proofs.map(|batch| batch.synced_before).max().unwrap_or(0)
    }

    /// How many batches are durable.
    pub fn synced(&self) -> usize {
        self.synced
    }

    /// After how many batches the log was just this; none if it never was.
    pub fn batches_of(&self, hard_state: HardState, entries: &[Entry]) -> Option<usize> {
        let (found, _) = read(hard_state, entries);
        (0..=self.batches.len()).rev().find(|count| self.state_after(*count) == found)
    }

    fn state_after(&self, batches: usize) -> State {
        batches.checked_sub(1).map_or(State::default(), |last| self.batches[last].after)
    }

    fn last(&self) -> State {
        self.state_after(self.batches.len())
    }
}

fn extend(hashes: &mut Vec<u64>, entries: &[Entry]) {
    for entry in entries {
        let before = hashes.last().copied().unwrap_or(0);
        let term = entry.position.term.0.to_le_bytes();
        hashes.push(chain(chain(before, &term), &payload_hash(entry).to_le_bytes()));
    }
}

fn state(hard_state: HardState, hashes: &[u64]) -> State {
    let hash = hashes.last().copied().unwrap_or(0);
    State { hard_state, entries: hashes.len(), hash }
}

fn read(hard_state: HardState, entries: &[Entry]) -> (State, Vec<u64>) {
    let mut hashes = Vec::new();
    extend(&mut hashes, entries);
    (state(hard_state, &hashes), hashes)
}
