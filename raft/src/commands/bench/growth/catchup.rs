//! How long an empty node takes to serve that needs a snapshot, under load, and what the load notices.
//! Must never be a node that the log alone could bring up to date.

use std::time::{Duration, Instant};

use anyhow::ensure;
use raft::bench::Load;
use raft::bench::machine::Processes;

use super::filled::{self, Keys};
use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::serving::{self, PATIENCE};
use super::{DEPTH, NODES, P99, Plan, RATE, SET, Shape};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::report::{grouped, in_micros};
use crate::commands::bench::sampling;
use crate::commands::local::view::View;

/// Writes a second, whatever the nodes do.
const WRITES: f64 = 5_000.0;
/// The load alone goes on for so long.
const TIME: Duration = Duration::from_secs(10);
/// The same when it is to be quick.
const QUICK_TIME: Duration = Duration::from_secs(1);

pub const SHOWN: Shown = Shown {
    cause: "keys",
    columns: &[
        RATE,
        Column { name: "p99_before", title: "p99 before", unit: Unit::Micros },
        P99,
        Column { name: "p99_ratio", title: "of it", unit: Unit::Share },
        Column { name: "longest", title: "longest", unit: Unit::Micros },
        Column { name: "snapshot_bytes", title: "snapshot", unit: Unit::Bytes },
        Column { name: "serves", title: "serves", unit: Unit::Micros },
    ],
    panels: [
        Drawn {
            caption: "s from the start of an empty node until it serves",
            figures: &[("serves", "")],
            scale: 1e-6,
        },
        Drawn {
            caption: "p99 of the load, in ms",
            figures: &[("p99", "meanwhile"), ("p99_before", "before")],
            scale: 1e-3,
        },
    ],
    note: "values of 64 bytes; two of three nodes have all keys in a snapshot, and their log no longer \
           begins with the first entry; the third, which has never run, is started while 5,000 writes a \
           second are due at the leader: until it answers a linearizable read through its own port and has \
           applied all that was committed before its start",
};

/// Along the number of keys.
pub fn catchup(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for keys in Keys::all(plan.quick) {
        series.points.push(plan.first_clean(|| {
            let mut hosted = Hosted::start_without_last(plan.hosting, NODES, keys.settings)?;
            let point = point(plan, &mut hosted, keys)?;
            hosted.end().map(|()| point)
        })?);
    }
    Ok(())
}

fn point(plan: &Plan<'_>, hosted: &mut Hosted, keys: Keys) -> anyhow::Result<Point> {
    let (leader, _) = hosted.leader_and_follower()?;
    let empty = usize::from(NODES);
    let View { snapshot_bytes, term, .. } = keys.fill_and_snapshot(hosted, leader)?;
    let name = hosted.description();
    let address = hosted.address(leader)?;
    let shape = Shape { pipeline: DEPTH, keys: keys.count, ..SET };
    let load = |hosted: &Hosted, warm_up, time| Load {
        rate: Some(WRITES),
        warm_up,
        processes: Processes { servers: hosted.processes(), aside: Vec::new() },
        ..shape.load(&[address], time)
    };
    let time = if plan.quick { QUICK_TIME } else { TIME };
    let before = sampling::sample(&load(hosted, plan.warm_up, time), &name)?;
    let committed = hosted.cluster.committed();
    let begin = Instant::now();
    hosted.cluster.start_node(empty)?;
    // Only now its process is known, whose work is the servers'.
    let meanwhile = load(hosted, Duration::ZERO, PATIENCE);
    let (served, found, sample) = sampling::beside(&meanwhile, &name, || {
        serving::until_serves(&mut hosted.cluster, empty, committed)
    })?;
    serving::check_keys(&mut hosted.cluster, empty, keys.count)?;
    // Whoever led has no longer what an empty log needs first.
    let (same, now) = (filled::view(hosted, leader)?, hosted.cluster.leader());
    ensure!(
        same.term == term && now.is_some_and(|(number, _)| number == leader),
        "the leader was replaced meanwhile: nothing is known of how node {empty} has caught up"
    );
    Ok(Point::at(grouped(keys.count as f64), Some(keys.count))
        .with(format!("{} {WRITES}/s", shape.operation.name()), sample.quoted_with(&before))
        .and("p99_before", before.p99)
        .and("p99_ratio", sample.p99 / before.p99)
        .and("longest", in_micros(found.latencies.max()))
        .and("snapshot_bytes", snapshot_bytes as f64)
        .and("serves", in_micros(served - begin)))
}
