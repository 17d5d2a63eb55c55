//! What the faults need of the machine: programs, and the right to mount. Must never leave out what
//! cannot be done: it says so and ends.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use raft::exit::{Failure, UNAVAILABLE};

use super::kinds::{CLOCKS, DISK_FAILS, DISK_FULL, DISK_SLOW, word};

/// Set in a process that has mounts of its own.
const OWN_MOUNTS: &str = "CHAOS_OWN_MOUNTS";
/// Runs its arguments where processes that are killed under libfaketime leave their shared memory to
/// nobody.
const ENTER: &str = "mount -t tmpfs tmpfs /dev/shm && exec \"$@\"";

/// What needs mounts of its own: a small disk is mounted, and processes that are killed under
/// libfaketime leave shared memory behind.
const MOUNTING: [&str; 2] = [DISK_FULL, CLOCKS];

/// Fails with 69 where a program is missing that one of these kinds of fault needs.
///
/// # Errors
/// Naming the programs.
pub fn check_programs(kinds: &BTreeSet<&str>) -> Result<()> {
    let needed = [
        ("strace", &[DISK_FAILS, DISK_SLOW][..]),
        ("faketime", &[CLOCKS]),
        ("unshare", &MOUNTING),
        ("mount", &MOUNTING),
        ("umount", &MOUNTING),
    ];
    let is_needed = |by: &[&str]| by.iter().any(|kind| kinds.contains(kind));
    let missing = needed.iter().filter(|(program, by)| is_needed(by) && !exists(program));
    let missing: Vec<String> =
        missing.map(|(program, by)| format!("{program} (for {})", by.join(" and "))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text = format!(
        "missing: {}; install it (Debian has packages strace and faketime), or leave the fault out: \
         --without",
        missing.join(", ")
    );
    Err(Failure::new(UNAVAILABLE, text).into())
}

fn exists(program: &str) -> bool {
    let paths = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&paths).map(|folder| folder.join(program)).any(|path: PathBuf| path.is_file())
}

/// Whether these kinds need mounts that this process does not have yet.
pub fn lacks_own_mounts(kinds: &BTreeSet<&str>) -> bool {
    MOUNTING.iter().any(|kind| kinds.contains(kind)) && env::var_os(OWN_MOUNTS).is_none()
}

/// Becomes the same program with these arguments, and mounts of its own: they go with it.
///
/// # Errors
/// There is no right to, or the program cannot be run; on success it does not return.
pub fn enter_own_mounts(arguments: &[OsString]) -> Result<()> {
    let probe = unshare().args(["mount", "-t", "tmpfs", "tmpfs", "/dev/shm"]).output();
    let probe = probe.context("cannot run unshare")?;
    if !probe.status.success() {
        let text = format!(
            "no right to mount, which {} need: unshare -Urm: {}; allow it, or leave them out: \
             --without {}",
            MOUNTING.join(" and "),
            String::from_utf8_lossy(&probe.stderr).trim(),
            MOUNTING.map(word).join(",")
        );
        return Err(Failure::new(UNAVAILABLE, text).into());
    }
    let program = env::current_exe().context("cannot find the running program")?;
    let mut command = unshare();
    command.args(["sh", "-c", ENTER, "chaos"]).arg(program).args(arguments).env(OWN_MOUNTS, "1");
    Err(command.exec()).context("cannot run unshare")
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.arg("-Urm");
    command
}
