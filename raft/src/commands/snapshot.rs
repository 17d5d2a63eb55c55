//! `raft snapshot`: has one node take a snapshot now. Must never say that there is one before it is in
//! place.

use std::time::Duration;

use raft::client::Reply;
use raft::cluster::Cluster;
use raft::exit::{self, Failure};
use raft::{print, render, units};

use crate::options;

/// What a node may take to write all that it holds: as long as a disk may need for a full memory.
const TIMEOUT: Duration = Duration::from_secs(3_600);

/// Runs the subcommand.
pub fn snapshot(options: options::Snapshot) -> anyhow::Result<()> {
    let mut cluster = Cluster::new(options.at.as_deref())?.with_timeout(TIMEOUT);
    let reply = cluster.call(&["RAFT.SNAPSHOT"]).map_err(|error| error.failure())?;
    Ok(print::line(told(&reply, cluster.address())?)?)
}

/// What the node answered, in a line.
fn told(reply: &Reply, address: &str) -> Result<String, Failure> {
    match reply {
        Reply::Array(parts) => match &parts[..] {
            [Reply::Bulk(position), Reply::Integer(bytes), Reply::Bulk(name)] => {
                let [name, position] = [name, position].map(|word| String::from_utf8_lossy(word));
                let size = units::rounded_size(u64::try_from(*bytes).unwrap_or(0));
                let line = format!("node {name} has a snapshot up to {position}, {size}");
                Ok(render::plain(&line))
            }
            _ => Err(foreign(address)),
        },
        Reply::Error(text) if text.starts_with("ERR unknown command") => Err(foreign(address)),
        Reply::Error(text) => {
            let unavailable =
                ["CLUSTERDOWN", "TRYAGAIN", "OOM"].iter().any(|word| text.starts_with(word));
            let code = if unavailable { exit::UNAVAILABLE } else { exit::FAILED };
            Err(Failure::new(code, format!("{address}: {}", render::plain(text))))
        }
        _ => Err(foreign(address)),
    }
}

fn foreign(address: &str) -> Failure {
    Failure::new(exit::FAILED, format!("{address} takes no snapshot: is it a node of raft?"))
}
