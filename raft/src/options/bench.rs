//! The command line of `raft bench`.

use std::path::PathBuf;
use std::time::Duration;

use raft::bench::requests::{MOST_KEYS, Operation};
use raft::config::Transport;
use raft::units;
use structopt::StructOpt;
use structopt::clap::AppSettings;

/// Loads servers of the Redis protocol, ours or others, and measures them
#[derive(Debug, StructOpt)]
#[structopt(
    setting = AppSettings::ArgsNegateSubcommands,
    after_help = "EXAMPLES:\n    raft bench --at 127.0.0.1:7001 --op set --clients 50 --time 10\n    raft bench --at 127.0.0.1:6379 --op get --pipeline 16 --pid 4711 -o json\n    raft bench --cluster 3 --clients 256"
)]
pub struct Bench {
    #[structopt(flatten)]
    pub loading: Loading,
    /// Addresses to load, all of them [default: $RAFT_AT, else 127.0.0.1:7001]
    #[structopt(long, value_name = "HOST:PORT,...")]
    pub at: Option<String>,
    /// Processes of the servers, whose CPU and memory are measured
    #[structopt(long, value_name = "PID,...", use_delimiter = true)]
    pub pid: Vec<u32>,
    /// Founds, loads and removes a cluster of N nodes instead
    #[structopt(long, value_name = "N", conflicts_with_all = &["at", "pid"], parse(try_from_str = nodes))]
    pub cluster: Option<u16>,
    /// Loads all nodes of that cluster, not only the leader
    #[structopt(long, requires = "cluster")]
    pub spread: bool,
    #[structopt(flatten)]
    pub hosting: Hosting,
    #[structopt(subcommand)]
    pub kind: Option<Kind>,
    /// The form of the output
    #[structopt(short = "o", value_name = "FORM", default_value = "table", possible_values = &["table", "json"])]
    pub output: String,
}

/// What else can be measured.
#[derive(Debug, StructOpt)]
pub enum Kind {
    Compare(Compare),
    Failover(Failover),
    Growth(Growth),
}

/// Our cluster beside a redis-server that syncs every write, in turns
#[derive(Debug, StructOpt)]
#[structopt(after_help = "EXAMPLE:\n    raft bench compare --quick")]
pub struct Compare {
    /// Three short rounds: under three minutes
    #[structopt(long)]
    pub quick: bool,
    /// Rounds [default: 5, or 3]
    #[structopt(long, value_name = "N", parse(try_from_str = count))]
    pub rounds: Option<usize>,
    /// What our nodes talk over, a cluster for each [default: zeromq]
    #[structopt(long, value_name = "TRANSPORT,...", use_delimiter = true)]
    pub transport: Vec<Transport>,
    /// Loads all our nodes, not only the leader
    #[structopt(long)]
    pub spread: bool,
    /// Draws throughput and p99 over clients, and over requests in flight, as SVGs in DIR
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub plots: Option<PathBuf>,
    /// Servers keep their logs in a folder within DIR, which must not be on tmpfs [default: the system's]
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub data: Option<PathBuf>,
    /// The form of the output
    #[structopt(short = "o", value_name = "FORM", default_value = "table", possible_values = &["table", "json"])]
    pub output: String,
}

/// How long writes are not taken when the leader dies or hangs
#[derive(Debug, StructOpt)]
#[structopt(after_help = "EXAMPLE:\n    raft bench failover --times 50 --fault pause")]
pub struct Failover {
    /// How many times
    #[structopt(long, value_name = "N", default_value = "10", parse(try_from_str = count))]
    pub times: usize,
    /// What is done to the leader: kill (SIGKILL) or pause (SIGSTOP)
    #[structopt(long, value_name = "FAULT", default_value = "kill", parse(try_from_str = fault))]
    pub fault: Fault,
    /// The number of nodes
    #[structopt(long, value_name = "N", default_value = "3", parse(try_from_str = nodes))]
    pub cluster: u16,
    #[structopt(flatten)]
    pub hosting: Hosting,
    /// The form of the output
    #[structopt(short = "o", value_name = "FORM", default_value = "table", possible_values = &["table", "json"])]
    pub output: String,
}

/// How our server's cost grows with each of its causes, one series after another
#[derive(Debug, StructOpt)]
#[structopt(after_help = "EXAMPLE:\n    raft bench growth --only size,idle --plots plots")]
pub struct Growth {
    /// Only these series: size, keys, nodes, where, idle, once, sessions, restart, snapshot, catchup, time (ten minutes) [default: all but time]
    #[structopt(long, value_name = "NAME,...", use_delimiter = true, hide_possible_values = true, possible_values = &SERIES)]
    pub only: Vec<String>,
    /// Shorter loads, and causes that stop earlier
    #[structopt(long)]
    pub quick: bool,
    /// Draws each series as an SVG in DIR
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub plots: Option<PathBuf>,
    #[structopt(flatten)]
    pub hosting: Hosting,
    /// The form of the output
    #[structopt(short = "o", value_name = "FORM", default_value = "table", possible_values = &["table", "json"])]
    pub output: String,
}

/// What can grow, in the order in which it is measured.
pub const SERIES: [&str; 11] = [
    "size", "keys", "nodes", "where", "idle", "once", "sessions", "restart", "snapshot", "catchup",
    "time",
];

/// Those that take so long that they are measured only when they are named.
pub const ONLY_NAMED: [&str; 1] = ["time"];

/// What is done to a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Pause,
}

impl Fault {
    /// As the command line names it.
    pub fn name(self) -> &'static str {
        match self {
            Fault::Kill => "kill",
            Fault::Pause => "pause",
        }
    }
}

// Where clusters are founded, and what they talk over. (No doc comment: see `Loading`.)
#[derive(Clone, Debug, StructOpt)]
pub struct Hosting {
    /// Clusters are founded in a folder within DIR, which must not be on tmpfs [default: the system's]
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub data: Option<PathBuf>,
    /// What their nodes talk over: zeromq or tcp
    #[structopt(long, value_name = "TRANSPORT")]
    pub transport: Option<Transport>,
}

// What is sent, and how much of it. (A doc comment here would be the help of the subcommand.)
#[derive(Clone, Debug, StructOpt)]
pub struct Loading {
    /// What is asked: set, incr, get, or do: a SET in a session (ours only)
    #[structopt(long = "op", value_name = "OPERATION", default_value = "set", parse(try_from_str = operation))]
    pub operation: Operation,
    /// Connections
    #[structopt(long, value_name = "N", default_value = "50", parse(try_from_str = count))]
    pub clients: usize,
    /// Requests that a connection may have under way
    #[structopt(long, value_name = "P", default_value = "1", parse(try_from_str = count))]
    pub pipeline: usize,
    /// Bytes of a value
    #[structopt(long, value_name = "BYTES", default_value = "64", parse(try_from_str = size))]
    pub size: usize,
    /// Different keys, drawn uniformly
    #[structopt(long, value_name = "K", default_value = "10000", parse(try_from_str = keys))]
    pub keys: u64,
    /// How long it is measured, in seconds or as in 1m
    #[structopt(long, value_name = "S", default_value = "10", parse(try_from_str = time))]
    pub time: Duration,
    /// How long it runs before that [default: a fifth of --time, at most 2 s]
    #[structopt(long, value_name = "S", parse(try_from_str = warm_up))]
    pub warm_up: Option<Duration>,
    /// Requests a second, sent when they are due, whatever the servers do; latencies count from then
    #[structopt(long, value_name = "R", parse(try_from_str = rate))]
    pub rate: Option<f64>,
    /// What keys are drawn from
    #[structopt(long, value_name = "NUMBER", default_value = "1")]
    pub seed: u64,
}

fn nodes(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(nodes @ 1..=9) => Ok(nodes),
        _ => Err(format!("'{text}': expected a number of nodes from 1 to 9")),
    }
}

fn fault(text: &str) -> Result<Fault, String> {
    let found = [Fault::Kill, Fault::Pause].into_iter().find(|fault| fault.name() == text);
    found.ok_or_else(|| format!("'{text}': expected kill or pause"))
}

fn operation(text: &str) -> Result<Operation, String> {
    let mut all = Operation::ALL.into_iter();
    let found = all.find(|operation| operation.word().eq_ignore_ascii_case(text));
    found.ok_or_else(|| format!("'{text}': expected set, incr, get or do"))
}

/// A million connections, or requests of one, are more than any machine has.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1_000_000) => Ok(count),
        _ => Err(format!("'{text}': expected a number from 1 to 1000000")),
    }
}

/// Redis's own limit.
fn size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(size @ 0..=536_870_912) => Ok(size),
        _ => Err(format!("'{text}': expected a number of bytes from 0 to 536870912")),
    }
}

fn keys(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(keys) if (1..=MOST_KEYS).contains(&keys) => Ok(keys),
        _ => Err(format!("'{text}': expected a number from 1 to {MOST_KEYS}")),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    warm_up(text).ok().filter(|time| !time.is_zero()).ok_or_else(|| expected_time(text))
}

fn warm_up(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let time = seconds.or_else(|| units::duration(text).ok());
    let day = Duration::from_secs(86_400);
    time.filter(|time| *time <= day).ok_or_else(|| expected_time(text))
}

fn expected_time(text: &str) -> String {
    format!("'{text}': expected a time such as 10, 2.5 or 1m, of a day at most")
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=1e7).contains(&rate) => Ok(rate),
        _ => {
            Err(format!("'{text}': expected a number of requests a second, from 0.001 to 10000000"))
        }
    }
}
