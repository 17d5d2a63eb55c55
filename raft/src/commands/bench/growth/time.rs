//! What grows with time, if anything does: memory and disk of nodes that are written to without rest.
//! Must never leave out a moment: what is told is the highest of all nodes at the end of each.

use std::time::Duration;

use anyhow::Context;
use raft::bench::machine::{self, Processes};
use raft::bench::{Load, fill};

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::serving;
use super::{DEPTH, KEYS, NODES, P99, Plan, RATE, SET, SIZE, Shape};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::sampling;

/// How many times, and how long each.
const STEPS: (u64, Duration) = (60, Duration::from_secs(10));
/// The same when it is to be quick.
const QUICK: (u64, Duration) = (8, Duration::from_secs(1));

/// A mebibyte of a byte.
const MEBI: f64 = 1.0 / (1 << 20) as f64;

pub const SHOWN: Shown = Shown {
    cause: "seconds",
    columns: &[
        RATE,
        P99,
        Column { name: "memory", title: "memory", unit: Unit::Bytes },
        Column { name: "disk", title: "disk", unit: Unit::Bytes },
        Column { name: "snapshot_bytes", title: "snapshot", unit: Unit::Bytes },
    ],
    panels: [
        Drawn {
            caption: "MiB, the highest of all nodes",
            figures: &[("memory", "memory"), ("disk", "disk")],
            scale: MEBI,
        },
        Drawn { caption: "operations a second", figures: &[("rate", "")], scale: 1.0 },
    ],
    note: "three nodes with the default configuration, values of 64 bytes, 10,000 keys, load on the \
           leader; resident memory, and what the data folder takes of the disk: the highest of all \
           nodes at that time",
};

/// Along time.
pub fn time(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    let (steps, step) = if plan.quick { QUICK } else { STEPS };
    let mut hosted = plan.found(NODES)?;
    let leader = hosted.leader()?;
    fill::fill(leader, KEYS, SIZE)?;
    let shape = Shape { pipeline: DEPTH, ..SET };
    for number in 1..=steps {
        let processes = Processes { servers: hosted.processes(), aside: Vec::new() };
        let load = Load { seed: number, processes, ..shape.load(&[leader], step) };
        let sample = sampling::sample(&load, &hosted.description())?;
        let seconds = number * step.as_secs();
        let point = Point::at(seconds.to_string(), Some(seconds)).with(shape.name(), sample);
        series.points.push(taken(&mut hosted, point)?);
    }
    hosted.end()
}

/// A point with what the nodes take now.
fn taken(hosted: &mut Hosted, point: Point) -> anyhow::Result<Point> {
    let memory = hosted.processes().into_iter().filter_map(machine::resident).max();
    let nodes = hosted.cluster.nodes.iter();
    let disks = nodes.map(|node| serving::on_disk(&node.config));
    let disk = disks.collect::<Result<Vec<u64>, _>>()?.into_iter().max();
    let snapshots = hosted.cluster.views().into_iter().flatten().map(|view| view.snapshot_bytes);
    Ok(point
        .and("memory", memory.context("no node runs")? as f64)
        .and("disk", disk.context("no node has a folder")? as f64)
        .and("snapshot_bytes", snapshots.max().unwrap_or_default() as f64))
}
