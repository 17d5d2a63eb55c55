//! Raft as a program and as a library: a replicated state machine of your own, or the key-value
//! store that comes with it.
//!
//! - [`store`]: the key-value machine;
//! - [`doors`]: what clients speak;
//! - [`client`]: a small client of the same protocol;
//! - [`config`], [`cluster`], [`status`]: a node's settings, a cluster's founding, what a node tells;
//! - [`render`], [`print`], [`units`], [`exit`]: what the program's commands share.

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
pub mod logging;
#[cfg(feature = "program")]
pub mod print;
#[cfg(feature = "program")]
pub mod render;
#[cfg(feature = "program")]
pub mod status;
pub mod store;
#[cfg(feature = "program")]
pub mod units;
