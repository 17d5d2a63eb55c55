//! `raft inspect`: a stopped node's log.

use crate::options;

/// Runs the subcommand.
pub fn inspect(options: options::Inspect) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
