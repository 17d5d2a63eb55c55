//! `raft run`: one node without a file.

use crate::options;

/// Runs the subcommand.
pub fn run(options: options::Run) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
