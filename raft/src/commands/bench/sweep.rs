//! How throughput and the 99th percentile grow with the load: each server at each point, in turns. A
//! point is measured again when the machine did other work, and left out when it always does.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use raft::bench::requests::Operation;

use super::compare::Servers;
use super::plots::{self, Curve, Point};

/// How often a point is tried.
const TRIES: u64 = 3;
/// One load, and the warm-up before it.
const TIME: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(500);
/// Clients where the depth grows.
const CLIENTS: usize = 50;
const MOST_CLIENTS: usize = 1_024;
const MOST_DEPTH: usize = 256;

/// Measures and draws both: over clients, and over requests in flight on each of 50. Returns what was
/// written, and how many points were left out.
pub fn draw(servers: &mut Servers, folder: &Path) -> anyhow::Result<String> {
    std::fs::create_dir_all(folder)
        .with_context(|| format!("{} cannot be made", folder.display()))?;
    let clients: Vec<(usize, usize)> = powers_of_two(MOST_CLIENTS).map(|n| (n, 1)).collect();
    let depths: Vec<(usize, usize)> = powers_of_two(MOST_DEPTH).map(|n| (CLIENTS, n)).collect();
    let mut written = Vec::new();
    for (name, axis, points, along) in [
        ("clients.svg", "clients, 1 SET in flight on each", clients, Along::Clients),
        ("pipeline.svg", "SETs in flight on each of 50 clients", depths, Along::Depth),
    ] {
        let (curves, left_out) = measure(servers, &points, along)?;
        let path = folder.join(name);
        plots::draw(&path, axis, &curves)?;
        let noisy = match left_out {
            0 => String::new(),
            _ => format!(" ({left_out} of {} points left out: noisy)", points.len() * curves.len()),
        };
        written.push(format!("{}{noisy}", path.display()));
    }
    Ok(written.join("\n"))
}

#[derive(Clone, Copy, Debug)]
enum Along {
    Clients,
    Depth,
}

fn powers_of_two(most: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(1), |number| Some(number * 2)).take_while(move |n| *n <= most)
}

fn measure(
    servers: &mut Servers,
    points: &[(usize, usize)],
    along: Along,
) -> anyhow::Result<(Vec<Curve>, usize)> {
    let all = servers.all();
    let mut curves: Vec<Curve> =
        all.iter().map(|one| Curve { name: servers.name(*one), points: Vec::new() }).collect();
    let mut left_out = 0;
    for &(clients, pipeline) in points {
        for (server, curve) in all.iter().zip(&mut curves) {
            match clean(servers, *server, (Operation::Set, clients, pipeline))? {
                Some((rate, p99)) => {
                    let x = match along {
                        Along::Clients => clients,
                        Along::Depth => pipeline,
                    };
                    curve.points.push(Point { x: x as f64, rate, p99_ms: p99 / 1e3 });
                }
                None => left_out += 1,
            }
        }
    }
    Ok((curves, left_out))
}

/// Operations a second and the 99th percentile in microseconds, of the first clean try.
fn clean(
    servers: &mut Servers,
    server: Option<usize>,
    row: (Operation, usize, usize),
) -> anyhow::Result<Option<(f64, f64)>> {
    for seed in 0..TRIES {
        let sample = servers.sample(server, row, (TIME, WARM_UP, seed))?;
        if !sample.noisy {
            return Ok(Some((sample.rate, sample.p99)));
        }
    }
    Ok(None)
}
