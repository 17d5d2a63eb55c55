//! Options of each tool that runs a cluster of processes. Must never find a program that is older
//! than the sources, unless it was named.

use std::path::PathBuf;

use anyhow::Result;
use structopt::StructOpt;

use crate::folder::Folder;
use crate::program;

// Which program is run, and where its data lies.
#[allow(
    missing_docs,
    reason = "it would stand in the help of each tool, instead of the tool's own"
)]
#[derive(Debug, StructOpt)]
pub struct ClusterOptions {
    /// The program `raft`, instead of a release build of the sources
    #[structopt(long, value_name = "PATH", parse(from_os_str))]
    pub raft: Option<PathBuf>,
    /// Keeps the data in DIR, instead of a temporary folder
    #[structopt(long, value_name = "DIR", parse(from_os_str))]
    pub data: Option<PathBuf>,
}

impl ClusterOptions {
    /// The program; builds it unless one was named.
    ///
    /// # Errors
    /// It cannot be built.
    pub fn program(&self) -> Result<PathBuf> {
        self.raft.clone().map_or_else(program::build, Ok)
    }

    /// The folder for the data; the name of a temporary one begins so.
    ///
    /// # Errors
    /// There is no disk to write to.
    pub fn folder(&self, prefix: &str) -> Result<Folder> {
        match &self.data {
            Some(path) => Ok(Folder::Given(path.clone())),
            None => Folder::temporary(prefix),
        }
    }
}
