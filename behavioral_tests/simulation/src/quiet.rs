//! The end of a run: trouble stops, and the cluster must come together again. Must never help it.

use crate::checks::Violation;
use crate::clients::Outcomes;
use crate::workload::Workload;
use crate::world::World;

/// Frames to and from a peer for each heartbeat, and for each request: what is usual, with room.
const FRAMES_PER_HEARTBEAT: u64 = 6;
const FRAMES_PER_REQUEST: u64 = 12;

impl<W: Workload> World<W> {
    /// Liveness: when trouble ends, a leader is elected, what is asked is answered, and all nodes
    /// come to hold and apply the same.
    pub(crate) fn quiet_phase(&mut self) -> Result<(), Violation> {
        self.trouble = self.trouble.calm();
        self.mend_links();
        for node in 0..self.nodes.len() {
            self.nodes[node].mend_disk();
            self.resume(node)?;
            if !self.nodes[node].is_up() {
                self.restart(node)?;
            }
        }
        let begun = self.now;
        let before = (self.clients.outcomes, self.report.frames);
        let wanted = self.clients.outcomes.done + 4 * self.trouble.clients as u64;
        // Ten election timeouts to elect, then the longest wait of a request, then some traffic.
        self.happen_until(10_000_000, |world| {
            world.now > begun + 1_000_000 && world.clients.outcomes.done >= wanted
        })?;
        if self.clients.outcomes.done < wanted {
            return Err("liveness: ten quiet seconds, and clients were not answered".to_string());
        }
        self.check_frames(begun, before)?;
        self.settle()
    }

    /// Without new requests, all nodes come to the same log, all of it applied.
    fn settle(&mut self) -> Result<(), Violation> {
        self.asking = false;
        if !self.happen_until(5_000_000, World::is_settled)? {
            return Err("liveness: nodes did not converge".to_string());
        }
        Ok(())
    }

    fn is_settled(&self) -> bool {
        let first = self.nodes[0].summary();
        first.is_some()
            && self.nodes.iter().all(|node| node.summary() == first)
            && !(0..self.trouble.clients).any(|client| self.clients.is_waiting(client))
    }

    /// A quiet cluster sends a few frames for each request and heartbeat.
    fn check_frames(&self, begun: u64, before: (Outcomes, u64)) -> Result<(), Violation> {
        let peers = self.nodes.len() as u64 - 1;
        let heartbeats = (self.now - begun) / (self.trouble.election / 6) + 1;
        let asked = self.clients.outcomes.total() - before.0.total();
        let frames = self.report.frames - before.1;
        if frames > peers * (FRAMES_PER_HEARTBEAT * heartbeats + FRAMES_PER_REQUEST * asked) {
            return Err(format!(
                "storm: {frames} frames for {heartbeats} heartbeats and {asked} requests"
            ));
        }
        Ok(())
    }

    /// Goes on until `done`, or for this long; whether it came to be done.
    fn happen_until(
        &mut self,
        longest: u64,
        done: impl Fn(&World<W>) -> bool,
    ) -> Result<bool, Violation> {
        let end = self.now + longest;
        while self.now < end {
            let slice = self.now + 20_000;
            while self.now < slice {
                self.happen()?;
            }
            if done(self) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
