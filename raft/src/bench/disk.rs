//! What a disk takes without us: the measure for what is written to it. Must never leave its file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Bytes of one write, and of one sync.
const PIECE: usize = 1 << 20;
/// The file that is written becomes no longer, even if there is time.
const LONGEST: u64 = 256 << 20;

/// Bytes a second that a file in this folder takes, written in a row in pieces of 1 MiB, each synced.
///
/// # Errors
/// If it cannot be written.
pub fn sequential(folder: &Path, time: Duration) -> io::Result<f64> {
    // It has no name, so that nothing is left of it whatever happens.
    let mut file = tempfile::tempfile_in(folder)?;
    let piece: Vec<u8> = (0..PIECE).map(|number| (number % 251) as u8).collect();
    write(&mut file, &piece)?; // the first one makes the file, too
    let begin = Instant::now();
    let mut pieces = 0_u64;
    while begin.elapsed() < time || pieces == 0 {
        if pieces * PIECE as u64 >= LONGEST {
            break;
        }
        write(&mut file, &piece)?;
        pieces += 1;
    }
    Ok((pieces * PIECE as u64) as f64 / begin.elapsed().as_secs_f64())
}

fn write(file: &mut File, piece: &[u8]) -> io::Result<()> {
    file.write_all(piece)?;
    file.sync_data()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_takes_something_and_keeps_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let rate = sequential(folder.path(), Duration::ZERO).expect("written");
        assert!(rate > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
        assert!(sequential(&folder.path().join("absent"), Duration::ZERO).is_err());
    }
}
