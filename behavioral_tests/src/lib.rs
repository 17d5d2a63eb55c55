//! What tests and tools that start whole clusters of processes share, and seeded defects. Must never reach into a node:
//! everything here sees it as its clients and the system do.

pub mod counts;
pub mod defects;
pub mod ports;
