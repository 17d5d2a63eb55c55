//! The subcommands, one file each. None ends the process: each returns to `main`.

pub mod bench;
pub mod check_config;
pub mod cli;
pub mod demo;
mod hosting;
pub mod init;
pub mod inspect;
mod listen;
pub mod local;
pub mod run;
pub mod serve;
mod signals;
pub mod snapshot;
pub mod status;

/// The program's version, and that of the library that it was built with.
#[cfg(feature = "zeromq")]
pub fn version() -> String {
    let (major, minor, patch) = zmq::version();
    let curve = if zmq::has("curve").unwrap_or(false) { "with CURVE" } else { "without CURVE" };
    format!("{} (libzmq {major}.{minor}.{patch} {curve})", env!("CARGO_PKG_VERSION"))
}

/// The program's version.
#[cfg(not(feature = "zeromq"))]
pub fn version() -> String {
    format!("{} (without ZeroMQ)", env!("CARGO_PKG_VERSION"))
}
