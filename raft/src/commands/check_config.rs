//! `raft check-config`: prints what is in force.

use crate::options;

/// Runs the subcommand.
pub fn check_config(options: options::CheckConfig) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
