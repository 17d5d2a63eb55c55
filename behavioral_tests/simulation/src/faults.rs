//! What goes wrong while a run lasts, at moments of its own: links that are cut or stuck, crashes,
//! pauses, disks that fail. Must never decide what that means to a node.

use rand::RngExt;

use crate::checks::Violation;
use crate::network::{LinkId, Room};
use crate::node::Node;
use crate::trouble::{FAULTS, Kind, pick};
use crate::workload::Workload;
use crate::world::{Event, World};

/// How long a link may be stuck, microseconds.
const LONGEST_CLOG: u64 = 5_000_000;

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
        let Some(kind) = pick(&mut self.random, &FAULTS, &self.trouble.weights) else {
            return Ok(());
        };
        self.report.faults.add(kind);
        let node = self.victim();
        match kind {
            Kind::Crash | Kind::Kill => return self.end_until(kind, node, ends),
            Kind::CrashOfAll => {
                return (0..self.nodes.len()).try_for_each(|node| self.end_until(kind, node, ends));
            }
            Kind::Pause => self.pause(node),
            Kind::WallJump => self.nodes[node].set_wall(&mut self.random),
            // Half of those that meet a snapshot under way, between its name and that name's sync.
            Kind::DiskError
                if self.nodes[node].keeps_something() && self.random.random_bool(0.5) =>
            {
                self.nodes[node].fail_disk_after_rename();
            }
            Kind::DiskError => self.nodes[node].fail_disk(self.random.random_range(0..20)),
            Kind::FailingSync => self.nodes[node].fail_sync(),
            Kind::GrayDisk => self.nodes[node].gray_until(ends),
            Kind::FullDisk => {
                // Nodes may share a disk.
                let all = self.random.random_bool(0.3);
                for node in if all { 0..self.nodes.len() } else { node..node + 1 } {
                    self.nodes[node].fill_disk(&mut self.random);
                    self.schedule(ends, Event::Free { node });
                }
            }
            Kind::Clog | Kind::FullQueue => self.stick(kind, node),
            Kind::FlapAtOne | Kind::FlapAtMany => self.flap_at(kind, node),
            _ => self.partition(kind, node, ends),
        }
        Ok(())
    }

    /// Whom a fault hits.
    pub(crate) fn victim(&mut self) -> usize {
        let any = self.random.random_range(0..self.nodes.len());
        if self.random.random_range(0..10_000) >= self.trouble.at_leader {
            return any;
        }
        self.nodes.iter().position(Node::leads).unwrap_or(any)
    }

    /// Cuts links in this shape.
    fn partition(&mut self, kind: Kind, victim: usize, ends: u64) {
        let mut shape = kind;
        while [Kind::OneWay, Kind::Flapping].contains(&shape) {
            let shapes = [Kind::Halves, Kind::Isolated, Kind::Patchy, Kind::OneWay];
            shape = shapes[self.random.random_range(0..shapes.len())];
        }
        let sides: Vec<bool> = self.nodes.iter().map(|_| self.random.random_bool(0.5)).collect();
        let one_way = kind == Kind::OneWay;
        let outwards = self.random.random_bool(0.5);
        let random = &mut self.random;
        let cut = |&(from, to): &LinkId| {
            let (here, there) = match shape {
                Kind::Isolated => (from == victim, to == victim),
                Kind::Patchy => (random.random_bool(0.3), false),
                // One node reaches both halves.
                Kind::Bridge if from == victim || to == victim => (false, false),
                _ => (sides[from], sides[to]),
            };
            here != there && (!one_way || here == outwards)
        };
        let links: Vec<LinkId> = self.network.all().filter(cut).collect();
        self.note(|| format!("{kind:?}: {shape:?}, cut are {links:?}"));
        let partition = self.network.cut(links);
        self.schedule(ends, Event::Heal { partition });
        if kind == Kind::Flapping {
            self.schedule_flap(partition);
        }
    }

    fn schedule_flap(&mut self, partition: u64) {
        let at = self.now + self.random.random_range(10_000..400_000);
        self.schedule(at, Event::Flap { partition });
    }

    pub(crate) fn on_flap(&mut self, partition: u64) {
        if self.network.flap(partition) {
            self.schedule_flap(partition);
        }
    }

    /// Some links from or to a node, or one of them, are stuck.
    fn stick(&mut self, kind: Kind, victim: usize) {
        let until = self.now + self.random.random_range(10_000..LONGEST_CLOG);
        let frames = self.random.random_range(0..20);
        let room = match kind {
            Kind::FullQueue if self.random.random_bool(0.5) => Room::RefusesNewest(frames),
            Kind::FullQueue => Room::DropsOldest(frames + 1),
            _ => Room::Endless,
        };
        let which = self.random.random_range(0..3);
        let random = &mut self.random;
        let links: Vec<LinkId> = self
            .network
            .all()
            .filter(|&(from, to)| match which {
                0 => from == victim,
                1 => to == victim,
                _ => (from == victim || to == victim) && random.random_bool(0.3),
            })
            .collect();
        self.note(|| format!("stuck until {until}, {room:?}: {links:?}"));
        for link in links {
            self.network.stick(link, until, room);
            self.schedule(until, Event::Unstick { link });
        }
    }

    /// What a link held goes on its way, if it was stuck until now.
    pub(crate) fn on_unstick(&mut self, link: LinkId) {
        for (lane, frame) in self.network.release(link, self.now) {
            self.travel(link, lane, frame);
        }
    }

    /// All links are whole.
    pub(crate) fn mend_links(&mut self) {
        self.network.heal_all();
        for link in self.network.all() {
            for (lane, frame) in self.network.release(link, u64::MAX) {
                self.travel(link, lane, frame);
            }
        }
    }

    /// Frames of an earlier time come to or from a node that has just started.
    pub(crate) fn recall_frames(&mut self, node: usize) {
        for (to, frame) in self.network.recall(node) {
            self.report.faults.add(Kind::EarlierBoot);
            let at = self.now + self.random.random_range(0..300_000);
            self.schedule(at, Event::Frame { to, frame, corrupt: false });
        }
    }
}
