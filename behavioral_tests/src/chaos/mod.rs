//! A cluster of real processes under real faults, and the verdict over what its clients saw.
//!
//! - [`cluster`]: what is done to each node, and how it may end;
//! - [`strace`], [`small_disk`] with [`filler`], [`clock`]: faults of disks and clocks;
//! - [`kinds`], [`needs`]: their names, and what they need of the machine;
//! - [`record`]: what a run leaves for people.

mod clock;
mod cluster;
mod filler;
pub mod kinds;
pub mod needs;
mod record;
mod report;
mod small_disk;
mod strace;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use linearizability::kv::Command;
use raft::chaos::faults::{Faults, Pace, Victims};
use raft::chaos::history::{Connection, History, Outcome};
use raft::chaos::load::{self, Keys, Load, Mix};

use crate::nodes::Founding;
use cluster::Cluster;

pub use cluster::Ends;
pub use report::Report;

/// Small segments: a full disk is met soon, and the log goes from file to file often.
const SETTINGS: [(&str, &str); 1] = [("RAFT_STORAGE_SEGMENT", "1MiB")];
/// Clients at work.
const CLIENTS: usize = 12;
/// Operations a second of all clients.
const RATE: u64 = 1_500;
/// Operations that are kept in memory at most, before they are judged.
const MOST: usize = 2_000_000;
/// How long an answer may take: a paused node's comes after the pause.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long all nodes may take to serve again, when all is healed.
const RETURN: Duration = Duration::from_secs(20);
/// How long clients go on when all is healed.
const QUIET: Duration = Duration::from_secs(3);
/// Between two questions to a node that does not serve yet.
const PAUSE: Duration = Duration::from_millis(50);
/// Keys that are read at once in the end.
const READ_AT_ONCE: usize = 50;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program `raft`.
    pub program: PathBuf,
    /// Where the cluster is founded, and all that it leaves.
    pub folder: PathBuf,
    /// Where clients reach each node, `HOST:PORT`; peers' ports are these + 10000.
    pub addresses: Vec<String>,
    /// For the drawing of faults and of commands.
    pub seed: u64,
    /// How long faults come.
    pub time: Duration,
    /// Kinds of fault that are left out.
    pub without: BTreeSet<&'static str>,
}

/// Carries the plan out and judges it. The folder then holds the faults, and if anything failed the
/// history. The nodes live as long as the calling thread at most, however that ends.
///
/// # Errors
/// The cluster could not be founded or never had a leader, or a file cannot be written: then there
/// is nothing to judge.
pub fn run(plan: &Plan) -> Result<Report> {
    let further = kinds::FURTHER.into_iter().filter(|kind| !plan.without.contains(kind));
    let founding = Founding {
        program: &plan.program,
        folder: &plan.folder,
        addresses: &plan.addresses,
        settings: &SETTINGS,
    };
    let history = History::new();
    let mut cluster = Cluster::start(&founding, further.collect(), &history)?;
    cluster.await_leader()?;
    let load = Load::start(&history, plan.addresses.clone(), load_plan(plan));
    let mut faults = Faults::new(plan.seed, Pace::default()).without(plan.without.clone());
    let harmed = harm(plan, &mut cluster, &mut faults);
    let returned = harmed.and_then(|()| await_return(plan, &mut cluster, &history));
    if returned.is_ok() {
        thread::sleep(QUIET);
    }
    let load = load.stop();
    let read = returned.and_then(|back| read_everything(plan, &history).map(|()| back));
    let unharmed = cluster.check_logs();
    let ends = cluster.ends();
    let ended = cluster.end();
    let findings = history.verify();
    let mut failures = Vec::new();
    let back = read.map_err(|error| failures.push(format!("{error:#}"))).ok();
    for result in [unharmed, ended] {
        failures.extend(result.err().map(|error| format!("{error:#}")));
    }
    let faults = faults.counts().clone();
    let mut report = Report { load, faults, ends, back, findings, failures };
    report.judge();
    if !report.failures.is_empty() {
        record::write_history(&plan.folder.join("history.txt"), &history.events())?;
    }
    Ok(report)
}

fn load_plan(plan: &Plan) -> load::Plan {
    load::Plan {
        clients: CLIENTS,
        pipeline: 3,
        mix: Mix::Everything,
        keys: Keys { prefix: "chaos".into(), groups: 6, fresh_after: 4_000 },
        rate: Some(RATE),
        most: MOST,
        patience: PATIENCE,
        seed: plan.seed,
    }
}

/// Faults, until the time is over; what happened when goes to a file.
fn harm(plan: &Plan, cluster: &mut Cluster, faults: &mut Faults) -> Result<()> {
    let path = plan.folder.join("faults.txt");
    let mut file = File::create(&path).with_context(|| path.display().to_string())?;
    let mut written = Ok(());
    let harmed = faults.run(cluster, plan.time, &mut |text| {
        if written.is_ok() {
            written = writeln!(file, "{text}");
        }
    });
    written.with_context(|| path.display().to_string())?;
    harmed
}

/// Waits until each node has taken a write; how long that took.
fn await_return(plan: &Plan, cluster: &mut Cluster, history: &Arc<History>) -> Result<Duration> {
    let start = Instant::now();
    for (address, number) in plan.addresses.iter().zip(1..) {
        while !takes_write(history, address) {
            cluster.check()?;
            let late = start.elapsed() > RETURN;
            ensure!(!late, "node {number} does not serve {RETURN:?} after all was healed");
            thread::sleep(PAUSE);
        }
    }
    Ok(start.elapsed())
}

fn takes_write(history: &Arc<History>, address: &str) -> bool {
    let Ok(mut connection) = Connection::open(history, address, PATIENCE) else { return false };
    let (outcomes, _) = connection.pipeline(&[Command::Incr(b"returns".to_vec())]);
    outcomes.iter().all(Outcome::is_answer)
}

/// Reads every key that was not read for the last time yet: what was lost is missed now.
fn read_everything(plan: &Plan, history: &Arc<History>) -> Result<()> {
    let reads: Vec<Command> = history.keys(b"").into_iter().map(Command::Get).collect();
    let address = &plan.addresses[0];
    let mut connection = Connection::open(history, address, PATIENCE).context("the last reads")?;
    for some in reads.chunks(READ_AT_ONCE) {
        let (outcomes, result) = connection.pipeline(some);
        result.context("the last reads")?;
        let refused = outcomes.iter().find(|outcome| !outcome.is_answer());
        ensure!(refused.is_none(), "the last reads: {refused:?}");
    }
    Ok(())
}
