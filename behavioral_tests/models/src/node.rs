//! One node: the production rules, a clock of its own, and a disk that has done what it was told to
//! do and no more. Must never know a rule: inputs go in, effects come out.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};

use messages::{Entry, LogIndex, Membership, Message, NodeId, Term};
use states::{
    Config, Effects, HardState, Input, Log, Replica, Role, State, Time, Turn, WallTime, Write,
};

/// A message on its way: receiver, sender's term, content.
pub(crate) type Outgoing = (NodeId, Term, Message);

/// A node of a small world.
#[derive(Clone, Debug)]
pub struct Node {
    state: State,
    replica: Replica,
    disk: Disk,
    jobs: VecDeque<Job>,
    clock: Time,
    /// The replica's log, in one piece.
    log: Vec<Entry>,
    digest: u64,
}

/// What survives a crash.
#[derive(Clone, Debug, Default, Hash)]
pub(crate) struct Disk {
    pub hard_state: HardState,
    pub entries: Vec<Entry>,
}

/// A write that was handed out and is not yet durable, and the promises that wait for it.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Job {
    pub write: Option<Write>,
    pub promises: Vec<Outgoing>,
}

impl Node {
    /// A node with an empty disk among the voters n1 to n`voters`.
    pub(crate) fn start(id: NodeId, voters: u64, config: Config) -> Node {
        let membership = Membership { voters: (1..=voters).map(NodeId).collect::<BTreeSet<_>>() };
        Node::boot(id, membership, config, Disk::default(), Time(0))
    }

    fn boot(id: NodeId, membership: Membership, config: Config, disk: Disk, clock: Time) -> Node {
        let (hard_state, entries) = (disk.hard_state, disk.entries.clone());
        let log = Log::recovered(entries);
        let mut replica = Replica::recovered(id, membership, config, 0, hard_state, None, log);
        let mut turn = Turn::new(clock, WallTime(0));
        let mut state = State::new(&mut replica, &mut turn);
        state.finish(&mut replica, &mut turn);
        Node { state, replica, disk, jobs: VecDeque::new(), clock, log: Vec::new(), digest: 0 }
            .sealed()
    }

    /// A crash and a start: what was not durable is forgotten, promises with it.
    pub(crate) fn restart(&self) -> Node {
        let Replica { id, membership, config, .. } = self.replica.clone();
        Node::boot(id, membership, config, self.disk.clone(), self.clock)
    }

    /// One input, one turn. What must be durable first waits in the node, until `write_one`; the
    /// last value says whether the promises wait with it.
    pub(crate) fn turn(&self, input: Input) -> (Node, Effects, bool) {
        let Node { state, mut replica, disk, mut jobs, clock, .. } = self.clone();
        let mut turn = Turn::new(clock, WallTime(0));
        let mut state = state.step(&mut replica, &mut turn, input);
        state.finish(&mut replica, &mut turn);
        let effects = turn.effects;
        let waits = !jobs.is_empty() || effects.write.is_some();
        if effects.write.is_some() || (waits && !effects.promises.is_empty()) {
            let (write, promises) = (effects.write.clone(), effects.promises.clone());
            jobs.push_back(Job { write, promises });
        }
        (
            Node { state, replica, disk, jobs, clock, log: Vec::new(), digest: 0 }.sealed(),
            effects,
            waits,
        )
    }

    /// The disk does the oldest job.
    pub(crate) fn write_one(&self) -> Option<(Node, Job)> {
        let mut node = self.clone();
        let job = node.jobs.pop_front()?;
        if let Some(write) = &job.write {
            assert_eq!(write.reset, None, "no snapshots in small worlds");
            node.disk.hard_state = write.hard_state;
            if let Some(first) = write.entries.first() {
                let kept = first.position.index.0 as usize - 1;
                assert!(kept <= node.disk.entries.len(), "no gap on the disk");
                node.disk.entries.truncate(kept);
                node.disk.entries.extend(write.entries.iter().cloned());
            }
        }
        Some((node.sealed(), job))
    }

    /// The same node when its clock shows this.
    pub(crate) fn at(&self, clock: Time) -> Node {
        Node { clock, ..self.clone() }.sealed()
    }

    /// Notes what tells this node from another, and its log.
    ///
    /// Left out are the generator, which has only one value to draw from (see the crate's
    /// documentation), and the number of the next write, which only ever is compared with those of
    /// writes under way; what was handed to the disk equals the hard state after every turn.
    fn sealed(mut self) -> Node {
        let mut hasher = DefaultHasher::new();
        let replica = &self.replica;
        (&self.state, replica.hard_state(), replica.log(), replica.commit_index())
            .hash(&mut hasher);
        (&self.disk, &self.jobs, self.clock).hash(&mut hasher);
        self.digest = hasher.finish();
        self.log = self.replica.log().slice(LogIndex(1), usize::MAX).cloned().collect();
        self
    }

    /// Equal for nodes that will always do the same.
    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    pub(crate) fn replica(&self) -> &Replica {
        &self.replica
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    pub(crate) fn clock(&self) -> Time {
        self.clock
    }

    /// Whether a write waits.
    pub(crate) fn is_writing(&self) -> bool {
        !self.jobs.is_empty()
    }

    pub(crate) fn id(&self) -> NodeId {
        self.replica.id
    }

    pub(crate) fn role(&self) -> Role {
        self.state.role()
    }

    pub(crate) fn leads(&self) -> bool {
        self.role() == Role::Leader
    }

    pub(crate) fn term(&self) -> Term {
        self.replica.term()
    }

    pub(crate) fn commit(&self) -> u64 {
        self.replica.commit_index().0
    }

    /// The log in memory.
    pub(crate) fn log(&self) -> &[Entry] {
        &self.log
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sealed` cannot see private fields: who gives `Replica` another must decide there whether it
    /// tells two nodes apart.
    #[test]
    fn no_field_of_a_replica_is_forgotten_in_the_digest() {
        let node = Node::start(NodeId(1), 3, Config::default());
        let text = format!("{:#?}", node.replica);
        let fields: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("    ") && !line.starts_with("     "))
            .filter_map(|line| line.trim().split_once(':').map(|(name, _)| name))
            .collect();
        let known = [
            "id",
            "config",
            "membership",
            "log",
            "commit_index",
            "random",
            "hard_state",
            // There are no snapshots in small worlds, and disks have room: these stay as they begin.
            "snapshot",
            "space",
            "covered",
            "reset",
            "handed_out",
            "next_write",
        ];
        assert_eq!(fields, known);
    }
}
