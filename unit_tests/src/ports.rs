//! Ports for tests: blocks of 11000-20999, each held by a locked file, so that tests in parallel,
//! of this process or another, never meet. Must never take a port by binding to zero and letting
//! go: somebody else may get it in between.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const FIRST: u16 = 11_000;
const BLOCK: u16 = 10;
const BLOCKS: u16 = 1_000;

/// A block of ports on the loopback address. It is free again when this is dropped.
#[derive(Debug)]
pub struct Ports {
    first: u16,
    number: u16,
    path: PathBuf,
    _lock: File,
}

/// Takes `number` ports that nobody else has or listens at.
///
/// # Panics
/// If more than ten are asked for at once, or there is no block left.
pub fn block(number: u16) -> Ports {
    assert!(number <= BLOCK, "at most {BLOCK} ports at once");
    // Processes begin at different places, so that they seldom try the same block.
    let begin = std::process::id() as u16 % BLOCKS;
    (0..BLOCKS)
        .map(|step| FIRST + (begin + step) % BLOCKS * BLOCK)
        .find_map(|first| Ports::take(first, number))
        .expect("a free block of ports in 11000-20999")
}

impl Ports {
    /// The port at a place in the block.
    pub fn port(&self, place: u16) -> u16 {
        assert!(place < self.number, "no such port in a block of {}", self.number);
        self.first + place
    }

    /// The address of the port at a place in the block.
    pub fn address(&self, place: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port(place)).into()
    }

    fn take(first: u16, number: u16) -> Option<Ports> {
        let path = std::env::temp_dir().join(format!("raft-test-ports-{first}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).ok()?;
        file.try_lock().ok()?;
        // An earlier holder may have removed the file between these two lines: then this lock
        // guards nothing.
        if !is_at(&file, &path).unwrap_or(false) {
            return None;
        }
        let ports = Ports { first, number, path, _lock: file };
        let free = |place| TcpListener::bind(ports.address(place)).is_ok();
        (0..number).all(free).then_some(ports)
    }
}

impl Drop for Ports {
    /// Removes the file while it is still locked.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (ours, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}
