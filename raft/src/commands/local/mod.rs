//! A cluster on this machine that the program founds, starts and stops by itself, each node a process
//! of its own: for `raft demo` and `raft bench`. Nothing of it may outlive the program ([`guard`]).

pub mod cluster;
pub mod founding;
pub mod guard;
pub mod node;
pub mod ports;
pub mod view;
