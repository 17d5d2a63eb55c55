//! A cluster that is founded to be measured: nodes that talk directly, in a temporary folder on a real
//! disk. Nothing of it is left at the end.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context;
use raft::config::Transport;

use super::folder::Place;
use crate::commands::local::cluster::Cluster;
use crate::commands::local::founding::{Founding, Pace, Settings};
use crate::options;

/// A cluster that runs.
#[derive(Debug)]
pub struct Hosted {
    /// Its nodes.
    pub cluster: Cluster,
    /// What they talk over.
    pub transport: Transport,
    place: Place,
}

impl Hosted {
    /// Founds one as the options say, and starts it.
    pub fn start(options: &options::Hosting, nodes: u16) -> anyhow::Result<Hosted> {
        Hosted::start_with(options, nodes, &[])
    }

    /// The same with settings that count more than the configuration.
    pub fn start_with(
        options: &options::Hosting,
        nodes: u16,
        settings: Settings,
    ) -> anyhow::Result<Hosted> {
        let transport = options.transport.unwrap_or_default();
        Hosted::found(Place::new(options.data.as_deref())?, transport, (nodes, 0), settings)
    }

    /// The same, but for the last node, which is founded and not started.
    pub fn start_without_last(
        options: &options::Hosting,
        nodes: u16,
        settings: Settings,
    ) -> anyhow::Result<Hosted> {
        let transport = options.transport.unwrap_or_default();
        Hosted::found(Place::new(options.data.as_deref())?, transport, (nodes, 1), settings)
    }

    /// Founds one within a folder, and starts it.
    pub fn start_in(place: Place, transport: Transport, nodes: u16) -> anyhow::Result<Hosted> {
        Hosted::found(place, transport, (nodes, 0), &[])
    }

    fn found(
        place: Place,
        transport: Transport,
        (nodes, absent): (u16, u16),
        settings: Settings,
    ) -> anyhow::Result<Hosted> {
        let pace = Pace::Usual;
        let founding = Founding { nodes, absent, pace, transport, has_links: false, settings };
        let cluster = Cluster::start(founding, Some(&place.folder))?;
        Ok(Hosted { cluster, transport, place })
    }

    /// Where the leader takes clients; waits until there is one.
    pub fn leader(&mut self) -> anyhow::Result<SocketAddr> {
        let (number, ..) = self.cluster.wait_for_leader(Instant::now())?;
        self.address(number)
    }

    /// The leader's number, and that of one that follows it; waits until there is one.
    pub fn leader_and_follower(&mut self) -> anyhow::Result<(usize, usize)> {
        let (leader, ..) = self.cluster.wait_for_leader(Instant::now())?;
        let mut others = self.cluster.nodes.iter().map(|node| node.number);
        let follower = others.find(|number| *number != leader);
        Ok((leader, follower.context("nobody follows a single node")?))
    }

    /// Where a node takes clients.
    pub fn address(&mut self, number: usize) -> anyhow::Result<SocketAddr> {
        Ok(self.cluster.node(number).address.parse()?)
    }

    /// Where all nodes take clients.
    pub fn all(&self) -> anyhow::Result<Vec<SocketAddr>> {
        self.cluster.nodes.iter().map(|node| Ok(node.address.parse()?)).collect()
    }

    /// The nodes' process ids.
    pub fn processes(&self) -> Vec<u32> {
        self.cluster.nodes.iter().filter_map(|node| node.pid()).collect()
    }

    /// What it is and where it lies.
    pub fn description(&self) -> String {
        let (nodes, transport) = (self.cluster.nodes.len(), self.transport);
        let Place { folder, file_system, .. } = &self.place;
        let plural = if nodes == 1 { "node" } else { "nodes" };
        let folder = folder.display();
        format!("{nodes} {plural} over {transport}, logs on {file_system} in {folder}")
    }

    /// Stops it and removes it.
    pub fn end(self) -> anyhow::Result<()> {
        self.cluster.end()
    }
}
