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
mod small_disk;
mod strace;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use raft::chaos::faults::{Faults, Pace};

use crate::nodes::Founding;
use cluster::Cluster;

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program `raft`.
    pub program: PathBuf,
    /// Where the cluster is founded, and all that it leaves.
    pub folder: PathBuf,
    /// Where clients reach each node, `HOST:PORT`; peers' ports are these + 10000.
    pub addresses: Vec<String>,
    /// For the drawing of faults.
    pub seed: u64,
    /// How long faults come.
    pub time: Duration,
    /// Kinds of fault that are left out.
    pub without: BTreeSet<&'static str>,
}

/// Small segments: a full disk is met soon, and the log goes from file to file often.
const SETTINGS: [(&str, &str); 1] = [("RAFT_STORAGE_SEGMENT", "1MiB")];

/// t
pub fn run(plan: &Plan) -> Vec<String> {
    match harm(plan) {
        Ok(()) => vec![],
        Err(error) => vec![format!("{error:#}")],
    }
}
fn harm(plan: &Plan) -> Result<()> {
    let further = kinds::FURTHER.into_iter().filter(|kind| !plan.without.contains(kind));
    let founding = Founding {
        program: &plan.program,
        folder: &plan.folder,
        addresses: &plan.addresses,
        settings: &SETTINGS,
    };
    let mut cluster = Cluster::start(&founding, further.collect())?;
    cluster.await_leader()?;
    let mut faults = Faults::new(plan.seed, Pace::default()).without(plan.without.clone());
    let harmed = faults.run(&mut cluster, plan.time, &mut |text| println!("{text}"));
    println!("{:?} {:?}", faults.counts(), cluster.ends());
    cluster.check_logs()?;
    harmed
}
