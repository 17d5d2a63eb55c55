//! `raft cli`: a prompt against a running cluster, or one command.

use crate::options;

/// Runs the subcommand.
pub fn cli(options: options::Cli) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
