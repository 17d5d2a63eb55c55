//! The files of one data folder, as the log sees them. The only file of this crate that touches
//! real files; the simulator brings a disk of its own.

use std::io;

/// A flat folder of files. Names have no slashes. Nothing but `sync` and `sync_dir` makes anything
/// durable: a crash may keep, lose or tear each sector written since, and lose files created,
/// renamed or removed since the last `sync_dir`.
pub trait Disk: Send {
    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The whole file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// A new file of `length` bytes, all of them written as zeros. Fails if it exists.
    fn create(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// Overwrites part of an existing file; grows it if the range ends beyond its end.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes the file's content durable (`fdatasync`). After an error nothing is known: never
    /// called again for the same data.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals durable.
    fn sync_dir(&mut self) -> io::Result<()>;

    /// Renames a file, replacing the target.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}
