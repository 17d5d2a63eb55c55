//! The command line. Only what is asked for and how it is read; no defaults that depend on a file,
//! no work.

mod bench;

use std::path::PathBuf;
use std::time::Duration;

use raft::config::Transport;
use raft::units;
use structopt::StructOpt;
use structopt::clap::AppSettings;

pub use bench::{
    Bench, Compare, Failover, Fault, Growth, Hosting, Kind, Loading, ONLY_NAMED, SERIES,
};

/// How far a node's port for peers lies above its port for clients.
pub const PEER_PORT_OFFSET: u16 = 10_000;

/// Raft: a replicated, fault-tolerant key-value store that any Redis client can use.
#[derive(Debug, StructOpt)]
#[structopt(
    name = "raft",
    global_settings = &[AppSettings::VersionlessSubcommands],
    after_help = "EXAMPLE:\n    raft demo\n\nEach subcommand has a --help of its own, with an example."
)]
pub enum Options {
    Demo(Demo),
    Run(Run),
    Init(Init),
    Serve(Serve),
    Cli(Cli),
    CheckConfig(CheckConfig),
    Status(Status),
    Snapshot(Snapshot),
    Inspect(Inspect),
    Bench(Bench),
    Guard(Guard),
}

/// A whole cluster in one command: real nodes, real sockets, a prompt to try things out
#[derive(Debug, StructOpt)]
#[structopt(
    after_help = "EXAMPLES:\n    raft demo\n    raft demo -e 'incr hits' -e 'kill leader' -e 'incr hits'\n    echo status | raft demo --nodes 5"
)]
pub struct Demo {
    /// Number of nodes
    #[structopt(long, value_name = "N", default_value = "3")]
    pub nodes: usize,
    /// Runs LINE instead of a prompt; may be given several times
    #[structopt(
        short = "e",
        value_name = "LINE",
        number_of_values = 1,
        allow_hyphen_values = true
    )]
    pub lines: Vec<String>,
    /// Keeps the nodes' data in DIR instead of a temporary folder
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub keep: Option<PathBuf>,
    /// Slow enough for eyes: heartbeat 1 s, election 3 s, client time-out 15 s
    #[structopt(long)]
    pub slow: bool,
    /// How the nodes talk to each other: zeromq or tcp [default: zeromq]
    #[structopt(long, value_name = "TRANSPORT")]
    pub transport: Option<Transport>,
    /// Runs the lines of FILE instead of a prompt
    #[structopt(value_name = "FILE", parse(from_os_str), conflicts_with = "lines")]
    pub file: Option<PathBuf>,
}

/// One node without a file, on 127.0.0.1: its own port, then its peers' ports
#[derive(Debug, StructOpt)]
#[structopt(
    after_help = "EXAMPLE, one terminal each:\n    raft run 4000 3000 2000\n    raft run 3000 4000 2000\n    raft run 2000 4000 3000"
)]
pub struct Run {
    /// The port for this node's clients, and its name; peers connect to it + 10000
    #[structopt(value_name = "PORT", parse(try_from_str = client_port))]
    pub port: u16,
    /// The same of every other node; none: a cluster of one
    #[structopt(value_name = "PEER", parse(try_from_str = client_port))]
    pub peers: Vec<u16>,
    /// Where the data lies [default: ./raft-data/PORT]
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub data: Option<PathBuf>,
    /// Begins anew and removes old data: all nodes together, or none
    #[structopt(long)]
    pub fresh: bool,
    /// How the nodes talk to each other, the same on all: zeromq or tcp [default: zeromq]
    #[structopt(long, value_name = "TRANSPORT")]
    pub transport: Option<Transport>,
    /// What it adds to the key `counter` while it leads
    #[structopt(long, value_name = "NUMBER", default_value = "1", allow_hyphen_values = true)]
    pub by: i64,
    /// How often it adds; 0 for never
    #[structopt(long, value_name = "DURATION", default_value = "1s", parse(try_from_str = duration))]
    pub every: Duration,
}

/// Founds a cluster: a configuration file and a data folder for each node
#[derive(Debug, StructOpt)]
#[structopt(
    after_help = "EXAMPLE:\n    raft init ./cluster --members 127.0.0.1:7001,127.0.0.1:7002,127.0.0.1:7003"
)]
pub struct Init {
    /// The folder to write to; what lies there is never overwritten
    #[structopt(value_name = "DIR", parse(from_os_str))]
    pub folder: PathBuf,
    /// Where clients reach each node; peers' ports are these + 10000
    #[structopt(long, value_name = "HOST:PORT,...", required = true, use_delimiter = true, parse(try_from_str = member))]
    pub members: Vec<(String, u16)>,
    /// How the nodes talk to each other: zeromq or tcp [default: zeromq]
    #[structopt(long, value_name = "TRANSPORT")]
    pub transport: Option<Transport>,
}

/// One node in the foreground, as a service runs it
#[derive(Debug, StructOpt)]
#[structopt(
    after_help = "EXAMPLE:\n    raft serve --config ./cluster/n1.toml\n\nA flag counts more than the environment (RAFT_LOG_LEVEL for log.level), that more than the file,\nthat more than the default."
)]
pub struct Serve {
    /// The configuration file, as `raft init` writes it
    #[structopt(long, value_name = "FILE", parse(from_os_str))]
    pub config: PathBuf,
    /// Where clients are listened for, instead of client.listen in the file
    #[structopt(long, value_name = "HOST:PORT")]
    pub client_listen: Option<String>,
    /// Every request is answered within this time, instead of client.timeout
    #[structopt(long, value_name = "DURATION")]
    pub client_timeout: Option<String>,
    /// Where the other nodes are listened for, instead of peer.listen
    #[structopt(long, value_name = "HOST:PORT")]
    pub peer_listen: Option<String>,
    /// How the nodes talk to each other, instead of peer.transport: zeromq or tcp
    #[structopt(long, value_name = "TRANSPORT")]
    pub peer_transport: Option<String>,
    /// The data folder, instead of node.data
    #[structopt(long, value_name = "DIR")]
    pub data: Option<String>,
    /// error, warn, info, debug, trace or off, instead of log.level
    #[structopt(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// text or json, instead of log.format
    #[structopt(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Ends when the process PID, which started it, ends
    #[structopt(long, value_name = "PID", hidden = true)]
    pub guarded: Option<u32>,
}

/// A prompt against a running cluster, or one command
#[derive(Debug, StructOpt)]
#[structopt(setting = AppSettings::TrailingVarArg, setting = AppSettings::AllowLeadingHyphen, after_help = "EXAMPLES:\n    raft cli --at 127.0.0.1:7001,127.0.0.1:7002\n    raft cli incr hits")]
pub struct Cli {
    /// Addresses to try, in this order [default: $RAFT_AT, else 127.0.0.1:7001]
    #[structopt(long, value_name = "HOST:PORT,...")]
    pub at: Option<String>,
    /// The command and its arguments; none: a prompt, or lines from stdin
    #[structopt(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// Checks a configuration file and prints what is in force, and where each value comes from
#[derive(Debug, StructOpt)]
#[structopt(after_help = "EXAMPLE:\n    raft check-config ./cluster/n1.toml")]
pub struct CheckConfig {
    /// The configuration file
    #[structopt(value_name = "FILE", parse(from_os_str))]
    pub file: PathBuf,
}

/// The cluster as one node sees it
#[derive(Debug, StructOpt)]
#[structopt(
    after_help = "EXAMPLES:\n    raft status\n    raft status --at 127.0.0.1:7002 --limits\n    raft status -o json"
)]
pub struct Status {
    /// Addresses to try, in this order [default: $RAFT_AT, else 127.0.0.1:7001]
    #[structopt(long, value_name = "HOST:PORT,...")]
    pub at: Option<String>,
    /// The form of the output
    #[structopt(short = "o", value_name = "FORM", default_value = "table", possible_values = &["table", "json"])]
    pub output: String,
    /// Adds what the asked node holds beside what it may, and what happens then (always in json)
    #[structopt(long)]
    pub limits: bool,
    /// Prints it again each second, until interrupted
    #[structopt(long)]
    pub watch: bool,
}

/// Has one node take a snapshot now, and waits until it is in place
#[derive(Debug, StructOpt)]
#[structopt(after_help = "EXAMPLES:\n    raft snapshot\n    raft snapshot --at 127.0.0.1:7002")]
pub struct Snapshot {
    /// The node; of several addresses the first that answers [default: $RAFT_AT, else 127.0.0.1:7001]
    #[structopt(long, value_name = "HOST:PORT,...")]
    pub at: Option<String>,
}

/// For `raft demo` and `raft bench` alone: what they leave behind when they are killed, this removes
#[derive(Debug, StructOpt)]
#[structopt(setting = AppSettings::Hidden)]
pub struct Guard {
    /// The folder to make a temporary one in
    #[structopt(value_name = "DIR", parse(from_os_str))]
    pub within: Option<PathBuf>,
}

/// The log of a stopped node, entry by entry, or what is damaged in it
#[derive(Debug, StructOpt)]
#[structopt(after_help = "EXAMPLE:\n    raft inspect ./cluster/n1")]
pub struct Inspect {
    /// The node's data folder
    #[structopt(value_name = "DIR", parse(from_os_str))]
    pub folder: PathBuf,
}

/// Reads a port for clients, which must leave room for the peers' above it.
pub fn client_port(text: &str) -> Result<u16, String> {
    let most = u16::MAX - PEER_PORT_OFFSET;
    match text.parse() {
        Ok(port) if (1..=most).contains(&port) => Ok(port),
        _ => Err(format!("expected a port from 1 to {most} (peers use the port + 10000)")),
    }
}

fn member(text: &str) -> Result<(String, u16), String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() => Ok((host.to_owned(), client_port(port)?)),
        _ => Err(format!("'{text}': expected HOST:PORT, such as 127.0.0.1:7001")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|expected| format!("'{text}': expected {expected}"))
}
