//! The prelude of a setting: ordinary actions, one after the other, that lead to where the bounds
//! begin. Must never make a state by hand, nor do what the setting's rules of play do not know.

use std::sync::Arc;

use messages::{Message, NodeId};

use crate::action::Action;
use crate::marks::Met;
use crate::settings::Setting;
use crate::stage::Stage;
use crate::world::{Used, World};

/// A world on its way to where its bounds begin.
pub struct Rehearsal {
    setting: &'static Setting,
    met: Met,
    world: World,
}

impl Rehearsal {
    /// The world in which a setting begins.
    pub(crate) fn of(setting: &'static Setting) -> World {
        let world = World::start(setting);
        let Some(prelude) = setting.prelude else { return world };
        let mut rehearsal = Rehearsal { setting, met: Met::default(), world };
        prelude(&mut rehearsal);
        let mut world = rehearsal.world;
        world.used = Used::default();
        world.touched = setting.voters;
        world
    }

    fn act(&mut self, action: &Action) {
        let stage = Stage::new(self.setting, &self.met, self.world.clone());
        let name = self.setting.name;
        self.world = stage.act(action).unwrap_or_else(|| panic!("{name}: {action:?} does nothing"));
    }

    /// The time of `node` is out, `asked` would vote for it, and it stands.
    pub fn stand(&mut self, node: u64, asked: u64) {
        self.act(&Action::Stand { node: NodeId(node), asked: NodeId(asked) });
    }

    /// The time of `node` is out.
    pub fn timeout(&mut self, node: u64) {
        self.act(&Action::Timeout(NodeId(node)));
    }

    /// Everything under way on this link arrives, in the order of a send.
    pub fn deliver(&mut self, from: u64, to: u64) {
        let is_meant = |parcel: &&Arc<_>| is_on(parcel, from, to);
        let mut parcels: Vec<_> = self.world.network().iter().filter(is_meant).cloned().collect();
        parcels.sort_by_key(|parcel| place(&parcel.message));
        for parcel in parcels {
            self.act(&Action::Deliver(parcel));
        }
    }

    /// Everything under way arrives, and what comes of it, until there is nothing more.
    pub fn deliver_all(&mut self) {
        while !self.world.network().is_empty() {
            let voters = 1..=self.setting.voters;
            for from in voters.clone() {
                voters.clone().for_each(|to| self.deliver(from, to));
            }
        }
    }

    /// Everything under way is lost.
    pub fn lose_all(&mut self) {
        self.world.network.clear();
    }

    /// The disk of `node` does all that it was given.
    pub fn write(&mut self, node: u64) {
        while self.world.node(NodeId(node)).is_writing() {
            self.act(&Action::Write(NodeId(node)));
        }
    }

    /// The next request of a client reaches `node`.
    pub fn request(&mut self, client: usize, node: u64) {
        self.act(&Action::Request { client, node: NodeId(node) });
    }
}

fn is_on(parcel: &crate::action::Parcel, from: u64, to: u64) -> bool {
    parcel.from == NodeId(from) && parcel.to == NodeId(to)
}

/// Heartbeats leave before appends, and older appends before newer ones.
fn place(message: &Message) -> (u8, u64) {
    match message {
        Message::AppendEntries(request) => (1, request.previous.index.0),
        _ => (0, 0),
    }
}
