//! What goes on in a folder beside its log, on threads of their own: the next segment is filled with
//! zeros, and what large files held is given back. Must never be in a hurry, unless told to: the disk
//! is the log's.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::output::{self, BLOCK};

/// How much is filled or given back at once; what is filled is synced as often, so that the log's own
/// syncs never wait for more.
const PIECE: u64 = 256 << 10;
/// And how much if somebody waits for it. Larger files are given back in pieces, too.
pub(super) const HASTY_PIECE: u64 = 1 << 20;
/// How long a thread rests after each piece: all nodes of a machine are at it at about the same time. A
/// segment is filled in half a second, and lasts longer.
const REST: Duration = Duration::from_millis(1);

/// How a thread is told to go on.
#[derive(Debug)]
struct Pace(AtomicU8);

impl Pace {
    const GENTLE: u8 = 0;
    const FAST: u8 = 1;
    const STOP: u8 = 2;

    fn new(pace: u8) -> Pace {
        Pace(AtomicU8::new(pace))
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn rest(&self) {
        if self.get() == Pace::GENTLE {
            thread::park_timeout(REST);
        }
    }

    fn set(&self, pace: u8, thread: &JoinHandle<impl Sized>) {
        self.0.store(pace, Ordering::Relaxed);
        thread.thread().unpark();
    }
}

/// A file that is filled with zeros.
#[derive(Debug)]
pub(super) struct Preparation {
    pub length: u64,
    pace: Arc<Pace>,
    /// None once it has ended, and the file is there.
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Preparation {
    /// Begins to fill a file of this name; none if there is no thread for it.
    pub fn begin(path: PathBuf, length: u64) -> Option<Preparation> {
        let pace = Arc::new(Pace::new(Pace::GENTLE));
        let told = Arc::clone(&pace);
        let fill = move || fill_at(&path, length, &told);
        let thread = thread::Builder::new().name("fill".to_owned()).spawn(fill).ok()?;
        Some(Preparation { length, pace, thread: Some(thread) })
    }

    /// Waits for the thread, which from now on does not rest. An error is that of filling.
    pub fn finish(&mut self) -> io::Result<()> {
        self.end(Pace::FAST)
    }

    /// Ends the thread; what it has filled is worth nothing.
    pub fn stop(&mut self) {
        drop(self.end(Pace::STOP)); // an error of filling matters no more
    }

    fn end(&mut self, pace: u8) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        self.pace.set(pace, &thread);
        thread.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())) // a panic was printed
    }

    /// Whether the thread is at work.
    pub fn fills(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

/// Fills a file with zeros and syncs it, without rests. Written blocks make later syncs cheaper than
/// growing or merely reserving ones.
pub(super) fn fill(path: &Path, length: u64) -> io::Result<()> {
    fill_at(path, length, &Pace::new(Pace::FAST))
}

/// Past the page cache where that is possible: as much memory as is filled would be dirtied for
/// nothing.
fn fill_at(path: &Path, length: u64, pace: &Pace) -> io::Result<()> {
    let file = output::create(path, length.is_multiple_of(BLOCK as u64))?;
    let room = vec![0; HASTY_PIECE as usize + BLOCK];
    let zeros = &room[room.as_ptr().align_offset(BLOCK)..][..HASTY_PIECE as usize];
    let mut filled = 0;
    while filled < length {
        let piece = match pace.get() {
            Pace::STOP => return Err(io::ErrorKind::Interrupted.into()),
            Pace::GENTLE => PIECE,
            _ => HASTY_PIECE,
        };
        let chunk = (length - filled).min(piece);
        file.write_all_at(&zeros[..chunk as usize], filled)?;
        file.sync_data()?;
        filled += chunk;
        pace.rest();
    }
    file.sync_all()
}

/// Removes large files, one after the other and a piece at a time: a file system that gives back 64 MiB
/// at once lets no sync through for 15 ms or more. When it is dropped, what is left goes at once.
#[derive(Debug, Default)]
pub(super) struct Freeing(Mutex<Option<Freer>>);

#[derive(Debug)]
struct Freer {
    paths: mpsc::Sender<PathBuf>,
    pace: Arc<Pace>,
    thread: JoinHandle<()>,
}

impl Freeing {
    /// Queues a file that nobody uses, nor looks for after a crash.
    ///
    /// # Errors
    /// If there is no thread, and the file cannot be removed without one.
    pub fn submit(&self, path: PathBuf) -> io::Result<()> {
        let mut freer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if freer.is_none() {
            *freer = Freer::start().ok();
        }
        match freer.as_ref().map(|freer| freer.paths.send(path.clone())) {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => fs::remove_file(path),
        }
    }
}

impl Drop for Freeing {
    fn drop(&mut self) {
        let freer = self.0.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Freer { paths, pace, thread }) = freer {
            pace.set(Pace::FAST, &thread);
            drop(paths);
            drop(thread.join()); // a panic in it was printed
        }
    }
}

impl Freer {
    fn start() -> io::Result<Freer> {
        let (paths, queued) = mpsc::channel::<PathBuf>();
        let pace = Arc::new(Pace::new(Pace::GENTLE));
        let told = Arc::clone(&pace);
        let run = move || {
            for path in queued {
                drop(free(&path, &told)); // the next start removes what is left
            }
        };
        let thread = thread::Builder::new().name("free".to_owned()).spawn(run)?;
        Ok(Freer { paths, pace, thread })
    }
}

fn free(path: &Path, pace: &Pace) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mut length = file.metadata()?.len();
    while length > PIECE && pace.get() == Pace::GENTLE {
        length -= PIECE;
        file.set_len(length)?;
        pace.rest();
    }
    drop(file); // or its room would be given back after its name
    fs::remove_file(path)
}
