//! The shared counter: the leader adds to it, every node tells how it goes. Must never add on a node
//! that does not lead.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use bytes::Bytes;
use messages::Operation;
use raft::exit::Failure;
use raft::store::arguments;
use raft::{print, render};
use servers::host::{Batch, Outcome};
use servers::mailbox::Mailbox;
use servers::run::now;
use states::Role;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};

use super::teller::Teller;
use super::watched::Change;

/// The key.
pub const KEY: &str = "counter";

/// How often to look whether the node has caught up, at the start.
const CATCHING_UP: Duration = Duration::from_millis(20);

/// The question whose answer is the counter.
pub fn question() -> Vec<u8> {
    request(&["GET", KEY])
}

fn request(words: &[&str]) -> Vec<u8> {
    arguments::encode(words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>())
}

/// Tells how the counter goes, until nobody reads it. Not on the node's own thread: a terminal may
/// hold its output back.
pub async fn tell(
    name: &str,
    mailbox: &Mailbox,
    mut changes: UnboundedReceiver<Change>,
) -> Failure {
    let mut teller = Teller::new(name);
    let mut ticks = interval(CATCHING_UP);
    loop {
        let first = tokio::select! {
            change = changes.recv() => change,
            _ = ticks.tick(), if !teller.has_begun() => None,
        };
        // In this order: what the status calls applied is in the queue.
        let status = mailbox.status();
        let mut queue = VecDeque::from_iter(first);
        queue.extend(std::iter::from_fn(|| changes.try_recv().ok()));
        let told = queue.iter().filter_map(|change| teller.on_change(change, &status));
        let mut lines: Vec<String> = told.collect();
        lines.extend(teller.on_status(&status));
        for line in lines {
            if let Err(failure) = print::line(line) {
                return failure;
            }
        }
    }
}

/// Adds to the counter while the node leads, one addition at a time.
pub async fn add(mailbox: &Mailbox, by: i64, every: Duration) {
    let command = Bytes::from(request(&["INCRBY", KEY, &by.to_string()]));
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if mailbox.status().role != Role::Leader {
            continue;
        }
        let operations = vec![Operation::Command(command.clone())];
        let outcome = mailbox.submit(Batch { arrived: now(), operations, stale: false }).await;
        if let Outcome::Done { replies, .. } = outcome
            && let Some(error) = replies.first().and_then(|reply| reply.strip_prefix(b"-"))
        {
            let error = render::plain(String::from_utf8_lossy(error).trim_end());
            let _ = writeln!(io::stderr(), "cannot add to '{KEY}': {error}");
        }
    }
}
