//! One client that counts. Must never send a count again that may have arrived.

use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use raft::client::{CallError, Client, Reply};

use super::KEY;
use super::progress::Progress;

/// A node answers within its client time-out, 2.5 s.
pub const ANSWER: Duration = Duration::from_secs(10);
/// Before the same is asked again, of a cluster that cannot yet.
pub const PAUSE: Duration = Duration::from_millis(10);

/// What one client has seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// The answers of its acknowledged counts.
    pub answers: Vec<i64>,
    /// Counts that may or may not have been applied.
    pub uncertain: u64,
    /// Refusals with a promise of no effect.
    pub refused: u64,
    /// Connections that broke over a count of a session.
    pub lost: u64,
    /// Counts of a session that were told as not applied.
    pub closed: u64,
    /// Counts of a session that were sent again after they were answered.
    pub repeated: u64,
}

/// Counts until no count is left, beginning at the node of this number.
pub fn count(first: usize, addresses: &[String], progress: &Progress) -> Result<Tally> {
    let counted = count_all(first, addresses, progress);
    if counted.is_err() {
        progress.stop();
    }
    counted
}

fn count_all(first: usize, addresses: &[String], progress: &Progress) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut turns = first..;
    let mut connection = None;
    while progress.take() {
        // One that is uncertain is accounted for; the next one in its place is another count.
        while !progress.stopped() {
            let Some(mut open) = connection.take().or_else(|| connect(&mut turns, addresses))
            else {
                thread::sleep(PAUSE);
                continue;
            };
            match open.call(&["INCR", KEY]) {
                Ok(Reply::Integer(answer)) => {
                    tally.answers.push(answer);
                    progress.acknowledge();
                    connection = Some(open);
                    break;
                }
                Ok(Reply::Error(error)) => {
                    on_error(&error, &mut tally)?;
                    connection = Some(open);
                }
                Ok(other) => bail!("{}: INCR was answered by {other:?}", open.address()),
                Err(CallError::NotSent(_)) => {}
                Err(CallError::Unknown(_)) => tally.uncertain += 1,
            }
        }
    }
    Ok(tally)
}

fn on_error(error: &str, tally: &mut Tally) -> Result<()> {
    match error.split(' ').next() {
        Some("UNCERTAIN") => tally.uncertain += 1,
        Some("CLUSTERDOWN" | "TRYAGAIN") => {
            tally.refused += 1;
            thread::sleep(PAUSE);
        }
        _ => bail!("INCR was answered by the error {error}"),
    }
    Ok(())
}

/// A connection to the next node that lives, each tried once.
fn connect(turns: &mut impl Iterator<Item = usize>, addresses: &[String]) -> Option<Client> {
    let next = turns.take(addresses.len()).map(|turn| &addresses[turn % addresses.len()]);
    next.filter_map(|address| Client::connect(address, ANSWER).ok()).next()
}
