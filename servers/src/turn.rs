//! What every driver of a server does in the same order: how a server is made of an opened folder,
//! and how a turn begins. Must never read the clock before all that came is gathered (rule 8): else
//! what arrived during a pause is judged by a time before it. Nor must it tell of a lost connection
//! before all that had come over it.

use std::collections::BTreeSet;

use messages::{Boot, NodeId};
use states::{Config, Log, Replica, Time, WallTime};

use crate::gate::Gate;
use crate::machine::StateMachine;
use crate::server::{Event, Server, Settings};
use crate::sessions::Sessions;
use crate::snapshots::restore;
use crate::storage::{Disk, Identity, OpenError, Opened, Wal};
use crate::transport::Change;

/// A moment on both clocks of a node.
pub type Moment = (Time, WallTime);

/// Where a turn takes what it needs.
pub trait Edges {
    /// Why nothing more can be gathered.
    type Error;

    /// Adds everything that came since the last turn.
    ///
    /// # Errors
    /// If the node cannot go on.
    fn gather(&mut self, events: &mut Vec<Event>) -> Result<(), Self::Error>;

    /// The next change of a connection, in order; none while frames wait that came before it.
    fn change(&mut self) -> Option<Change>;

    /// This moment.
    fn clock(&mut self) -> Moment;
}

/// Takes all that came through the rules; [`Server::apply`] then ends the turn. `events` may
/// hold what came another way, and is empty after.
///
/// # Errors
/// If nothing can be gathered; then there is no turn.
pub fn take<M: StateMachine, E: Edges>(
    server: &mut Server<M>,
    edges: &mut E,
    events: &mut Vec<Event>,
) -> Result<(), E::Error> {
    edges.gather(events)?;
    events.extend(lost(edges).into_iter().map(Event::Lost));
    let (now, wall) = edges.clock();
    server.receive(now, wall, events.drain(..));
    Ok(())
}

/// Whose connections were lost and, as far as is known, are not there again.
fn lost<E: Edges>(edges: &mut E) -> BTreeSet<NodeId> {
    let mut lost = BTreeSet::new();
    while let Some(change) = edges.change() {
        match change {
            Change::Lost(peer) => lost.insert(peer),
            Change::Found(peer) => lost.remove(&peer),
        };
    }
    lost
}

/// A node before its first turn.
pub struct Started<M, D: Disk> {
    /// Its rules, machine and requests.
    pub server: Server<M>,
    /// Its entrance.
    pub gate: Gate,
    /// This run of its folder.
    pub boot: Boot,
    /// Its log.
    pub wal: Wal<D>,
    /// Who it is.
    pub identity: Identity,
}

/// Makes a server of what its folder held. The boot in `settings` is the folder's; `seed` must be
/// random, and another at each start.
///
/// # Errors
/// If the machine cannot take the snapshot that is there.
pub fn start<M: StateMachine, D: Disk>(
    opened: Opened<D>,
    settings: Settings,
    config: Config,
    seed: u64,
    machine: M,
    (now, wall): Moment,
) -> Result<Started<M, D>, OpenError> {
    let Opened { identity, boot, wal, recovered } = opened;
    let mut replicated = (machine, Sessions::new(settings.sessions));
    let (log, size) = match &recovered.snapshot {
        None => (Log::recovered(recovered.entries), 0),
        Some(meta) => {
            let mut reader = wal.snapshot(meta.position)?;
            restore(&mut reader, &mut replicated)?;
            let log = Log::recovered_after(meta.position, meta.time, recovered.entries);
            (log, reader.size())
        }
    };
    let replica = Replica::recovered(
        identity.node,
        identity.membership(),
        config,
        seed,
        recovered.hard_state,
        recovered.snapshot,
        log,
    );
    let settings = Settings { boot, ..settings };
    let server = Server::new(settings, replica, replicated, size, now, wall);
    let started =
        Started { server, gate: Gate::new(identity.cluster, identity.node), boot, wal, identity };
    Ok(started)
}
