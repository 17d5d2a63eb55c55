//! `raft bench growth`: how our server's cost grows with each of its causes. Must never let a point
//! carry what an earlier one left in log and memory: each has a cluster of its own, but where only who
//! is asked differs.

mod catchup;
mod filled;
mod idle;
mod keys;
mod loads;
mod once;
mod restart;
mod series;
mod serving;
mod sessions;
mod snapshot;
mod time;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail};
use raft::bench::Load;
use raft::bench::machine::Processes;
use raft::bench::requests::Operation;
use raft::bench::rounds::Sample;
use raft::exit::{self, Failure};
use raft::print;

use self::series::{Column, Point, Series, Shown, Unit};
use super::hosted::Hosted;
use super::sampling;
use crate::commands::signals;
use crate::options::{self, ONLY_NAMED, SERIES};

/// Nodes, where it is not their number that grows.
const NODES: u16 = 3;
/// Bytes of a value, and different keys, where these do not grow.
const SIZE: usize = 64;
const KEYS: u64 = 10_000;
/// Clients, and requests in flight on each where that is more than one.
const CLIENTS: usize = 50;
const DEPTH: usize = 16;

/// Figures of every load.
const RATE: Column = Column { name: "rate", title: "operations/s", unit: Unit::Number };
const P99: Column = Column { name: "p99", title: "p99", unit: Unit::Micros };
const CPU: Column = Column { name: "cpu", title: "CPU µs", unit: Unit::Number };

/// How thorough it is.
#[derive(Debug)]
struct Plan<'a> {
    hosting: &'a options::Hosting,
    quick: bool,
    time: Duration,
    warm_up: Duration,
    /// How often a noisy point is tried.
    tries: u64,
}

/// A load, but for whom it is for.
#[derive(Clone, Copy, Debug)]
struct Shape {
    operation: Operation,
    clients: usize,
    pipeline: usize,
    size: usize,
    keys: u64,
}

/// `SET` without anything special.
const SET: Shape =
    Shape { operation: Operation::Set, clients: CLIENTS, pipeline: 1, size: SIZE, keys: KEYS };

type Measure = fn(&Plan<'_>, &mut Series) -> anyhow::Result<()>;

/// What measures a series, and how it is shown.
fn of(name: &str) -> anyhow::Result<(Measure, &'static Shown)> {
    Ok(match name {
        "size" => (loads::size, &loads::SIZES),
        "keys" => (keys::keys, &keys::SHOWN),
        "nodes" => (loads::nodes, &loads::NODES_SHOWN),
        "where" => (loads::places, &loads::PLACES),
        "idle" => (idle::idle, &idle::SHOWN),
        "once" => (once::once, &once::SHOWN),
        "sessions" => (sessions::sessions, &sessions::SHOWN),
        "restart" => (restart::restart, &restart::SHOWN),
        "snapshot" => (snapshot::snapshot, &snapshot::SHOWN),
        "catchup" => (catchup::catchup, &catchup::SHOWN),
        "time" => (time::time, &time::SHOWN),
        _ => bail!("there is no series '{name}'"),
    })
}

/// Runs the subcommand.
pub fn growth(options: options::Growth) -> anyhow::Result<()> {
    signals::end_at_first().context("cannot wait for signals")?;
    if let Some(folder) = &options.plots {
        std::fs::create_dir_all(folder).map_err(|error| {
            let text = format!("--plots {} cannot be made: {error}", folder.display());
            Failure::new(exit::CANNOT_CREATE, text)
        })?;
    }
    let (all, ended) = measure_all(&options)?;
    if options.output == "json" {
        print::line(serde_json::to_string(&all)?)?;
    }
    for series in all.iter().filter(|series| !series.points.is_empty()) {
        let Some(folder) = &options.plots else { break };
        let path = folder.join(format!("growth-{}.svg", series.series));
        series.draw(of(series.series)?.1, &path)?;
        if options.output == "table" {
            print::line(path.display())?;
        }
    }
    ended
}

/// Every series that is wanted, also after one that failed: it has told something, and another cluster
/// may fare better. With the first error. Fails if nothing can be measured at all.
fn measure_all(options: &options::Growth) -> anyhow::Result<(Vec<Series>, anyhow::Result<()>)> {
    let plan = Plan::new(options);
    let wanted = |name: &str| match &options.only[..] {
        [] => !ONLY_NAMED.contains(&name),
        named => named.iter().any(|one| one == name),
    };
    let mut all = Vec::new();
    let mut ended = Ok(());
    for name in SERIES.into_iter().filter(|name| wanted(name)) {
        let (measure, shown) = of(name)?;
        let mut series = Series { series: name, points: Vec::new(), ended: None };
        if let Err(error) = measure(&plan, &mut series) {
            if series.points.is_empty() && all.is_empty() {
                return Err(error);
            }
            series.ended = Some(error.to_string());
            ended = ended.and(Err(error));
        }
        if options.output == "table" {
            print::line(series.text(shown) + "\n")?;
        }
        all.push(series);
    }
    Ok((all, ended))
}

impl Plan<'_> {
    fn new(options: &options::Growth) -> Plan<'_> {
        let millis = Duration::from_millis;
        let (time, warm_up, tries) = match options.quick {
            true => (millis(500), millis(200), 1),
            false => (millis(2_000), millis(500), 2),
        };
        Plan { hosting: &options.hosting, quick: options.quick, time, warm_up, tries }
    }

    /// A cluster for one point.
    fn found(&self, nodes: u16) -> anyhow::Result<Hosted> {
        Hosted::start(self.hosting, nodes)
    }

    /// The causes up to this one, when it is to be quick.
    fn causes<'c>(&self, all: &'c [u64], quick_most: u64) -> impl Iterator<Item = u64> + 'c {
        let most = if self.quick { quick_most } else { u64::MAX };
        all.iter().copied().filter(move |cause| *cause <= most)
    }

    /// A point on a cluster of its own, or on another one if it is noisy.
    fn first_clean(
        &self,
        mut point: impl FnMut() -> anyhow::Result<Point>,
    ) -> anyhow::Result<Point> {
        for _ in 1..self.tries {
            let measured = point()?;
            if !measured.sample.is_some_and(|sample| sample.noisy) {
                return Ok(measured);
            }
        }
        point()
    }

    /// Loads nodes of a cluster; a noisy sample is taken again.
    fn sample(
        &self,
        hosted: &Hosted,
        addresses: &[SocketAddr],
        shape: Shape,
    ) -> anyhow::Result<Sample> {
        sampling::first_clean(self.tries, |seed| {
            let load = Load {
                warm_up: self.warm_up,
                seed,
                processes: Processes { servers: hosted.processes(), aside: Vec::new() },
                ..shape.load(addresses, self.time)
            };
            sampling::sample(&load, &hosted.description())
        })
    }
}

impl Shape {
    fn name(self) -> String {
        format!("{} {}", self.operation.name(), self.width())
    }

    /// How much is under way.
    fn width(self) -> String {
        let Shape { clients, pipeline, .. } = self;
        match pipeline {
            1 => clients.to_string(),
            _ => format!("{clients} × {pipeline}"),
        }
    }

    /// It as a closed loop without a warm-up, for processes that nobody measures.
    fn load(self, addresses: &[SocketAddr], time: Duration) -> Load {
        let Shape { operation, clients, pipeline, size, keys } = self;
        Load {
            addresses: addresses.to_vec(),
            operation,
            clients,
            pipeline,
            size,
            keys,
            time,
            warm_up: Duration::ZERO,
            rate: None,
            seed: 1,
            processes: Processes::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_that_can_be_asked_for_is_measured() {
        for name in SERIES {
            assert!(of(name).is_ok(), "{name}");
        }
        assert!(of("weather").is_err());
    }
}
