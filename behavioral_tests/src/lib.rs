//! What tests and tools that start whole clusters of processes share, and how known faults are seeded
//! to see whether tests find them. Must never reach into a node: everything here sees it as its
//! clients and the system do.

pub mod chaos;
pub mod cluster_options;
pub mod command_line;
pub mod counts;
pub mod defects;
pub mod folder;
pub mod keys;
pub mod nodes;
pub mod ports;
pub mod program;
