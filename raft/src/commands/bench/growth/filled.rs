//! Clusters whose keys are in a snapshot. Must never measure with a snapshot that lacks some of them:
//! the log reaches the threshold only after all keys are written.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use raft::bench::fill;

use super::SIZE;
use super::serving::PATIENCE;
use crate::commands::bench::hosted::Hosted;
use crate::commands::local::founding::Settings;
use crate::commands::local::node::Node;
use crate::commands::local::view::View;

/// Short of the threshold, in bytes of the log: a client alone writes as much within a second or two.
const MARGIN: u64 = 48 << 10;
/// Between two looks at the nodes, which cost them something.
const LOOK: Duration = Duration::from_millis(20);

/// So many keys, and when the first snapshot is taken: when the log has a quarter to a half more than
/// all of them take there.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    /// How many.
    pub count: u64,
    /// The threshold, in bytes.
    pub threshold: u64,
    /// The same as a setting of the nodes.
    pub settings: Settings,
}

const fn keys(count: u64, settings: Settings) -> Keys {
    Keys { count, threshold: count / 1_000 * (125 << 10), settings }
}

/// What is measured with snapshots.
pub const KEYS: [Keys; 3] = [
    keys(10_000, &[("RAFT_STORAGE_SNAPSHOT", "1250KiB")]),
    keys(100_000, &[("RAFT_STORAGE_SNAPSHOT", "12500KiB")]),
    keys(1_000_000, &[("RAFT_STORAGE_SNAPSHOT", "125000KiB")]),
];
/// The last one when it is to be quick.
pub const QUICK: u64 = 10_000;

impl Keys {
    /// Those that are wanted.
    pub fn all(quick: bool) -> impl Iterator<Item = Keys> {
        KEYS.into_iter().filter(move |keys| !quick || keys.count <= QUICK)
    }

    /// Writes all of them on the leader, and then some again until the log is just short of the threshold.
    pub fn fill(self, hosted: &mut Hosted, leader: usize) -> anyhow::Result<()> {
        let address = hosted.address(leader)?;
        fill::fill(address, self.count, SIZE)?;
        let mut written = self.count;
        loop {
            let View { log_bytes, snapshot, .. } = view(hosted, leader)?;
            ensure!(
                snapshot == 0,
                "a snapshot was taken before all {} keys were written",
                self.count
            );
            let left = self.threshold.saturating_sub(log_bytes);
            if left <= MARGIN {
                return Ok(());
            }
            // A write takes about as much as those before; what that is wrong by must not reach beyond.
            let each = log_bytes as f64 / written as f64;
            let aim = left - (MARGIN / 2).max(left / 20);
            let more = ((aim as f64 / each) as u64).clamp(1, self.count);
            fill::fill(address, more, SIZE)?;
            written += more;
        }
    }

    /// The same, and goes on until every node that runs has a snapshot of all of them, and the leader's log
    /// begins after its first entry.
    pub fn fill_and_snapshot(self, hosted: &mut Hosted, leader: usize) -> anyhow::Result<View> {
        self.fill(hosted, leader)?;
        let more = MARGIN / SIZE as u64;
        fill::fill(hosted.address(leader)?, more, SIZE)?;
        wait_for_snapshots(hosted)?;
        wait_until(hosted, "the log is not cut", |views| {
            views.get(leader - 1).and_then(Option::as_ref).is_some_and(|view| view.first > 1)
        })?;
        view(hosted, leader)
    }
}

/// Waits until every node that runs has a snapshot.
pub fn wait_for_snapshots(hosted: &mut Hosted) -> anyhow::Result<()> {
    let running = hosted.processes().len();
    wait_until(hosted, "not every node has taken a snapshot", |views| {
        views.iter().flatten().filter(|view| view.snapshot > 0).count() == running
    })
}

fn wait_until(
    hosted: &mut Hosted,
    otherwise: &str,
    holds: impl Fn(&[Option<View>]) -> bool,
) -> anyhow::Result<()> {
    let begin = Instant::now();
    while !holds(&hosted.cluster.views()) {
        if let Some(obituary) = hosted.cluster.nodes.iter_mut().find_map(Node::ended) {
            bail!(obituary);
        }
        ensure!(begin.elapsed() < PATIENCE, "{otherwise} after {} s", PATIENCE.as_secs());
        thread::sleep(LOOK);
    }
    Ok(())
}

/// How a node says it is.
pub fn view(hosted: &mut Hosted, number: usize) -> anyhow::Result<View> {
    let view = hosted.cluster.views().into_iter().nth(number - 1).flatten();
    view.with_context(|| format!("node {number} does not say how it is"))
}

#[cfg(test)]
mod tests {
    use raft::units;

    use super::*;

    #[test]
    fn thresholds_are_what_the_nodes_are_told() {
        for Keys { threshold, settings, .. } in KEYS {
            let told = settings.first().map(|(_, value)| units::size(value));
            assert_eq!(told, Some(Ok(threshold)));
        }
    }
}
