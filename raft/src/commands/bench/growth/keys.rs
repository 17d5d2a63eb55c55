//! What grows with the number of keys. Must never take the memory that the machine does not have: the
//! next point is measured only if it would fit by what the last one took.

use std::time::Instant;

use raft::bench::{fill, machine};

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::{CPU, DEPTH, NODES, P99, Plan, RATE, SET, SIZE, Shape};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::report::{bytes, grouped};

const COUNTS: [u64; 5] = [1_000, 10_000, 100_000, 1_000_000, 10_000_000];
/// The last one when it is to be quick.
const QUICK: u64 = 100_000;
/// Of the memory that is left, a cluster may take this share.
const MOST: f64 = 0.8;

pub const SHOWN: Shown = Shown {
    cause: "keys",
    columns: &[
        RATE,
        P99,
        CPU,
        Column { name: "fill_rate", title: "filled/s", unit: Unit::Number },
        Column { name: "leader_memory", title: "leader", unit: Unit::Bytes },
        Column { name: "memory_per_key", title: "each key", unit: Unit::Bytes },
    ],
    panels: [
        Drawn { caption: "operations a second", figures: &[("rate", "")], scale: 1.0 },
        Drawn {
            caption: "bytes of the leader's memory for a key and its write in the log",
            figures: &[("memory_per_key", "")],
            scale: 1.0,
        },
    ],
    note: "values of 64 bytes, all keys written before; the leader's memory then, and how much it grew \
           for each key and the write of it, which the log keeps in memory, too",
};

/// What a number of keys took on all nodes together, in bytes.
#[derive(Clone, Copy, Debug)]
struct Taken {
    keys: u64,
    /// Before there was any.
    empty: u64,
    /// By the keys.
    keys_memory: u64,
    /// By the load that came after them, however many there are.
    load_memory: u64,
}

impl Taken {
    /// What so many keys would take: each as much as now.
    fn scaled(&self, keys: u64) -> u64 {
        let each = self.keys_memory as f64 / self.keys as f64;
        self.empty + self.load_memory + (each * keys as f64) as u64
    }
}

/// Along the number of keys.
pub fn keys(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    let mut taken: Option<Taken> = None;
    for keys in plan.causes(&COUNTS, QUICK) {
        let needed = taken.map_or(0, |taken| taken.scaled(keys));
        if let Some(why) = too_much(keys, needed, machine::available()) {
            series.ended = Some(why);
            return Ok(());
        }
        let mut hosted = plan.found(NODES)?;
        let (point, took) = point(plan, &mut hosted, keys)?;
        hosted.end()?;
        series.points.push(point);
        taken = Some(took);
    }
    Ok(())
}

fn point(plan: &Plan<'_>, hosted: &mut Hosted, keys: u64) -> anyhow::Result<(Point, Taken)> {
    let (leader, _) = hosted.leader_and_follower()?;
    let address = hosted.address(leader)?;
    let id = hosted.cluster.node(leader).pid();
    let of_leader = || id.and_then(machine::resident).unwrap_or_default();
    let (leader_empty, empty) = (of_leader(), of_all(hosted));
    let begin = Instant::now();
    fill::fill(address, keys, SIZE)?;
    let fill_rate = keys as f64 / begin.elapsed().as_secs_f64();
    let (leader_full, full) = (of_leader(), of_all(hosted));
    let shape = Shape { pipeline: DEPTH, keys, ..SET };
    let sample = plan.sample(hosted, &[address], shape)?;
    let taken = Taken {
        keys,
        empty,
        keys_memory: full.saturating_sub(empty),
        load_memory: of_all(hosted).saturating_sub(full),
    };
    let grown = leader_full.saturating_sub(leader_empty) as f64;
    let point = Point::at(grouped(keys as f64), Some(keys))
        .with(shape.name(), sample)
        .and("fill_rate", fill_rate)
        .and("leader_memory", leader_full as f64)
        .and("memory_per_key", grown / keys as f64);
    Ok((point, taken))
}

fn of_all(hosted: &Hosted) -> u64 {
    hosted.processes().into_iter().filter_map(machine::resident).sum()
}

/// Why so many keys are not tried, if they would need so many bytes and so many are left.
fn too_much(keys: u64, needed: u64, available: Option<u64>) -> Option<String> {
    let available = available?;
    (needed as f64 > available as f64 * MOST).then(|| {
        format!(
            "{} keys would take about {} of memory on three nodes, by what the keys before took, and \
             this machine has {} left",
            grouped(keys as f64),
            bytes(needed as f64),
            bytes(available as f64)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_more_keys_take_is_as_much_for_each_and_no_more_for_the_rest() {
        let taken = Taken { keys: 100, empty: 1_000, keys_memory: 5_000, load_memory: 300 };
        assert_eq!(taken.scaled(100), 6_300);
        assert_eq!(taken.scaled(1_000), 51_300);
    }

    #[test]
    fn what_would_not_fit_is_not_tried() {
        let gibibyte = 1 << 30;
        assert_eq!(too_much(10, 8 * gibibyte, Some(10 * gibibyte)), None, "four fifths fit");
        assert_eq!(too_much(10, 8 * gibibyte, None), None, "nobody knows better");
        let why = too_much(10_000_000, 9 * gibibyte, Some(10 * gibibyte)).expect("too much");
        for text in ["10,000,000 keys", "9.00 GiB", "10.0 GiB left"] {
            assert!(why.contains(text), "{why}");
        }
    }
}
