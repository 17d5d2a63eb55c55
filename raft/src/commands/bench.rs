//! `raft bench`: loads servers and prints what was measured. What measures is in `raft::bench`.

mod report;

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use raft::bench::machine::{self, Processes};
use raft::bench::{Load, generator};
use raft::cluster::Cluster;
use raft::exit::{self, Failure};
use raft::print;

use self::report::Report;
use crate::options;

/// The longest warm-up that nobody asked for.
const WARM_UP: Duration = Duration::from_secs(2);

/// Runs the subcommand.
pub fn bench(options: options::Bench) -> anyhow::Result<()> {
    let cluster = Cluster::new(options.at.as_deref())?;
    let addresses = resolve(cluster.addresses())?;
    if let Some(gone) = options.pid.iter().find(|id| !machine::is_alive(**id)) {
        let text = format!("--pid {gone}: there is no such process");
        return Err(Failure::new(exit::USAGE, text).into());
    }
    let processes = Processes { servers: options.pid, aside: Vec::new() };
    let load = load(&options.loading, addresses, processes);
    let findings = generator::run(&load)?;
    let report = Report::new(&load, &findings);
    print::line(if options.output == "json" { report.json()? } else { report.text() })?;
    match findings.trouble() {
        Some(trouble) => Err(Failure::new(exit::UNAVAILABLE, trouble).into()),
        None => Ok(()),
    }
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
