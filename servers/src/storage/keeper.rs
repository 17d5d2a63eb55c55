//! Snapshots on their way to and from the disk, beside the log: taken piece by piece, received part by
//! part, read for others. Synchronous; whoever drives it decides when. Must never put a file in place:
//! the log's owner does, in its order.

use std::io;

use messages::{ClusterId, LogPosition, NodeId, SnapshotMeta, SnapshotPart};

use super::disk::UNFINISHED;
use super::snapshot::{self, Reader, Spelling};
use super::{Disk, OpenError, WalError};
use crate::machine::Pieces;

/// Written before each sync, bytes: the log's own syncs never wait for more.
const SYNCED: u64 = 256 << 10;

/// A snapshot's file that is whole and durable, and waits to be put in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Whole {
    /// What it stands for.
    pub meta: SnapshotMeta,
    /// Its name until then.
    pub(crate) name: String,
    /// Bytes.
    pub size: u64,
}

/// A snapshot that is in place, and what is not needed any more since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The snapshot.
    pub whole: Whole,
    /// Files to be removed, one after the other for good: a crash in between must leave no hole.
    pub obsolete: Vec<String>,
}

/// What came of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The file is here up to this byte.
    pub wanted: u64,
    /// All of it is here, durable, and was checked.
    pub whole: Option<Whole>,
    /// What was here was thrown away, for this reason.
    pub lost: Option<String>,
}

/// What came of one that was to be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is whole.
    Whole(Whole),
    /// There was no room for it: what was written of it is gone.
    NoSpace {
        /// The system's word.
        why: String,
    },
}

impl Taken {
    /// The file, if it is whole.
    pub fn whole(self) -> Option<Whole> {
        match self {
            Taken::Whole(whole) => Some(whole),
            Taken::NoSpace { .. } => None,
        }
    }
}

/// A folder's snapshots under way: one that is taken, one that is received.
pub struct Keeper<D> {
    disk: D,
    cluster: ClusterId,
    taking: Option<Taking>,
    /// Two nodes' snapshots of the same position need not be the same bytes.
    receiving: Option<(NodeId, Draft)>,
    /// Files begun: the same snapshot may come again while its file waits to be put in place.
    begun: u64,
}

struct Taking {
    draft: Draft,
    spelling: Spelling,
    pieces: Box<dyn Pieces>,
}

/// A file under writing.
struct Draft {
    meta: SnapshotMeta,
    name: String,
    /// Written up to here.
    end: u64,
    synced: u64,
}

impl Draft {
    /// `kind` is a name that no other file of this run has.
    fn begin<D: Disk>(disk: &mut D, kind: &str, meta: &SnapshotMeta) -> Result<Draft, WalError> {
        let name = format!("{kind}-{}{UNFINISHED}", snapshot::name(meta.position));
        let begun = match disk.remove(&name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => disk.create(&name, 0),
        };
        begun.map_err(|error| WalError::new(disk.describe(&name), "create", error))?;
        Ok(Draft { meta: meta.clone(), name, end: 0, synced: 0 })
    }

    fn write<D: Disk>(&mut self, disk: &mut D, bytes: &[u8]) -> Result<(), WalError> {
        disk.write_at(&self.name, self.end, bytes)
            .map_err(|error| WalError::new(disk.describe(&self.name), "write", error))?;
        self.end += bytes.len() as u64;
        if self.end - self.synced >= SYNCED { self.sync(disk) } else { Ok(()) }
    }

    fn sync<D: Disk>(&mut self, disk: &mut D) -> Result<(), WalError> {
        self.synced = self.end;
        disk.sync(&self.name)
            .map_err(|error| WalError::new(disk.describe(&self.name), "sync", error))
    }

    fn into_whole(self) -> Whole {
        Whole { meta: self.meta, name: self.name, size: self.end }
    }
}

impl<D: Disk> Keeper<D> {
    /// Of a folder that is open: what lies there unfinished of earlier runs is gone.
    pub fn new(disk: D, cluster: ClusterId) -> Keeper<D> {
        Keeper { disk, cluster, taking: None, receiving: None, begun: 0 }
    }

    /// Begins to take a snapshot.
    ///
    /// # Errors
    /// If the disk fails. That it is full only ends this snapshot.
    pub fn take(
        &mut self,
        meta: &SnapshotMeta,
        pieces: Box<dyn Pieces>,
    ) -> Result<Option<Taken>, WalError> {
        let begun = self.begin("taken", meta).and_then(|draft| {
            let spelling = Spelling::default();
            let head = spelling.head(self.cluster, meta);
            let taking = self.taking.insert(Taking { draft, spelling, pieces });
            taking.draft.write(&mut self.disk, &head)
        });
        self.or_no_space(begun.map(|()| None))
    }

    /// Gives up the snapshot that is being taken, if there is no room for it.
    fn or_no_space(
        &mut self,
        done: Result<Option<Taken>, WalError>,
    ) -> Result<Option<Taken>, WalError> {
        match done {
            Err(error) if error.is_full() => {
                if let Some(taking) = self.taking.take() {
                    self.remove(&taking.draft.name)?;
                }
                Ok(Some(Taken::NoSpace { why: error.to_string() }))
            }
            done => done,
        }
    }

    fn begin(&mut self, kind: &str, meta: &SnapshotMeta) -> Result<Draft, WalError> {
        self.begun += 1;
        Draft::begin(&mut self.disk, &format!("{kind}-{}", self.begun), meta)
    }

    /// Whether a snapshot is being taken.
    pub fn is_taking(&self) -> bool {
        self.taking.is_some()
    }

    /// Writes the next piece of the one that is being taken; the file once it is whole.
    ///
    /// # Errors
    /// If the disk fails. That it is full only ends this snapshot.
    pub fn go_on(&mut self) -> Result<Option<Taken>, WalError> {
        let done = self.write_piece();
        self.or_no_space(done)
    }

    fn write_piece(&mut self) -> Result<Option<Taken>, WalError> {
        let Some(taking) = &mut self.taking else { return Ok(None) };
        let mut bytes = Vec::new();
        if let Some(piece) = taking.pieces.next() {
            taking.spelling.piece(&piece, &mut bytes);
            taking.draft.write(&mut self.disk, &bytes)?;
            return Ok(None);
        }
        taking.spelling.end(&mut bytes);
        taking.draft.write(&mut self.disk, &bytes)?;
        taking.draft.sync(&mut self.disk)?;
        self.disk = self.disk.another(); // which keeps no file open that is renamed and removed later
        Ok(self.taking.take().map(|taking| Taken::Whole(taking.draft.into_whole())))
    }

    /// Writes a part of one that is received. Parts of another snapshot end the one before; a part that
    /// does not follow is not written.
    ///
    /// # Errors
    /// If the disk fails. That it is full only loses what was received.
    pub fn store(&mut self, from: NodeId, part: &SnapshotPart) -> Result<Stored, WalError> {
        match self.try_to_store(from, part) {
            Err(error) if error.is_full() => {
                self.drop_received()?;
                Ok(Stored { wanted: 0, whole: None, lost: Some(error.to_string()) })
            }
            stored => stored,
        }
    }

    fn try_to_store(&mut self, from: NodeId, part: &SnapshotPart) -> Result<Stored, WalError> {
        let is_same =
            |(sender, draft): &(NodeId, Draft)| *sender == from && draft.meta == part.meta;
        if !self.receiving.as_ref().is_some_and(is_same) {
            self.drop_received()?;
            let draft = self.begin("received", &part.meta)?;
            self.receiving = Some((from, draft));
        }
        let (_, draft) = self.receiving.as_mut().expect("just begun");
        if draft.end == part.offset && !part.bytes.is_empty() {
            draft.write(&mut self.disk, &part.bytes)?;
        }
        let wanted = draft.end;
        if wanted < part.size {
            return Ok(Stored { wanted, whole: None, lost: None });
        }
        draft.sync(&mut self.disk)?;
        self.check_received()
    }

    /// A file that has its size: hands it on if it is what was sent.
    fn check_received(&mut self) -> Result<Stored, WalError> {
        let (from, draft) = self.receiving.take().expect("it was received");
        let lost = match snapshot::check(&self.disk, &draft.name, self.cluster) {
            Ok(meta) if meta == draft.meta => {
                let wanted = draft.end;
                self.disk = self.disk.another();
                return Ok(Stored { wanted, whole: Some(draft.into_whole()), lost: None });
            }
            Ok(_) => "it stands for something else than was said".to_owned(),
            Err(OpenError::Io(error)) => return Err(error),
            Err(error) => error.of_received(),
        };
        self.receiving = Some((from, draft));
        self.drop_received()?;
        Ok(Stored { wanted: 0, whole: None, lost: Some(lost) })
    }

    /// Throws away what was received so far.
    fn drop_received(&mut self) -> Result<(), WalError> {
        match self.receiving.take() {
            Some((_, draft)) => self.remove(&draft.name),
            None => Ok(()),
        }
    }

    /// Removes files that [`Kept`] names. It takes a while to give back what large ones hold.
    pub fn remove_obsolete(&mut self, names: &[String]) -> Result<(), WalError> {
        for name in names {
            match self.disk.remove(name) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue, // named twice
                Err(error) => {
                    return Err(WalError::new(self.disk.describe(name), "remove", error));
                }
            }
            self.disk
                .sync_dir()
                .map_err(|error| WalError::new(self.disk.describe(""), "sync", error))?;
        }
        Ok(())
    }

    /// Throws away a snapshot that was received in vain.
    pub fn discard(&mut self, whole: &Whole) -> Result<(), WalError> {
        self.remove(&whole.name)
    }

    fn remove(&mut self, name: &str) -> Result<(), WalError> {
        self.disk
            .remove(name)
            .map_err(|error| WalError::new(self.disk.describe(name), "remove", error))
    }

    /// Bytes of the snapshot in place up to `position`, and its size; none if it is there no more.
    pub fn read(
        &self,
        position: LogPosition,
        offset: u64,
        length: usize,
    ) -> Result<Option<Vec<u8>>, WalError> {
        let name = snapshot::name(position);
        match self.disk.read_at(&name, offset, length) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WalError::new(self.disk.describe(&name), "read", error)),
        }
    }

    /// The snapshot that waits to be put in place, piece by piece.
    pub fn reader(&self, whole: &Whole) -> Result<Reader<'_, D>, OpenError> {
        Reader::open(&self.disk, &whole.name, self.cluster)
    }
}
