//! `raft demo`: a whole cluster in one command.

use crate::options;

/// Runs the subcommand.
pub fn demo(options: options::Demo) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
