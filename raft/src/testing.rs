//! A whole cluster in one process, for tests of state machines: real nodes with real logs in
//! temporary folders, and frames through memory instead of sockets. Must never be used for data
//! that anybody wants to keep.

use std::future::{Future as _, poll_fn};
use std::path::Path;
use std::task::Poll;
use std::time::Duration;

use servers::machine::StateMachine;
use servers::node::{Network, StartError};
use servers::transport::memory::Hub;
use states::Role;
use tempfile::TempDir;

use crate::node::{Config, Node};

/// A cluster in this process. Its folders go with it.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, all running.
    pub nodes: Vec<Node>,
    /// After the nodes: it is removed when they have stopped.
    _data: TempDir,
}

/// Starts so many nodes, each with a copy of `machine`, where the system keeps temporary folders.
///
/// # Errors
/// The system gives no folder or no threads.
pub async fn cluster<M>(nodes: usize, machine: M) -> Result<Cluster, StartError>
where
    M: StateMachine + Clone + 'static,
{
    cluster_below(&std::env::temp_dir(), nodes, machine).await
}

/// The same, with a temporary folder in this one, which exists.
///
/// # Errors
/// The system gives no folder or no threads.
pub async fn cluster_below<M>(
    folder: &Path,
    nodes: usize,
    machine: M,
) -> Result<Cluster, StartError>
where
    M: StateMachine + Clone + 'static,
{
    let data = TempDir::new_in(folder).map_err(StartError::System)?;
    let members: Vec<String> = (1..=nodes).map(|number| format!("n{number}")).collect();
    let hub = Hub::new();
    let mut started = Vec::new();
    for member in &members {
        let mut config = Config::new(member, &members, data.path().join(member));
        config.timeout = Duration::from_secs(10); // a busy test machine is no fault
        let network = Network::Memory(hub.clone());
        started.push(Node::start_over(config, machine.clone(), network).await?);
    }
    Ok(Cluster { nodes: started, _data: data })
}

impl Cluster {
    /// Waits until one of the nodes leads; that one.
    ///
    /// # Panics
    /// If the node waited on stops meanwhile.
    pub async fn leader(&self) -> &Node {
        let mut watches: Vec<_> = self.nodes.iter().map(Node::watch_role).collect();
        loop {
            if let Some(leading) = self.nodes.iter().find(|node| node.status().role == Role::Leader)
            {
                return leading;
            }
            // On all of them: others may hear of a leader before that one says what it is.
            let mut changes: Vec<_> =
                watches.iter_mut().map(|watch| Box::pin(watch.changed())).collect();
            poll_fn(|context| {
                let told =
                    changes.iter_mut().any(|change| change.as_mut().poll(context).is_ready());
                if told { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    }

    /// Stops all nodes.
    pub async fn shutdown(self) {
        for node in self.nodes {
            node.shutdown().await.expect("a healthy disk");
        }
    }
}
