//! One node of a local cluster: a process `raft serve` and what one needs to start it again. Must
//! never be started from another thread than the main one: its death signal is tied to the thread
//! that started it.

use std::fmt::Write;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use raft::config;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::guard::Guard;

/// A node that is asked to stop does so within this time.
const STOP: Duration = Duration::from_secs(6);
/// How many of a dead node's last words are shown.
const LAST_WORDS: usize = 3;

/// A node and its process, if it runs.
#[derive(Debug)]
pub struct Node {
    /// 1, 2, ...
    pub number: usize,
    /// Where clients reach it, `HOST:PORT`.
    pub address: String,
    /// Its configuration file, in which its peers are behind the links' proxies if there are any.
    pub config: PathBuf,
    /// What it says on stderr, all its lives in one file.
    pub log: PathBuf,
    /// Settings that count more than the configuration file: variables and values.
    pub settings: Vec<(&'static str, &'static str)>,
    process: Option<Child>,
    paused: bool,
}

impl Node {
    /// A node that does not run yet, founded in `folder`.
    pub fn new(
        number: usize,
        address: String,
        folder: &Path,
        config: PathBuf,
        settings: Vec<(&'static str, &'static str)>,
    ) -> Node {
        let log = folder.join(format!("n{number}.log"));
        Node { number, address, config, log, settings, process: None, paused: false }
    }

    /// Starts its process and puts it under guard.
    pub fn start(&mut self, guard: &mut Guard) -> anyhow::Result<()> {
        assert!(self.process.is_none(), "one process a node");
        let program = std::env::current_exe().context("cannot find the running program")?;
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.with_context(|| format!("cannot write {}", self.log.display()))?;
        let mut command = Command::new(program);
        for key in config::KEYS {
            command.env_remove(key.variable()); // what is set for another node is not for this one
        }
        let child = command
            .envs(self.settings.iter().copied())
            .arg("serve")
            .arg("--config")
            .arg(&self.config)
            .arg("--guarded")
            .arg(std::process::id().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0) // Ctrl-C is for the program that started it, which ends the nodes
            .spawn()
            .with_context(|| format!("cannot start node {}", self.number))?;
        let child = self.process.insert(child);
        self.paused = false;
        guard.watch(child)
    }

    /// The process id, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Whether its process is stopped by SIGSTOP.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether it can answer.
    pub fn is_awake(&self) -> bool {
        self.process.is_some() && !self.paused
    }

    /// If the process has ended by itself: how, and its last words.
    pub fn ended(&mut self) -> Option<String> {
        let status = self.process.as_mut()?.try_wait().ok().flatten()?;
        self.process = None;
        self.paused = false;
        Some(self.obituary(status))
    }

    /// Kills it and waits for its end.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        self.paused = false;
        process.kill().with_context(|| format!("cannot kill node {}", self.number))?;
        process.wait().with_context(|| format!("cannot wait for node {}", self.number))?;
        Ok(())
    }

    /// Begins to kill it: `kill` waits for the end.
    pub fn shoot(&self) -> anyhow::Result<()> {
        self.signal(Signal::KILL).map(drop)
    }

    /// Asks it to stop, and waits for that.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::TERM)?;
        let Some(mut process) = self.process.take() else { return Ok(()) };
        let start = Instant::now();
        while start.elapsed() < STOP {
            if let Some(status) = process.try_wait().context("cannot wait for a node")? {
                ensure!(status.success(), "{}", self.obituary(status));
                return Ok(());
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.process = Some(process);
        bail!("node {} does not stop within {} s of SIGTERM", self.number, STOP.as_secs());
    }

    /// Stops its process, as a long pause of the whole machine would.
    pub fn pause(&mut self) -> anyhow::Result<()> {
        let Some(pid) = self.signal(Signal::STOP)? else { return Ok(()) };
        self.paused = true;
        let either = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(pid), either).context("cannot wait for the pause")?;
        Ok(())
    }

    /// Lets it go on.
    pub fn resume(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)?;
        self.paused = false;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<Option<Pid>> {
        let Some(pid) = self.process.as_ref().map(Pid::from_child) else { return Ok(None) };
        kill_process(pid, signal).with_context(|| format!("cannot signal node {}", self.number))?;
        Ok(Some(pid))
    }

    fn obituary(&self, status: ExitStatus) -> String {
        let mut text = format!("node {} has ended by itself ({status})", self.number);
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        for line in &lines[lines.len().saturating_sub(LAST_WORDS)..] {
            write!(text, "\n  {}", raft::render::plain(line)).expect("a string takes everything");
        }
        text
    }
}
