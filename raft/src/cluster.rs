//! A cluster as a client sees it: several addresses of which any may answer. Goes to the next when
//! one does not, but must never send a command again that may have been taken, nor one by itself that
//! belongs to a transaction.

use std::fmt;
use std::time::Duration;

use crate::client::{self, CallError, Client, Lost, Reply};
use crate::exit::{self, Failure};

/// Where a cluster is looked for when nobody says anything.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7001";

/// How long one address may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Nodes answer within their own time-out, which is shorter in all but odd configurations.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses, and at most one connection.
#[derive(Debug)]
pub struct Cluster {
    addresses: Vec<String>,
    next: usize,
    client: Option<Client>,
    lost: Lost,
    timeout: Duration,
}

/// Why a command has no reply.
#[derive(Debug)]
pub enum ClusterError {
    /// No address answered: each with its reason. The command certainly has no effect.
    Unreachable(Vec<(String, String)>),
    /// The connection to this address broke after the command was sent.
    Unknown(String, CallError),
}

impl Cluster {
    /// The addresses of a flag, else of `$RAFT_AT`, else the default.
    pub fn new(at: Option<&str>) -> Result<Cluster, Failure> {
        let variable = std::env::var("RAFT_AT").ok();
        let (source, text) = match (at, &variable) {
            (Some(text), _) => ("--at", text),
            (None, Some(text)) => ("environment RAFT_AT", text.as_str()),
            (None, None) => ("default", DEFAULT_ADDRESS),
        };
        let addresses: Vec<String> = text.split(',').map(|part| part.trim().to_owned()).collect();
        match addresses.iter().find(|address| !is_address(address)) {
            Some(wrong) => {
                let text = format!("{source}: '{wrong}': expected HOST:PORT,HOST:PORT,...");
                Err(Failure::new(exit::USAGE, text))
            }
            None => {
                let (client, lost, timeout) = (None, Lost::default(), CALL_TIMEOUT);
                Ok(Cluster { addresses, next: 0, client, lost, timeout })
            }
        }
    }

    /// The same, waiting so long for each reply.
    pub fn with_timeout(self, timeout: Duration) -> Cluster {
        Cluster { timeout, ..self }
    }

    /// All addresses, in the order given.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Where the next command goes first.
    pub fn address(&self) -> &str {
        match &self.client {
            Some(client) => client.address(),
            None => &self.addresses[self.next],
        }
    }

    /// Sends a command to the first address that takes it, and waits for its reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Reply, ClusterError> {
        if let Some(refusal) = self.lost.refuse(words) {
            return Ok(refusal);
        }
        let mut failures = Vec::new();
        if let Some(mut client) = self.client.take() {
            match client.call(words) {
                Ok(reply) => return Ok(self.keep(client, reply)),
                Err(error) => {
                    self.lost.note(client.holds());
                    let refusal = self.lost.refuse(words);
                    match (error, refusal) {
                        // Closed since the last reply: to be opened again, which is no failure yet.
                        (CallError::NotSent(_), None) => (),
                        (CallError::NotSent(_), Some(refusal)) => return Ok(refusal),
                        (error, _) => return Err(self.unknown(error)),
                    }
                }
            }
        }
        for _ in 0..self.addresses.len() {
            let address = self.addresses[self.next].clone();
            let connected = Client::connect(&address, CONNECT_TIMEOUT);
            let called = connected.map_err(CallError::NotSent).and_then(|mut client| {
                client.set_timeout(self.timeout).map_err(CallError::NotSent)?;
                client.call(words).map(|reply| (client, reply))
            });
            match called {
                Ok((client, reply)) => return Ok(self.keep(client, reply)),
                Err(CallError::NotSent(error)) => {
                    failures.push((address, client::reason(&error)));
                    self.go_on();
                }
                Err(error) => return Err(self.unknown(error)),
            }
        }
        Err(ClusterError::Unreachable(failures))
    }

    fn keep(&mut self, client: Client, reply: Reply) -> Reply {
        self.client = Some(client);
        reply
    }

    fn unknown(&mut self, error: CallError) -> ClusterError {
        let address = self.addresses[self.next].clone();
        self.go_on();
        ClusterError::Unknown(address, error)
    }

    fn go_on(&mut self) {
        self.next = (self.next + 1) % self.addresses.len();
    }
}

impl ClusterError {
    /// How the program ends if it can go no further.
    pub fn failure(&self) -> Failure {
        match self {
            ClusterError::Unreachable(_) => Failure::new(exit::UNAVAILABLE, self.to_string()),
            ClusterError::Unknown(..) => Failure::new(exit::FAILED, self.to_string()),
        }
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterError::Unreachable(failures) => {
                let tried =
                    failures.iter().map(|(address, reason)| format!("{address} ({reason})"));
                let tried: Vec<String> = tried.collect();
                let tried = tried.join(", ");
                write!(f, "nothing answers at {tried}; start a node, or name another with --at")
            }
            ClusterError::Unknown(address, error) => write!(f, "{address}: {error}"),
        }
    }
}

impl std::error::Error for ClusterError {}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
