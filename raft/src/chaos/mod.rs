//! Real faults for real clusters, and proof of what clients saw meanwhile: for `raft demo` and for
//! longer runs. Must never touch a node from within: it is reached over its sockets, by signals and by
//! its files alone.
//!
//! - [`links`]: a TCP proxy for each directed link between nodes, and [`configuration`] that sends a
//!   node's frames through them.

pub mod configuration;
pub mod faults;
pub mod links;
