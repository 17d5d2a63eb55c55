//! `raft init`: founds a cluster.

use crate::options;

/// Runs the subcommand.
pub fn init(options: options::Init) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
