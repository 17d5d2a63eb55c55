//! The keys of the configuration file, each with its meaning, its range and its default: the only
//! place that knows them. The file, the environment, the flags, `raft init` and `raft check-config`
//! all read this table.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;
use messages::ClusterId;

use super::document::{Value, quoted};
use super::{Config, LogFormat, Transport};
use crate::units;

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Section and name, such as `client.timeout`.
    pub name: &'static str,
    /// Its flag without dashes, such as `client-timeout`; the environment's name is made of it.
    pub short: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// What it is, in one line.
    pub comment: &'static str,
    /// Puts a value in its place, or says what was expected.
    pub(super) read: fn(&mut Config, &Value) -> Result<(), String>,
    /// The value in force, as TOML.
    pub(super) show: fn(&Config) -> String,
}

/// Two keys are one origin when they are one key.
impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        self.name == other.name
    }
}

impl Eq for Key {}

impl Key {
    /// The section.
    pub fn section(&self) -> &'static str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// The name within the section.
    pub fn field(&self) -> &'static str {
        self.name.split('.').next_back().unwrap_or_default()
    }

    /// The variable in the environment, such as `RAFT_CLIENT_TIMEOUT`.
    pub fn variable(&self) -> String {
        format!("RAFT_{}", self.short.to_uppercase().replace('-', "_"))
    }
}

/// Every key, in the order of the file.
pub static KEYS: &[Key] = &[
    Key {
        name: "node.name",
        short: "name",
        required: true,
        comment: "the name of this node, one of the members'",
        read: |config, value| {
            config.name = name(value)?;
            Ok(())
        },
        show: |config| quoted(&config.name),
    },
    Key {
        name: "node.data",
        short: "data",
        required: true,
        comment: "the data folder; a relative path counts from this file's folder",
        read: |config, value| {
            let path = text(value).filter(|path| !path.is_empty() && !path.contains('\0'));
            config.data = PathBuf::from(path.ok_or("the path of a folder")?);
            Ok(())
        },
        show: |config| quoted(&config.data.to_string_lossy()),
    },
    Key {
        name: "cluster.id",
        short: "cluster-id",
        required: true,
        comment: "the same on every node of the cluster; raft init drew it at random",
        read: |config, value| {
            config.cluster = ClusterId(cluster_id(value)?);
            Ok(())
        },
        show: |config| quoted(&format!("{:016x}", config.cluster.0)),
    },
    Key {
        name: "peer.listen",
        short: "peer-listen",
        required: false,
        comment: "where the other nodes are listened for; default: this member's peer address",
        read: |config, value| {
            config.peer_listen = address(value)?;
            Ok(())
        },
        show: |config| quoted(&config.peer_listen),
    },
    Key {
        name: "peer.transport",
        short: "peer-transport",
        required: false,
        comment: "how nodes talk to each other, the same on all: \"zeromq\" or \"tcp\"",
        read: |config, value| {
            config.transport = choice(value, Transport::NAMES)?;
            Ok(())
        },
        show: |config| quoted(&config.transport.to_string()),
    },
    Key {
        name: "client.listen",
        short: "client-listen",
        required: false,
        comment: "where clients are listened for; default: this member's client address",
        read: |config, value| {
            config.client_listen = address(value)?;
            Ok(())
        },
        show: |config| quoted(&config.client_listen),
    },
    Key {
        name: "client.timeout",
        short: "client-timeout",
        required: false,
        comment: "every request is answered within this time, the wait for a leader included",
        read: |config, value| {
            let range = Duration::from_millis(50)..=Duration::from_secs(600);
            config.client_timeout = duration(value, range)?;
            Ok(())
        },
        show: |config| show_duration(config.client_timeout),
    },
    Key {
        name: "client.max_request",
        short: "client-max-request",
        required: false,
        comment: "a larger request is refused",
        read: |config, value| {
            config.max_request = size(value, 1 << 10..=4 << 20)?;
            Ok(())
        },
        show: |config| quoted(&units::size_text(config.max_request)),
    },
    Key {
        name: "client.max_clients",
        short: "client-max-clients",
        required: false,
        comment: "clients at the same time; one more is refused",
        read: |config, value| {
            config.max_clients = whole_number(value, 1..=1_000_000)?;
            Ok(())
        },
        show: |config| config.max_clients.to_string(),
    },
    Key {
        name: "client.max_waiting",
        short: "client-max-waiting",
        required: false,
        comment: "bytes of requests that wait for an answer; what comes beyond is refused",
        read: |config, value| {
            config.max_waiting = size(value, 1 << 20..=1 << 40)?;
            Ok(())
        },
        show: |config| quoted(&units::size_text(config.max_waiting)),
    },
    Key {
        name: "client.stall",
        short: "client-stall",
        required: false,
        comment: "a client that takes no byte of its replies for so long is closed",
        read: |config, value| {
            let range = Duration::from_millis(100)..=Duration::from_secs(3_600);
            config.stall = duration(value, range)?;
            Ok(())
        },
        show: |config| show_duration(config.stall),
    },
    Key {
        name: "raft.heartbeat",
        short: "heartbeat",
        required: false,
        comment: "how often a leader shows that it lives",
        read: |config, value| {
            let range = Duration::from_millis(1)..=Duration::from_secs(10);
            config.heartbeat = duration(value, range)?;
            Ok(())
        },
        show: |config| show_duration(config.heartbeat),
    },
    Key {
        name: "raft.election",
        short: "election",
        required: false,
        comment: "silence after which a leader is replaced: drawn from [election, 1.5 x election)",
        read: |config, value| {
            let range = Duration::from_millis(10)..=Duration::from_secs(60);
            config.election = duration(value, range)?;
            Ok(())
        },
        show: |config| show_duration(config.election),
    },
    Key {
        name: "raft.max_uncommitted",
        short: "max-uncommitted",
        required: false,
        comment: "bytes of writes that a majority does not hold yet; what comes beyond is refused",
        read: |config, value| {
            config.max_uncommitted = size(value, 1 << 20..=1 << 40)?;
            Ok(())
        },
        show: |config| quoted(&units::size_text(config.max_uncommitted)),
    },
    Key {
        name: "raft.max_in_flight",
        short: "max-in-flight",
        required: false,
        comment: "bytes of the log sent to a follower ahead of its answers",
        read: |config, value| {
            config.max_in_flight = size(value, 64 << 10..=1 << 30)?;
            Ok(())
        },
        show: |config| quoted(&units::size_text(config.max_in_flight)),
    },
    Key {
        name: "storage.segment",
        short: "storage-segment",
        required: false,
        comment: "the size of one file of the log",
        read: |config, value| {
            config.segment = size(value, 1 << 20..=1 << 30)?;
            Ok(())
        },
        show: |config| quoted(&units::size_text(config.segment)),
    },
    Key {
        name: "storage.snapshot",
        short: "storage-snapshot",
        required: false,
        comment: "a snapshot is taken when the log has grown by so much, or by the last one's size",
        read: |config, value| {
            config.snapshot = size(value, 64 << 10..=1 << 40)?;
            Ok(())
        },
        show: |config| quoted(&units::size_text(config.snapshot)),
    },
    Key {
        name: "storage.snapshot_rate",
        short: "storage-snapshot-rate",
        required: false,
        comment: "bytes of a snapshot sent to another node in a second",
        read: |config, value| {
            config.snapshot_rate = size(value, 64 << 10..=1 << 40)?;
            Ok(())
        },
        show: |config| quoted(&units::size_text(config.snapshot_rate)),
    },
    Key {
        name: "log.level",
        short: "log-level",
        required: false,
        comment: "\"error\", \"warn\", \"info\", \"debug\", \"trace\" or \"off\"",
        read: |config, value| {
            config.log_level = choice(value, &LEVELS)?;
            Ok(())
        },
        show: |config| quoted(&config.log_level.to_string().to_lowercase()),
    },
    Key {
        name: "log.format",
        short: "log-format",
        required: false,
        comment: "\"text\" for people, \"json\" for programs",
        read: |config, value| {
            let choices = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            config.log_format = choice(value, &choices)?;
            Ok(())
        },
        show: |config| quoted(&config.log_format.to_string()),
    },
];

const LEVELS: [(&str, LevelFilter); 6] = [
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
    ("off", LevelFilter::Off),
];

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) | Value::Given(text) => Some(text),
        Value::Integer(_) | Value::Source(_) => None,
    }
}

/// What people call a node: short, and without spaces, so that it can stand in a log line.
pub(super) fn name(value: &Value) -> Result<String, String> {
    let fits = |name: &&str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        (1..=32).contains(&name.len()) && name.chars().all(allowed)
    };
    let name = text(value).filter(fits);
    Ok(name.ok_or("1 to 32 letters, digits, '-', '_' or '.', in quotes")?.to_owned())
}

/// A random number as `raft init` writes it.
fn cluster_id(value: &Value) -> Result<u64, String> {
    let digits = text(value)
        .filter(|digits| digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    let id = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    id.ok_or_else(|| "16 hexadecimal digits in quotes, as raft init writes them".into())
}

/// `HOST:PORT`; a host that is an IPv6 address stands in brackets.
pub(super) fn address(value: &Value) -> Result<String, String> {
    let fits = |address: &&str| {
        let Some((host, port)) = address.rsplit_once(':') else { return false };
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let odd = |c: char| c.is_whitespace() || c.is_control() || (c == ':' && !bracketed);
        !host.is_empty() && !host.contains(odd) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let address = text(value).filter(fits);
    Ok(address.ok_or("HOST:PORT, such as \"127.0.0.1:7001\"")?.to_owned())
}

fn duration(value: &Value, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let [least, most] = [*range.start(), *range.end()].map(units::duration_text);
    let duration = text(value).and_then(|text| units::duration(text).ok());
    let duration = duration.filter(|duration| range.contains(duration));
    duration.ok_or_else(|| format!("a duration from \"{least}\" to \"{most}\""))
}

fn size(value: &Value, range: RangeInclusive<u64>) -> Result<u64, String> {
    let [least, most] = [*range.start(), *range.end()].map(units::size_text);
    let size = text(value).and_then(|text| units::size(text).ok());
    let size = size.filter(|size| range.contains(size));
    size.ok_or_else(|| format!("a size from \"{least}\" to \"{most}\""))
}

fn whole_number(value: &Value, range: RangeInclusive<u64>) -> Result<u64, String> {
    let number = match value {
        Value::Integer(number) => u64::try_from(*number).ok(),
        Value::Given(text) => text.parse().ok(),
        Value::Text(_) | Value::Source(_) => None,
    };
    let (least, most) = (range.start(), range.end());
    let number = number.filter(|number| range.contains(number));
    number.ok_or_else(|| format!("a whole number from {least} to {most}"))
}

fn choice<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = text(value).and_then(|text| choices.iter().find(|(name, _)| *name == text));
    chosen.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let one_of = if names.len() > 1 { "one of " } else { "" };
        format!("{one_of}{}", names.join(", "))
    })
}

fn show_duration(duration: Duration) -> String {
    quoted(&units::duration_text(duration))
}
