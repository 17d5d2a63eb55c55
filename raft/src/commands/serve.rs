//! `raft serve`: one node in the foreground, as a service runs it. Logs on stderr, nothing on stdout.
//! Must never found a data folder.

use std::collections::BTreeSet;
use std::pin::pin;

use anyhow::Context;
use raft::config::{self, Config};
use raft::exit::{self, Failure};
use raft::logging;
use raft::store::Store;
use servers::node::Node;
use servers::status::Leadership;
use servers::storage::{Expected, FolderDisk, Identity, Superblock};
use tokio::runtime;

use super::signals::{self, Stop};
use super::{hosting, listen, local};
use crate::options;

/// Runs the subcommand.
pub fn serve(options: options::Serve) -> anyhow::Result<()> {
    if let Some(parent) = options.guarded {
        local::guard::die_with_parent(parent)?;
    }
    let loaded = config::load(&options.config, &flags(&options))
        .map_err(|error| Failure::new(exit::CONFIGURATION, error.to_string()))?;
    let config = loaded.config;
    logging::start(&config.name, config.log_level, config.log_format);
    let stop = signals::take_over().context("cannot take signals over")?;
    listen::resolve("peer.listen", &config.peer_listen)?;
    let identity = identity(&config)?;
    let on_leadership = |now: Leadership| logging::stands(now.term, now.role);
    let node = hosting::start(&config, &identity, Store::new(), Box::new(on_leadership))?;
    announce(&config);
    wait(node, stop)
}

fn flags(options: &options::Serve) -> Vec<(&'static str, String)> {
    let flags = [
        ("client-listen", &options.client_listen),
        ("client-timeout", &options.client_timeout),
        ("peer-listen", &options.peer_listen),
        ("peer-transport", &options.peer_transport),
        ("data", &options.data),
        ("log-level", &options.log_level),
        ("log-format", &options.log_format),
    ];
    flags.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
}

/// Who the data folder says this node is: no other than the configuration says. The folder is free
/// again on return; the node itself takes it for good.
fn identity(config: &Config) -> anyhow::Result<Identity> {
    let expected = Expected { cluster: config.cluster, name: config.name.clone() };
    let disk = FolderDisk::open(&config.data)?;
    let superblock = Superblock::read(&disk)?;
    superblock.check(&disk, &expected)?;
    let identity = superblock.identity;
    let configured: BTreeSet<&str> = config.members.iter().map(|member| &*member.name).collect();
    let founded: BTreeSet<&str> = identity.members.values().map(String::as_str).collect();
    if configured != founded {
        let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join(", ");
        let text = format!(
            "{} was founded with the members {}, but the configuration names {}; expected the same",
            config.data.display(),
            list(founded),
            list(configured)
        );
        return Err(Failure::new(exit::DATA, text).into());
    }
    Ok(identity)
}

fn announce(config: &Config) {
    log::info!(
        "ready: raft {}, clients at {}, peers at {}, data in {}",
        super::version(),
        config.client_listen,
        config.peer_listen,
        config.data.display()
    );
    listen::warn_if_exposed(config);
}

/// Until the node has ended: by itself, or because a signal asked for it.
fn wait(mut node: Node, mut stop: Stop) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().build().context("cannot start")?;
    let mailbox = node.mailbox().clone();
    runtime.block_on(async {
        let mut ended = pin!(node.ended());
        tokio::select! {
            result = &mut ended => result,
            () = stop.requested() => {
                mailbox.stop();
                ended.await
            }
        }
    })?;
    log::info!("stopped");
    Ok(())
}
