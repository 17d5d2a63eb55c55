//! `raft serve`: one node in the foreground, as a service runs it. Logs on stderr, nothing on stdout.

use std::future::pending;

use raft::config;
use raft::exit::{self, Failure};
use raft::store::Store;

use super::foreground::Foreground;
use crate::options;

/// Runs the subcommand.
pub fn serve(options: options::Serve) -> anyhow::Result<()> {
    let loaded = config::load(&options.config, &flags(&options))
        .map_err(|error| Failure::new(exit::CONFIGURATION, error.to_string()))?;
    Foreground::prepare(loaded.config)?.run(Store::new(), |_| pending())
}

fn flags(options: &options::Serve) -> Vec<(&'static str, String)> {
    let flags = [
        ("client-listen", &options.client_listen),
        ("client-timeout", &options.client_timeout),
        ("peer-listen", &options.peer_listen),
        ("data", &options.data),
        ("log-level", &options.log_level),
        ("log-format", &options.log_format),
    ];
    flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}
