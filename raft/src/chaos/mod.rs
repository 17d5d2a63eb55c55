//! Real faults for real clusters, and proof of what clients saw meanwhile: for `raft demo` and for
//! longer runs. Must never touch a node from within: it is reached over its sockets, by signals and by
//! its files alone.
//!
//! - [`links`]: a TCP proxy for each directed link between nodes, and [`configuration`] that sends a
//!   node's frames through them;
//! - [`faults`]: random faults of links, processes and whatever else a cluster offers;
//! - [`load`]: clients at work; [`history`]: all that they asked and heard, to be judged.

pub mod configuration;
#[cfg(test)]
mod fake;
pub mod faults;
pub mod history;
pub mod links;
pub mod load;
