//! A time without trouble: whatever state a small world is in, some nodes that reach each other must
//! come to a leader and to one log. Must never help them: messages arrive, disks write, time passes.

use std::sync::Arc;

use messages::NodeId;
use states::{Input, Micros};

use crate::checks::Rule;
use crate::marks::{Mark, Met};
use crate::settings::Setting;
use crate::stage::Stage;
use crate::world::World;

/// Steps after which the nodes must agree: each is all that is under way, or one timeout.
const PATIENCE: usize = 60;

/// The world as it is, or broken if from here a time without trouble would not end with a leader.
pub(crate) fn judge(setting: &Setting, met: &Met, mut world: World) -> World {
    if setting.recovers.is_empty() || world.broken().is_some() {
        return world;
    }
    let core: Vec<NodeId> = setting.recovers.iter().copied().map(NodeId).collect();
    let unseen = Met::default();
    let mut stage = Stage::new(setting, &unseen, world.clone());
    for _ in 0..PATIENCE {
        if stage.is_settled(&core) {
            met.add(Mark::Recovered);
            return world;
        }
        if !stage.settle(&core) {
            stage.pass_time(&core);
        }
    }
    let what = format!("no leader of {core:?} after {PATIENCE} steps without trouble");
    let mut stage = Stage::new(setting, met, world);
    stage.breaks(Rule::Recovery, what);
    world = stage.world;
    world
}

impl Stage<'_> {
    /// Whether one of the nodes leads and all of them have committed all of its log.
    fn is_settled(&self, core: &[NodeId]) -> bool {
        let mut leaders = core.iter().map(|id| self.world.node(*id)).filter(|node| node.leads());
        let Some(leader) = leaders.next() else { return false };
        let last = leader.log().len() as u64;
        leaders.next().is_none() && core.iter().all(|id| self.world.node(*id).commit() == last)
    }

    /// Everything under way between the nodes arrives, and their disks write; says whether there
    /// was anything.
    fn settle(&mut self, core: &[NodeId]) -> bool {
        let mut any = false;
        for id in core {
            while self.world.node(*id).is_writing() {
                any |= self.write_one(*id);
            }
        }
        let parcels = std::mem::take(&mut self.world.network);
        for parcel in parcels {
            if core.contains(&parcel.from) && core.contains(&parcel.to) {
                any |= self.deliver(&Arc::clone(&parcel));
            }
        }
        any
    }

    /// Time passes on all clocks alike, until the next deadline.
    fn pass_time(&mut self, core: &[NodeId]) {
        let left = |stage: &Self, id: NodeId| {
            let node = stage.world.node(id);
            node.state().deadline().map(|deadline| deadline - node.clock())
        };
        let next = core.iter().filter_map(|id| Some((left(self, *id)?, *id))).min();
        let Some((span, first)) = next else { return };
        for id in core {
            let node = self.world.node(*id);
            let node = node.at(node.clock() + Micros(span.0));
            self.world.put(node);
        }
        self.input(first, Input::Timeout);
    }
}
