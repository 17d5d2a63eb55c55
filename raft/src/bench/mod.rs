//! A load generator for servers that speak the Redis protocol, ours or others, and what it measures.
//! Must cost little: it shares the machine with what it measures. So one thread, sockets that never
//! block, and no allocation per request.
//!
//! - [`generator`]: keeps the load up over [`connection`]s, which send [`requests`] and skip
//!   [`replies`]; `schedule`: when requests are due in an open loop; [`numbering`]: sessions;
//! - [`latencies`]: how long requests took; [`findings`]: all that was found;
//! - [`fill`]: writes what is asked for;
//! - [`probe`]: how soon writes are taken again after a fault;
//! - [`idle`]: connections that ask for nothing; [`disk`]: what the disk takes without us;
//! - [`machine`]: who used the processors meanwhile; [`rounds`]: two servers against each other.

pub mod connection;
mod descriptors;
pub mod disk;
pub mod fill;
pub mod findings;
pub mod generator;
pub mod idle;
pub mod latencies;
pub mod machine;
pub mod numbering;
pub mod probe;
pub mod replies;
pub mod requests;
pub mod rounds;
mod schedule;

use std::net::SocketAddr;
use std::time::Duration;

use self::machine::Processes;
use self::requests::Operation;

/// A load: what is sent to whom, and how much of it.
#[derive(Clone, Debug)]
pub struct Load {
    /// Connections are spread over these evenly.
    pub addresses: Vec<SocketAddr>,
    /// What is asked.
    pub operation: Operation,
    /// Connections.
    pub clients: usize,
    /// Requests that a connection may have under way.
    pub pipeline: usize,
    /// Bytes of a value.
    pub size: usize,
    /// Different keys.
    pub keys: u64,
    /// How long it is measured.
    pub time: Duration,
    /// How long it runs before that.
    pub warm_up: Duration,
    /// Requests a second, sent when they are due, whatever the servers do; `None`: each connection
    /// sends when it has an answer.
    pub rate: Option<f64>,
    /// What keys are drawn from.
    pub seed: u64,
    /// Whose work is not foreign.
    pub processes: Processes,
}
