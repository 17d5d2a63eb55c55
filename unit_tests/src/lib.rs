//! What the tests of the rules stand on: nodes that are driven only through inputs, a handful of
//! them with queues between and a disk that finishes when told, and golden scripts. Must never
//! build a state by hand: a log of several terms is reached as a real node reaches it.
//!
//! - [`node`]: one state with its replica and its disk;
//! - [`architecture`]: the rules that the sources themselves must keep;
//! - [`cluster`]: some nodes, virtual time, queues of messages;
//! - [`counter`]: a machine that counts;
//! - [`inputs`]: messages in a line;
//! - [`notation`]: how a trace reads;
//! - [`ports`]: ports that no other test has;
//! - [`properties`]: what must hold for any input from outside;
//! - [`roles`]: n1 in a given role, with a given log;
//! - [`script`]: golden scripts, rewritten by `UPDATE_GOLDENFILES=1 cargo test -p unit_tests`.

pub mod architecture;
pub mod cluster;
pub mod counter;
pub mod inputs;
pub mod node;
pub mod notation;
#[path = "../../behavioral_tests/src/ports.rs"]
pub mod ports;
pub mod properties;
pub mod roles;
pub mod script;

pub use cluster::Cluster;
pub use node::Node;
