//! What grows with the load itself, with the number of nodes, and with which of them are asked.

use raft::bench::requests::Operation;
use raft::bench::{disk, fill};
use raft::units;

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::{CPU, DEPTH, KEYS, NODES, P99, Plan, RATE, SET, SIZE, Shape};

/// Bytes of a value.
const BYTES: [u64; 7] = [16, 64, 256, 1 << 10, 4 << 10, 16 << 10, 64 << 10];
/// A million bytes.
const MEGA: f64 = 1e6;

const TIMES: Drawn = Drawn { caption: "p99 in ms", figures: &[("p99", "")], scale: 1e-3 };
const RATES: Drawn = Drawn { caption: "operations a second", figures: &[("rate", "")], scale: 1.0 };

pub const SIZES: Shown = Shown {
    cause: "bytes of a value",
    columns: &[
        RATE,
        P99,
        CPU,
        Column { name: "mb_per_second", title: "MB/s", unit: Unit::Number },
        Column { name: "disk_mb_per_second", title: "disk MB/s", unit: Unit::Number },
        Column { name: "share", title: "of it", unit: Unit::Share },
    ],
    panels: [
        Drawn {
            caption: "MB/s of values",
            figures: &[("mb_per_second", ""), ("disk_mb_per_second", "the disk itself")],
            scale: 1.0,
        },
        TIMES,
    ],
    note: "10,000 keys; MB/s of values, beside what one file on the same disk takes in pieces of 1 \
           MiB, each synced; three logs lie on that disk",
};

pub const NODES_SHOWN: Shown = Shown {
    cause: "nodes",
    columns: &[RATE, P99, CPU],
    panels: [RATES, TIMES],
    note: "values of 64 bytes, 10,000 keys, load on the leader; all nodes share this machine",
};

pub const PLACES: Shown = Shown {
    cause: "load on",
    columns: &[RATE, P99, CPU],
    panels: [RATES, TIMES],
    note: "three nodes, values of 64 bytes, 10,000 keys; who follows asks the leader",
};

/// Along the length of values.
pub fn size(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for bytes in BYTES {
        let mut hosted = plan.found(NODES)?;
        let disk = disk::sequential(hosted.cluster.folder(), plan.time / 4)? / MEGA;
        let leader = hosted.leader()?;
        let shape = Shape { pipeline: DEPTH, size: bytes as usize, ..SET };
        let sample = plan.sample(&hosted, &[leader], shape)?;
        hosted.end()?;
        let ours = sample.rate * bytes as f64 / MEGA;
        let point = Point::at(units::size_text(bytes), Some(bytes));
        let point = point.with(shape.name(), sample).and("mb_per_second", ours);
        let share = if disk > 0.0 { ours / disk } else { 0.0 };
        series.points.push(point.and("disk_mb_per_second", disk).and("share", share));
    }
    Ok(())
}

/// Along the number of nodes.
pub fn nodes(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for nodes in [3, 5, 7] {
        for pipeline in [1, DEPTH] {
            let mut hosted = plan.found(nodes)?;
            let leader = hosted.leader()?;
            let shape = Shape { pipeline, ..SET };
            let sample = plan.sample(&hosted, &[leader], shape)?;
            hosted.end()?;
            let point = Point::at(nodes.to_string(), Some(nodes.into()));
            series.points.push(point.with(shape.name(), sample));
        }
    }
    Ok(())
}

/// Along the nodes that are asked.
pub fn places(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    let mut hosted = plan.found(NODES)?;
    let leader = hosted.leader()?;
    fill::fill(leader, KEYS, SIZE)?;
    for place in ["leader", "one follower", "all"] {
        for operation in [Operation::Set, Operation::Get] {
            let (leads, follows) = hosted.leader_and_follower()?;
            let addresses = match place {
                "leader" => vec![hosted.address(leads)?],
                "all" => hosted.all()?,
                _ => vec![hosted.address(follows)?],
            };
            let shape = Shape { operation, ..SET };
            let sample = plan.sample(&hosted, &addresses, shape)?;
            series.points.push(Point::at(place, None).with(shape.name(), sample));
        }
    }
    hosted.end()
}
