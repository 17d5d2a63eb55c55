//! Faults of the medium: what lies on a disk changes beneath everything, durably. Must never tell
//! anybody but the test.

use super::{Extent, SECTOR, SimulatedDisk, SimulatedFile};

impl SimulatedDisk {
    /// Overwrites bytes beneath everything, durably: a fault of the medium.
    ///
    /// # Panics
    /// If they do not exist.
    pub fn corrupt(&self, name: &str, offset: usize, change: impl FnOnce(&mut [u8])) {
        let mut platter = self.lock();
        let file = platter.file(name).expect("a file to corrupt");
        change(&mut file.cached[offset..]);
        file.durable = file.cached.clone();
    }

    /// Shortens a file beneath everything, durably.
    ///
    /// # Panics
    /// If the file does not exist.
    pub fn truncate(&self, name: &str, length: usize) {
        let mut platter = self.lock();
        let file = platter.file(name).expect("a file to truncate");
        file.cached.truncate(length);
        file.durable = file.cached.clone();
        file.written.clear();
        file.dirty.clear();
    }

    /// All files, in the order of their names, and up to where each is not zeros.
    pub fn used(&self) -> Vec<(String, usize)> {
        let platter = self.lock();
        let used = |file: &SimulatedFile| {
            file.cached.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
        };
        let names = platter.names.iter();
        names.map(|(name, id)| (name.clone(), used(&platter.files[id]))).collect()
    }

    /// Changes a sector; where that is.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn corrupt_sector(
        &self,
        name: &str,
        sector: usize,
        change: impl FnOnce(&mut [u8]),
    ) -> Extent {
        let mut platter = self.lock();
        let file = platter.id(name).expect("a file to corrupt");
        let content = platter.files.get_mut(&file).expect("a name's file");
        let bytes = content.sector(sector);
        change(&mut content.cached[bytes.clone()]);
        content.settle();
        Extent { file, bytes }
    }

    /// Two sectors change places.
    ///
    /// # Panics
    /// If there are no such files.
    pub fn swap(&self, one: (&str, usize), other: (&str, usize)) -> [Extent; 2] {
        let content = |(name, sector)| {
            let mut bytes = Vec::new();
            self.corrupt_sector(name, sector, |content| bytes = content.to_vec());
            bytes
        };
        let (first, second) = (content(one), content(other));
        let write = |(name, sector), bytes: &[u8]| {
            self.corrupt_sector(name, sector, |content| {
                let length = content.len().min(bytes.len());
                content[..length].copy_from_slice(&bytes[..length]);
            })
        };
        [write(one, &second), write(other, &first)]
    }

    /// Some sector of the file, if it is watched, has the content again that it had before its last
    /// sync; which, is up to `choice`.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn age(&self, name: &str, choice: u64) -> Option<Extent> {
        let mut platter = self.lock();
        let file = platter.id(name).expect("a file to age");
        let content = platter.files.get_mut(&file).expect("a name's file");
        let older = content.older.clone().filter(|older| !older.is_empty())?;
        let (sector, earlier) = older.iter().nth(choice as usize % older.len())?;
        let bytes = content.sector(*sector);
        let length = earlier.len().min(bytes.len());
        content.cached[bytes.clone()][..length].copy_from_slice(&earlier[..length]);
        content.settle();
        Some(Extent { file, bytes })
    }

    /// Shortens a file; where that was, and all after it.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn truncate_at(&self, name: &str, length: usize) -> Extent {
        self.truncate(name, length);
        let file = self.lock().id(name).expect("a file that was truncated");
        Extent { file, bytes: length..usize::MAX }
    }

    /// A file is gone; where that was.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn lose(&self, name: &str) -> Extent {
        let mut platter = self.lock();
        let file = platter.names.remove(name).expect("a file to lose");
        platter.durable_names.remove(name);
        Extent { file, bytes: 0..usize::MAX }
    }
}

impl SimulatedFile {
    fn sector(&self, sector: usize) -> std::ops::Range<usize> {
        let length = self.cached.len();
        (sector * SECTOR).min(length)..((sector + 1) * SECTOR).min(length)
    }

    /// What can be read is what lies on the medium.
    fn settle(&mut self) {
        self.durable = self.cached.clone();
        self.written.clear();
        self.dirty.clear();
    }
}
