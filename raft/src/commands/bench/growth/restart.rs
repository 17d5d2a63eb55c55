//! What grows with the length of the log: how long a node that was killed takes until it serves again.
//! Must never let a snapshot take the place of the log.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use messages::Payload;
use raft::bench::{Load, fill, generator};
use raft::exit::{self, Failure};
use servers::storage::{self, FolderDisk};

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::serving::{self, Starts};
use super::{KEYS, NODES, Plan, SET, SIZE};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::report::grouped;
use crate::commands::local::founding::Settings;

const COUNTS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// The last one when it is to be quick.
const QUICK: u64 = 10_000;
/// As many entries are about what a second of load makes.
const ENTRIES_A_SECOND: f64 = 40_000.0;
/// No snapshot takes the place of any of it.
const WHOLE_LOG: Settings = &[("RAFT_STORAGE_SNAPSHOT", "1024GiB")];
/// The log grows for so long at least before it is looked at.
const SLICE: Duration = Duration::from_millis(20);

pub const SHOWN: Shown = Shown {
    cause: "entries",
    columns: &[
        Column { name: "entries", title: "exactly", unit: Unit::Number },
        Column { name: "writes", title: "writes", unit: Unit::Number },
        Column { name: "log_bytes", title: "log", unit: Unit::Bytes },
        Column { name: "first_read", title: "first: log read", unit: Unit::Micros },
        Column { name: "first_serves", title: "serves", unit: Unit::Micros },
        Column { name: "again_read", title: "again: log read", unit: Unit::Micros },
        Column { name: "again_serves", title: "serves", unit: Unit::Micros },
        Column { name: "again_min", title: "lowest", unit: Unit::Micros },
        Column { name: "again_max", title: "highest", unit: Unit::Micros },
        Column { name: "read_per_entry", title: "read, each entry", unit: Unit::Micros },
    ],
    panels: [
        Drawn {
            caption: "ms from the start",
            figures: &[
                ("first_serves", "first start, until it serves"),
                ("again_serves", "again, until it serves"),
                ("again_read", "again, until its log is read"),
            ],
            scale: 1e-3,
        },
        Drawn {
            caption: "µs to read the log, for each entry",
            figures: &[("read_per_entry", "")],
            scale: 1.0,
        },
    ],
    note: "from the start of a follower that was killed until it answers PING, when it has read its \
           log, and until it answers a linearizable read through its own port and has applied all that \
           was committed before; writes that arrive together share an entry; again: medians of three more \
           starts, whose log is in the page cache; storage.snapshot is 1 TiB, so that the log is whole",
};

/// A log, counted.
#[derive(Clone, Copy, Debug)]
struct Log {
    entries: usize,
    writes: usize,
    bytes: u64,
}

/// Along the number of entries.
pub fn restart(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for entries in plan.causes(&COUNTS, QUICK) {
        let mut hosted = Hosted::start_with(plan.hosting, NODES, WHOLE_LOG)?;
        series.points.push(point(plan, &mut hosted, entries)?);
        hosted.end()?;
    }
    Ok(())
}

fn point(plan: &Plan<'_>, hosted: &mut Hosted, entries: u64) -> anyhow::Result<Point> {
    let (leader, follower) = hosted.leader_and_follower()?;
    let last = grow(hosted, leader, entries)?;
    let cluster = &mut hosted.cluster;
    cluster.wait_until_applied(last)?;
    let starts = Starts::of(cluster, follower, plan.quick)?;
    cluster.node(follower).kill()?;
    let log = Log::of(&cluster.node(follower).config)?;
    Ok(Point::at(grouped(entries as f64), Some(entries))
        .and("entries", log.entries as f64)
        .and("writes", log.writes as f64)
        .and("log_bytes", log.bytes as f64)
        .and("first_read", starts.first.read)
        .and("first_serves", starts.first.serves)
        .and("again_read", starts.read.median)
        .and("again_serves", starts.serves.median)
        .and("again_min", starts.serves.min)
        .and("again_max", starts.serves.max)
        .and("read_per_entry", starts.read.median / log.entries.max(1) as f64))
}

/// Writes until the log has so many entries at least, and returns the last one's index. Each client
/// waits for its answer, so that few writes arrive together.
fn grow(hosted: &mut Hosted, leader: usize, entries: u64) -> anyhow::Result<u64> {
    let address = hosted.address(leader)?;
    fill::fill(address, KEYS, SIZE)?;
    for seed in 0.. {
        let views = hosted.cluster.views();
        let view = views.into_iter().nth(leader - 1).flatten();
        let last = view.context("the leader does not say how it is")?.last;
        if last >= entries {
            return Ok(last);
        }
        let missing = Duration::from_secs_f64((entries - last) as f64 / ENTRIES_A_SECOND);
        let load = Load { seed, ..SET.load(&[address], missing.clamp(SLICE, SLICE * 50)) };
        let findings = generator::run(&load)?;
        if let Some(trouble) = findings.trouble() {
            let text = format!("{}: the log cannot be written: {trouble}", hosted.description());
            return Err(Failure::new(exit::UNAVAILABLE, text).into());
        }
    }
    unreachable!("seeds do not end")
}

impl Log {
    /// Of a node that does not run, by its configuration file.
    fn of(file: &Path) -> anyhow::Result<Log> {
        let disk = FolderDisk::open_read_only(&serving::data_folder(file)?)?;
        let inspection = storage::inspect(&disk)?;
        let writes = inspection.entries.iter().map(|entry| match &entry.payload {
            Payload::Blank => 0,
            Payload::Command(items) => items.len(),
        });
        Ok(Log {
            entries: inspection.entries.len(),
            writes: writes.sum(),
            bytes: inspection.segments.iter().map(|segment| segment.used).sum(),
        })
    }
}
