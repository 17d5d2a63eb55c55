//! The configuration of a node: what is in force, and where each value comes from. A flag counts
//! more than the environment, that more than the file, that more than a default. Must never let a
//! mistake pass: each is an error that names file, line and key and says what was expected.

mod document;
mod keys;
mod members;
mod template;

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

pub use log::LevelFilter;
use messages::ClusterId;
use states::Micros;

pub use keys::{KEYS, Key};
pub use template::template;

use document::{Document, Value};

/// A file longer than this is none of ours.
const MAX_FILE: u64 = 1 << 20;

/// What a node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What people call this node; the name of one of the members.
    pub name: String,
    /// Its data folder.
    pub data: PathBuf,
    /// Its cluster.
    pub cluster: ClusterId,
    /// The nodes to begin with, this one among them.
    pub members: Vec<Member>,
    /// Where peers are listened for, `HOST:PORT`.
    pub peer_listen: String,
    /// How peers talk to each other.
    pub transport: Transport,
    /// Where clients are listened for, `HOST:PORT`.
    pub client_listen: String,
    /// Every request is answered within this time.
    pub client_timeout: Duration,
    /// The largest request in bytes.
    pub max_request: u64,
    /// Clients at the same time.
    pub max_clients: u64,
    /// Bytes of requests that wait for an answer.
    pub max_waiting: u64,
    /// A client that takes no byte of its replies for so long is closed.
    pub stall: Duration,
    /// How often a leader shows that it lives.
    pub heartbeat: Duration,
    /// Election timeouts are drawn from `[election, 1.5 × election)`.
    pub election: Duration,
    /// Bytes of entries that a leader has appended and a majority does not hold.
    pub max_uncommitted: u64,
    /// Bytes of entries on their way to one follower.
    pub max_in_flight: u64,
    /// Bytes of one file of the log.
    pub segment: u64,
    /// Bytes that the log grows by before a snapshot is taken.
    pub snapshot: u64,
    /// Bytes of a snapshot sent in a second.
    pub snapshot_rate: u64,
    /// What is logged.
    pub log_level: LevelFilter,
    /// In which form.
    pub log_format: LogFormat,
}

/// A node of the cluster as it began. Its id is not here but in every data folder, beside this name:
/// so the part of the file that is about the cluster is the same on all nodes, and can be copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What people call it.
    pub name: String,
    /// Where clients reach it, `HOST:PORT`.
    pub client: String,
    /// Where peers reach it, `HOST:PORT`.
    pub peer: String,
}

/// How peers talk to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// Over ZeroMQ.
    #[cfg(feature = "zeromq")]
    #[default]
    ZeroMq,
    /// Over plain TCP.
    #[cfg_attr(not(feature = "zeromq"), default)]
    Tcp,
}

impl Transport {
    /// Each one and what it is called.
    pub const NAMES: &[(&str, Transport)] = &[
        #[cfg(feature = "zeromq")]
        ("zeromq", Transport::ZeroMq),
        ("tcp", Transport::Tcp),
    ];
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// A configuration, and where it comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What is in force.
    pub config: Config,
    /// Each value as TOML, in the order of [`KEYS`].
    pub settings: Vec<Setting>,
    /// The members' lines in the file, in the members' order.
    pub member_lines: Vec<usize>,
    /// The file.
    pub file: String,
}

/// One value and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The key, such as `client.timeout`.
    pub key: &'static str,
    /// The value as TOML.
    pub value: String,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// This flag, without its dashes.
    Flag(&'static str),
    /// This key's variable in the environment.
    Environment(&'static Key),
    /// This line of the file.
    File(usize),
    /// This node's entry among the members.
    Member,
    /// Nobody said anything.
    Default,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    place: String,
    text: String,
}

impl Default for Config {
    /// Every default; names, addresses and members are empty.
    fn default() -> Config {
        Config {
            name: String::new(),
            data: PathBuf::new(),
            cluster: ClusterId(0),
            members: Vec::new(),
            peer_listen: String::new(),
            transport: Transport::default(),
            client_listen: String::new(),
            client_timeout: Duration::from_millis(2_500),
            max_request: 1 << 20,
            max_clients: 10_000,
            max_waiting: 64 << 20,
            stall: Duration::from_secs(30),
            heartbeat: Duration::from_millis(50),
            election: Duration::from_millis(300),
            max_uncommitted: 64 << 20,
            max_in_flight: 4 << 20,
            segment: 64 << 20,
            snapshot: 16 << 20,
            snapshot_rate: 12 << 20,
            log_level: LevelFilter::Info,
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// This node among the members.
    pub fn me(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.name == self.name)
    }

    /// The settings of the rules.
    pub fn rules(&self) -> states::Config {
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        states::Config {
            heartbeat: Micros::from(self.heartbeat),
            election: Micros::from(self.election),
            window_bytes: bytes(self.max_in_flight),
            uncommitted_bytes: bytes(self.max_uncommitted),
            kept_bytes: bytes(self.snapshot / 4),
            pinned_bytes: bytes(4 * self.snapshot),
            ..states::Config::default()
        }
    }
}

/// Reads a file and this process's environment. `flags` are pairs of a flag's name without dashes,
/// which is a key's [`Key::short`], and its value.
pub fn load(file: &Path, flags: &[(&str, String)]) -> Result<Loaded, ConfigError> {
    let text = read_file(file)
        .map_err(|error| ConfigError::new(file.display(), format!("cannot be read: {error}")))?;
    read(file, &text, |name| std::env::var(name).ok(), flags)
}

/// The same from a text, and an environment given as a function.
pub fn read(
    file: &Path,
    text: &str,
    environment: impl Fn(&str) -> Option<String>,
    flags: &[(&str, String)],
) -> Result<Loaded, ConfigError> {
    let document = document::parse(&file.display().to_string(), text)?;
    let mut reading = Reading {
        folder: file.parent().unwrap_or(Path::new("")).to_owned(),
        file: document.file.clone(),
        config: Config::default(),
        origins: Vec::new(),
    };
    for key in KEYS {
        reading.take(key, &document, &environment, flags)?;
    }
    members::read(&mut reading.config, &document)?;
    reading.listen_at_own_addresses();
    reading.check_required()?;
    reading.check_relations()?;
    Ok(reading.finish(&document))
}

fn read_file(file: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(file)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other("longer than 1 MiB"));
    }
    Ok(text)
}

/// A configuration in the making.
struct Reading {
    folder: PathBuf,
    file: String,
    config: Config,
    /// One for each of [`KEYS`].
    origins: Vec<Origin>,
}

impl Reading {
    /// Takes one key's value from the first source that has it.
    fn take(
        &mut self,
        key: &'static Key,
        document: &Document,
        environment: &impl Fn(&str) -> Option<String>,
        flags: &[(&str, String)],
    ) -> Result<(), ConfigError> {
        let flag = flags.iter().find(|(name, _)| *name == key.short);
        let in_file = document.settings.iter().find(|found| found.name == key.name);
        let (value, origin) = if let Some((_, value)) = flag {
            (Value::Given(value.clone()), Origin::Flag(key.short))
        } else if let Some(value) = environment(&key.variable()) {
            (Value::Given(value), Origin::Environment(key))
        } else if let Some(found) = in_file {
            (found.value.clone(), Origin::File(found.line))
        } else {
            self.origins.push(Origin::Default);
            return Ok(());
        };
        self.origins.push(origin);
        (key.read)(&mut self.config, &value).map_err(|expected| {
            ConfigError::value(origin.place(&self.file), key.name, &value, &expected)
        })?;
        if key.name == "node.data" && matches!(origin, Origin::File(_)) {
            self.config.data = self.folder.join(&self.config.data);
        }
        Ok(())
    }

    /// Whoever says nothing of listening listens where the others will look.
    fn listen_at_own_addresses(&mut self) {
        let Some(me) = self.config.me().cloned() else { return };
        for (position, key) in KEYS.iter().enumerate() {
            let unsaid = self.origins[position] == Origin::Default;
            match key.name {
                "client.listen" if unsaid => self.config.client_listen = me.client.clone(),
                "peer.listen" if unsaid => self.config.peer_listen = me.peer.clone(),
                _ => continue,
            }
            if unsaid {
                self.origins[position] = Origin::Member;
            }
        }
    }

    fn check_required(&self) -> Result<(), ConfigError> {
        for (key, origin) in KEYS.iter().zip(&self.origins) {
            if key.required && *origin == Origin::Default {
                let text = format!("{} is missing; it is {}", key.name, key.comment);
                return Err(ConfigError::new(&self.file, text));
            }
        }
        if self.config.members.is_empty() {
            let text = "[[cluster.members]] is missing: expected one for each node, with name, \
                        client and peer";
            return Err(ConfigError::new(&self.file, text));
        }
        Ok(())
    }

    fn check_relations(&self) -> Result<(), ConfigError> {
        let config = &self.config;
        if config.me().is_none() {
            let names: Vec<&str> = config.members.iter().map(|member| &*member.name).collect();
            let expected = format!("the name of a member: {}", names.join(", "));
            return Err(self.wrong("node.name", &expected));
        }
        if config.election < 2 * config.heartbeat {
            return Err(self.heartbeats_too_rare());
        }
        if config.client_listen == config.peer_listen {
            return Err(self.wrong("peer.listen", "another address than client.listen"));
        }
        Ok(())
    }

    /// The mistake stands where somebody said something.
    fn heartbeats_too_rare(&self) -> ConfigError {
        let (heartbeat, _) = self.key("raft.heartbeat");
        let (election, origin) = self.key("raft.election");
        let shown = |key: &Key| format!("{}, which is {}", key.name, (key.show)(&self.config));
        if origin == Origin::Default {
            self.wrong(heartbeat.name, &format!("at most half of {}", shown(election)))
        } else {
            self.wrong(election.name, &format!("at least twice {}", shown(heartbeat)))
        }
    }

    fn wrong(&self, name: &str, expected: &str) -> ConfigError {
        let (key, origin) = self.key(name);
        let value = Value::Source((key.show)(&self.config));
        ConfigError::value(origin.place(&self.file), key.name, &value, expected)
    }

    fn key(&self, name: &str) -> (&'static Key, Origin) {
        let position = KEYS.iter().position(|key| key.name == name).expect("a known key");
        (&KEYS[position], self.origins[position])
    }

    fn finish(self, document: &Document) -> Loaded {
        let settings = KEYS
            .iter()
            .zip(self.origins)
            .map(|(key, origin)| Setting { key: key.name, value: (key.show)(&self.config), origin })
            .collect();
        let member_lines = document.members.iter().map(|member| member.line).collect();
        Loaded { config: self.config, settings, member_lines, file: self.file }
    }
}

impl Origin {
    /// Where to look, in words.
    pub fn place(&self, file: &str) -> String {
        match self {
            Origin::Flag(name) => format!("--{name}"),
            Origin::Environment(key) => format!("environment {}", key.variable()),
            Origin::File(line) => format!("{file}:{line}"),
            Origin::Member => format!("{file}: this node's member"),
            Origin::Default => "default".into(),
        }
    }
}

impl ConfigError {
    fn new(place: impl fmt::Display, text: impl Into<String>) -> ConfigError {
        ConfigError { place: place.to_string(), text: text.into() }
    }

    fn value(place: String, key: &str, value: &Value, expected: &str) -> ConfigError {
        ConfigError::new(place, format!("{key} = {value}: expected {expected}"))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        })
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = Transport::NAMES.iter().find(|(_, transport)| transport == self);
        f.write_str(named.map_or("", |(name, _)| name))
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Transport, String> {
        let named = Transport::NAMES.iter().find(|(name, _)| *name == text);
        named.map(|(_, transport)| *transport).ok_or_else(|| {
            let names: Vec<&str> = Transport::NAMES.iter().map(|(name, _)| *name).collect();
            format!("'{text}': expected {}", names.join(" or "))
        })
    }
}
