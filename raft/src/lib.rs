//! Raft as a program and as a library: the key-value store that it replicates, and the doors that
//! clients come in by.
//!
//! - [`store`]: the key-value machine;
//! - [`doors`]: what clients speak.

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
pub mod print;
#[cfg(feature = "program")]
pub mod render;
#[cfg(feature = "program")]
pub mod status;
pub mod store;
#[cfg(feature = "program")]
pub mod units;
