//! How simulated nodes end, stand still and begin again. Must never help one that does.

use rand::RngExt;

use crate::checks::Violation;
use crate::coverage::Mark;
use crate::damage::Verdict;
use crate::node::Beginning;
use crate::trouble::{DAMAGES, Kind, pick};
use crate::workload::Workload;
use crate::world::{Event, World};

impl<W: Workload> World<W> {
    /// The machine loses its power.
    pub(crate) fn crash(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].renames_snapshot() {
            self.report.coverage.add(Mark::CrashAfterRename);
        }
        self.nodes[node].lose_power(&mut self.random);
        self.kill(node)
    }

    /// The process ends; what it wrote stays in the machine's memory.
    pub(crate) fn kill(&mut self, node: usize) -> Result<(), Violation> {
        if !self.nodes[node].is_up() {
            return Ok(());
        }
        self.note(|| format!("n{} crashes", self.nodes[node].id));
        self.report.crashes += 1;
        if self.nodes[node].keeps_something() {
            self.report.coverage.add(Mark::CrashInSnapshot);
        }
        self.note_crash(node);
        self.close_connections(node);
        self.network.forget_queues(node);
        for client in self.nodes[node].kill() {
            self.clients.lose(client)?;
            let at = self.now + self.random.random_range(0..50_000);
            self.schedule(at, Event::Ask { client });
        }
        self.schedule_restart(node);
        Ok(())
    }

    fn schedule_restart(&mut self, node: usize) {
        let at = self.now + self.random.random_range(1_000..1_000_000);
        self.schedule(at, Event::Restart { node });
    }

    /// The node ends in this way and stays down until then.
    pub(crate) fn end_until(
        &mut self,
        kind: Kind,
        node: usize,
        ends: u64,
    ) -> Result<(), Violation> {
        if !self.nodes[node].is_up() {
            return Ok(());
        }
        match kind {
            Kind::Kill => self.kill(node)?,
            _ => self.crash(node)?,
        }
        self.events
            .retain(|_, event| !matches!(event, Event::Restart { node: other } if *other == node));
        self.schedule(ends, Event::Restart { node });
        Ok(())
    }

    pub(crate) fn restart(&mut self, node: usize) -> Result<(), Violation> {
        if self.nodes[node].is_up() {
            return Ok(());
        }
        self.try_damage(node)?;
        let dies = self.happens(self.trouble.crash_in_start);
        if dies {
            self.nodes[node].fail_disk(self.random.random_range(0..12));
        }
        let seed = self.random.random();
        let machine = self.clients.workload.machine();
        let begun =
            self.nodes[node].start(&self.cluster, &self.trouble, machine, seed, self.now)?;
        match begun {
            Beginning::Started { cut, snapshot } => {
                self.note(|| format!("n{} starts, cut a tail off: {cut}", self.nodes[node].id));
                if snapshot {
                    self.report.coverage.add(Mark::SnapshotStarted);
                }
                if self.nodes[node].has_dropped_segments() {
                    self.report.coverage.add(Mark::SegmentsDropped);
                }
                if cut {
                    self.report.coverage.add(Mark::TailCut);
                }
                self.note_start(node);
                self.schedule_turn(node, self.now + 1);
                self.open_connections(node);
                self.recall_frames(node);
            }
            Beginning::Failed(error) => {
                self.note(|| format!("n{} does not start: {error}", self.nodes[node].id));
                if dies {
                    self.report.faults.add(Kind::CrashInStart);
                    self.nodes[node].lose_power(&mut self.random);
                }
                self.schedule_restart(node);
            }
        }
        Ok(())
    }

    /// Before a node starts, it is seen how it would on a damaged disk.
    fn try_damage(&mut self, node: usize) -> Result<(), Violation> {
        if !self.happens(self.trouble.damage) {
            return Ok(());
        }
        let random = &mut self.random;
        let Some(kind) = pick(random, &DAMAGES, &self.trouble.damages) else { return Ok(()) };
        if let Some(verdict) = self.nodes[node].try_damage(&self.cluster, kind, random)? {
            self.report.faults.add(kind);
            self.report.damaged.add(verdict);
            if verdict == Verdict::Refused {
                self.report.coverage.add(Mark::DamageRefused);
            }
        }
        Ok(())
    }

    /// Stops a node for a while, as when its machine is suspended: perhaps with its clock, perhaps
    /// so that what arrives meanwhile is lost.
    pub(crate) fn pause(&mut self, node: usize) {
        let ends = self.now + self.random.random_range(10_000..self.trouble.fault_length);
        let stands = self.random.random_bool(0.5);
        let deaf = self.random.random_bool(0.5);
        self.nodes[node].pause(self.now, stands, deaf);
        self.note(|| format!("n{} pauses, clock too: {stands}, deaf: {deaf}", self.nodes[node].id));
        self.schedule(ends, Event::Resume { node });
    }

    /// A node goes on where it stood.
    pub(crate) fn resume(&mut self, node: usize) -> Result<(), Violation> {
        if !self.nodes[node].resume(self.now) {
            return Ok(());
        }
        self.note_resume(node);
        let undone = self.nodes[node].take_undone();
        self.perform(node, undone, None)?;
        if let Some(run) = self.nodes[node].sync_waits() {
            self.on_sync(node, run)?;
        }
        self.schedule_turn(node, self.now + 1);
        self.schedule_keeping(node);
        self.begin_sync(node)
    }
}
