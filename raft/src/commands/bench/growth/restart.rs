//! What grows with the length of the log: how long a node that was killed takes until it serves again.
//! It serves when a linearizable read through its own port is answered: by then it has read its log,
//! found the leader, and applied all that was committed.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use raft::bench::fill;
use raft::bench::rounds::Spread;
use raft::client::{Client, Reply};
use raft::config;
use raft::exit::{self, Failure};
use servers::storage::{self, FolderDisk};

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::{KEYS, NODES, Plan, SIZE};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::report::{grouped, in_micros};
use crate::commands::local::cluster::Cluster;
use crate::commands::local::view::View;

const COUNTS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// The last one when it is to be quick.
const QUICK: u64 = 10_000;
/// Starts after the first.
const AGAIN: usize = 3;
/// How long a node may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two questions to a node that does not answer yet.
const PAUSE: Duration = Duration::from_millis(1);

pub const SHOWN: Shown = Shown {
    cause: "writes in the log",
    columns: &[
        Column { name: "entries", title: "entries", unit: Unit::Number },
        Column { name: "log_bytes", title: "log", unit: Unit::Bytes },
        Column { name: "first", title: "first start", unit: Unit::Micros },
        Column { name: "again", title: "again", unit: Unit::Micros },
        Column { name: "again_min", title: "lowest", unit: Unit::Micros },
        Column { name: "again_max", title: "highest", unit: Unit::Micros },
        Column { name: "again_per_write", title: "each write", unit: Unit::Micros },
    ],
    panels: [
        Drawn {
            caption: "ms until it serves",
            figures: &[("first", "first start"), ("again", "again, median of 3")],
            scale: 1e-3,
        },
        Drawn {
            caption: "µs until it serves, for each write",
            figures: &[("again_per_write", "")],
            scale: 1.0,
        },
    ],
    note: "from the start of a follower that was killed until it answers a linearizable read through \
           its own port; writes that arrive together share an entry; again: the median of three more \
           starts, whose log is in the page cache",
};

/// Along the number of writes.
pub fn restart(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for writes in plan.causes(&COUNTS, QUICK) {
        let mut hosted = plan.found(NODES)?;
        series.points.push(point(plan, &mut hosted, writes)?);
        hosted.end()?;
    }
    Ok(())
}

fn point(plan: &Plan<'_>, hosted: &mut Hosted, writes: u64) -> anyhow::Result<Point> {
    let (leader, follower) = hosted.leader_and_follower()?;
    let address = hosted.address(leader)?;
    for _ in 0..writes.div_ceil(KEYS) {
        fill::fill(address, KEYS.min(writes), SIZE)?;
    }
    let last = last_index(&mut hosted.cluster, leader)?;
    hosted.cluster.wait_until_applied(last)?;
    let first = in_micros(started(&mut hosted.cluster, follower)?);
    let mut more = Vec::new();
    for _ in 0..if plan.quick { 1 } else { AGAIN } {
        more.push(in_micros(started(&mut hosted.cluster, follower)?));
    }
    let again = Spread::of(more).context("it was started again")?;
    hosted.cluster.node(follower).kill()?;
    let (entries, log_bytes) = log(&mut hosted.cluster, follower)?;
    Ok(Point::at(grouped(writes as f64), Some(writes))
        .and("entries", entries as f64)
        .and("log_bytes", log_bytes as f64)
        .and("first", first)
        .and("again", again.median)
        .and("again_min", again.min)
        .and("again_max", again.max)
        .and("again_per_write", again.median / writes as f64))
}

fn last_index(cluster: &mut Cluster, leader: usize) -> anyhow::Result<u64> {
    let views: Vec<Option<View>> = cluster.views();
    let view = views.into_iter().nth(leader - 1).flatten();
    Ok(view.context("the leader does not say how it is")?.last)
}

/// Kills a node and starts it; how long it takes from there until it serves.
fn started(cluster: &mut Cluster, number: usize) -> anyhow::Result<Duration> {
    cluster.node(number).kill()?;
    let address = cluster.node(number).address.clone();
    let begin = Instant::now();
    cluster.start_node(number)?;
    while !reads(&address) {
        if let Some(obituary) = cluster.node(number).ended() {
            return Err(Failure::new(exit::UNAVAILABLE, obituary).into());
        }
        if begin.elapsed() > PATIENCE {
            let text =
                format!("node {number} does not serve {} s after its start", PATIENCE.as_secs());
            return Err(Failure::new(exit::UNAVAILABLE, text).into());
        }
        thread::sleep(PAUSE);
    }
    Ok(begin.elapsed())
}

/// Whether it answers a linearizable read. An error, such as that there is no leader, is no answer.
fn reads(address: &str) -> bool {
    let Ok(mut client) = Client::connect(address, PATIENCE) else { return false };
    matches!(client.call(&["GET", "key:000000000000"]), Ok(Reply::Bulk(_)))
}

/// How many entries a node's log has, and bytes: of a node that does not run.
fn log(cluster: &mut Cluster, number: usize) -> anyhow::Result<(usize, u64)> {
    let file = &cluster.node(number).config;
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let config = config::read(file, &text, |_| None, &[]).map_err(anyhow::Error::msg)?;
    let disk = FolderDisk::open_read_only(&config.config.data)?;
    let inspection = storage::inspect(&disk)?;
    let bytes = inspection.segments.iter().map(|segment| segment.used).sum();
    Ok((inspection.entries.len(), bytes))
}
