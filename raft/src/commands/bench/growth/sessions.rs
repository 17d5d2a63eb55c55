//! What grows with sessions: memory of the leader, for sessions alone and with all that they remember.
//! Must never count one that was not opened.

use std::net::SocketAddr;
use std::time::Duration;

use raft::bench::machine;
use raft::client::{Client, Reply};
use raft::exit::{self, Failure};
use raft::render;
use servers::sessions::WINDOW;

use super::series::{Column, Drawn, Point, Series, Shown, Unit};
use super::{NODES, Plan};
use crate::commands::bench::hosted::Hosted;
use crate::commands::bench::report::grouped;

const COUNTS: [u64; 3] = [100, 1_000, 10_000];
/// The last one when it is to be quick.
const QUICK: u64 = 1_000;
/// Plain commands before all: the log, which is in memory, too, has been as long as it gets by then.
const PLAIN: u64 = COUNTS[2] * WINDOW;
/// Commands under way at once.
const BATCH: usize = 1_000;
/// A batch takes no longer on any disk.
const PATIENCE: Duration = Duration::from_secs(30);

pub const SHOWN: Shown = Shown {
    cause: "sessions",
    columns: &[
        Column { name: "empty", title: "before", unit: Unit::Bytes },
        Column { name: "open", title: "open", unit: Unit::Bytes },
        Column { name: "full", title: "full", unit: Unit::Bytes },
        Column { name: "grown", title: "grown by", unit: Unit::Bytes },
        Column { name: "each", title: "each, full", unit: Unit::Bytes },
    ],
    panels: [
        Drawn {
            caption: "MiB that the leader's memory has grown by",
            figures: &[("grown_open", "open"), ("grown", "with 64 answers each")],
            scale: 1.0 / (1 << 20) as f64,
        },
        Drawn { caption: "bytes for each, with 64 answers", figures: &[("each", "")], scale: 1.0 },
    ],
    note: "the leader's resident memory without any, after 640,000 plain commands, so that the log in \
           memory has been as long as it gets; with so many open; and when each remembers the answers to \
           64 commands: snapshots are taken meanwhile, which hold what changes under them a second time",
};

/// Along the number of sessions.
pub fn sessions(plan: &Plan<'_>, series: &mut Series) -> anyhow::Result<()> {
    for count in plan.causes(&COUNTS, QUICK) {
        let mut hosted = Hosted::start(plan.hosting, NODES)?;
        series.points.push(point(&mut hosted, count)?);
        hosted.end()?;
    }
    Ok(())
}

fn point(hosted: &mut Hosted, count: u64) -> anyhow::Result<Point> {
    let (leader, _) = hosted.leader_and_follower()?;
    let address = hosted.address(leader)?;
    let id = hosted.cluster.node(leader).pid();
    let memory = || id.and_then(machine::resident).unwrap_or_default() as f64;
    // So that log, buffers and allocator have grown as they do under any load.
    let plain = vec!["INCR".to_owned(), "plain".to_owned()];
    all_answered(address, (0..PLAIN).map(|_| plain.clone()))?;
    let empty = memory();
    let opening = vec!["RAFT.SESSION".to_owned(), "OPEN".to_owned()];
    let opened = all_answered(address, (0..count).map(|_| opening.clone()))?;
    let open = memory();
    let ids: Vec<&i64> = opened
        .iter()
        .filter_map(|reply| if let Reply::Integer(id) = reply { Some(id) } else { None })
        .collect();
    let command = |session: &i64, number: u64| {
        let words = ["RAFT.DO", &session.to_string(), &number.to_string(), "INCR", "count"];
        words.map(str::to_owned).to_vec()
    };
    let commands =
        (1..=WINDOW).flat_map(|number| ids.iter().map(move |session| command(session, number)));
    let answers = all_answered(address, commands)?;
    let full = memory();
    // Each was applied once, and every session is among them.
    let last = answers.last().cloned();
    if last != Some(Reply::Integer((count * WINDOW) as i64)) {
        let text = format!("{count} sessions have not counted to {}: {last:?}", count * WINDOW);
        return Err(Failure::new(exit::UNAVAILABLE, text).into());
    }
    let grown = (full - empty).max(0.0);
    Ok(Point::at(grouped(count as f64), Some(count))
        .and("empty", empty)
        .and("open", open)
        .and("full", full)
        .and("grown_open", (open - empty).max(0.0))
        .and("grown", grown)
        .and("each", grown / count as f64))
}

/// Sends commands, many at once, and returns their answers, none of which may be an error.
fn all_answered(
    address: SocketAddr,
    commands: impl Iterator<Item = Vec<String>>,
) -> anyhow::Result<Vec<Reply>> {
    let failed = |why: String| Failure::new(exit::UNAVAILABLE, format!("{address}: {why}"));
    let mut client = Client::connect(&address.to_string(), PATIENCE)?;
    let mut answers = Vec::new();
    let mut commands = commands.peekable();
    while commands.peek().is_some() {
        let sent: Vec<Vec<String>> = commands.by_ref().take(BATCH).collect();
        client.send_all(&sent).map_err(|error| failed(error.to_string()))?;
        for _ in sent {
            match client.receive()? {
                reply @ Reply::Error(_) => return Err(failed(render::reply(&reply)).into()),
                reply => answers.push(reply),
            }
        }
    }
    Ok(answers)
}
