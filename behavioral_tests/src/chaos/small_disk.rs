//! A disk that is about to be full: a node's data on a tmpfs with little room left. Must never hold
//! the only copy of a node's data when its mount goes: what is there is brought back first.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// What is left for the log before the disk is full, bytes: less than one segment.
const ROOM: u64 = 512 << 10;
/// What a tmpfs counts in, bytes.
const PAGE: u64 = 4096;

/// A mounted one.
#[derive(Debug)]
pub struct SmallDisk {
    /// Where the data is when the disk is large.
    home: PathBuf,
    mount: PathBuf,
}

impl SmallDisk {
    /// Copies the data folder of a node that does not run to a disk that has hardly more room.
    ///
    /// # Errors
    /// There are no rights to mount, or the data cannot be copied.
    pub fn take_in(home: &Path, mount: &Path) -> Result<SmallDisk> {
        fs::create_dir_all(mount).with_context(|| format!("cannot make {}", mount.display()))?;
        let mut size = ROOM;
        for file in fs::read_dir(home)? {
            size += file?.metadata()?.len().next_multiple_of(PAGE);
        }
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(mount);
        succeed(&mut command)?;
        let disk = SmallDisk { home: home.to_owned(), mount: mount.to_owned() };
        copy(home, mount)?;
        Ok(disk)
    }

    /// Where the data is now.
    pub fn folder(&self) -> &Path {
        &self.mount
    }

    /// Makes room: brings all back, of a node that does not run.
    ///
    /// # Errors
    /// It cannot be copied. Then it stays mounted.
    pub fn bring_back(self) -> Result<()> {
        let copied = self.home.with_extension("copied");
        fs::create_dir(&copied)?;
        copy(&self.mount, &copied)?;
        fs::remove_dir_all(&self.home)?;
        fs::rename(&copied, &self.home)?;
        succeed(Command::new("umount").arg(&self.mount))
    }
}

/// A data folder has no folders in it.
fn copy(from: &Path, to: &Path) -> Result<()> {
    for file in fs::read_dir(from)? {
        let file = file?;
        let copied = fs::copy(file.path(), to.join(file.file_name()));
        copied.with_context(|| format!("cannot copy {}", file.path().display()))?;
    }
    Ok(())
}

fn succeed(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} failed: {}", errors.trim());
    Ok(())
}
