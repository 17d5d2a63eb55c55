//! Syncs that fail or take long, in a node that runs: strace is attached to it and tampers with the
//! results. Must never outlive the node: strace ends when there is nothing left to trace.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

/// What becomes of a node's syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncs {
    /// Each fails with an input/output error.
    Fail,
    /// Each takes so much longer.
    Slow(Duration),
}

/// How long strace may take to attach or to let go.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at what it says.
const LOOK: Duration = Duration::from_millis(5);

/// An attached strace; lets the node go when dropped.
#[derive(Debug)]
pub struct Strace {
    process: Child,
    calls: PathBuf,
}

impl Strace {
    /// Attaches to all threads of the process; what strace says goes to the file, the calls that it
    /// saw to another beside it. `None`: the process had ended.
    ///
    /// # Errors
    /// strace cannot be run, or not attach to a living process.
    pub fn attach(pid: u32, syncs: Syncs, says: &Path) -> Result<Option<Strace>> {
        let tampering = match syncs {
            Syncs::Fail => "error=EIO".to_owned(),
            Syncs::Slow(time) => format!("delay_exit={}", time.as_micros()),
        };
        let mut strace = Command::new("strace");
        let calls = says.with_extension("syncs");
        strace.args(["-f", "-e", "trace=fdatasync", "-o"]).arg(&calls);
        strace.args(["-e", &format!("inject=fdatasync:{tampering}"), "-p", &pid.to_string()]);
        strace.stdin(Stdio::null()).stdout(Stdio::null());
        let file =
            File::create(says).with_context(|| format!("cannot write {}", says.display()))?;
        let process = strace.stderr(file).spawn().context("cannot run strace")?;
        Strace { process, calls }.attached(says)
    }

    /// How many syncs it has tampered with.
    pub fn tampered(&self) -> usize {
        let calls = fs::read_to_string(&self.calls).unwrap_or_default();
        calls.lines().filter(|line| line.contains("INJECTED")).count()
    }

    fn attached(mut self, says: &Path) -> Result<Option<Strace>> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let said = fs::read_to_string(says).unwrap_or_default();
            if said.contains(" attached") {
                return Ok(Some(self));
            }
            if self.process.try_wait()?.is_some() {
                match said.contains("No such process") || said.is_empty() {
                    true => return Ok(None),
                    false => bail!("strace cannot attach: {}", said.trim()),
                }
            }
            thread::sleep(LOOK);
        }
        bail!("strace does not attach within {PATIENCE:?}")
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if !matches!(self.process.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(LOOK);
        }
        // The system itself lets a dead tracer's processes go.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
