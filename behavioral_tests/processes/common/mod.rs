//! What tests of the whole program share: ports that nobody else uses, processes that never outlive
//! the test, their lines.

#![allow(dead_code, reason = "each test uses its part")]

pub mod cluster;
pub mod load;

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

pub use behavioral_tests::ports::Ports;

/// How long anything may take on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program.
pub fn raft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Founds a cluster of so many nodes in a folder, by `raft init`.
pub fn init(folder: &Path, ports: &Ports, nodes: u16) {
    let members: Vec<String> = (0..nodes).map(|number| ports.address(number).to_string()).collect();
    let mut command = raft();
    command.arg("init").arg(folder).args(["--members", &members.join(",")]);
    let output = command.output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
}

/// A process that is killed when it goes out of scope, and its lines.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    /// All lines that were read, for a failed test's last words.
    read: Vec<String>,
    errors: Receiver<String>,
    /// The same of stderr.
    logged: Vec<String>,
}

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Process {
        let mut child = command.spawn().expect("the program starts");
        let lines = follow(child.stdout.take().expect("piped"));
        let errors = follow(child.stderr.take().expect("piped"));
        Process { child, lines, read: Vec::new(), errors, logged: Vec::new() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its standard input, if that is a pipe.
    pub fn input(&mut self) -> &mut std::process::ChildStdin {
        self.child.stdin.as_mut().expect("piped")
    }

    /// Closes its standard input.
    pub fn end_input(&mut self) {
        self.child.stdin = None;
    }

    /// Its next line; `None` when it has ended.
    pub fn line(&mut self) -> Option<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.read.push(line.clone());
                Some(line)
            }
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("silent for 30 s\n{}", self.last_words()),
        }
    }

    /// The first line from here that `accepts` takes.
    pub fn line_where(&mut self, accepts: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        while let Some(line) = self.line() {
            if accepts(&line) {
                return line;
            }
            assert!(start.elapsed() < PATIENCE, "not the line\n{}", self.last_words());
        }
        panic!("it ended before the line\n{}", self.last_words());
    }

    /// All lines so far.
    pub fn lines_read(&self) -> &[String] {
        &self.read
    }

    /// The first line on stderr from here that `accepts` takes.
    pub fn log_where(&mut self, accepts: impl Fn(&str) -> bool) -> String {
        let start = Instant::now();
        loop {
            match self.errors.recv_timeout(PATIENCE) {
                Ok(line) => {
                    self.logged.push(line.clone());
                    if accepts(&line) {
                        return line;
                    }
                }
                Err(_) => panic!("not the line\n{}", self.last_words()),
            }
            assert!(start.elapsed() < PATIENCE, "not the line\n{}", self.last_words());
        }
    }

    /// What else it says on stderr until its end.
    pub fn rest_of_log(&mut self) -> Vec<String> {
        self.errors.iter().collect()
    }

    /// All that it has said on stderr so far.
    pub fn log_so_far(&mut self) -> &[String] {
        self.logged.extend(self.errors.try_iter());
        &self.logged
    }

    /// All that it said on stderr, when it has ended.
    pub fn whole_log(&mut self) -> Vec<String> {
        self.logged.extend(self.errors.iter());
        std::mem::take(&mut self.logged)
    }

    /// SIGKILL, and waits.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs or has ended");
        self.child.wait().expect("it is a child");
    }

    /// Any other signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end and returns the exit code.
    pub fn exit_code(&mut self) -> Option<i32> {
        assert!(ends(&descriptor(self.pid()), PATIENCE), "it never ends\n{}", self.last_words());
        self.child.wait().expect("it is a child").code()
    }

    /// What it says on stderr from here to its end.
    pub fn errors(&self) -> Vec<String> {
        self.errors.iter().collect()
    }

    fn last_words(&self) -> String {
        let errors: Vec<String> = self.errors.try_iter().collect();
        let errors = [&self.logged[..], &errors].concat();
        format!("stdout:\n{}\nstderr:\n{}", self.read.join("\n"), errors.join("\n"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(pipe: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { break };
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

/// A process, known by more than its number.
pub fn descriptor(pid: u32) -> OwnedFd {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    pidfd_open(pid, PidfdFlags::empty()).expect("the process runs")
}

/// Whether it ends within this time.
pub fn ends(process: &OwnedFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).expect("a short time");
    let mut ready = [PollFd::new(process, PollFlags::IN)];
    matches!(poll(&mut ready, Some(&timeout)), Ok(1))
}
