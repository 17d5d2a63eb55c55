//! `raft bench`: loads servers and prints what was measured. What measures is in `raft::bench`.

mod compare;
mod failover;
mod folder;
mod growth;
mod hosted;
mod plots;
mod redis;
mod report;
mod sampling;
mod sweep;
mod table;

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::Context;
use raft::bench::machine::{self, Processes};
use raft::bench::requests::Operation;
use raft::bench::{Load, fill, generator, numbering};
use raft::cluster::Cluster;
use raft::exit::{self, Failure};
use raft::print;

use self::hosted::Hosted;
use self::report::Report;
use super::signals;
use crate::options::{self, Kind};

/// The longest warm-up that nobody asked for.
const WARM_UP: Duration = Duration::from_secs(2);

/// Runs the subcommand.
pub fn bench(mut options: options::Bench) -> anyhow::Result<()> {
    match options.kind.take() {
        Some(Kind::Compare(options)) => compare::compare(options),
        Some(Kind::Failover(options)) => failover::failover(options),
        Some(Kind::Growth(options)) => growth::growth(options),
        None => one_load(&options),
    }
}

fn one_load(options: &options::Bench) -> anyhow::Result<()> {
    numbering::allow(options.loading.operation, options.loading.pipeline)?;
    let ended = match options.cluster {
        Some(nodes) => own_cluster(options, nodes)?,
        None => others(options)?,
    };
    match ended {
        Some(trouble) => Err(Failure::new(exit::UNAVAILABLE, trouble).into()),
        None => Ok(()),
    }
}

/// Loads servers that run; returns what was wrong with them.
fn others(options: &options::Bench) -> anyhow::Result<Option<String>> {
    if options.hosting.data.is_some() || options.hosting.transport.is_some() {
        let text = "--transport and --data are for --cluster, which founds one";
        return Err(Failure::new(exit::USAGE, text).into());
    }
    let cluster = Cluster::new(options.at.as_deref())?;
    let addresses = resolve(cluster.addresses())?;
    if let Some(gone) = options.pid.iter().find(|id| !machine::is_alive(**id)) {
        let text = format!("--pid {gone}: there is no such process");
        return Err(Failure::new(exit::USAGE, text).into());
    }
    let processes = Processes { servers: options.pid.clone(), aside: Vec::new() };
    measure(options, &load(&options.loading, addresses, processes), None)
}

/// The same of a cluster that lives as long as this takes.
fn own_cluster(options: &options::Bench, nodes: u16) -> anyhow::Result<Option<String>> {
    signals::end_at_first().context("cannot wait for signals")?;
    let mut hosted = Hosted::start(&options.hosting, nodes)?;
    let addresses = if options.spread { hosted.all()? } else { vec![hosted.leader()?] };
    let processes = Processes { servers: hosted.processes(), aside: Vec::new() };
    if options.loading.operation == Operation::Get {
        fill::fill(addresses[0], options.loading.keys, options.loading.size)?;
    }
    let load = load(&options.loading, addresses, processes);
    let measured = measure(options, &load, Some(hosted.description()));
    hosted.end()?;
    measured
}

fn measure(
    options: &options::Bench,
    load: &Load,
    cluster: Option<String>,
) -> anyhow::Result<Option<String>> {
    let findings = generator::run(load)?;
    let report = Report::new(load, &findings, cluster);
    print::line(if options.output == "json" { report.json()? } else { report.text() })?;
    Ok(findings.trouble())
}

fn load(options: &options::Loading, addresses: Vec<SocketAddr>, processes: Processes) -> Load {
    Load {
        addresses,
        operation: options.operation,
        clients: options.clients,
        pipeline: options.pipeline,
        size: options.size,
        keys: options.keys,
        time: options.time,
        warm_up: options.warm_up.unwrap_or((options.time / 5).min(WARM_UP)),
        rate: options.rate,
        seed: options.seed,
        processes,
    }
}

/// The first address of each name.
fn resolve(addresses: &[String]) -> Result<Vec<SocketAddr>, Failure> {
    let first = |address: &String| {
        let found = address.to_socket_addrs().map(|mut all| all.next());
        let unknown = |why: String| Failure::new(exit::UNAVAILABLE, format!("{address}: {why}"));
        found
            .map_err(|error| unknown(error.to_string()))?
            .ok_or_else(|| unknown("no address".into()))
    };
    addresses.iter().map(first).collect()
}
