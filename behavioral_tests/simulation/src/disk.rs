//! A disk that forgets: what was not synced may be kept, lost or torn in a crash, sector by sector,
//! in any combination. Must never be kinder than a real disk.
//!
//! Three things differ, as on a real machine: what is *cached* (what reads give), what is *dirty*
//! (cached, and the next sync writes it) and what is *durable*. After a sync that failed the dirty
//! is clean but not durable: it can still be read, and no later sync writes it. So being readable
//! proves nothing.

mod file;
mod medium;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use servers::storage::Disk;

use self::file::SimulatedFile;

/// What the names of the log's files end in.
const SEGMENT: &str = ".log";
/// What the name of a snapshot in place ends in.
const SNAPSHOT: &str = ".snap";

/// Zeros at the end of a write that may mean something.
const ZEROS: usize = 32;

/// Bytes that a disk writes whole, except when torn.
pub const SECTOR: usize = 512;

/// What a crash does with one thing that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It reached the disk.
    Kept,
    /// It did not.
    Lost,
    /// Only its first bytes did; for a file's new length, as many bytes of that; a name is lost.
    Torn(usize),
}

/// What a disk can be asked to do that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `create`
    Create,
    /// `write_at`
    Write,
    /// `sync`
    Sync,
    /// `sync_dir`
    SyncDir,
    /// `rename`
    Rename,
    /// `remove`
    Remove,
}

/// What a disk has left before it is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many bytes of files: what lies in them already can be overwritten.
    Bytes(u64),
    /// So many writes, creations and renames, whatever they write; what was written can be synced.
    Operations(usize),
}

/// A part of a file, whatever its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extent {
    file: FileId,
    bytes: Range<usize>,
}

impl Extent {
    /// Whether they have a byte in common.
    pub fn touches(&self, other: &Extent) -> bool {
        self.file == other.file
            && self.bytes.start < other.bytes.end
            && other.bytes.start < self.bytes.end
    }
}

/// One node's disk. Clones are handles to the same disk, so that a node can be started again on it.
#[derive(Clone, Debug, Default)]
pub struct SimulatedDisk {
    platter: Arc<Mutex<Platter>>,
}

#[derive(Debug, Default)]
struct Platter {
    files: BTreeMap<FileId, SimulatedFile>,
    next: FileId,
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    /// Since the last `sync_dir`.
    changes: Vec<NameChange>,
    /// Operations to let pass before failing.
    failing: Option<(usize, io::ErrorKind)>,
    /// The next sync of a file fails.
    failing_sync: bool,
    /// All operations behind the next rename fail.
    failing_rename: bool,
    /// None: there is room enough.
    room: Option<Room>,
    operations: u64,
    syncs: u64,
    /// Where was written since this was looked at; nothing is kept unless somebody looks.
    writes: Option<Vec<Extent>>,
}

type FileId = u64;

#[derive(Clone, Debug)]
enum NameChange {
    Created(String, FileId),
    Renamed(String, String, FileId),
    Removed(String, FileId),
}

impl SimulatedDisk {
    /// An empty disk.
    pub fn new() -> SimulatedDisk {
        SimulatedDisk::default()
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.platter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine loses power. `fate` is asked for each sector written, each file's new length and
    /// each name changed since its sync, in the order in which it happened. Whatever used the disk
    /// must not be used again.
    pub fn crash(&self, mut fate: impl FnMut() -> Fate) {
        let mut platter = self.lock();
        for file in platter.files.values_mut() {
            file.crash(&mut fate);
        }
        let changes = std::mem::take(&mut platter.changes);
        for change in changes {
            if fate() == Fate::Kept {
                change.apply(&mut platter.durable_names);
            }
        }
        platter.names = platter.durable_names.clone();
        let named: Vec<FileId> = platter.names.values().copied().collect();
        platter.files.retain(|id, _| named.contains(id));
        platter.failing = None;
        platter.failing_sync = false;
        platter.failing_rename = false;
    }

    /// A copy of the disk as it is, cache and all, that shares nothing with this one.
    pub fn fork(&self) -> SimulatedDisk {
        let platter = self.lock();
        let copy = Platter {
            files: platter.files.clone(),
            next: platter.next,
            names: platter.names.clone(),
            durable_names: platter.durable_names.clone(),
            changes: platter.changes.clone(),
            failing: None,
            failing_sync: false,
            failing_rename: false,
            room: None,
            operations: 0,
            syncs: 0,
            writes: None,
        };
        SimulatedDisk { platter: Arc::new(Mutex::new(copy)) }
    }

    /// Lets `after` more operations that change something succeed; all later ones fail, and a sync
    /// that fails leaves what it should have written clean but not durable.
    pub fn fail_after(&self, after: usize, kind: io::ErrorKind) {
        self.lock().failing = Some((after, kind));
    }

    /// The next sync of a file fails, and leaves what it should have written clean but not durable.
    pub fn fail_sync(&self) {
        self.lock().failing_sync = true;
    }

    /// The next rename succeeds, and all operations behind it fail.
    pub fn fail_after_rename(&self) {
        self.lock().failing_rename = true;
    }

    /// Operations that change something succeed again.
    pub fn heal(&self) {
        let mut platter = self.lock();
        platter.failing = None;
        platter.failing_sync = false;
        platter.failing_rename = false;
    }

    /// There is no more room than this, also over crashes.
    pub fn fill(&self, room: Room) {
        self.lock().room = Some(room);
    }

    /// There is room again.
    pub fn free(&self) {
        self.lock().room = None;
    }

    /// Whether room was limited.
    pub fn is_full(&self) -> bool {
        self.lock().room.is_some()
    }

    /// How many operations that change something were asked for.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// How many syncs of files were asked for.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// How many fates a crash would ask for.
    pub fn unsynced(&self) -> usize {
        let platter = self.lock();
        let sectors: usize = platter.files.values().map(SimulatedFile::unsynced).sum();
        sectors + platter.changes.len()
    }

    /// From now on it is kept where is written, and what sectors held before.
    pub fn watch(&self) {
        let mut platter = self.lock();
        platter.writes = Some(Vec::new());
        for file in platter.files.values_mut() {
            file.older = Some(BTreeMap::new());
        }
    }

    /// Where was written since the last call. Zeros at the end of a write do not count, but for a
    /// few.
    pub fn take_writes(&self) -> Vec<Extent> {
        self.lock().writes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// All files as reads see them.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let platter = self.lock();
        let content = |id: &FileId| platter.files[id].cached.clone();
        platter.names.iter().map(|(name, id)| (name.clone(), content(id))).collect()
    }
}

impl Platter {
    fn id(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, name: &str) -> io::Result<&mut SimulatedFile> {
        let id = self.id(name)?;
        Ok(self.files.get_mut(&id).expect("a name's file"))
    }

    fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    /// Takes room for more bytes of files.
    fn claim(&mut self, bytes: u64) -> io::Result<()> {
        if let Some(Room::Bytes(left)) = &mut self.room {
            *left = left.checked_sub(bytes).ok_or(io::ErrorKind::StorageFull)?;
        }
        Ok(())
    }

    /// A snapshot's file takes its place: it is durable by then, and so is the log, whose place the
    /// snapshot might take at the next start.
    fn check_placing(&self, snapshot: FileId) {
        assert!(self.files[&snapshot].is_durable(), "a snapshot that is put in place is durable");
        let mut log = self.names.iter().filter(|(name, _)| name.ends_with(SEGMENT));
        let durable = log.all(|(name, id)| {
            self.durable_names.get(name) == Some(id) && self.files[id].is_durable()
        });
        assert!(durable, "the log is durable before a snapshot is put in place");
    }

    /// Counts an operation that changes something, and fails it if it is time.
    fn attempt(&mut self, operation: Operation) -> io::Result<()> {
        self.operations += 1;
        self.syncs += u64::from(operation == Operation::Sync);
        if operation == Operation::Sync && std::mem::take(&mut self.failing_sync) {
            return Err(io::ErrorKind::Other.into());
        }
        let claims = [Operation::Create, Operation::Write, Operation::Rename].contains(&operation);
        if let Some(Room::Operations(left)) = self.room.as_mut().filter(|_| claims) {
            *left = left.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
        }
        match &mut self.failing {
            None => Ok(()),
            Some((0, kind)) => Err((*kind).into()),
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
        }
    }
}

impl NameChange {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            NameChange::Created(name, id) => {
                names.insert(name.clone(), *id);
            }
            NameChange::Renamed(from, to, id) => {
                names.retain(|name, other| name != from || other != id);
                names.insert(to.clone(), *id);
            }
            NameChange::Removed(name, id) => {
                names.retain(|other, other_id| other != name || other_id != id);
            }
        }
    }
}

impl SimulatedDisk {
    /// Whether a file has a name that no sync of the folder has covered, and ends so.
    pub fn has_unsynced_name(&self, suffix: &str) -> bool {
        self.lock().changes.iter().any(|change| match change {
            NameChange::Created(name, _) | NameChange::Renamed(_, name, _) => {
                name.ends_with(suffix)
            }
            NameChange::Removed(..) => false,
        })
    }
}

impl Disk for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(self.lock().file(name)?.cached.clone())
    }

    fn another(&self) -> SimulatedDisk {
        self.clone()
    }

    fn create(&mut self, name: &str, length: u64) -> io::Result<()> {
        let mut platter = self.lock();
        platter.attempt(Operation::Create)?;
        if platter.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        platter.claim(length)?;
        let id = platter.next;
        platter.next += 1;
        let mut file = SimulatedFile::zeros(length as usize);
        file.older = platter.writes.as_ref().map(|_| BTreeMap::new());
        platter.files.insert(id, file);
        platter.change(NameChange::Created(name.to_owned(), id));
        Ok(())
    }

    fn prepare(&mut self, length: u64) -> bool {
        match self.lock().room {
            None => true,
            Some(Room::Bytes(left)) => left >= length,
            Some(Room::Operations(left)) => left > 0,
        }
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut platter = self.lock();
        platter.attempt(Operation::Write)?;
        let length = platter.file(name)?.cached.len() as u64;
        platter.claim((offset + bytes.len() as u64).saturating_sub(length))?;
        platter.file(name)?.write(offset as usize, bytes);
        let file = platter.id(name)?;
        if let Some(writes) = &mut platter.writes {
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + ZEROS);
            let start = offset as usize;
            writes.push(Extent { file, bytes: start..start + used.min(bytes.len()) });
        }
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut platter = self.lock();
        let outcome = platter.attempt(Operation::Sync);
        platter.file(name)?.sync(outcome.is_ok());
        outcome
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        let mut platter = self.lock();
        platter.attempt(Operation::SyncDir)?;
        platter.durable_names = platter.names.clone();
        platter.changes.clear();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut platter = self.lock();
        platter.attempt(Operation::Rename)?;
        let id = platter.id(from)?;
        if to.ends_with(SNAPSHOT) {
            platter.check_placing(id);
        }
        platter.change(NameChange::Renamed(from.to_owned(), to.to_owned(), id));
        if std::mem::take(&mut platter.failing_rename) {
            platter.failing = Some((0, io::ErrorKind::Other));
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut platter = self.lock();
        platter.attempt(Operation::Remove)?;
        let id = platter.id(name)?;
        platter.change(NameChange::Removed(name.to_owned(), id));
        Ok(())
    }
}
