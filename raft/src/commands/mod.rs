//! The subcommands, one file each. None ends the process: each returns to `main`.

pub mod check_config;
pub mod cli;
pub mod demo;
mod folder;
mod hosting;
pub mod init;
pub mod inspect;
pub mod run;
pub mod serve;
pub mod status;
