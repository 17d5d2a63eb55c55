//! What snapshots cost with the number of keys: how long writes pause while one is taken, and how long a
//! node takes to start from one. Must never call a pause of the machine one of the snapshot: the same
//! is measured without one.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use raft::bench::Load;
use raft::bench::machine::Processes;
use raft::bench::rounds::Sample;

use super::filled::{self, Keys};
use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::serving::{self, PATIENCE, Starts};
use super::{NODES, P99, Plan, SET, Shape};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::report::{grouped, in_micros};
use crate::commands::bench::sampling;

/// Writes one at a time.
const ALONE: Shape = Shape { clients: 1, ..SET };
/// Writes go on for so long at least, with a snapshot and without, for each so many keys: a few keys'
/// log is soon long enough for another snapshot.
const TIME: (Duration, u64) = (Duration::from_millis(500), 10_000);
/// And no longer than that, unless the snapshots take longer.
const MOST_TIME: Duration = Duration::from_secs(5);

pub const SHOWN: Shown = Shown {
    cause: "keys",
    columns: &[
        P99,
        Column { name: "longest", title: "longest", unit: Unit::Micros },
        Column { name: "quiet_p99", title: "without: p99", unit: Unit::Micros },
        Column { name: "quiet_longest", title: "longest", unit: Unit::Micros },
        Column { name: "seconds", title: "s", unit: Unit::Number },
        Column { name: "snapshot_bytes", title: "snapshot", unit: Unit::Bytes },
        Column { name: "disk_bytes", title: "folder", unit: Unit::Bytes },
        Column { name: "first_read", title: "start: read", unit: Unit::Micros },
        Column { name: "first_serves", title: "serves", unit: Unit::Micros },
        Column { name: "again_read", title: "again: read", unit: Unit::Micros },
        Column { name: "again_serves", title: "serves", unit: Unit::Micros },
        Column { name: "again_min", title: "lowest", unit: Unit::Micros },
        Column { name: "again_max", title: "highest", unit: Unit::Micros },
    ],
    panels: [
        Drawn {
            caption: "longest write of one client alone, in ms",
            figures: &[("longest", "while snapshots are taken"), ("quiet_longest", "without")],
            scale: 1e-3,
        },
        Drawn {
            caption: "ms from the start from a snapshot",
            figures: &[
                ("again_serves", "until it serves"),
                ("again_read", "until snapshot and log are read"),
            ],
            scale: 1e-3,
        },
    ],
    note: "values of 64 bytes; one client writes, one at a time, while all three nodes take a snapshot of \
           all keys, and as long without; then a follower is killed and started: until it answers PING, \
           when it has read snapshot and log, and until it answers a linearizable read through its own \
           port and has applied all that was committed before; again: medians of three more starts",
};

/// Along the number of keys.
pub fn snapshot(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for keys in Keys::all(plan.quick) {
        series.points.push(plan.first_clean(|| {
            let mut hosted = Hosted::start_with(plan.hosting, NODES, keys.settings)?;
            let point = point(plan, &mut hosted, keys)?;
            hosted.end().map(|()| point)
        })?);
    }
    Ok(())
}

/// What one client alone has seen of the snapshots, and without any.
struct Pause {
    sample: Sample,
    longest: f64,
    quiet_p99: f64,
    quiet_longest: f64,
    seconds: f64,
}

fn point(plan: &Plan<'_>, hosted: &mut Hosted, keys: Keys) -> anyhow::Result<Point> {
    let (leader, follower) = hosted.leader_and_follower()?;
    keys.fill(hosted, leader)?;
    let pause = pause(hosted, leader, keys)?;
    let snapshot_bytes = filled::view(hosted, follower)?.snapshot_bytes;
    let cluster = &mut hosted.cluster;
    let disk_bytes = serving::on_disk(&cluster.node(follower).config)?;
    let starts = Starts::of(cluster, follower, plan.quick)?;
    serving::check_keys(cluster, follower, keys.count)?;
    Ok(Point::at(grouped(keys.count as f64), Some(keys.count))
        .with(ALONE.name(), pause.sample)
        .and("longest", pause.longest)
        .and("quiet_p99", pause.quiet_p99)
        .and("quiet_longest", pause.quiet_longest)
        .and("seconds", pause.seconds)
        .and("snapshot_bytes", snapshot_bytes as f64)
        .and("disk_bytes", disk_bytes as f64)
        .and("first_read", starts.first.read)
        .and("first_serves", starts.first.serves)
        .and("again_read", starts.read.median)
        .and("again_serves", starts.serves.median)
        .and("again_min", starts.serves.min)
        .and("again_max", starts.serves.max))
}

/// Its writes are what the log is short of, so that the nodes take their snapshots among them.
fn pause(hosted: &mut Hosted, leader: usize, keys: Keys) -> anyhow::Result<Pause> {
    let name = hosted.description();
    let (time, each) = TIME;
    let least = (time * (keys.count / each) as u32).min(MOST_TIME);
    let load = |hosted: &mut Hosted, time| -> anyhow::Result<Load> {
        let processes = Processes { servers: hosted.processes(), aside: Vec::new() };
        let shape = Shape { keys: keys.count, ..ALONE };
        Ok(Load { processes, ..shape.load(&[hosted.address(leader)?], time) })
    };
    let during = load(hosted, PATIENCE)?;
    let ((), found, sample) = sampling::beside(&during, &name, || {
        let begin = Instant::now();
        filled::wait_for_snapshots(hosted)?;
        thread::sleep(least.saturating_sub(begin.elapsed()));
        Ok(())
    })?;
    let before = filled::view(hosted, leader)?.snapshot;
    let (quiet, without) = sampling::found(&load(hosted, found.time)?, &name)?;
    let after = filled::view(hosted, leader)?.snapshot;
    ensure!(before == after, "another snapshot was taken while none should be");
    Ok(Pause {
        sample: sample.quoted_with(&without),
        longest: in_micros(found.latencies.max()),
        quiet_p99: in_micros(quiet.latencies.quantile(0.99)),
        quiet_longest: in_micros(quiet.latencies.max()),
        seconds: found.time.as_secs_f64(),
    })
}
