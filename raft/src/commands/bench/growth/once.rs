//! What a write costs that takes effect once: plain and in sessions, in turns on the same cluster. Must
//! never compare figures of different rounds.

use anyhow::Context;
use raft::bench::fill;
use raft::bench::requests::Operation;
use raft::bench::rounds::{self, Round};

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::{CLIENTS, CPU, DEPTH, KEYS, NODES, P99, Plan, RATE, SET, SIZE, Shape};

/// Clients, and requests in flight on each.
const WIDTHS: [(usize, usize); 4] = [(1, 1), (CLIENTS, 1), (256, 1), (CLIENTS, DEPTH)];
/// Rounds, and how many of them must be clean.
const ROUNDS: (u64, usize) = (5, 3);
/// The same when it is to be quick.
const QUICK: (u64, usize) = (2, 1);

pub const SHOWN: Shown = Shown {
    cause: "clients",
    columns: &[
        RATE,
        P99,
        CPU,
        Column { name: "rate_ratio", title: "rate, of SET's", unit: Unit::Share },
        Column { name: "rate_min", title: "lowest", unit: Unit::Share },
        Column { name: "rate_max", title: "highest", unit: Unit::Share },
        Column { name: "cpu_ratio", title: "CPU, of SET's", unit: Unit::Share },
        Column { name: "cpu_min", title: "lowest", unit: Unit::Share },
        Column { name: "cpu_max", title: "highest", unit: Unit::Share },
    ],
    panels: [
        Drawn { caption: "operations a second", figures: &[("rate", "")], scale: 1.0 },
        Drawn { caption: "CPU for an operation, in µs", figures: &[("cpu", "")], scale: 1.0 },
    ],
    note: "a SET and the same within sessions, one for each client, in turns on one cluster of three \
           nodes; values of 64 bytes, 10,000 keys, load on the leader; medians of the rounds, and of \
           the ratios within a round",
};

/// Along what is under way.
pub fn once(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    let mut hosted = plan.found(NODES)?;
    let leader = hosted.leader()?;
    fill::fill(leader, KEYS, SIZE)?;
    let (count, enough) = if plan.quick { QUICK } else { ROUNDS };
    for (clients, pipeline) in WIDTHS {
        let plain = Shape { clients, pipeline, ..SET };
        let numbered = Shape { operation: Operation::Do, ..plain };
        let mut rounds = Vec::new();
        for round in 0..count {
            let sample = |shape| plan.sample(&hosted, &[leader], shape);
            let (ours, theirs) = match round % 2 {
                0 => (sample(numbered)?, sample(plain)?),
                _ => {
                    let theirs = sample(plain)?;
                    (sample(numbered)?, theirs)
                }
            };
            rounds.push(Round { ours, theirs: Some(theirs) });
        }
        series.points.extend(points(plain, numbered, &rounds, enough)?);
    }
    hosted.end()
}

fn points(
    plain: Shape,
    numbered: Shape,
    rounds: &[Round],
    enough: usize,
) -> anyhow::Result<[Point; 2]> {
    let verdict = rounds::verdict(rounds, enough).context("no rounds")?;
    let theirs = verdict.theirs.context("half of each round")?;
    let at = |shape: Shape, sample| {
        Point::at(shape.width(), None).with(shape.operation.name().to_owned(), sample)
    };
    let mut ours = at(numbered, verdict.ours);
    if let Some(rate) = verdict.ratio {
        ours = ours.and("rate_ratio", rate.median);
        ours = ours.and("rate_min", rate.min).and("rate_max", rate.max);
    }
    if let Some(cpu) = verdict.cpu {
        ours = ours.and("cpu_ratio", cpu.median).and("cpu_min", cpu.min).and("cpu_max", cpu.max);
    }
    Ok([at(plain, theirs), ours])
}
