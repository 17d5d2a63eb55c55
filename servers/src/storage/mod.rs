//! What a node never forgets: who it is, and its log. Nothing here takes a decision of the protocol;
//! only [`disk`] touches real files.
//!
//! In reading order:
//! - [`disk`]: a flat folder of files, real or simulated;
//! - [`record`]: a batch as bytes; [`segment`]: a file of batches;
//! - [`recovery`]: what a crash left, told apart from damage;
//! - [`snapshot`]: what stands for the log before its beginning, as a file;
//! - [`keeper`]: snapshots on their way to and from the disk;
//! - [`wal`]: the log, synchronous: `stage`, `sync`, `mark`;
//! - [`writer`]: the thread that owns it;
//! - [`superblock`]: whose folder it is, and its boot counter;
//! - [`inspect`]: the same, read only.

pub mod disk;
pub mod error;
mod inspect;
pub mod keeper;
mod output;
mod record;
mod recovery;
mod room;
mod segment;
pub mod snapshot;
pub mod superblock;
pub mod wal;
pub mod writer;

pub use disk::{Disk, FolderDisk};
pub use error::{Cut, Damage, OpenError, WalError};
pub use inspect::{Inspection, SegmentReport, Verdict, inspect};
pub use superblock::{Expected, Identity, Superblock};
pub use wal::{Options, Owner, Recovered, Wal};
pub use writer::{Done, Job, Rounds, Writer};

use std::io;

use messages::Boot;

/// A node's data folder, opened: nothing in it may change but through `wal`.
#[derive(Debug)]
pub struct Opened<D: Disk> {
    /// Whose folder it is.
    pub identity: Identity,
    /// This run of it; durable, and never used before.
    pub boot: Boot,
    /// Its log, ready for the first write.
    pub wal: Wal<D>,
    /// What the log held.
    pub recovered: Recovered,
}

/// Opens a founded data folder. `seed` must be random, and another at each start; everything else
/// that is random here comes from it.
///
/// The boot is counted last, so a start that fails has told nobody that it happened.
pub fn open<D: Disk>(
    disk: D,
    expected: &Expected,
    options: &Options,
    seed: u64,
) -> Result<Opened<D>, OpenError> {
    let superblock = Superblock::read(&disk)?;
    superblock.check(&disk, expected)?;
    let (mut wal, recovered) = Wal::open(disk, superblock.identity.owner(), options, seed)?;
    let boot = superblock.next_boot(wal.disk(), segment::mix(seed) as u32)?;
    Ok(Opened { identity: superblock.identity, boot, wal, recovered })
}

/// Whether a file of this name says whose the folder is.
pub(crate) fn is_identity(name: &str) -> bool {
    [superblock::FILE, superblock::NEW_FILE].contains(&name)
}

/// Whether a file of this name belongs to a founded folder.
pub(crate) fn is_ours(name: &str) -> bool {
    is_identity(name)
        || segment::SegmentId::parse(name).is_some()
        || snapshot::parse(name).is_some()
}

/// Whether a file is what only a founding that did not finish leaves: nothing was ever promised
/// that rests on it.
pub(crate) fn is_unused(disk: &impl Disk, name: &str) -> io::Result<bool> {
    match segment::SegmentId::parse(name) {
        None => Ok(name == superblock::NEW_FILE),
        Some(id) => {
            let bytes = disk.read(name)?;
            let after_head = bytes.get(segment::HEAD..).unwrap_or(&[]);
            Ok(id.sequence == 1 && after_head.iter().all(|byte| *byte == 0))
        }
    }
}
