//! A Redis server that syncs every write, to be measured beside ours. Must never touch one that runs.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use raft::client::{Client, Reply};

use crate::commands::local::cluster::Cluster;
use crate::commands::local::ports::Ports;

/// The program.
const PROGRAM: &str = "redis-server";
/// How long it may take until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that runs until this goes out of scope.
#[derive(Debug)]
pub struct Redis {
    process: Child,
    /// Where it takes clients.
    pub address: SocketAddr,
    _port: Ports,
}

impl Redis {
    /// Starts one beside a cluster, in a folder within the cluster's and under its guard. `None` if the
    /// program is not there.
    pub fn start(beside: &mut Cluster) -> anyhow::Result<Option<Redis>> {
        let port = Ports::claim(1).context("no port is free")?;
        let address: SocketAddr = (Ipv4Addr::LOCALHOST, port.first()).into();
        let folder = beside.folder().join("redis");
        std::fs::create_dir(&folder).context("cannot make a folder for redis-server")?;
        let process = match spawn(&folder, port.first()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            process => process.context("cannot start redis-server")?,
        };
        let mut redis = Redis { process, address, _port: port };
        beside.watch(&redis.process)?;
        redis.wait_until_ready()?;
        Ok(Some(redis))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait()? {
                bail!("redis-server has ended by itself ({status})");
            }
            let client = Client::connect(&self.address.to_string(), PATIENCE);
            if let Ok(mut client) = client
                && client.call(&["PING"]).is_ok_and(|reply| reply == Reply::Status("PONG".into()))
            {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("redis-server does not answer after {} s", PATIENCE.as_secs());
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended before, and nobody needs what it holds.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Every write synced. It never rewrites its log, which would be work of a process that nobody counts;
/// nor do our nodes.
fn spawn(folder: &Path, port: u16) -> std::io::Result<Child> {
    Command::new(PROGRAM)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""])
        .args(["--auto-aof-rewrite-percentage", "0", "--daemonize", "no", "--dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0) // Ctrl-C is for the program that started it
        .spawn()
}
