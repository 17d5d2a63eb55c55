//! `raft serve`: one node in the foreground.

use crate::options;

/// Runs the subcommand.
pub fn serve(options: options::Serve) -> anyhow::Result<()> {
    anyhow::bail!("not there yet: {options:?}")
}
