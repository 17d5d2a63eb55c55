//! Where a tool's cluster lives. Must never choose a file system in memory: what a killed process
//! leaves is to be what a disk's page cache holds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::statfs;
use tempfile::TempDir;

/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What `statfs` calls the file systems that live in memory: tmpfs, ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A cluster's folder.
#[derive(Debug)]
pub enum Folder {
    /// Somebody named it; it stays.
    Given(PathBuf),
    /// Removed in the end, unless it is kept.
    Temporary(TempDir),
}

impl Folder {
    /// A folder whose name begins so, on a real disk.
    ///
    /// # Errors
    /// There is no disk to write to.
    pub fn temporary(prefix: &str) -> Result<Folder> {
        let places = [std::env::temp_dir(), "/var/tmp".into(), Path::new(ROOT).join("target")];
        let on_disk = |place: &&PathBuf| {
            statfs(place.as_path()).is_ok_and(|found| !IN_MEMORY.contains(&(found.f_type as u64)))
        };
        let place = places.iter().find(on_disk);
        let place = place.context("no folder on a disk; name one: --data DIR")?;
        let folder = tempfile::Builder::new().prefix(prefix).tempdir_in(place);
        Ok(Folder::Temporary(folder.with_context(|| format!("in {}", place.display()))?))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        match self {
            Folder::Given(path) => path,
            Folder::Temporary(folder) => folder.path(),
        }
    }

    /// It stays, for people to look into.
    pub fn keep(self) {
        if let Folder::Temporary(folder) = self {
            let _ = folder.keep();
        }
    }
}
