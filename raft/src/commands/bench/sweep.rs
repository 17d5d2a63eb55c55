//! How throughput and the 99th percentile grow with the load: each server at each point, in turns. A
//! point is measured again when the machine did other work, and left out when it always does.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use raft::bench::requests::Operation;

use super::compare::Servers;
use super::plots::{self, Axis, Curve, Panel};
use super::sampling;

/// How often a point is tried.
const TRIES: u64 = 3;
/// One load, and the warm-up before it.
const TIME: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// Clients where the depth grows.
const CLIENTS: usize = 50;
const MOST_CLIENTS: usize = 1_024;
const MOST_DEPTH: usize = 256;

/// Measures and draws both, each with servers of its own: over clients, and over requests in flight on
/// each of 50. Returns what was written, and how many points were left out.
pub fn draw(start: impl Fn() -> anyhow::Result<Servers>, folder: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let clients: Vec<usize> = powers_of_two(MOST_CLIENTS).collect();
    let depths: Vec<usize> = powers_of_two(MOST_DEPTH).collect();
    let along_clients = |clients| (Operation::Set, clients, 1);
    let along_depth = |depth| (Operation::Set, CLIENTS, depth);
    let mut written = vec![over(
        start()?,
        &folder.join("clients.svg"),
        "clients, 1 SET in flight on each",
        &clients,
        along_clients,
    )?];
    written.push(over(
        start()?,
        &folder.join("pipeline.svg"),
        "SETs in flight on each of 50 clients",
        &depths,
        along_depth,
    )?);
    Ok(written.join("\n"))
}

fn powers_of_two(most: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |number| Some(number * 2)).take_while(move |n| *n <= most)
}

/// One file: each server at each cause.
fn over(
    mut servers: Servers,
    path: &Path,
    axis: &str,
    causes: &[usize],
    row: fn(usize) -> (Operation, usize, usize),
) -> anyhow::Result<String> {
    let all = servers.all();
    let curve = |one: &Option<usize>| Curve { name: servers.name(*one), points: Vec::new() };
    let mut rates: Vec<Curve> = all.iter().map(curve).collect();
    let mut times = rates.clone();
    let mut left_out = 0;
    for (place, cause) in causes.iter().enumerate() {
        for (number, server) in all.iter().enumerate() {
            let sample = sampling::first_clean(TRIES, |seed| {
                servers.sample(*server, row(*cause), (TIME, WARM_UP, seed))
            })?;
            if sample.noisy {
                left_out += 1;
            } else {
                rates[number].points.push((place, sample.rate));
                times[number].points.push((place, sample.p99 / 1e3));
            }
        }
    }
    servers.end()?;
    let axis = Axis { text: axis.into(), names: causes.iter().map(usize::to_string).collect() };
    let panel = |caption: &str, curves| Panel { caption: caption.into(), curves };
    let panels = [panel("SET, operations a second", rates), panel("SET, p99 in ms", times)];
    plots::draw(path, &axis, &panels)?;
    let noisy = match left_out {
        0 => String::new(),
        _ => format!(" ({left_out} of {} points left out: noisy)", causes.len() * all.len()),
    };
    Ok(format!("{}{noisy}", path.display()))
}
