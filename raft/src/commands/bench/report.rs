//! What one load has found, for people and as JSON.

use std::collections::BTreeMap;
use std::time::Duration;

use raft::bench::Load;
use raft::bench::findings::Findings;
use raft::render;
use serde::Serialize;

/// Above this share of a core the generator may be what is measured.
const BUSY_GENERATOR: f64 = 0.9;

/// The findings of a load. The fields are the JSON: names, units and meanings do not change.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The cluster that was founded for this.
    cluster: Option<String>,
    operation: &'static str,
    #[serde(skip)]
    has_value: bool,
    addresses: Vec<String>,
    clients: usize,
    pipeline: usize,
    size: usize,
    keys: u64,
    /// Requests a second that were asked for, in an open loop.
    rate: Option<f64>,
    warm_up_seconds: f64,
    seconds: f64,
    operations: u64,
    operations_per_second: f64,
    latency_us: Latency,
    errors: BTreeMap<String, u64>,
    first_error: Option<String>,
    /// Keys that were not there.
    nothing: u64,
    unanswered: u64,
    lost: BTreeMap<String, u64>,
    /// Shares of one core, here and below.
    generator_cpu: Option<f64>,
    servers: Option<Servers>,
    /// Work of others; not known without the servers' processes.
    foreign: Option<f64>,
    /// Of the whole machine.
    stolen: Option<f64>,
    noisy: Option<bool>,
}

#[derive(Clone, Debug, Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

#[derive(Clone, Debug, Serialize)]
struct Servers {
    cpu: f64,
    cpu_us_per_operation: Option<f64>,
    memory_bytes: u64,
}

impl Report {
    /// Of one load.
    pub fn new(load: &Load, findings: &Findings, cluster: Option<String>) -> Report {
        let micros = |share| in_micros(findings.latencies.quantile(share));
        let usage = findings.usage;
        let known = usage.filter(|usage| usage.servers.is_some());
        Report {
            cluster,
            operation: load.operation.name(),
            has_value: load.operation.has_value(),
            addresses: load.addresses.iter().map(ToString::to_string).collect(),
            clients: load.clients,
            pipeline: load.pipeline,
            size: load.size,
            keys: load.keys,
            rate: load.rate,
            warm_up_seconds: load.warm_up.as_secs_f64(),
            seconds: findings.time.as_secs_f64(),
            operations: findings.operations,
            operations_per_second: findings.rate(),
            latency_us: Latency {
                p50: micros(0.5),
                p99: micros(0.99),
                p999: micros(0.999),
                max: in_micros(findings.latencies.max()),
            },
            errors: findings.errors.clone(),
            first_error: findings.first_error.clone(),
            nothing: findings.nothing,
            unanswered: findings.unanswered,
            lost: findings.lost.clone(),
            generator_cpu: usage.map(|usage| usage.generator),
            servers: usage.and_then(|usage| usage.servers).map(|servers| Servers {
                cpu: servers.cpu.as_secs_f64() / findings.time.as_secs_f64().max(1e-9),
                cpu_us_per_operation: findings.cpu_per_operation().map(in_micros),
                memory_bytes: servers.memory,
            }),
            foreign: known.map(|usage| usage.foreign),
            stolen: usage.map(|usage| usage.stolen),
            noisy: known.map(|usage| usage.is_noisy()),
        }
    }

    /// One line of JSON.
    pub fn json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut lines = vec![self.headline()];
        lines.extend(self.cluster.clone());
        let mut line = |name: &str, text: String| lines.push(format!("{name:<11} {text}"));
        line(
            "operations",
            format!("{}/s ({} in all)", rounded(self.operations_per_second), self.operations),
        );
        let Latency { p50, p99, p999, max } = &self.latency_us;
        let [p50, p99, p999, max] = [p50, p99, p999, max].map(|micros| took(*micros));
        line("latency", format!("p50 {p50} · p99 {p99} · p99.9 {p999} · max {max}"));
        line("errors", self.errors_text());
        if self.nothing > 0 {
            line("not found", format!("{} keys were not there", self.nothing));
        }
        if self.unanswered > 0 {
            line("unanswered", format!("{} requests", self.unanswered));
        }
        for (reason, count) in &self.lost {
            line("lost", format!("{count} of {} connections: {reason}", self.clients));
        }
        if let Some(share) = self.generator_cpu {
            let busy = if share > BUSY_GENERATOR { "; it may be the limit itself" } else { "" };
            line("generator", format!("{} of a core{busy}", percent(share)));
        }
        if let Some(servers) = &self.servers {
            line("servers", servers.text());
        }
        if let Some(stolen) = self.stolen {
            line("machine", self.machine_text(stolen));
        }
        lines.join("\n")
    }

    fn headline(&self) -> String {
        let value = match self.has_value {
            true => format!(", values of {} bytes", self.size),
            false => String::new(),
        };
        let rate = self.rate.map_or(String::new(), |rate| format!(", {rate}/s are due"));
        format!(
            "{}{value}, {} keys, {} clients × {} in flight{rate}, {:.1} s after {:.1} s of warm-up, {}",
            self.operation,
            self.keys,
            self.clients,
            self.pipeline,
            self.seconds,
            self.warm_up_seconds,
            self.addresses.join(" ")
        )
    }

    fn errors_text(&self) -> String {
        let words = self.errors.iter().map(|(word, count)| format!("{word} {count}"));
        let mut text = words.collect::<Vec<_>>().join(" · ");
        if let Some(first) = &self.first_error {
            text.push_str(&format!("; the first: {}", render::plain(first)));
        }
        if text.is_empty() { "none".to_owned() } else { text }
    }

    fn machine_text(&self, stolen: f64) -> String {
        let stolen = percent(stolen);
        match self.foreign {
            Some(foreign) => {
                let noisy = if self.noisy == Some(true) { "; too noisy to be quoted" } else { "" };
                format!("other work {} of a core · stolen {stolen}{noisy}", percent(foreign))
            }
            None => format!("stolen {stolen} (--pid tells the servers' work from that of others)"),
        }
    }
}

impl Servers {
    fn text(&self) -> String {
        let each = self
            .cpu_us_per_operation
            .map_or(String::new(), |micros| format!("{micros:.1} µs of CPU an operation · "));
        let memory = bytes(self.memory_bytes as f64);
        format!("{each}{} of a core · {memory} resident", percent(self.cpu))
    }
}

/// A duration in microseconds.
pub fn in_micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Microseconds for people: three digits and a unit.
pub fn took(micros: f64) -> String {
    let (number, unit) = match micros {
        ..1e3 => (micros, "µs"),
        1e3..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    format!("{} {unit}", rounded(number))
}

/// A number for people: three digits if it is small, none after the point if it is not.
pub fn rounded(number: f64) -> String {
    match number {
        ..10.0 => format!("{number:.2}"),
        10.0..100.0 => format!("{number:.1}"),
        _ => grouped(number),
    }
}

/// Bytes for people: three digits and a unit.
pub fn bytes(bytes: f64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fitting = units.into_iter().find(|(_, shift)| bytes >= f64::from(1 << shift));
    let (unit, shift) = fitting.unwrap_or(("B", 0));
    format!("{} {unit}", rounded(bytes / f64::from(1 << shift)))
}

/// A whole number with a comma between thousands.
pub fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).expect("digits"))
        .collect();
    groups.join(",")
}

/// A share, in percent.
pub fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (micros, text) in [
            (0.0, "0.00 µs"),
            (61.04, "61.0 µs"),
            (999.4, "999 µs"),
            (1_234.0, "1.23 ms"),
            (212_345.0, "212 ms"),
            (2_500_000.0, "2.50 s"),
        ] {
            assert_eq!(took(micros), text);
        }
        for (number, text) in [(0.0, "0.00 B"), (1_023.0, "1,023 B"), (3.5e6, "3.34 MiB")] {
            assert_eq!(bytes(number), text);
        }
        assert_eq!([rounded(43_210.4), rounded(1_234_567.0)], ["43,210", "1,234,567"]);
        assert_eq!(percent(0.156), "16 %");
    }
}
