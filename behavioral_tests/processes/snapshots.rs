//! Snapshots with real processes, under load all the time: a node that was down while the others took
//! several comes back, and so does one that was killed while it received one, at any moment of that.

mod common;

use std::fmt;
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::cluster::{CALM, Cluster, await_some};
use common::load::{Load, Size};
use raft::chaos::configuration::write_behind;
use raft::chaos::links::{Cut, Links};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Between two looks at a folder.
const LOOK: Duration = Duration::from_millis(1);
/// How long the connections are broken.
const BROKEN_MILLIS: u64 = 300;

/// The usual node to be away: one that follows.
fn follower(cluster: &Cluster) -> u16 {
    cluster.others(cluster.leader())[0]
}

/// The node was just started: waits until it has applied what the leader has applied now; how long
/// that took. What it has applied never falls.
fn await_convergence(cluster: &Cluster, node: u16) -> Duration {
    let start = Instant::now();
    let there = cluster.info(cluster.leader()).number("raft_applied_index");
    let mut applied = 0;
    await_some("it converges", || {
        let now = cluster.info(node).number("raft_applied_index");
        assert!(now >= applied, "it had applied {applied}, and now {now}");
        applied = now;
        (applied >= there).then_some(())
    });
    start.elapsed()
}

/// What a node logged of snapshots: that it restored one, never that one was thrown away.
fn restored(cluster: &mut Cluster, node: u16) -> usize {
    let log = cluster.log(node);
    let wrong = log.iter().find(|line| {
        line.contains("threw away") || line.contains("cannot restore") || line.contains("stand in")
    });
    assert_eq!(wrong, None);
    log.iter().filter(|line| line.contains("restored a snapshot")).count()
}

#[test]
fn a_node_that_was_down_through_five_snapshots_comes_back_under_load() {
    let settings = [CALM[0], CALM[1], ("RAFT_STORAGE_SNAPSHOT", "64KiB")];
    let mut cluster = Cluster::start_new(3, &settings);
    let away = follower(&cluster);
    let size = Size { clients: 4, keys: 64, bytes: 4 << 10 };
    let load = Load::start(&cluster, &cluster.others(away), size);
    cluster.kill(away);
    let before = load.counted();

    load.set_heavy(true);
    let leader = cluster.leader();
    let mut seen = Vec::new();
    await_some("five snapshots", || {
        let index = cluster.info(leader).number("raft_snapshot_index");
        if seen.last() != Some(&index) {
            seen.push(index);
        }
        (seen.len() > 5).then_some(()) // the first may be of before
    });
    let missed = load.counted() - before;
    assert!(missed > 0, "no load");

    cluster.start(away);
    let took = await_convergence(&cluster, away);
    assert!(restored(&mut cluster, away) >= 1, "it needed no snapshot");
    let bytes = cluster.info(away).number("raft_snapshot_bytes");
    println!(
        "down through {} snapshots and {missed} counts, back in {took:.2?} with one of {bytes} bytes",
        seen.len() - 1
    );
    println!("{}", load.check(&cluster));
}

/// A file of a snapshot that is being received, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Receiving {
    path: PathBuf,
    /// The name it will have.
    name: String,
    bytes: u64,
}

/// What a node is receiving now.
fn receiving(data: &Path) -> Option<Receiving> {
    let names = fs::read_dir(data).expect("a folder").map(|entry| entry.expect("an entry"));
    names.into_iter().find_map(|entry| {
        let name = entry.file_name().into_string().expect("text");
        let (_, rest) = name.strip_prefix("received-")?.split_once('-')?;
        let name = rest.strip_suffix(".unfinished")?.to_owned();
        let bytes = entry.metadata().ok()?.len(); // it may have gone meanwhile
        Some(Receiving { path: entry.path(), name, bytes })
    })
}

/// Settings under which a snapshot of `SIZE` takes a second.
const SLOW: [(&str, &str); 4] =
    [CALM[0], CALM[1], ("RAFT_STORAGE_SNAPSHOT", "4MiB"), ("RAFT_STORAGE_SNAPSHOT_RATE", "4MiB")];
const SIZE: Size = Size { clients: 4, keys: 32, bytes: 32 << 10 };
/// `RAFT_STORAGE_SNAPSHOT` of these.
const THRESHOLD: u64 = 4 << 20;

/// A cluster under load of which one node is not there, and its log ends before the leader's begins.
struct Behind {
    load: Load,
    cluster: Cluster,
    node: u16,
    leader: u16,
}

impl Behind {
    fn new(cluster: Cluster) -> Behind {
        let node = follower(&cluster);
        let load = Load::start(&cluster, &cluster.others(node), SIZE);
        let leader = cluster.leader();
        let mut behind = Behind { load, cluster, node, leader };
        behind.fall_back();
        behind
    }

    /// The node, which has all, is killed, and the others go on without it.
    fn fall_back(&mut self) {
        self.cluster.kill(self.node);
        self.leader = self.cluster.leader();
        let last = self.cluster.info(self.leader).number("raft_last_index");
        self.load.set_heavy(true);
        await_some("the log is compacted", || {
            let info = self.cluster.info(self.leader);
            (info.number("raft_log_first_index") > last + 1).then_some(())
        });
        self.load.set_heavy(false);
        await_some("no other snapshot is due soon", || {
            let grown = self.cluster.info(self.leader).number("raft_log_since_snapshot");
            let folder = fs::read_dir(self.cluster.data(self.leader)).expect("a folder");
            let names = folder.map(|entry| entry.expect("an entry").file_name());
            let taking = names.into_iter().any(|name| name.to_string_lossy().starts_with("taken-"));
            let soon = grown >= THRESHOLD / 4 * 3;
            self.load.set_heavy(soon && !taking); // then that one is waited for, too
            (!taking && !soon).then_some(())
        });
    }

    /// What the node is receiving, if it is.
    fn receiving(&self) -> Option<Receiving> {
        receiving(&self.cluster.data(self.node))
    }

    /// Bytes of the same file at the leader, where it is whole.
    fn whole(&self, receiving: &Receiving) -> Option<u64> {
        let path = self.cluster.data(self.leader).join(&receiving.name);
        Some(fs::metadata(path).ok()?.len())
    }

    /// Waits until the node has this part of a snapshot, at least the first bytes; and how many bytes
    /// the whole has. None if it is seen no more.
    fn receives(&self, part: f64) -> Option<(Receiving, u64)> {
        let start = Instant::now();
        let mut whole = None;
        loop {
            match self.receiving().filter(|receiving| receiving.bytes > 0) {
                Some(receiving) => {
                    let whole = *whole.get_or_insert_with(|| {
                        self.whole(&receiving).expect("the leader keeps what it sends")
                    });
                    if receiving.bytes as f64 >= part * whole as f64 {
                        return Some((receiving, whole));
                    }
                }
                None if whole.is_some() => return None,
                None => {}
            }
            assert!(start.elapsed() < PATIENCE, "never {part} of {whole:?}");
            thread::sleep(LOOK);
        }
    }

    /// Ends the load: nothing is lost, and the node has restored so many snapshots at least.
    fn end(mut self, restorations: usize) {
        let restored = restored(&mut self.cluster, self.node);
        assert!(restored >= restorations, "{restored} restored, {restorations} expected");
        println!("{}", self.load.check(&self.cluster));
    }
}

/// Kills of a node that receives a snapshot.
#[derive(Debug, Default)]
struct Kills {
    /// In the middle: bytes received, and of how many.
    amid: Vec<(u64, u64)>,
    /// When all had come, while it was checked, restored and installed, or soon after that.
    late: usize,
    /// How long the node took to converge afterwards.
    converged: Vec<Duration>,
}

impl Kills {
    /// Starts the node and kills it when it has this part of a snapshot; above 1, some time after it
    /// has all. Whether it was still in the middle.
    fn kill_at(&mut self, behind: &mut Behind, part: f64) -> bool {
        behind.cluster.start(behind.node);
        let seen = behind.receives(part.min(1.0));
        thread::sleep(LATE.mul_f64((part - 1.0).max(0.0))); // no event: any moment will do
        behind.cluster.kill(behind.node);
        match (seen, behind.receiving()) {
            (Some((_, whole)), Some(left)) if left.bytes < whole => {
                self.amid.push((left.bytes, whole));
                true
            }
            _ => {
                self.late += 1;
                false
            }
        }
    }
}

impl fmt::Display for Kills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<u64> = self.amid.iter().map(|(bytes, whole)| 100 * bytes / whole).collect();
        let bytes: u64 = self.amid.iter().map(|(bytes, _)| bytes).sum();
        let mut times = self.converged.clone();
        times.sort();
        let [least, median, most] = [0, times.len() / 2, times.len() - 1].map(|at| times[at]);
        writeln!(f, "killed {} times amid a snapshot, at {parts:?} %,", self.amid.len())?;
        writeln!(f, "with {bytes} bytes received in all, and {} times later;", self.late)?;
        write!(f, "converged {} times, in {least:.2?} to {most:.2?}, ", times.len())?;
        write!(f, "half within {median:.2?}")
    }
}

/// How long after the last byte a node may be killed, times the part above 1.
const LATE: Duration = Duration::from_millis(300);
const SEED: u64 = 6;

#[test]
fn a_node_that_is_killed_while_it_receives_a_snapshot_converges() {
    let mut random = StdRng::seed_from_u64(SEED);
    let mut behind = Behind::new(Cluster::start_new(3, &SLOW));
    let mut kills = Kills::default();
    loop {
        for _ in 0..random.random_range(1..=3) {
            let before = behind.load.counted();
            let amid = kills.kill_at(&mut behind, random.random_range(0.0..1.2));
            assert!(behind.load.counted() > before, "no load");
            if !amid {
                break; // it may have all of it now
            }
        }
        behind.cluster.start(behind.node);
        kills.converged.push(await_convergence(&behind.cluster, behind.node));
        if kills.amid.len() >= 20 {
            break;
        }
        behind.fall_back();
    }
    println!("seed {SEED}: {kills}");
    behind.end(kills.converged.len());
}

/// What is damaged on the way is not taken for a snapshot, and comes again.
#[test]
fn a_snapshot_of_which_a_byte_changes_while_it_is_received_is_thrown_away() {
    let mut behind = Behind::new(Cluster::start_new(3, &SLOW));
    behind.cluster.start(behind.node);
    let (receiving, whole) = behind.receives(0.3).expect("it comes slowly");
    let file = OpenOptions::new().read(true).write(true).open(&receiving.path).expect("a file");
    let mut byte = [0];
    let place = receiving.bytes / 2;
    file.read_exact_at(&mut byte, place).expect("it is there");
    file.write_all_at(&[byte[0] ^ 1], place).expect("it can be written");
    let process = behind.cluster.process(behind.node);
    let line = process.log_where(|line| line.contains("threw away"));
    assert!(line.ends_with("is not what was written"), "{line}");
    let took = await_convergence(&behind.cluster, behind.node);
    println!("byte {place} of {whole} changed, converged {took:.2?} after that was noticed");
    println!("{}", behind.load.check(&behind.cluster));
}

/// A cluster whose nodes talk to each other through proxies.
fn behind_links() -> (Cluster, Links) {
    let mut cluster = Cluster::found(3, &SLOW);
    let address = |node: &u16| cluster.peer_address(*node).parse().expect("an address");
    let peers: Vec<SocketAddr> = cluster.all().iter().map(address).collect();
    let links = Links::between_all(&peers).expect("ports");
    for node in cluster.all() {
        let file = cluster.data(node).with_extension("toml");
        let behind = file.with_extension("links");
        write_behind(&file, usize::from(node), &links, &behind).expect("a file");
        fs::rename(&behind, &file).expect("a file");
    }
    cluster.start_all();
    cluster.leader();
    (cluster, links)
}

/// Cuts both links between two nodes, or undoes that.
fn set_cut(links: &Links, one: u16, other: u16, cut: Option<Cut>) {
    let [one, other] = [one, other].map(usize::from);
    links.set_cut(one, other, cut);
    links.set_cut(other, one, cut);
}

/// The connections break while a node receives a snapshot, and are back after a moment: it gets the
/// rest, and nothing again. False if the leader took a newer one meanwhile, which it sends then.
fn resumes() -> bool {
    let (cluster, links) = behind_links();
    let mut behind = Behind::new(cluster);
    let (node, leader) = (behind.node, behind.leader);
    behind.cluster.start(node);
    behind.receives(0.3).expect("it comes slowly");
    set_cut(&links, node, leader, Some(Cut::Refused));
    await_some("the leader does not hear it", || {
        let status = behind.cluster.status(leader);
        let lag = status["members"][usize::from(node) - 1]["lag_ms"].as_u64();
        (lag? > BROKEN_MILLIS).then_some(())
    });
    let broken = behind.receiving().expect("what it has stays");
    let whole = behind.whole(&broken).expect("the leader keeps it");
    assert!(broken.bytes < whole, "{broken:?} of {whole}");

    set_cut(&links, node, leader, None);
    let mut before = broken.clone();
    let resumed = await_some("the rest", || {
        let Some(now) = behind.receiving() else { return Some(true) };
        if now.name > before.name {
            return Some(false);
        }
        assert_eq!((&now.path, &now.name), (&before.path, &before.name), "it begins again");
        assert!(now.bytes >= before.bytes, "{now:?} after {before:?}");
        before = now;
        None
    });
    let took = await_convergence(&behind.cluster, node);
    if !resumed {
        behind.end(1);
        return false;
    }
    let log = behind.cluster.log(node);
    let lines: Vec<&String> = log.iter().filter(|line| line.contains("restored a snap")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with(&format!(" {whole} bytes")), "{lines:?}");
    println!("broke at {} of {whole} bytes, resumed there; converged in {took:.2?}", broken.bytes);
    behind.end(1);
    true
}

#[test]
fn a_snapshot_is_resumed_where_the_connection_broke() {
    assert!((0..10).any(|_| resumes()), "a newer one came between each time");
}
