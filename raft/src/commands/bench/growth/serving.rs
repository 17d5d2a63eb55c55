//! When a node serves that was started: a linearizable read through its own port is answered, and it has
//! applied all that was committed before. Must never take an error for an answer, nor the answer of the
//! leader, which a follower passes on, for a sign that it has caught up.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use raft::bench::requests;
use raft::bench::rounds::Spread;
use raft::client::{Client, Reply};
use raft::config;
use raft::exit::{self, Failure};

use crate::commands::bench::report::in_micros;
use crate::commands::local::cluster::Cluster;
use crate::commands::local::view::View;

/// How long a node may take.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Starts after the first.
const AGAIN: usize = 3;
/// Between two questions to a node that does not answer yet.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two to one that does, which cost it something.
const LOOK: Duration = Duration::from_millis(4);
/// Bytes of a block, as the system counts them.
const BLOCK: u64 = 512;

/// What a start took: until the disk was read, and until the node served, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// It answers `PING`.
    pub read: f64,
    /// It answers a read, and has caught up.
    pub serves: f64,
}

/// Several starts of one node.
#[derive(Clone, Copy, Debug)]
pub struct Starts {
    /// The first.
    pub first: Start,
    /// Of those after it, until the disk was read.
    pub read: Spread,
    /// And until the node served.
    pub serves: Spread,
}

impl Starts {
    /// Kills a node and starts it again, several times.
    pub fn of(cluster: &mut Cluster, number: usize, quick: bool) -> anyhow::Result<Starts> {
        let first = start(cluster, number)?;
        let count = if quick { 1 } else { AGAIN };
        let again: Vec<Start> =
            (0..count).map(|_| start(cluster, number)).collect::<Result<_, _>>()?;
        let spread = |figure: fn(&Start) -> f64| {
            Spread::of(again.iter().map(figure)).context("no more starts")
        };
        Ok(Starts {
            first,
            read: spread(|start| start.read)?,
            serves: spread(|start| start.serves)?,
        })
    }
}

fn start(cluster: &mut Cluster, number: usize) -> anyhow::Result<Start> {
    let committed = cluster.committed();
    cluster.node(number).kill()?;
    let begin = Instant::now();
    cluster.start_node(number)?;
    let read = until_answered(cluster, number, &["PING"], |reply| {
        *reply == Reply::Status("PONG".to_owned())
    })?;
    let serves = until_serves(cluster, number, committed)?;
    Ok(Start { read: in_micros(read - begin), serves: in_micros(serves - begin) })
}

/// When a node first has answered a linearizable read, of a key that is there, and has applied the log up
/// to `committed`.
pub fn until_serves(
    cluster: &mut Cluster,
    number: usize,
    committed: u64,
) -> anyhow::Result<Instant> {
    let key = requests::fill(1, 0).flatten().nth(1).expect("a name and a key");
    until_answered(cluster, number, &["GET", &key], |reply| matches!(reply, Reply::Bulk(_)))?;
    let address = cluster.node(number).address.clone();
    let mut connection = None;
    let begin = Instant::now();
    while View::ask(&mut connection, &address).is_none_or(|view| view.applied < committed) {
        check_patience(cluster, number, begin)?;
        thread::sleep(LOOK);
    }
    Ok(Instant::now())
}

/// When a node first gives a right answer. An error, such as that there is no leader, is none.
fn until_answered(
    cluster: &mut Cluster,
    number: usize,
    question: &[&str],
    is_right: fn(&Reply) -> bool,
) -> anyhow::Result<Instant> {
    let address = cluster.node(number).address.clone();
    let asked = || Client::connect(&address, PATIENCE).ok()?.call(question).ok();
    let begin = Instant::now();
    while !asked().is_some_and(|reply| is_right(&reply)) {
        check_patience(cluster, number, begin)?;
        thread::sleep(PAUSE);
    }
    Ok(Instant::now())
}

/// Fails if a node has ended, or has had its time.
fn check_patience(cluster: &mut Cluster, number: usize, begin: Instant) -> anyhow::Result<()> {
    if let Some(obituary) = cluster.node(number).ended() {
        return Err(Failure::new(exit::UNAVAILABLE, obituary).into());
    }
    if begin.elapsed() > PATIENCE {
        let text = format!("node {number} does not serve {} s after its start", PATIENCE.as_secs());
        return Err(Failure::new(exit::UNAVAILABLE, text).into());
    }
    Ok(())
}

/// Makes sure that a node has so many keys itself, and no other number of them.
pub fn check_keys(cluster: &mut Cluster, number: usize, keys: u64) -> anyhow::Result<()> {
    let address = &cluster.node(number).address;
    let mut client = Client::connect(address, PATIENCE)?;
    // Else it asks the leader.
    let told = client.call(&["READONLY"]).and_then(|_| client.call(&["DBSIZE"]));
    let told = told.map_err(|error| Failure::new(exit::UNAVAILABLE, error.to_string()))?;
    ensure!(
        told == Reply::Integer(keys as i64),
        "node {number} should have {keys} keys, and says {told:?}"
    );
    Ok(())
}

/// Where a node keeps its data, by its configuration file.
pub fn data_folder(file: &Path) -> anyhow::Result<PathBuf> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let config = config::read(file, &text, |_| None, &[]).map_err(anyhow::Error::msg)?;
    Ok(config.config.data)
}

/// Bytes that a node's data folder takes of the disk. A file that goes meanwhile takes none.
pub fn on_disk(file: &Path) -> anyhow::Result<u64> {
    let folder = data_folder(file)?;
    let files = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
    let taken = files.flatten().filter_map(|file| file.metadata().ok());
    Ok(taken.map(|metadata| metadata.blocks() * BLOCK).sum())
}
