//! The subcommands, one file each. None ends the process: each returns to `main`.

pub mod check_config;
pub mod cli;
pub mod demo;
mod foreground;
pub mod init;
pub mod inspect;
mod listen;
pub mod run;
pub mod serve;
mod signals;
pub mod status;
