//! Small rigs for the benchmarks of this package: parts of a cluster on one thread, without a clock,
//! a socket or a thread of their own, so that nothing but the part is measured. Must never be faster
//! than the parts in service: whatever they do there for a write is done here.
//!
//! - [`rules`]: three state objects;
//! - [`actors`]: three servers with codec and log, over [`memory_disk`];
//! - [`samples`]: what is written, proposed and asked.

pub mod actors;
pub mod memory_disk;
pub mod rules;
pub mod samples;
