//! A node in the foreground, from the look at its data folder to its end: what `raft serve` and
//! `raft run` have in common. Must never found a data folder.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::TcpListener;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context;
use messages::NodeId;
use raft::config::{Config, Transport};
use raft::doors::resp::{self, Backend, Door};
use raft::exit::{self, Failure};
use raft::logging;
use raft::status::{self, Name, Names};
use servers::host::{Batch, Outcome, Status};
use servers::machine::StateMachine;
use servers::mailbox::Mailbox;
use servers::node::{Network, Node, NodeSettings};
use servers::storage::{Expected, FolderDisk, Identity, Options, Superblock};
use servers::{run, server};
use states::Micros;
use tokio::runtime;
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use super::listen;
use super::signals::{self, Stop};

/// A client that takes nothing of its replies for so long is closed.
const WRITE_STALL: Duration = Duration::from_secs(30);
/// How often a stop looks whether the last client has its replies.
const LAST_CLIENTS: Duration = Duration::from_millis(2);

/// A node that is about to run: its folder is its own, its port for clients is taken.
pub struct Foreground {
    config: Config,
    identity: Identity,
    listener: TcpListener,
    max_clients: u64,
    stop: Stop,
}

impl Foreground {
    /// Begins to log and to take signals, looks at the folder, listens for clients.
    pub fn prepare(config: Config) -> anyhow::Result<Foreground> {
        logging::start(&config.name, config.log_level, config.log_format);
        let stop = signals::take_over().context("cannot take signals over")?;
        listen::resolve("peer.listen", &config.peer_listen)?;
        let identity = identity(&config)?;
        let max_clients = listen::reserve_descriptors(config.max_clients);
        let listener = listen::for_clients(&config.client_listen)?;
        Ok(Foreground { config, identity, listener, max_clients, stop })
    }

    /// Runs the node until a signal, a failed disk, or the end of `beside`, which runs on the node's
    /// thread and whose error is returned.
    pub fn run<M, B, F>(self, machine: M, beside: B) -> anyhow::Result<()>
    where
        M: StateMachine + 'static,
        B: FnOnce(Rc<Inside>) -> F + Send + 'static,
        F: Future<Output = anyhow::Result<()>> + 'static,
    {
        let inside = self.inside();
        let settings = node_settings(&self.config, &self.identity);
        let door = door_settings(&self.config, &self.identity, self.max_clients)?;
        let listener = self.listener;
        let (tell, told) = oneshot::channel();
        let doors = move |mailbox| async move {
            let inside = Rc::new(Inside { mailbox, names: inside });
            // Nobody listens: then the node ended by itself.
            let _ = tell.send(open_doors(listener, door, inside, beside).await);
        };
        let mut node = Node::start(settings, machine, doors)?;
        announce(&self.config);
        wait(&mut node, self.stop)?;
        told.blocking_recv().unwrap_or(Ok(()))
    }

    fn inside(&self) -> Names {
        let name = |(id, name, client): (NodeId, &str, &str)| Name {
            id,
            name: name.to_owned(),
            client: client.to_owned(),
        };
        Names {
            cluster: self.identity.cluster,
            members: addresses(&self.config, &self.identity).map(name).collect(),
            silent_after: self.config.election.mul_f64(1.5),
        }
    }
}

/// The node as its doors see it.
pub struct Inside {
    mailbox: Mailbox,
    names: Names,
}

impl Backend for Inside {
    async fn submit(&self, batch: Batch) -> Outcome {
        self.mailbox.submit(batch).await
    }

    fn status(&self) -> Status {
        self.mailbox.status()
    }

    fn describe(&self) -> Option<String> {
        Some(status::status_json(&self.mailbox.status(), &self.names))
    }
}

/// Who the data folder says this node is: no other than the configuration says. The folder is free
/// again on return; the node itself takes it for good.
fn identity(config: &Config) -> anyhow::Result<Identity> {
    let disk = FolderDisk::open(&config.data)?;
    let superblock = Superblock::read(&disk)?;
    superblock.check(&disk, &expected(config))?;
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

fn expected(config: &Config) -> Expected {
    Expected { cluster: config.cluster, name: config.name.clone() }
}

/// The members: id, name, address for clients.
fn addresses<'a>(
    config: &'a Config,
    identity: &'a Identity,
) -> impl Iterator<Item = (NodeId, &'a str, &'a str)> {
    config
        .members
        .iter()
        .filter_map(|member| Some((identity.member(&member.name)?, &*member.name, &*member.client)))
}

fn node_settings(config: &Config, identity: &Identity) -> NodeSettings {
    let Transport::ZeroMq = config.transport;
    let peers = config.members.iter().map(|member| (member.name.clone(), member.peer.clone()));
    let options = Options::default();
    NodeSettings {
        folder: config.data.clone(),
        expected: Expected { cluster: identity.cluster, name: config.name.clone() },
        log: Options {
            first_segment: options.first_segment.min(config.segment),
            segment: config.segment,
        },
        network: Network::ZeroMq { listen: config.peer_listen.clone(), peers: peers.collect() },
        config: config.rules(),
        client_timeout: Micros::from(config.client_timeout),
        waiting_bytes: server::Settings::default().waiting_bytes,
        on_leadership: Box::new(|leadership| logging::stands(leadership.term, leadership.role)),
    }
}

fn door_settings(
    config: &Config,
    identity: &Identity,
    max_clients: u64,
) -> anyhow::Result<resp::Settings> {
    let member = |(id, name, client): (NodeId, &str, &str)| {
        (id, resp::Member { name: name.to_owned(), client: client.to_owned() })
    };
    let members: BTreeMap<NodeId, resp::Member> = addresses(config, identity).map(member).collect();
    Ok(resp::Settings {
        node: identity.node,
        members,
        port: listen::resolve("client.listen", &config.client_listen)?.port(),
        max_request: usize::try_from(config.max_request)?,
        max_clients: usize::try_from(max_clients)?,
        write_stall: WRITE_STALL,
        clock: run::now,
        wall: run::wall,
    })
}

/// Serves clients, and `beside`, until the node stops; and then until the last replies are taken.
async fn open_doors<B, F>(
    listener: TcpListener,
    settings: resp::Settings,
    inside: Rc<Inside>,
    beside: B,
) -> anyhow::Result<()>
where
    B: FnOnce(Rc<Inside>) -> F,
    F: Future<Output = anyhow::Result<()>> + 'static,
{
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let door = Rc::new(Door::new(settings));
    let serving = spawn_local(resp::serve(listener, Rc::clone(&door), Rc::clone(&inside)));
    let mailbox = inside.mailbox.clone();
    let result = tokio::select! {
        () = mailbox.stopping() => Ok(()),
        result = beside(inside) => result,
    };
    mailbox.stop();
    door.stop();
    serving.await?;
    while door.connected() > 0 {
        tokio::time::sleep(LAST_CLIENTS).await;
    }
    result
}

fn announce(config: &Config) {
    log::info!(
        "ready: clients at {}, peers at {}, data in {}",
        config.client_listen,
        config.peer_listen,
        config.data.display()
    );
    listen::warn_if_exposed(config);
}

/// Until the node has ended: by itself, or because a signal asked for it.
fn wait(node: &mut Node, mut stop: Stop) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().build()?;
    let mailbox = node.mailbox().clone();
    runtime.block_on(async move {
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
