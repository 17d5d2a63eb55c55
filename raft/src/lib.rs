//! A replicated, fault-tolerant service by the Raft consensus algorithm.

#[cfg(feature = "program")]
pub mod client;
#[cfg(feature = "program")]
pub mod cluster;
#[cfg(feature = "program")]
pub mod config;
#[cfg(feature = "program")]
pub mod exit;
#[cfg(feature = "program")]
pub mod logging;
#[cfg(feature = "program")]
pub mod print;
#[cfg(feature = "program")]
pub mod render;
#[cfg(feature = "program")]
pub mod status;
#[cfg(feature = "program")]
pub mod units;
