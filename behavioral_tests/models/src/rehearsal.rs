//! The prelude of a setting: ordinary actions, one after the other, that lead to where the bounds
//! begin. Must never make a state by hand, nor do what the setting's rules of play do not know.

use std::sync::Arc;

use messages::{Message, NodeId};

use crate::action::Action;
use crate::marks::Met;
use crate::settings::Setting;
use crate::stage;
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
        let name = self.setting.name;
        let is_done = self.try_to(action) || self.world.broken().is_some();
        assert!(is_done, "{name}: {action:?} does nothing");
    }

    fn try_to(&mut self, action: &Action) -> bool {
        let next = stage::act(self.setting, &self.met, &self.world, action);
        next.map(|world| self.world = world).is_some()
    }

    /// The time of `node` is out, `asked` would vote for it, and it stands.
    pub fn stand(&mut self, node: u64, asked: u64) {
        self.act(&Action::Stand { node: NodeId(node), asked: NodeId(asked) });
    }

    /// The time of `node` is out.
    pub fn timeout(&mut self, node: u64) {
        self.act(&Action::Timeout(NodeId(node)));
    }

    /// Everything under way on this link arrives, in the order of a send; says whether anything came
    /// of it.
    pub fn deliver(&mut self, from: u64, to: u64) -> bool {
        let is_meant = |parcel: &&Arc<_>| is_on(parcel, from, to);
        let mut parcels: Vec<_> = self.world.network().iter().filter(is_meant).cloned().collect();
        parcels.sort_by_key(|parcel| place(&parcel.message));
        parcels
            .into_iter()
            .filter(|parcel| self.try_to(&Action::Deliver(Arc::clone(parcel))))
            .count()
            > 0
    }

    /// Everything under way arrives, disks write, and so on, until all that is left changes nothing,
    /// and is lost.
    pub fn settle(&mut self) {
        let voters = 1..=self.setting.voters;
        let links: Vec<(u64, u64)> =
            voters.clone().flat_map(|from| voters.clone().map(move |to| (from, to))).collect();
        let mut goes_on = true;
        while goes_on {
            voters.clone().for_each(|node| self.write(node));
            goes_on = links.iter().filter(|(from, to)| self.deliver(*from, *to)).count() > 0;
        }
        self.lose_all();
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
