//! The links between nodes as TCP proxies, one for each *directed* link, so that each can be cut,
//! delayed or throttled alone. Must never change, drop or reorder a byte within a connection: what it
//! cannot deliver it takes back by breaking the connection.
//!
//! **The link from i to j** is every connection that i opens to j: node i's configuration names the
//! proxy's address where it would name j's. Peers send on simplex lanes, so i's frames to j travel
//! forward on these connections and on no other; backward comes only what the transport
//! says of itself, such as heartbeats. A cut or delay of the link from j to i is one of j's connections,
//! not of this one.
//!
//! **What a fault does to a connection.** A cut holds both ways, since a connection of which one way
//! is dead is dead. Where it is *silent* (a black hole), connections stay and nothing passes, also on
//! those that are opened meanwhile; both ends find out by their own time-outs. Such a connection is
//! broken when the link is healed: it has a hole. Where it is *refused*, connections are closed, and
//! new ones at once. A delay makes what goes forward come later, in order and at the same rate; a
//! throttle makes it pass at so many bytes a second. Neither holds for what comes backward.

mod connection;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime;
use tokio::sync::{oneshot, watch};

/// After a failure to take a connection (no descriptors are left), before the next try.
const PAUSE: Duration = Duration::from_millis(20);

/// A directed link: `from` opens connections to `to`, which listens at `target`. Nodes are known by
/// their numbers, whichever the caller gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who opens connections.
    pub from: usize,
    /// Who takes them.
    pub to: usize,
    /// Where it really listens.
    pub target: SocketAddr,
}

/// How a link is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A black hole: connections stay, nothing passes.
    Silent,
    /// Connections are closed, and new ones at once.
    Refused,
}

/// What a link is like at the moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Whether, and how, it is cut.
    pub cut: Option<Cut>,
    /// How much later bytes come.
    pub delay: Duration,
    /// Bytes a second at most, at least 1.
    pub rate: Option<u64>,
}

/// The proxies of all links. They end with this.
#[derive(Debug)]
pub struct Links {
    ends: BTreeMap<(usize, usize), End>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the rest of the program holds of a link.
#[derive(Debug)]
struct End {
    address: SocketAddr,
    condition: watch::Sender<Condition>,
}

impl Links {
    /// No proxies: for nodes that talk to each other directly.
    pub fn none() -> Links {
        Links { ends: BTreeMap::new(), stop: None, thread: None }
    }

    /// Listens for each link on a port of 127.0.0.1 that the system chooses, and serves all of them
    /// on one thread.
    ///
    /// # Errors
    /// If there is no port, descriptor or thread left.
    ///
    /// # Panics
    /// If a link is named twice.
    pub fn start(links: Vec<Link>) -> io::Result<Links> {
        let mut ends = BTreeMap::new();
        let mut proxies = Vec::new();
        for link in links {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            let (condition, follow) = watch::channel(Condition::default());
            let end = End { address: listener.local_addr()?, condition };
            let twice = ends.insert((link.from, link.to), end);
            assert!(twice.is_none(), "one proxy a link: {link:?}");
            proxies.push(Proxy { listener, target: link.target, condition: follow });
        }
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let thread = thread::Builder::new().name("links".into()).spawn(move || {
            match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime.block_on(serve(proxies, ready, stopped)),
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        started.recv().map_err(io::Error::other)??;
        Ok(Links { ends, stop: Some(stop), thread: Some(thread) })
    }

    /// All links among nodes `1..=targets.len()`, each of which listens where `targets` says.
    ///
    /// # Errors
    /// As [`Links::start`].
    pub fn between_all(targets: &[SocketAddr]) -> io::Result<Links> {
        let nodes = || targets.iter().zip(1..);
        let pairs =
            nodes().flat_map(|(_, from)| nodes().map(move |(target, to)| (from, to, target)));
        let links = pairs.filter(|(from, to, _)| from != to);
        Links::start(links.map(|(from, to, target)| Link { from, to, target: *target }).collect())
    }

    /// Where `from` finds `to`.
    ///
    /// # Panics
    /// Here and below: if there is no such link.
    pub fn address(&self, from: usize, to: usize) -> SocketAddr {
        self.end(from, to).address
    }

    /// All links, as (from, to).
    pub fn all(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        self.ends.keys().copied()
    }

    /// What a link is like.
    pub fn condition(&self, from: usize, to: usize) -> Condition {
        *self.end(from, to).condition.borrow()
    }

    /// Whether frames pass both ways between two nodes, as far as no link is cut: none is where there
    /// is no proxy.
    pub fn connects(&self, one: usize, other: usize) -> bool {
        let both = [(one, other), (other, one)];
        let mut proxies = both.iter().filter_map(|link| self.ends.get(link));
        proxies.all(|end| end.condition.borrow().cut.is_none())
    }

    /// Cuts a link.
    pub fn cut(&self, from: usize, to: usize, cut: Cut) {
        self.set_cut(from, to, Some(cut));
    }

    /// Cuts a link or undoes that; it stays as slow or narrow as it is.
    pub fn set_cut(&self, from: usize, to: usize, cut: Option<Cut>) {
        self.change(from, to, |condition| condition.cut = cut);
    }

    /// Bytes come later by `delay` from now on; those on their way, too.
    pub fn delay(&self, from: usize, to: usize, delay: Duration) {
        self.change(from, to, |condition| condition.delay = delay);
    }

    /// So many bytes a second pass, at least 1; `None`: as many as can.
    pub fn throttle(&self, from: usize, to: usize, rate: Option<u64>) {
        self.change(from, to, |condition| condition.rate = rate.map(|rate| rate.max(1)));
    }

    /// Undoes every fault of a link.
    pub fn heal_link(&self, from: usize, to: usize) {
        self.change(from, to, |condition| *condition = Condition::default());
    }

    /// Undoes every fault of every link.
    pub fn heal(&self) {
        for (from, to) in self.all() {
            self.heal_link(from, to);
        }
    }

    fn change(&self, from: usize, to: usize, change: impl FnOnce(&mut Condition)) {
        self.end(from, to).condition.send_if_modified(|condition| {
            let before = *condition;
            change(condition);
            *condition != before
        });
    }

    fn end(&self, from: usize, to: usize) -> &End {
        let end = self.ends.get(&(from, to));
        end.unwrap_or_else(|| panic!("no link from {from} to {to}"))
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // It ends by itself, unless it has panicked, which it has told.
            let _ = thread.join();
        }
    }
}

/// One link's listener.
struct Proxy {
    listener: TcpListener,
    target: SocketAddr,
    condition: watch::Receiver<Condition>,
}

/// Serves all proxies until the sender of `stopped` is gone. The runtime's end closes every
/// connection.
async fn serve(
    proxies: Vec<Proxy>,
    ready: mpsc::Sender<io::Result<()>>,
    stopped: oneshot::Receiver<()>,
) {
    for Proxy { listener, target, condition } in proxies {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => drop(tokio::spawn(accept(listener, target, condition))),
            Err(error) => return drop(ready.send(Err(error))),
        }
    }
    let _ = ready.send(Ok(()));
    let _ = stopped.await;
}

/// Takes connections of one link.
async fn accept(
    listener: tokio::net::TcpListener,
    target: SocketAddr,
    condition: watch::Receiver<Condition>,
) {
    loop {
        match listener.accept().await {
            Ok((opened, _)) => {
                tokio::spawn(connection::serve(opened, target, condition.clone()));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests;
