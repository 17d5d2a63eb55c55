//! Raft as a program and as a library: the key-value store that it replicates, and the doors that
//! clients come in by.
//!
//! - [`store`]: the key-value machine;
//! - [`doors`]: what clients speak.

#[cfg(feature = "program")]
pub mod doors;
pub mod store;
