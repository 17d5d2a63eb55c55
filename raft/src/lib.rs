//! Raft as a library and as a program: a replicated state machine of your own, or the key-value
//! store that comes with it.
//!
//! Bring a [`StateMachine`], and get it replicated: here a counter, over three nodes in one process
//! (with [`Node::start`] instead of [`testing::cluster`], each in a process of its own).
//!
//! ```
//! use raft::{Applied, Consistency, Pieces, StateMachine, Unreadable, one_piece};
//!
//! #[derive(Clone, Default)]
//! struct Counter(u64);
//!
//! impl StateMachine for Counter {
//!     fn apply(&mut self, _at: raft::At, command: &[u8], reply: &mut Vec<u8>) {
//!         self.0 += command.len() as u64;
//!         reply.extend_from_slice(self.0.to_string().as_bytes());
//!     }
//!     fn query(&self, _query: &[u8], reply: &mut Vec<u8>) {
//!         reply.extend_from_slice(self.0.to_string().as_bytes());
//!     }
//!     fn fresh(&self) -> Counter {
//!         Counter::default()
//!     }
//!     fn snapshot(&mut self) -> Box<dyn Pieces> {
//!         one_piece(self.0.to_string().into_bytes())
//!     }
//!     fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
//!         let text = std::str::from_utf8(piece).map_err(|_| Unreadable("text"))?;
//!         self.0 = text.parse().map_err(|_| Unreadable("a number"))?;
//!         Ok(())
//!     }
//!     fn digest(&self) -> u64 {
//!         self.0
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let cluster = raft::testing::cluster(3, Counter::default()).await?;
//! let node = cluster.leader().await;
//! let Applied { reply, .. } = node.propose("abc").await?;
//! assert_eq!(&reply[..], b"3");
//! let other = cluster.nodes.last().expect("three nodes");
//! assert_eq!(&other.query("", Consistency::Linearizable).await?[..], b"3");
//! cluster.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! - [`node`]: a node with a machine of your own; [`session`]: commands that take effect once, and
//!   outcomes that can be asked for; [`testing`]: a cluster in one process;
//! - `simulation`: your machine in clusters that crash, lose and forget, from seeds;
//! - [`store`]: the key-value machine;
//! - `doors`: what clients speak; `client`: a small client of the same protocol; `numbered`: one whose
//!   writes take effect once;
//! - `chaos`: faults for a cluster of real processes, and a record of what its clients saw;
//! - `bench`: a load for servers of the Redis protocol, and what it measures;
//! - `config`, `cluster`, `status`, `limits`: a node's settings, a cluster's founding, what a node
//!   tells, and what it holds beside what it may;
//! - `render`, `print`, `units`, `exit`: what the program's commands share.

#[cfg(feature = "program")]
pub mod bench;
#[cfg(feature = "program")]
pub mod chaos;
#[cfg(feature = "program")]
pub mod client;
#[cfg(feature = "program")]
pub mod cluster;
#[cfg(feature = "program")]
pub mod config;
#[cfg(feature = "program")]
pub mod doors;
#[cfg(feature = "program")]
pub mod exit;
#[cfg(feature = "program")]
pub mod limits;
#[cfg(feature = "program")]
pub mod logging;
pub mod node;
#[cfg(feature = "program")]
pub mod numbered;
#[cfg(feature = "program")]
pub mod print;
#[cfg(feature = "program")]
pub mod render;
pub mod session;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(feature = "program")]
pub mod status;
pub mod store;
pub mod testing;
#[cfg(feature = "program")]
pub mod units;

pub use messages::{LogIndex, LogPosition, LogTime, NodeId, Term};
pub use node::{Applied, Config, Consistency, Node, ProposeError, StartError};
pub use servers::host::{Filled, NoSnapshot, PeerStatus, Snapshot, Status, Usage};
pub use servers::machine::{Applied as At, Pieces, StateMachine, Unreadable, one_piece};
pub use servers::status::Leadership;
pub use servers::storage::WalError;
pub use session::{Outcome, Session};
pub use states::Role;
