//! A file under writing, past the page cache where the system can: what a log writes it does not read
//! again, and every cached page would cost a copy and memory. Must never change a byte that its
//! caller did not write, nor keep one back: a write has reached the device, or failed, when it returns.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

/// What unbuffered writes are aligned to, in memory and in the file, bytes.
pub(super) const BLOCK: usize = 4096;
/// Room that grew beyond this is given back.
const KEPT_ROOM: usize = 4 << 20;

/// An existing file, opened for writing.
#[derive(Debug)]
pub(super) struct Output {
    path: PathBuf,
    file: File,
    direct: Option<Direct>,
}

/// What unbuffered writing of a file of whole blocks needs.
#[derive(Debug)]
struct Direct {
    length: u64,
    /// The block that was written last, by its offset: a log goes on in it.
    last: Option<(u64, Box<[u8; BLOCK]>)>,
    /// Where blocks are put together.
    room: Vec<u8>,
}

impl Output {
    /// Opens a file; unbuffered if the system can and the file is whole blocks.
    pub fn open(path: &Path) -> io::Result<Output> {
        let length = fs::metadata(path)?.len();
        let mut options = OpenOptions::new();
        options.write(true);
        let is_blocks = length > 0 && length.is_multiple_of(BLOCK as u64);
        if is_blocks && let Ok(file) = unbuffered(&options).open(path) {
            let direct = Direct { length, last: None, room: Vec::new() };
            return Ok(Output { path: path.to_owned(), file, direct: Some(direct) });
        }
        Ok(Output { path: path.to_owned(), file: options.open(path)?, direct: None })
    }

    /// Overwrites part of the file; grows it if the range ends beyond its end.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(direct) = &mut self.direct {
            match direct.write_at(&self.path, &self.file, offset, bytes) {
                // Nothing was written: the file system cannot after all, or the file has to grow.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
                done => return done,
            }
            self.file = OpenOptions::new().write(true).open(&self.path)?;
            self.direct = None;
        }
        self.file.write_all_at(bytes, offset)
    }

    /// Makes all writes durable (`fdatasync`).
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Direct {
    fn write_at(&mut self, path: &Path, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset + bytes.len() as u64;
        if end > self.length {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let first = offset - offset % BLOCK as u64;
        let past = end.next_multiple_of(BLOCK as u64);
        let size = (past - first) as usize;
        let mut room = std::mem::take(&mut self.room);
        room.resize(room.len().max(size + BLOCK), 0);
        let aligned = room.as_ptr().align_offset(BLOCK);
        let blocks = &mut room[aligned..][..size];
        if first < offset {
            self.read_block(path, first, &mut blocks[..BLOCK])?;
        }
        if end < past && (first == offset || size > BLOCK) {
            self.read_block(path, past - BLOCK as u64, &mut blocks[size - BLOCK..])?;
        }
        blocks[(offset - first) as usize..][..bytes.len()].copy_from_slice(bytes);
        self.last = None; // until the write has succeeded
        file.write_all_at(blocks, first)?;
        if let Some(last) = blocks.last_chunk::<BLOCK>() {
            self.last = Some((past - BLOCK as u64, Box::new(*last)));
        }
        if room.len() <= KEPT_ROOM {
            self.room = room;
        }
        Ok(())
    }

    /// The block at `offset` as it stands in the file.
    fn read_block(&self, path: &Path, offset: u64, block: &mut [u8]) -> io::Result<()> {
        match &self.last {
            Some((at, last)) if *at == offset => {
                block.copy_from_slice(&last[..]);
                Ok(())
            }
            Some(_) | None => File::open(path)?.read_exact_at(block, offset),
        }
    }
}

/// Makes a file to be written once, from its beginning, in whole aligned blocks if so said; past the
/// page cache if it is and the system can.
pub(super) fn create(path: &Path, in_blocks: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    match unbuffered(&options).open(path) {
        Ok(file) if in_blocks => Ok(file),
        Ok(_) | Err(_) => options.open(path),
    }
}

fn unbuffered(options: &OpenOptions) -> OpenOptions {
    let flags = i32::try_from(OFlags::DIRECT.bits()).expect("a flag of open");
    let mut options = options.clone();
    options.custom_flags(flags);
    options
}
