//! A snapshot as a file: its name, what its bytes mean, and reading it. Must never take a file for whole
//! whose bytes are not all what was written, nor one that another cluster wrote.
//!
//! ```text
//! head, little endian:
//!    0 magic "RSNP" · 4 CRC32C of bytes 8.. of the head, what follows included
//!    8 version u32 · 12 length of the meta u32 · 16 cluster u64 · then the meta, in MessagePack
//! pieces: length u32 · CRC32C u32 · the piece; what they mean is the applier's affair
//! end: length 2^32 - 1 · CRC32C of the pieces' heads, in order · number of pieces u64
//! ```

use crc32c::{crc32c, crc32c_append};
use messages::wire::{decode, encode};
use messages::{ClusterId, LogIndex, LogPosition, SnapshotMeta, Term};

use super::record::{get_u32, get_u64, put_u32};
use super::{Damage, Disk, OpenError, WalError};

const MAGIC: [u8; 4] = *b"RSNP";
const VERSION: u32 = 1;
/// Before the meta.
const FIXED: usize = 24;
const PIECE_HEAD: usize = 8;
const END: usize = 16;
const END_MARK: u32 = u32::MAX;
/// A meta that is longer is nobody's.
const LONGEST_META: usize = 1 << 16;
/// Read at once, if a piece is not longer.
const READ: usize = 256 << 10;

const PREFIX: &str = "snapshot-";
const SUFFIX: &str = ".snap";

/// The name of the snapshot up to a position.
pub(crate) fn name(position: LogPosition) -> String {
    format!("{PREFIX}{:020}-{:020}{SUFFIX}", position.index.0, position.term.0)
}

/// The position in a snapshot's name; none if the file is no snapshot.
pub(crate) fn parse(name: &str) -> Option<LogPosition> {
    let (index, term) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once('-')?;
    let position =
        LogPosition { index: LogIndex(index.parse().ok()?), term: Term(term.parse().ok()?) };
    (self::name(position) == name).then_some(position)
}

/// The snapshots in place, oldest first.
pub(crate) fn all(disk: &impl Disk) -> Result<Vec<LogPosition>, WalError> {
    let names = disk.list().map_err(|error| WalError::new(disk.describe(""), "list", error))?;
    let mut positions: Vec<LogPosition> = names.iter().filter_map(|name| parse(name)).collect();
    positions.sort_unstable_by_key(|position| (position.index, position.term));
    Ok(positions)
}

/// How a snapshot's bytes come to be: head, pieces, end.
#[derive(Debug, Default)]
pub(crate) struct Spelling {
    checksum: u32,
    pieces: u64,
}

impl Spelling {
    /// The head's bytes.
    pub(crate) fn head(&self, cluster: ClusterId, meta: &SnapshotMeta) -> Vec<u8> {
        let mut bytes = vec![0; FIXED];
        encode(meta, &mut bytes);
        let length = u32::try_from(bytes.len() - FIXED).expect("a meta is short");
        bytes[..4].copy_from_slice(&MAGIC);
        put_u32(&mut bytes, 8, VERSION);
        put_u32(&mut bytes, 12, length);
        bytes[16..24].copy_from_slice(&cluster.0.to_le_bytes());
        let checksum = crc32c(&bytes[8..]);
        put_u32(&mut bytes, 4, checksum);
        bytes
    }

    /// A piece's bytes, its own head before them, at the end of `out`.
    pub(crate) fn piece(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let head = out.len();
        let length = u32::try_from(piece.len()).expect("a piece is below 4 GiB");
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&crc32c(piece).to_le_bytes());
        self.checksum = crc32c_append(self.checksum, &out[head..]);
        self.pieces += 1;
        out.extend_from_slice(piece);
    }

    /// The end's bytes, at the end of `out`.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&END_MARK.to_le_bytes());
        out.extend_from_slice(&self.checksum.to_le_bytes());
        out.extend_from_slice(&self.pieces.to_le_bytes());
    }
}

/// A snapshot's file under reading.
pub struct Reader<'a, D> {
    disk: &'a D,
    name: String,
    meta: SnapshotMeta,
    /// Where the next piece begins.
    at: u64,
    spelling: Spelling,
    /// Bytes of the file from `at` on.
    ahead: Vec<u8>,
    used: usize,
}

impl<'a, D: Disk> Reader<'a, D> {
    /// Opens a snapshot of this cluster.
    ///
    /// # Errors
    /// If it cannot be read, is another cluster's or version's, or its head is not what was written.
    pub fn open(disk: &'a D, name: &str, cluster: ClusterId) -> Result<Reader<'a, D>, OpenError> {
        let file = disk.describe(name);
        let damage = |what| Damage { file: file.clone(), offset: 0, what };
        let read = |length| {
            let bytes = disk.read_at(name, 0, length);
            bytes.map_err(|error| WalError::new(file.clone(), "read", error))
        };
        let fixed = read(FIXED)?;
        if fixed.len() < FIXED || fixed[..4] != MAGIC {
            return Err(damage("the snapshot's head is not what was written").into());
        }
        let length = get_u32(&fixed, 12) as usize;
        let head = read(FIXED + length.min(LONGEST_META))?;
        if head.len() < FIXED + length || crc32c(&head[8..]) != get_u32(&head, 4) {
            return Err(damage("the snapshot's head is not what was written").into());
        }
        match get_u32(&head, 8) {
            VERSION => {}
            version => return Err(OpenError::Unsupported { file, version, known: VERSION }),
        }
        if get_u64(&head, 16) != cluster.0 {
            return Err(damage("the snapshot belongs to another cluster").into());
        }
        let meta = decode(&head[FIXED..]).map_err(|_| damage("the snapshot's meta is no meta"))?;
        Ok(Reader {
            disk,
            name: name.to_owned(),
            meta,
            at: head.len() as u64,
            spelling: Spelling::default(),
            ahead: Vec::new(),
            used: 0,
        })
    }

    /// What the snapshot stands for.
    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// Bytes of the file, once all of it was read.
    pub fn size(&self) -> u64 {
        self.at + END as u64
    }

    /// The next piece; none behind the last, when all of the file was what was written.
    ///
    /// # Errors
    /// If the file cannot be read, or its bytes are not what was written.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, OpenError> {
        let head: [u8; PIECE_HEAD] = *self.peek(PIECE_HEAD)?.first_chunk().expect("as asked");
        if get_u32(&head, 0) == END_MARK {
            return self.end().map(|()| None);
        }
        let length = get_u32(&head, 0) as usize;
        let piece = self.peek(PIECE_HEAD + length)?[PIECE_HEAD..].to_vec();
        if crc32c(&piece) != get_u32(&head, 4) {
            return Err(self.damage("a piece of the snapshot is not what was written"));
        }
        self.spelling.checksum = crc32c_append(self.spelling.checksum, &head);
        self.spelling.pieces += 1;
        self.used += PIECE_HEAD + length;
        self.at += (PIECE_HEAD + length) as u64;
        Ok(Some(piece))
    }

    fn end(&mut self) -> Result<(), OpenError> {
        let mut expected = Vec::new();
        self.spelling.end(&mut expected);
        let whole = self.peek(END)? == expected;
        let beyond = self.disk.read_at(&self.name, self.at + END as u64, 1);
        let beyond = beyond.map_err(|error| self.error(error))?;
        if whole && beyond.is_empty() {
            return Ok(());
        }
        Err(self.damage("the snapshot does not end as it was written"))
    }

    /// The next bytes, not taken yet.
    fn peek(&mut self, length: usize) -> Result<&[u8], OpenError> {
        if self.ahead.len() - self.used < length {
            let more = self.disk.read_at(&self.name, self.at, length.max(READ));
            self.ahead = more.map_err(|error| self.error(error))?;
            self.used = 0;
        }
        match self.ahead.get(self.used..self.used + length) {
            Some(bytes) => Ok(bytes),
            None => Err(Damage {
                file: self.disk.describe(&self.name),
                offset: self.at,
                what: "the snapshot is cut off",
            }
            .into()),
        }
    }

    /// The piece that was read last is not what its owner can take.
    pub(crate) fn unreadable(&self, wanted: &'static str) -> OpenError {
        self.damage(wanted)
    }

    fn damage(&self, what: &'static str) -> OpenError {
        Damage { file: self.disk.describe(&self.name), offset: self.at, what }.into()
    }

    fn error(&self, error: std::io::Error) -> WalError {
        WalError::new(self.disk.describe(&self.name), "read", error)
    }
}

/// Reads all of a snapshot, which must be that of this position, and forgets it again.
pub(crate) fn check<D: Disk>(
    disk: &D,
    name: &str,
    cluster: ClusterId,
) -> Result<SnapshotMeta, OpenError> {
    let mut reader = Reader::open(disk, name, cluster)?;
    while reader.next_piece()?.is_some() {}
    Ok(reader.meta)
}
