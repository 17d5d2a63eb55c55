//! Where a cluster that is measured keeps its logs. Must never be a file system in memory: syncs cost
//! nothing there, and the figures would be worth as much.

use std::fs;
use std::path::{Path, PathBuf};

use raft::exit::{self, Failure};
use rustix::fs::statfs;

/// Where temporary files survive a restart of the machine, so that it is on a disk.
const LASTING: &str = "/var/tmp";

const TMPFS: u32 = 0x0102_1994;
const RAMFS: u32 = 0x8584_58f6;

/// File systems by the number that Linux gives them.
const KNOWN: [(u32, &str); 10] = [
    (TMPFS, "tmpfs"),
    (RAMFS, "ramfs"),
    (0xef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0xf2f5_2010, "f2fs"),
    (0x2fc1_2fc1, "zfs"),
    (0x794c_7630, "overlay"),
    (0x6969, "nfs"),
    (0x0102_1997, "9p"),
];

/// A folder on a real disk, for temporary ones. One that was made for this is removed with it.
#[derive(Debug)]
pub struct Place {
    /// Where it is.
    pub folder: PathBuf,
    /// The file system's name.
    pub file_system: String,
    made: bool,
}

impl Place {
    /// The folder that was asked for, else the system's for temporary files, else one that lasts.
    ///
    /// # Errors
    /// If it is in memory, is no folder, or cannot be made.
    pub fn new(asked: Option<&Path>) -> Result<Place, Failure> {
        if let Some(folder) = asked {
            return Place::at(folder);
        }
        let temporary = std::env::temp_dir();
        match Place::at(&temporary) {
            Err(failure) if failure.code() == exit::USAGE => {
                Place::at(Path::new(LASTING)).map_err(|_| failure)
            }
            place => place,
        }
    }

    fn at(folder: &Path) -> Result<Place, Failure> {
        let shown = folder.display();
        // A folder that is yet to be made lies where its parent does.
        let existing = folder.ancestors().find(|ancestor| ancestor.exists());
        let existing =
            existing.filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let found = statfs(existing).map_err(|error| {
            Failure::new(exit::CANNOT_CREATE, format!("--data {shown}: {error}"))
        })?;
        let number = found.f_type as u32;
        let file_system = name(number);
        if [TMPFS, RAMFS].contains(&number) {
            let text = format!(
                "--data: {shown} is on {file_system}, in memory, where a sync costs nothing; name a \
                 folder on a real disk"
            );
            return Err(Failure::new(exit::USAGE, text));
        }
        let made = !folder.exists();
        fs::create_dir_all(folder).map_err(|error| {
            Failure::new(exit::CANNOT_CREATE, format!("--data {shown} cannot be made: {error}"))
        })?;
        Ok(Place { folder: folder.to_owned(), file_system, made })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made {
            // Whatever else has been put there meanwhile stays.
            let _ = fs::remove_dir(&self.folder);
        }
    }
}

fn name(number: u32) -> String {
    let known = KNOWN.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("file system {number:#x}"), |(_, name)| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_memory_is_refused_even_before_it_is_made() {
        for folder in ["/dev/shm", "/dev/shm/is not there/at all"] {
            let failure = Place::at(Path::new(folder)).expect_err("in memory");
            assert_eq!(failure.code(), exit::USAGE);
            assert!(failure.to_string().contains("is on tmpfs"), "{failure}");
        }
        assert!(!Path::new("/dev/shm/is not there").exists());
    }

    #[test]
    fn a_folder_that_was_made_is_removed_with_all_that_is_ours() {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("made");
        let place = Place::at(&folder).expect("on a disk");
        assert!(folder.is_dir());
        drop(place);
        assert!(!folder.exists());
        drop(Place::at(outer.path()).expect("on a disk"));
        assert!(outer.path().exists(), "it was there before");
    }

    #[test]
    fn a_file_system_has_a_name_or_a_number() {
        assert_eq!([name(0xef53), name(0x1234)], ["ext4", "file system 0x1234"]);
    }
}
