//! No process of a local cluster outlives the program that started it, however that ends: a process beside it holds the reading
//! end of a pipe, and when that closes it kills the nodes and removes their folder. Each node also
//! asks the system to be killed with its parent. Must never act on a process that it was not told
//! of, and knows those by descriptors, because numbers are used again.

use std::ffi::OsString;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, getppid, pidfd_open, pidfd_send_signal,
    set_parent_process_death_signal,
};

use crate::options;

/// How long killed processes are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// The program's end of the pipe.
#[derive(Debug)]
pub struct Guard {
    process: Child,
    /// Closed by the system when this process ends, whatever ends it: no child inherits it.
    pipe: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
}

impl Guard {
    /// Starts the guard, which makes a temporary folder, to be removed at the end; `within` another, or
    /// where the system has its own.
    pub fn start(within: Option<&Path>) -> anyhow::Result<Guard> {
        let program = std::env::current_exe().context("cannot find the running program")?;
        let mut process = Command::new(program)
            .arg("guard")
            .args(within)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0) // Ctrl-C must not reach it
            .spawn()
            .context("cannot start the guard process")?;
        let pipe = process.stdin.take();
        let stdout = process.stdout.take().context("the guard has no output")?;
        let mut guard =
            Guard { process, pipe, answers: BufReader::new(stdout), folder: PathBuf::new() };
        guard.folder = PathBuf::from(OsString::from_vec(guard.answer()?));
        Ok(guard)
    }

    /// The temporary folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tells it of a child, which must not have been waited for. Returns when the guard holds it.
    pub fn watch(&mut self, child: &Child) -> anyhow::Result<()> {
        let pipe = self.pipe.as_mut().context("the guard was released")?;
        writeln!(pipe, "{}", child.id()).context("the guard process is gone")?;
        self.answer().map(drop)
    }

    /// Lets it do its work now, and waits for that.
    pub fn release(&mut self) -> anyhow::Result<()> {
        self.pipe = None;
        let status = self.process.wait().context("cannot wait for the guard process")?;
        if !status.success() {
            // Somebody killed it.
            remove(&self.folder)
                .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        }
        Ok(())
    }

    fn answer(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.answers.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            bail!("the guard process is gone");
        }
        Ok(line)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Whoever wanted to know how it went has called this before.
        let _ = self.release();
    }
}

/// The guard's own life: makes the folder and says where it is, then takes process ids, one a line,
/// and confirms each.
pub fn guard(options: options::Guard) -> anyhow::Result<()> {
    let mut folder = tempfile::Builder::new();
    folder.prefix("raft-nodes-");
    let folder = match options.within {
        Some(within) => folder.tempdir_in(within),
        None => folder.tempdir(),
    };
    let folder = folder.context("cannot make a temporary folder")?;
    let mut watched = Vec::new();
    let input = io::stdin().lock();
    let _ = take_orders(folder.path(), input, &mut watched); // a broken pipe is an end, too
    kill_all(&watched);
    folder.close().context("cannot remove the temporary folder")
}

fn take_orders(folder: &Path, input: impl BufRead, watched: &mut Vec<OwnedFd>) -> io::Result<()> {
    let mut output = io::stdout();
    output.write_all(&[folder.as_os_str().as_bytes(), b"\n"].concat())?;
    output.flush()?;
    for line in input.lines() {
        let line = line?;
        watched.retain(|process| !ends_within(process, Duration::ZERO));
        if let Some(pid) = line.parse().ok().and_then(Pid::from_raw) {
            // One that ended before is nothing to guard.
            watched.extend(pidfd_open(pid, PidfdFlags::empty()));
        }
        writeln!(output, "{line}")?;
        output.flush()?;
    }
    Ok(())
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn kill_all(watched: &[OwnedFd]) {
    for process in watched {
        // Fails only if it has ended. A stopped process is killed too.
        let _ = pidfd_send_signal(process, Signal::KILL);
    }
    let start = Instant::now();
    for process in watched {
        ends_within(process, PATIENCE.saturating_sub(start.elapsed()));
    }
}

fn ends_within(process: &OwnedFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).ok();
    let mut ready = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut ready, timeout.as_ref()), Ok(count) if count > 0)
}

/// A node's first act: to be killed when its parent ends. An error says that the parent is gone
/// already.
pub fn die_with_parent(parent: u32) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))
        .context("cannot ask to be killed with the parent process")?;
    // The parent may have ended before the system was asked.
    match getppid() {
        Some(present) if present.as_raw_nonzero().get() as u32 == parent => Ok(()),
        _ => bail!("the parent process {parent} has ended"),
    }
}
