//! `raft bench failover`: how long nobody takes writes when the leader dies or hangs.

use std::fmt::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::Context;
use raft::bench::probe::Probe;
use raft::exit::{self, Failure};
use raft::print;
use serde::Serialize;

use super::hosted::Hosted;
use super::report::{in_micros, took};
use crate::commands::signals;
use crate::options::{self, Fault};

/// After this a cluster counts as dead.
const PATIENCE: Duration = Duration::from_secs(30);
/// The histogram's bounds, in milliseconds.
const BOUNDS: [u64; 12] = [5, 10, 20, 30, 50, 100, 200, 300, 500, 1_000, 2_000, 5_000];
/// The longest bar.
const BAR: usize = 40;

/// Runs the subcommand.
pub fn failover(options: options::Failover) -> anyhow::Result<()> {
    signals::end_at_first().context("cannot wait for signals")?;
    if options.cluster < 3 {
        let text = "--cluster: fewer than 3 nodes have no majority without their leader";
        return Err(Failure::new(exit::USAGE, text).into());
    }
    let mut hosted = Hosted::start(&options.hosting, options.cluster)?;
    let mut gaps = Vec::new();
    let mut ended = Ok(());
    for number in 0..options.times {
        match once(&mut hosted, options.fault, number as u64) {
            Ok(gap) => gaps.push(gap),
            Err(error) => {
                ended = Err(error.context(format!("after {number} of {} faults", options.times)));
                break;
            }
        }
    }
    if let Some(outcome) = Outcome::of(options.fault.name(), hosted.description(), &gaps) {
        print::line(match &options.output[..] {
            "json" => serde_json::to_string(&outcome)?,
            _ => outcome.text(),
        })?;
    }
    hosted.end()?;
    ended
}

/// One fault of the leader, and how long it took until a write was acknowledged. All nodes are up to
/// date before and after.
fn once(hosted: &mut Hosted, fault: Fault, seed: u64) -> anyhow::Result<Duration> {
    let cluster = &mut hosted.cluster;
    let (leader, ..) = cluster.wait_for_leader(Instant::now())?;
    let others = cluster.nodes.iter().filter(|node| node.number != leader);
    let others: Vec<SocketAddr> =
        others.map(|node| node.address.parse()).collect::<Result<_, _>>()?;
    let probe = Probe::open(&others, seed).context("a node takes no connections")?;
    let begin = Instant::now();
    match fault {
        Fault::Kill => cluster.node(leader).shoot()?,
        Fault::Pause => cluster.node(leader).pause()?,
    }
    let acknowledged = probe.first_acknowledged(PATIENCE).context("cannot wait for answers")?;
    let acknowledged = acknowledged.ok_or_else(|| {
        let text = format!("no write was acknowledged within {} s of it", PATIENCE.as_secs());
        Failure::new(exit::UNAVAILABLE, text)
    })?;
    match fault {
        Fault::Kill => {
            cluster.node(leader).kill()?;
            cluster.start_node(leader)?;
        }
        Fault::Pause => cluster.node(leader).resume()?,
    }
    cluster.wait_until_all_follow()?;
    Ok(acknowledged - begin)
}

/// The distribution. The fields are the JSON.
#[derive(Clone, Debug, Serialize)]
struct Outcome {
    fault: &'static str,
    cluster: String,
    times: usize,
    median_ms: f64,
    p90_ms: f64,
    worst_ms: f64,
    /// In the order in which they were measured.
    all_ms: Vec<f64>,
}

impl Outcome {
    fn of(fault: &'static str, cluster: String, gaps: &[Duration]) -> Option<Outcome> {
        let all_ms: Vec<f64> = gaps.iter().map(|gap| in_micros(*gap) / 1e3).collect();
        let mut sorted = all_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let times = sorted.len();
        let at =
            |share: f64| sorted.get(((times as f64 * share).ceil() as usize).max(1) - 1).copied();
        let (median_ms, p90_ms, worst_ms) = (at(0.5)?, at(0.9)?, at(1.0)?);
        Some(Outcome { fault, cluster, times, median_ms, p90_ms, worst_ms, all_ms })
    }

    fn text(&self) -> String {
        let Outcome { fault, cluster, times, .. } = self;
        let [median, p90, worst] =
            [self.median_ms, self.p90_ms, self.worst_ms].map(|millis| took(millis * 1e3));
        let mut text =
            format!("{fault} of the leader to the first acknowledged write, {times} times");
        write!(text, "\n{cluster}\nmedian {median} · p90 {p90} · worst {worst}").expect("a string");
        for (range, count) in histogram(&self.all_ms) {
            let most = BAR.min(*times);
            let bar = "█".repeat((count * most).div_ceil(*times));
            write!(text, "\n{range:>14} {bar} {count}").expect("a string");
        }
        text
    }
}

/// How many lie in each range, from the first range with any to the last.
fn histogram(all_ms: &[f64]) -> Vec<(String, usize)> {
    let place = |millis: f64| BOUNDS.iter().filter(|bound| millis >= **bound as f64).count();
    let places: Vec<usize> = all_ms.iter().map(|millis| place(*millis)).collect();
    let (Some(first), Some(last)) = (places.iter().min(), places.iter().max()) else {
        return Vec::new();
    };
    let name = |place: usize| match (place.checked_sub(1), BOUNDS.get(place)) {
        (None, _) => format!("under {} ms", BOUNDS[0]),
        (Some(below), Some(above)) => format!("{}–{above} ms", BOUNDS[below]),
        (Some(below), None) => format!("over {} ms", BOUNDS[below]),
    };
    let count = |place: usize| places.iter().filter(|other| **other == place).count();
    (*first..=*last).map(|place| (name(place), count(place))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_one_range() {
        let rows = histogram(&[4.0, 12.0, 19.9, 20.0, 9_000.0]);
        let named = |name: &str| rows.iter().find(|(range, _)| range == name).map(|(_, n)| *n);
        assert_eq!(rows.iter().map(|(_, count)| count).sum::<usize>(), 5);
        assert_eq!(named("under 5 ms"), Some(1));
        assert_eq!(named("5–10 ms"), Some(0));
        assert_eq!(named("10–20 ms"), Some(2));
        assert_eq!(named("20–30 ms"), Some(1));
        assert_eq!(named("over 5000 ms"), Some(1));
        assert_eq!(histogram(&[]), []);
    }

    #[test]
    fn the_worst_is_never_left_out() {
        let gaps: Vec<Duration> = (1..=10).map(|n| Duration::from_millis(n * 10)).collect();
        let outcome = Outcome::of("kill", String::new(), &gaps).expect("some");
        assert_eq!((outcome.median_ms, outcome.p90_ms, outcome.worst_ms), (50.0, 90.0, 100.0));
        assert!(Outcome::of("kill", String::new(), &[]).is_none());
    }
}
