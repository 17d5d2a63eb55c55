//! One file of a simulated disk: what reads give, what the next sync writes, what a crash leaves. Must
//! never know its name.

use std::collections::{BTreeMap, BTreeSet};

use super::{Fate, SECTOR};

#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedFile {
    pub(super) cached: Vec<u8>,
    pub(super) durable: Vec<u8>,
    /// Contents that sectors have had since the last sync, in the order of writing: any of them may
    /// have reached the disk already.
    pub(super) written: Vec<(usize, Vec<u8>)>,
    /// Sectors that the next sync writes.
    pub(super) dirty: BTreeSet<usize>,
    /// What sectors held before their last sync, if that is kept.
    pub(super) older: Option<BTreeMap<usize, Vec<u8>>>,
}

impl SimulatedFile {
    pub(super) fn zeros(length: usize) -> SimulatedFile {
        SimulatedFile {
            cached: vec![0; length],
            durable: vec![0; length],
            ..SimulatedFile::default()
        }
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.cached.len() {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        if bytes.is_empty() {
            return;
        }
        for sector in offset / SECTOR..=(end - 1) / SECTOR {
            let start = sector * SECTOR;
            let content = &self.cached[start..self.cached.len().min(start + SECTOR)];
            self.written.push((sector, content.to_vec()));
            self.dirty.insert(sector);
        }
    }

    pub(super) fn sync(&mut self, succeeds: bool) {
        let dirty = std::mem::take(&mut self.dirty);
        if !succeeds {
            return;
        }
        self.written.retain(|(sector, _)| !dirty.contains(sector));
        self.durable.resize(self.cached.len(), 0);
        for sector in dirty {
            let start = sector * SECTOR;
            let end = self.cached.len().min(start + SECTOR);
            if let Some(older) = &mut self.older
                && self.durable[start..end] != self.cached[start..end]
            {
                older.insert(sector, self.durable[start..end].to_vec());
            }
            self.durable[start..end].copy_from_slice(&self.cached[start..end]);
        }
    }

    /// Whether what reads give would be there after a crash.
    pub(super) fn is_durable(&self) -> bool {
        self.durable == self.cached
    }

    pub(super) fn unsynced(&self) -> usize {
        self.written.len() + usize::from(self.durable.len() != self.cached.len())
    }

    pub(super) fn crash(&mut self, fate: &mut impl FnMut() -> Fate) {
        if self.durable.len() != self.cached.len() {
            let length = match fate() {
                Fate::Kept => self.cached.len(),
                Fate::Lost => self.durable.len(),
                Fate::Torn(length) => {
                    length.clamp(self.durable.len(), self.cached.len().max(self.durable.len()))
                }
            };
            self.durable.resize(length, 0);
        }
        for (sector, content) in std::mem::take(&mut self.written) {
            let bytes = match fate() {
                Fate::Kept => content.len(),
                Fate::Lost => 0,
                Fate::Torn(bytes) => bytes.min(content.len()),
            };
            let start = (sector * SECTOR).min(self.durable.len());
            let end = (start + bytes).min(self.durable.len());
            self.durable[start..end].copy_from_slice(&content[..end - start]);
        }
        self.dirty.clear();
        self.cached = self.durable.clone();
    }
}
