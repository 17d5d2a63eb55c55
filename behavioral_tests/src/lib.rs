//! What tests and tools that start whole clusters of processes share. Must never reach into a node:
//! everything here sees it as its clients and the system do.

pub mod chaos;
pub mod counts;
pub mod folder;
pub mod keys;
pub mod nodes;
pub mod ports;
pub mod program;
