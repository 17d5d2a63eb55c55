//! `raft bench compare`: our cluster and Redis, loaded in turns on the same machine and disk.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use raft::bench::machine::Processes;
use raft::bench::requests::Operation;
use raft::bench::rounds::{Round, Sample};
use raft::bench::{Load, fill};
use raft::config::Transport;
use raft::exit::{self, Failure};
use raft::print;

use super::folder::Place;
use super::hosted::Hosted;
use super::redis::Redis;
use super::sampling;
use super::sweep;
use super::table::{self, Row};
use crate::commands::signals;
use crate::options;

const SIZE: usize = 64;
const KEYS: u64 = 10_000;
const NODES: u16 = 3;

/// Operation, clients, requests in flight on each.
const ROWS: [(Operation, usize, usize); 8] = [
    (Operation::Set, 1, 1),
    (Operation::Set, 50, 1),
    (Operation::Set, 256, 1),
    (Operation::Set, 50, 16),
    (Operation::Set, 256, 16),
    (Operation::Get, 1, 1),
    (Operation::Get, 50, 1),
    (Operation::Get, 50, 16),
];

/// How thorough it is.
#[derive(Clone, Copy, Debug)]
struct Effort {
    rounds: usize,
    /// So many of them must be clean.
    enough: usize,
    time: Duration,
    warm_up: Duration,
}

const FULL: Effort =
    Effort { rounds: 5, enough: 3, time: Duration::from_secs(4), warm_up: Duration::from_secs(1) };

const QUICK: Effort = Effort {
    rounds: 3,
    enough: 2,
    time: Duration::from_millis(1_000),
    warm_up: Duration::from_millis(300),
};

/// Runs the subcommand.
pub fn compare(options: options::Compare) -> anyhow::Result<()> {
    signals::end_at_first().context("cannot wait for signals")?;
    let effort = effort(&options);
    let mut rows = Vec::new();
    let measured = measure_all(&options, effort, &mut rows);
    if !rows.is_empty() {
        print::line(match &options.output[..] {
            "json" => table::json(&rows)?,
            _ => table::text(&rows),
        })?;
    }
    let is_beside_redis = measured?;
    if let Some(folder) = &options.plots {
        let written = sweep::draw(|| Servers::start(&options), folder)?;
        if options.output == "table" {
            print::line(written)?;
        }
    }
    if !is_beside_redis {
        let text = "redis-server is not installed, so there is nothing to compare with; this \
                    installs it: apt-get install redis-server";
        return Err(Failure::new(exit::UNAVAILABLE, text).into());
    }
    Ok(())
}

fn effort(options: &options::Compare) -> Effort {
    let Effort { rounds, enough, time, warm_up } = if options.quick { QUICK } else { FULL };
    match options.rounds {
        Some(rounds) => Effort { rounds, enough: rounds.div_ceil(2), time, warm_up },
        None => Effort { rounds, enough, time, warm_up },
    }
}

/// What is compared: a cluster for each transport, and Redis if it is installed.
#[derive(Debug)]
pub struct Servers {
    /// Ends before the clusters, in whose folder it lies.
    redis: Option<Redis>,
    clusters: Vec<Hosted>,
    spread: bool,
}

impl Servers {
    fn start(options: &options::Compare) -> anyhow::Result<Servers> {
        let mut clusters = Vec::new();
        let usual = options.transport.is_empty().then(Transport::default);
        for transport in options.transport.iter().copied().chain(usual) {
            let place = Place::new(options.data.as_deref())?;
            clusters.push(Hosted::start_in(place, transport, NODES)?);
        }
        let redis = Redis::start(&mut clusters[0].cluster)?;
        let mut servers = Servers { redis, clusters, spread: options.spread };
        for number in 0..servers.clusters.len() {
            let addresses = servers.addresses(Some(number))?;
            fill::fill(addresses[0], KEYS, SIZE)?;
        }
        if let Some(redis) = &servers.redis {
            fill::fill(redis.address, KEYS, SIZE)?;
        }
        Ok(servers)
    }

    fn description(&self) -> String {
        let of = self.clusters.iter().map(Hosted::description);
        let redis = self.redis.as_ref().map(|_| {
            "redis-server --appendonly yes --appendfsync always, on the same disk".to_owned()
        });
        of.chain(redis).collect::<Vec<_>>().join("\n")
    }

    /// Of a cluster, or of Redis.
    fn addresses(&mut self, cluster: Option<usize>) -> anyhow::Result<Vec<SocketAddr>> {
        Ok(match (cluster, &self.redis) {
            (Some(number), _) if self.spread => self.clusters[number].all()?,
            (Some(number), _) => vec![self.clusters[number].leader()?],
            (None, redis) => redis.iter().map(|redis| redis.address).collect(),
        })
    }

    fn processes(&self, cluster: Option<usize>) -> Processes {
        let of = |number: usize| self.clusters[number].processes();
        let redis: Vec<u32> = self.redis.iter().map(Redis::id).collect();
        let others = (0..self.clusters.len()).filter(|number| Some(*number) != cluster);
        let mut aside: Vec<u32> = others.flat_map(of).collect();
        match cluster {
            Some(number) => {
                aside.extend(redis);
                Processes { servers: of(number), aside }
            }
            None => Processes { servers: redis, aside },
        }
    }

    /// Every cluster, then Redis if it is there.
    pub fn all(&self) -> Vec<Option<usize>> {
        let clusters = (0..self.clusters.len()).map(Some);
        clusters.chain(self.redis.as_ref().map(|_| None)).collect()
    }

    /// What people call it.
    pub fn name(&self, server: Option<usize>) -> String {
        server.map_or("redis-server, appendfsync always".into(), |number| {
            format!("raft, 3 nodes over {}", self.clusters[number].transport)
        })
    }

    /// Loads one server.
    pub fn sample(
        &mut self,
        cluster: Option<usize>,
        row: (Operation, usize, usize),
        (time, warm_up, seed): (Duration, Duration, u64),
    ) -> anyhow::Result<Sample> {
        let (operation, clients, pipeline) = row;
        let load = Load {
            addresses: self.addresses(cluster)?,
            operation,
            clients,
            pipeline,
            size: SIZE,
            keys: KEYS,
            time,
            warm_up,
            rate: None,
            seed,
            processes: self.processes(cluster),
        };
        sampling::sample(&load, &self.name(cluster))
    }

    /// A row for each load and cluster, without rounds.
    fn rows(&self, effort: Effort) -> Vec<Row> {
        let row = |operation: Operation, clients, pipeline, cluster: &Hosted| Row {
            operation: operation.name(),
            clients,
            pipeline,
            transport: cluster.transport.to_string(),
            enough: effort.enough,
            rounds: Vec::new(),
        };
        ROWS.iter()
            .flat_map(|&(operation, clients, pipeline)| {
                self.clusters.iter().map(move |one| row(operation, clients, pipeline, one))
            })
            .collect()
    }

    /// Ends all of them.
    pub fn end(self) -> anyhow::Result<()> {
        drop(self.redis);
        self.clusters.into_iter().try_for_each(Hosted::end)
    }
}

/// All rounds, each with servers of its own: what they keep in memory is then the same in each. `rows`
/// holds what is known so far, also after an error. Whether Redis was there.
fn measure_all(
    options: &options::Compare,
    effort: Effort,
    rows: &mut Vec<Row>,
) -> anyhow::Result<bool> {
    let mut is_beside_redis = false;
    for round in 0..effort.rounds {
        let mut servers = Servers::start(options)?;
        is_beside_redis = servers.redis.is_some();
        if round == 0 {
            rows.extend(servers.rows(effort));
            if options.output == "table" {
                print::line(servers.description())?;
            }
        }
        let measured = measure_round(&mut servers, effort, round, rows);
        servers.end()?;
        measured?;
    }
    Ok(is_beside_redis)
}

fn measure_round(
    servers: &mut Servers,
    effort: Effort,
    round: usize,
    rows: &mut [Row],
) -> anyhow::Result<()> {
    for (row, rows) in ROWS.into_iter().zip(rows.chunks_mut(servers.clusters.len())) {
        let plan = (effort.time, effort.warm_up, round as u64);
        let measured = measure_row(servers, row, plan, round % 2 == 1)?;
        rows.iter_mut().zip(measured).for_each(|(row, round)| row.rounds.push(round));
    }
    Ok(())
}

/// Each server once, in this order or in the other, so that none always follows the same.
fn measure_row(
    servers: &mut Servers,
    row: (Operation, usize, usize),
    plan: (Duration, Duration, u64),
    backwards: bool,
) -> anyhow::Result<Vec<Round>> {
    let clusters = servers.clusters.len();
    let theirs = |servers: &mut Servers| match servers.redis {
        Some(_) => servers.sample(None, row, plan).map(Some),
        None => Ok(None),
    };
    let before = if backwards { theirs(servers)? } else { None };
    let mut ours = Vec::new();
    for number in 0..clusters {
        ours.push(servers.sample(Some(number), row, plan)?);
    }
    let theirs = if backwards { before } else { theirs(servers)? };
    Ok(ours.into_iter().map(|ours| Round { ours, theirs }).collect())
}
