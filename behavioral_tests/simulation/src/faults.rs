//! What goes wrong while a run lasts: partitions, crashes, pauses, disks that fail. Must never decide
//! what that means to a node.

use rand::RngExt;

use crate::checks::Violation;
use crate::node::Node;
use crate::trouble::{FAULTS, Kind};
use crate::workload::Workload;
use crate::world::{Event, World};

impl<W: Workload> World<W> {
    pub(crate) fn schedule_fault(&mut self) {
        if self.trouble.fault_every > 0 {
            let at = self.now + self.random.random_range(1..2 * self.trouble.fault_every);
            self.schedule(at, Event::Fault);
        }
    }

    pub(crate) fn on_fault(&mut self) -> Result<(), Violation> {
        if self.trouble.fault_every == 0 {
            return Ok(());
        }
        self.schedule_fault();
        let ends = self.now + self.random.random_range(10_000..self.trouble.fault_length);
        let Some(kind) = self.draw_kind() else { return Ok(()) };
        self.report.faults.add(kind);
        let node = self.victim();
        match kind {
            Kind::Partition => self.partition(node, ends),
            Kind::Crash => self.crash_until(node, ends)?,
            Kind::CrashOfAll => {
                for node in 0..self.nodes.len() {
                    self.crash_until(node, ends)?;
                }
            }
            Kind::Pause => self.pause(node, ends),
            Kind::DiskError => self.nodes[node].fail_disk(self.random.random_range(0..20)),
            Kind::Loss
            | Kind::Duplication
            | Kind::Straggler
            | Kind::CrashInTurn
            | Kind::SlowSync
            | Kind::SlowFrames
            | Kind::Drift => unreachable!("not a fault with a moment of its own"),
        }
        Ok(())
    }

    fn draw_kind(&mut self) -> Option<Kind> {
        let weights = self.trouble.weights;
        let total: u32 = weights.iter().sum();
        if total == 0 {
            return None;
        }
        let mut pick = self.random.random_range(0..total);
        FAULTS.into_iter().zip(weights).find_map(|(kind, weight)| {
            let hit = pick < weight;
            pick = pick.saturating_sub(weight);
            hit.then_some(kind)
        })
    }

    /// Whom a fault hits.
    fn victim(&mut self) -> usize {
        let any = self.random.random_range(0..self.nodes.len());
        if self.random.random_range(0..10_000) >= self.trouble.at_leader {
            return any;
        }
        self.nodes.iter().position(Node::leads).unwrap_or(any)
    }

    /// Cuts links: of one node, between two random halves, or any; all or in one direction.
    fn partition(&mut self, victim: usize, ends: u64) {
        let shape = self.random.random_range(0..3);
        let one_way = self.random.random_bool(0.3);
        let sides: Vec<bool> = (0..self.nodes.len())
            .map(|node| if shape == 0 { node == victim } else { self.random.random_bool(0.5) })
            .collect();
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                let cut = match shape {
                    2 => self.random.random_bool(0.3),
                    _ => sides[from] != sides[to] && !(one_way && sides[from]),
                };
                if cut {
                    self.network.cut(from, to);
                }
            }
        }
        self.note(|| format!("partition, shape {shape}, {sides:?}, one way: {one_way}"));
        self.schedule(ends, Event::Heal);
    }

    /// Stops a node for a while, as when its machine is suspended: perhaps with its clock, perhaps
    /// so that what arrives meanwhile is lost.
    fn pause(&mut self, node: usize, ends: u64) {
        let stands = self.random.random_bool(0.5);
        let deaf = self.random.random_bool(0.5);
        self.nodes[node].pause(self.now, stands, deaf);
        self.note(|| format!("{} pauses, clock too: {stands}, deaf: {deaf}", self.nodes[node].id));
        self.schedule(ends, Event::Resume { node });
    }

    fn crash_until(&mut self, node: usize, ends: u64) -> Result<(), Violation> {
        if self.nodes[node].is_up() {
            self.crash(node)?;
            self.events.retain(
                |_, event| !matches!(event, Event::Restart { node: other } if *other == node),
            );
            self.schedule(ends, Event::Restart { node });
        }
        Ok(())
    }
}
