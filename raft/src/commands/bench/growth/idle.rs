//! What grows with connections that ask for nothing: memory of the leader, and what they cost those
//! that do.

use raft::bench::idle::Idle;
use raft::bench::machine;

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::{CLIENTS, CPU, NODES, P99, Plan, RATE, SET};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::report::grouped;
use crate::commands::local::founding::Settings;

const COUNTS: [u64; 4] = [0, 100, 1_000, 10_000];
/// The last one when it is to be quick.
const QUICK: u64 = 1_000;
/// Room for all of them, the load beside them, and who asks how the node is.
const ROOM: Settings = &[("RAFT_CLIENT_MAX_CLIENTS", "11000")];

pub const SHOWN: Shown = Shown {
    cause: "idle connections",
    columns: &[
        RATE,
        P99,
        CPU,
        Column { name: "leader_memory", title: "leader", unit: Unit::Bytes },
        Column { name: "memory_each", title: "each", unit: Unit::Bytes },
    ],
    panels: [
        Drawn { caption: "operations a second beside them", figures: &[("rate", "")], scale: 1.0 },
        Drawn {
            caption: "bytes of the leader's memory for each",
            figures: &[("memory_each", "")],
            scale: 1.0,
        },
    ],
    note: "on the leader, each answered once before; its memory then, and how much it grew for each; \
           client.max_clients is 11,000",
};

/// Along the number of idle connections.
pub fn idle(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for count in plan.causes(&COUNTS, QUICK) {
        let mut hosted = Hosted::start_with(plan.hosting, NODES, ROOM)?;
        series.points.push(point(plan, &mut hosted, count)?);
        hosted.end()?;
    }
    Ok(())
}

fn point(plan: &Plan<'_>, hosted: &mut Hosted, count: u64) -> anyhow::Result<Point> {
    let (leader, _) = hosted.leader_and_follower()?;
    let address = hosted.address(leader)?;
    let id = hosted.cluster.node(leader).pid();
    let memory = || id.and_then(machine::resident).unwrap_or_default();
    let before = memory();
    let idle = Idle::open(address, count as usize, CLIENTS)?;
    let after = memory();
    let sample = plan.sample(hosted, &[address], SET)?;
    drop(idle);
    let point = Point::at(grouped(count as f64), Some(count)).with(SET.name(), sample);
    let point = point.and("leader_memory", after as f64);
    Ok(match count {
        0 => point,
        _ => point.and("memory_each", after.saturating_sub(before) as f64 / count as f64),
    })
}
