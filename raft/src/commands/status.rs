//! `raft status`: the cluster as one node sees it.

use crate::options;

/// Runs the subcommand.
pub fn status(options: options::Status) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
