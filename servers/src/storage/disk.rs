//! The files of one data folder, as the log sees them. This file, `output` and `room` alone touch real
//! files; the simulator brings a disk of its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock, statvfs};

use super::output::Output;
use super::room::{self, Freeing, HASTY_PIECE, Preparation};
use super::{OpenError, WalError};

/// A flat folder of files. Names have no slashes. Nothing but `sync` and `sync_dir` makes anything
/// durable: a crash may keep, lose or tear each sector written since, and lose files created,
/// renamed or removed since the last `sync_dir`.
pub trait Disk: Send {
    /// The names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// The whole file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Up to `length` bytes of the file from `offset` on: fewer only at its end.
    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(name)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let end = start.saturating_add(length).min(bytes.len());
        Ok(bytes[start..end].to_vec())
    }

    /// Another handle to the same folder. Two handles must not write to the same file.
    fn another(&self) -> Self
    where
        Self: Sized;

    /// A new file of `length` zeros, durable before the file has its name (the name is durable
    /// after `sync_dir`). So a file that is shorter than it was made is damaged. Fails if it
    /// exists; without room nothing has changed, and it may be tried again.
    fn create(&mut self, name: &str, length: u64) -> io::Result<()>;

    /// A file of this length will be created soon; whether there seems to be room for it. To be asked
    /// again from time to time.
    fn prepare(&mut self, length: u64) -> bool;

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

    /// This handle will not use the file again. Whoever removes a file that no handle has open does so
    /// for good, and waits for that.
    fn close(&mut self, _name: &str) {}

    /// What people call the file.
    fn describe(&self, name: &str) -> String {
        name.to_owned()
    }
}

/// The name of the file whose lock means that a process has the folder open.
const LOCK: &str = "lock";
/// Files that are being filled with zeros, taken, received or given back end so; they are worth nothing
/// after a crash.
pub(super) const UNFINISHED: &str = ".unfinished";
/// What is left to others of a file system that is nearly full, bytes.
const SPARED: u64 = 64 << 10;
/// Files kept open. The log writes to one, and to two while it rolls over.
const HANDLES: usize = 4;

/// Real files in a folder that is locked for as long as this lives.
#[derive(Debug)]
pub struct FolderDisk {
    folder: PathBuf,
    handles: Vec<(String, Output)>,
    preparation: Option<Preparation>,
    /// Shared by all handles to the folder.
    freeing: Arc<Freeing>,
    /// Holds the lock; the system releases it with the process, however that ends.
    _lock: Option<File>,
}

impl FolderDisk {
    /// Makes the folder, if need be with those above it, and opens it.
    pub fn create(folder: &Path) -> Result<FolderDisk, OpenError> {
        let made = fs::create_dir_all(folder).and_then(|()| match folder.parent() {
            Some(parent) if parent != Path::new("") => File::open(parent)?.sync_all(),
            Some(_) | None => Ok(()),
        });
        made.map_err(|error| cannot_create(folder, error))?;
        FolderDisk::open(folder)
    }

    /// Opens and locks a folder that exists.
    pub fn open(folder: &Path) -> Result<FolderDisk, OpenError> {
        if !folder.is_dir() {
            return Err(OpenError::Empty { file: folder.display().to_string() });
        }
        let path = folder.join(LOCK);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| cannot_create(&path, error))?;
        take_lock(folder, &lock)?;
        let disk = FolderDisk::unlocked(folder, Arc::default(), Some(lock));
        disk.remove_unfinished().map_err(|error| {
            WalError::new(folder.display().to_string(), "remove unfinished files in", error)
        })?;
        Ok(disk)
    }

    /// Opens a folder to look at it: nothing in it is changed. Refuses while a process has it open.
    pub fn open_read_only(folder: &Path) -> Result<FolderDisk, OpenError> {
        if !folder.is_dir() {
            return Err(OpenError::Empty { file: folder.display().to_string() });
        }
        let lock = File::open(folder.join(LOCK)).ok(); // none: never opened, so nobody has it
        if let Some(lock) = &lock {
            take_lock(folder, lock)?;
        }
        Ok(FolderDisk::unlocked(folder, Arc::default(), lock))
    }

    fn unlocked(folder: &Path, freeing: Arc<Freeing>, lock: Option<File>) -> FolderDisk {
        let folder = folder.to_owned();
        FolderDisk { folder, handles: Vec::new(), preparation: None, freeing, _lock: lock }
    }

    fn remove_unfinished(&self) -> io::Result<()> {
        for name in self.list()? {
            if name.ends_with(UNFINISHED) {
                fs::remove_file(self.folder.join(name))?;
            }
        }
        Ok(())
    }

    /// The file, opened for writing; the one used last comes last.
    fn handle(&mut self, name: &str) -> io::Result<&mut Output> {
        match self.handles.iter().position(|(open, _)| open == name) {
            Some(place) => {
                let last = self.handles.len() - 1;
                self.handles.swap(place, last);
            }
            None => {
                let file = Output::open(&self.folder.join(name))?;
                if self.handles.len() == HANDLES {
                    self.handles.remove(0);
                }
                self.handles.push((name.to_owned(), file));
            }
        }
        let last = self.handles.len() - 1;
        Ok(&mut self.handles[last].1)
    }

    fn forget_handle(&mut self, name: &str) {
        self.handles.retain(|(open, _)| open != name);
    }

    /// Waits for the file that was filled ahead; whether it is there.
    fn take_prepared(&mut self, length: u64) -> bool {
        let fits = |preparation: &mut Preparation| preparation.length == length;
        let Some(mut preparation) = self.preparation.take_if(fits) else { return false };
        let is_there = preparation.finish().is_ok();
        if !is_there {
            self.remove_unused(&prepared_name(length));
        }
        is_there
    }

    /// Removes a file that could not be filled: what it takes others need.
    fn remove_unused(&self, name: &str) {
        drop(fs::remove_file(self.folder.join(name))); // the next start removes it otherwise
    }

    /// Whether the file system says that so many bytes are free. Where it says nothing, trying does.
    fn has_room(&self, length: u64) -> bool {
        statvfs(&self.folder).map_or(true, |system| {
            system.f_bavail.saturating_mul(system.f_frsize) >= length.saturating_add(SPARED)
        })
    }
}

impl Disk for FolderDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.folder)? {
            names.extend(file?.file_name().into_string()); // names of ours are text
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.folder.join(name))
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.folder.join(name))?;
        let rest = file.metadata()?.len().saturating_sub(offset);
        let length = length.min(usize::try_from(rest).unwrap_or(usize::MAX));
        let mut bytes = vec![0; length];
        let mut read = 0;
        while read < length {
            match file.read_at(&mut bytes[read..], offset + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        bytes.truncate(read);
        Ok(bytes)
    }

    fn another(&self) -> FolderDisk {
        FolderDisk::unlocked(&self.folder, Arc::clone(&self.freeing), None)
    }

    fn create(&mut self, name: &str, length: u64) -> io::Result<()> {
        let target = self.folder.join(name);
        if target.try_exists()? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let source = if self.take_prepared(length) {
            self.folder.join(prepared_name(length))
        } else if self.has_room(length) {
            let unfinished = format!("{name}{UNFINISHED}");
            let source = self.folder.join(&unfinished);
            room::fill(&source, length).inspect_err(|_| self.remove_unused(&unfinished))?;
            source
        } else {
            return Err(io::ErrorKind::StorageFull.into());
        };
        self.forget_handle(name);
        fs::rename(source, target)
    }

    fn prepare(&mut self, length: u64) -> bool {
        if let Some(preparation) = &mut self.preparation {
            if preparation.fills() {
                return true;
            }
            match preparation.finish() {
                Ok(()) => return true,
                Err(error) => {
                    let name = prepared_name(preparation.length);
                    self.preparation = None;
                    self.remove_unused(&name);
                    // Any other error is that of whoever needs the file.
                    return !is_no_space(&error);
                }
            }
        }
        if !self.has_room(length) {
            return false;
        }
        // Without a thread the file is filled when it is needed.
        let path = self.folder.join(prepared_name(length));
        self.preparation = Preparation::begin(path, length);
        true
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.handle(name)?.write_at(offset, bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.handle(name)?.sync()
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.forget_handle(from);
        self.forget_handle(to);
        fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget_handle(name);
        let path = self.folder.join(name);
        if fs::metadata(&path)?.len() <= HASTY_PIECE {
            return fs::remove_file(path);
        }
        let gone = self.folder.join(format!("gone-{name}{UNFINISHED}"));
        fs::rename(path, &gone)?;
        self.sync_dir()?; // after a crash it would have its name again, and not its length
        self.freeing.submit(gone)
    }

    fn close(&mut self, name: &str) {
        self.forget_handle(name);
    }

    fn describe(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

impl Drop for FolderDisk {
    fn drop(&mut self) {
        if let Some(mut preparation) = self.preparation.take() {
            preparation.stop();
            self.remove_unused(&prepared_name(preparation.length)); // the next start would not use it
        }
    }
}

/// Whether an error says that the disk, or what this user may have of it, is full.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn prepared_name(length: u64) -> String {
    format!("next-{length}{UNFINISHED}")
}

fn cannot_create(path: &Path, error: io::Error) -> OpenError {
    OpenError::CannotCreate { file: path.display().to_string(), error: Arc::new(error) }
}

fn take_lock(folder: &Path, lock: &File) -> Result<(), OpenError> {
    match flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(OpenError::Locked { folder: folder.display().to_string() })
        }
        Err(error) => Err(cannot_create(&folder.join(LOCK), error.into())),
    }
}
