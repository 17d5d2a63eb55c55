//! `raft run`: one node without a file, and a counter to look at. All that others read from a file
//! follows from the ports here.

mod counter;
mod folder;
mod teller;
mod watched;

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::Context;
use raft::config::{Config, LevelFilter, LogFormat, Member};
use raft::exit::{self, Failure};
use raft::store::Store;
use raft::{logging, print, units};
use servers::founding;
use servers::host::Status;
use servers::mailbox::Mailbox;
use servers::node::Node;
use servers::storage::Identity;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use self::watched::{Change, Watched};
use super::hosting;
use super::signals::{self, Stop};
use crate::options::{self, PEER_PORT_OFFSET};

/// Runs the subcommand.
pub fn run(options: options::Run) -> anyhow::Result<()> {
    let ports = ports(&options)?;
    let identity = founding::demonstration(&ports, options.port);
    let config = config(&options, &identity);
    let log = hosting::log_options(&config);
    // Whose folder it is; opened again by the node.
    drop(folder::open(&config.data, &identity, &log, options.fresh, rand::random())?);
    logging::start(&config.name, config.log_level, config.log_format);
    let stop = signals::take_over().context("cannot wait for signals")?;
    let (sender, changes) = unbounded_channel();
    let machine = Watched::new(Store::new(), counter::question(), sender);
    let on_leadership = |now: servers::status::Leadership| logging::stands(now.term, now.role);
    let node = hosting::start(&config, &identity, machine, Box::new(on_leadership))?;
    print::text(first_lines(&options, &config, &node.status()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start")?;
    runtime.block_on(live(&options, node, stop, changes))
}

/// All ports of the cluster, the node's own first.
fn ports(options: &options::Run) -> Result<Vec<u16>, Failure> {
    let clients: Vec<u16> = [options.port].into_iter().chain(options.peers.clone()).collect();
    let peers = clients.iter().map(|port| port + PEER_PORT_OFFSET);
    let mut taken = BTreeSet::new();
    match clients.iter().copied().chain(peers).find(|port| !taken.insert(*port)) {
        None => Ok(clients),
        Some(port) => {
            let text = format!(
                "port {port} is needed twice (each node takes its port and the port + \
                 {PEER_PORT_OFFSET}); see raft run --help"
            );
            Err(Failure::new(exit::USAGE, text))
        }
    }
}

fn config(options: &options::Run, identity: &Identity) -> Config {
    let data = PathBuf::from("raft-data").join(options.port.to_string());
    let address = |port: u16| format!("127.0.0.1:{port}");
    let member = |name: &String| {
        let port: u16 = name.parse().expect("the founding names nodes by their ports");
        let (client, peer) = (address(port), address(port + PEER_PORT_OFFSET));
        Member { name: name.clone(), client, peer }
    };
    Config {
        name: options.port.to_string(),
        data: options.data.clone().unwrap_or(data),
        cluster: identity.cluster,
        members: identity.members.values().map(member).collect(),
        peer_listen: address(options.port + PEER_PORT_OFFSET),
        transport: options.transport.unwrap_or_default(),
        client_listen: address(options.port),
        log_level: LevelFilter::Warn, // the lines on stdout say the rest
        log_format: LogFormat::Text,
        ..Config::default()
    }
}

fn first_lines(options: &options::Run, config: &Config, status: &Status) -> String {
    let (by, every) = (options.by, options.every);
    let adds = if every.is_zero() {
        format!("never adds to '{}'", counter::KEY)
    } else {
        let every = units::duration_text(every);
        let unit = every.find(char::is_alphabetic).unwrap_or(every.len());
        format!("adds {by} to '{}' every {} {}", counter::KEY, &every[..unit], &every[unit..])
    };
    let pid = std::process::id();
    let folder = config.data.display();
    let fresh = if options.fresh {
        "--fresh: begins anew; start all nodes of the cluster so, or none\n"
    } else {
        ""
    };
    let begins = match status.last.index.0 {
        0 => format!("begins with an empty log in {folder}"),
        _ => format!("continues from {} in {folder}", status.last),
    };
    format!(
        "demonstration: {adds}; for a service use raft serve\n\
         process {pid}; kill -9 {pid} crashes it\n{fresh}{begins}\n"
    )
}

/// Until it is told to stop, its disk fails, or nobody reads what it tells.
async fn live(
    options: &options::Run,
    mut node: Node,
    mut stop: Stop,
    changes: UnboundedReceiver<Change>,
) -> anyhow::Result<()> {
    let mailbox = node.mailbox().clone();
    let name = options.port.to_string();
    let ended = node.ended();
    tokio::pin!(ended);
    let why = tokio::select! {
        failure = counter::tell(&name, &mailbox, changes) => Err(failure.into()),
        () = add(options, &mailbox) => Ok(()),
        () = stop.requested() => Ok(()),
        failed = &mut ended => return failed.map_err(storage_failure),
    };
    mailbox.stop();
    ended.await.map_err(storage_failure)?;
    why
}

async fn add(options: &options::Run, mailbox: &Mailbox) {
    if options.every.is_zero() {
        return std::future::pending().await;
    }
    counter::add(mailbox, options.by, options.every).await;
}

fn storage_failure(error: servers::storage::WalError) -> anyhow::Error {
    Failure::new(exit::STORAGE, error.to_string()).into()
}
