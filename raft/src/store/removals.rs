//! When keys were removed, in bounded space: whether an absent key has been there since it was last
//! looked at. May say so of a key that shares its bucket with such a one; must never miss one, and
//! never note what replicas do not share.

use super::pair::{self, Pair};

/// Keys share so many buckets. The same on every node of every version.
const BUCKETS: usize = 4096;

/// Bytes of a bucket in a snapshot: its number, then its stamp, the low bytes first.
const SPELT: usize = 2 + 8;

/// For each bucket the highest version that a key had which was removed from it. A key that was absent
/// at some stamp, and came and went since, had a higher one.
#[derive(Clone, Debug)]
pub struct Removals {
    versions: Vec<u64>,
    /// Sum of what stands for each bucket.
    digest: u64,
}

impl Default for Removals {
    fn default() -> Removals {
        Removals { versions: vec![0; BUCKETS], digest: 0 }
    }
}

impl Removals {
    /// A pair is no longer there.
    pub fn note(&mut self, removed: &Pair) {
        self.raise(bucket(removed.key()), removed.version);
    }

    fn raise(&mut self, bucket: usize, version: u64) {
        let before = self.versions[bucket];
        if version > before {
            self.versions[bucket] = version;
            let stands_for = |version| match version {
                0 => 0,
                version => pair::fold(bucket as u64, version),
            };
            self.digest =
                self.digest.wrapping_sub(stands_for(before)).wrapping_add(stands_for(version));
        }
    }

    /// Whether a key that was absent at the stamp `since` may have been there after it.
    pub fn may_hold(&self, key: &[u8], since: u64) -> bool {
        self.versions[bucket(key)] > since
    }

    /// Stands for all of it.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// The buckets that are not as at first, for a snapshot.
    pub fn spell(&self) -> Vec<u8> {
        let used = self.versions.iter().enumerate().filter(|(_, version)| **version > 0);
        let bytes = |(bucket, version): (usize, &u64)| {
            let bucket = (bucket as u16).to_le_bytes();
            bucket.into_iter().chain(version.to_le_bytes())
        };
        used.flat_map(bytes).collect()
    }

    /// Takes in what [`spell`](Removals::spell) gave; `None` if that is something else.
    pub fn read(&mut self, spelt: &[u8]) -> Option<()> {
        let (buckets, []) = spelt.as_chunks::<SPELT>() else { return None };
        for spelt in buckets {
            let (bucket, version) = spelt.split_first_chunk::<2>()?;
            let bucket = usize::from(u16::from_le_bytes(*bucket));
            let version = u64::from_le_bytes(version.try_into().ok()?);
            (bucket < BUCKETS).then(|| self.raise(bucket, version))?;
        }
        Some(())
    }
}

fn bucket(key: &[u8]) -> usize {
    (pair::hash_key(key) % BUCKETS as u64) as usize
}
