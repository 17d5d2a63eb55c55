//! The links between simulated nodes, each direction one of its own: what is cut, what is stuck,
//! when a frame arrives. Must never look into a frame.

use std::collections::VecDeque;

use rand::RngExt;
use servers::transport::Lane;
use states::random::SplitMix64;

use crate::trouble::{Kind, Trouble};

/// From one node to another, by their places in the cluster.
pub type LinkId = (usize, usize);

/// Frames that are remembered, to arrive again in another boot of their sender or receiver.
const REMEMBERED: usize = 64;

/// All links of a cluster.
pub struct Network {
    nodes: usize,
    links: Vec<Link>,
    partitions: Vec<Partition>,
    next_partition: u64,
    remembered: VecDeque<(LinkId, Vec<u8>)>,
}

/// One direction between two nodes.
#[derive(Default)]
struct Link {
    /// Partitions that cut it.
    cuts: u32,
    /// When the last frame of each lane arrives, second copies aside.
    last_arrival: [u64; 2],
    /// When the last of both does, however they overtake each other.
    latest: u64,
    /// How much worse (or better) it is than the others, in percent.
    loss: u64,
    delay: u64,
    stuck: Option<Stuck>,
}

/// Links that were cut together.
struct Partition {
    id: u64,
    links: Vec<LinkId>,
    /// Healed for the moment: it flaps.
    open: bool,
}

/// A link that delivers nothing for a while, and then all that it holds.
struct Stuck {
    until: u64,
    room: Room,
    frames: VecDeque<(Lane, Vec<u8>)>,
}

/// What a link that is stuck does with frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// It is somewhere on the way, where there is room enough.
    Endless,
    /// The sender's queue holds so many; later ones are refused, and the sender knows.
    RefusesNewest(usize),
    /// The sender's queue holds so many; older ones are thrown away, and nobody is told.
    DropsOldest(usize),
}

impl Room {
    /// Whether the frames are in the sender's memory.
    fn is_senders(self) -> bool {
        self != Room::Endless
    }
}

/// What became of a frame handed to a link that may be stuck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    /// It goes on its way.
    Free(Vec<u8>),
    /// It waits, or takes the place of one that did.
    Held,
    /// There was no room.
    Refused,
}

impl Network {
    /// Whole links between so many nodes; some better than others if they are `uneven`.
    pub fn new(nodes: usize, uneven: bool, random: &mut SplitMix64) -> Network {
        let mut percent =
            || if uneven { [10, 50, 100, 400][random.random_range(0..4)] } else { 100 };
        let links = (0..nodes * nodes)
            .map(|_| Link { loss: percent(), delay: percent(), ..Link::default() })
            .collect();
        Network {
            nodes,
            links,
            partitions: Vec::new(),
            next_partition: 0,
            remembered: VecDeque::new(),
        }
    }

    fn link(&mut self, (from, to): LinkId) -> &mut Link {
        &mut self.links[from * self.nodes + to]
    }

    /// All links between two different nodes.
    pub fn all(&self) -> impl Iterator<Item = LinkId> + use<> {
        let nodes = self.nodes;
        let from = move |from| (0..nodes).map(move |to| (from, to));
        (0..nodes).flat_map(from).filter(|(from, to)| from != to)
    }

    /// Whether no frame passes.
    pub fn is_cut(&self, (from, to): LinkId) -> bool {
        self.links[from * self.nodes + to].cuts > 0
    }

    /// Cuts these links until the partition of the number returned is healed.
    pub fn cut(&mut self, links: Vec<LinkId>) -> u64 {
        self.next_partition += 1;
        for link in &links {
            self.link(*link).cuts += 1;
        }
        self.partitions.push(Partition { id: self.next_partition, links, open: false });
        self.next_partition
    }

    /// Ends a partition, if it has not ended yet.
    pub fn heal(&mut self, partition: u64) {
        self.set_open(partition, |_| true);
        self.partitions.retain(|other| other.id != partition);
    }

    /// Heals or cuts again the links of a partition; whether it goes on.
    pub fn flap(&mut self, partition: u64) -> bool {
        self.set_open(partition, |open| !open)
    }

    fn set_open(&mut self, partition: u64, change: impl Fn(bool) -> bool) -> bool {
        let Some(found) = self.partitions.iter_mut().find(|other| other.id == partition) else {
            return false;
        };
        let open = change(found.open);
        if open != std::mem::replace(&mut found.open, open) {
            for link in found.links.clone() {
                let cuts = &mut self.link(link).cuts;
                *cuts = if open { *cuts - 1 } else { *cuts + 1 };
            }
        }
        true
    }

    /// Ends all partitions.
    pub fn heal_all(&mut self) {
        self.partitions.clear();
        for link in &mut self.links {
            link.cuts = 0;
        }
    }

    /// The link delivers nothing until then; nothing new if it is stuck already.
    pub fn stick(&mut self, link: LinkId, until: u64, room: Room) {
        let stuck = Stuck { until, room, frames: VecDeque::new() };
        self.link(link).stuck.get_or_insert(stuck);
    }

    /// A frame comes to a link.
    pub fn hand(&mut self, link: LinkId, lane: Lane, frame: Vec<u8>) -> Handed {
        let Some(stuck) = &mut self.link(link).stuck else { return Handed::Free(frame) };
        match stuck.room {
            Room::RefusesNewest(room) if stuck.frames.len() >= room => return Handed::Refused,
            Room::DropsOldest(room) if stuck.frames.len() >= room => {
                stuck.frames.pop_front();
            }
            Room::Endless | Room::RefusesNewest(_) | Room::DropsOldest(_) => {}
        }
        stuck.frames.push_back((lane, frame));
        Handed::Held
    }

    /// If the link was stuck until now: what it held, in order.
    pub fn release(&mut self, link: LinkId, now: u64) -> VecDeque<(Lane, Vec<u8>)> {
        match self.link(link).stuck.take_if(|stuck| stuck.until <= now) {
            Some(stuck) => stuck.frames,
            None => VecDeque::new(),
        }
    }

    /// A process is gone, and the frames in its queues with it.
    pub fn forget_queues(&mut self, from: usize) {
        for link in &mut self.links[from * self.nodes..(from + 1) * self.nodes] {
            if let Some(stuck) = link.stuck.as_mut().filter(|stuck| stuck.room.is_senders()) {
                stuck.frames.clear();
            }
        }
    }

    /// Keeps a frame to be sent again much later.
    pub fn remember(&mut self, link: LinkId, frame: Vec<u8>) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back((link, frame));
    }

    /// Frames from and to a node that were remembered, oldest first; they are forgotten.
    pub fn recall(&mut self, node: usize) -> Vec<(usize, Vec<u8>)> {
        let of_node = |link: LinkId| link.0 == node || link.1 == node;
        let (recalled, kept): (VecDeque<_>, VecDeque<_>) =
            self.remembered.drain(..).partition(|(link, _)| of_node(*link));
        self.remembered = kept;
        recalled.into_iter().map(|(link, frame)| (link.1, frame)).collect()
    }

    /// When a frame arrives, if it is not lost; and its second copy, if there is one.
    pub fn arrivals(
        &mut self,
        random: &mut SplitMix64,
        trouble: &Trouble,
        now: u64,
        link: LinkId,
        lane: Lane,
    ) -> (Option<u64>, Option<(u64, Kind)>) {
        let cut = self.is_cut(link);
        let loss = u64::from(trouble.loss) * self.link(link).loss / 100;
        if cut || random.random_range(0..10_000) < loss {
            return (None, None);
        }
        let first = self.arrival(random, trouble, now, link, lane);
        let latest = &mut self.link(link).latest;
        *latest = first.max(*latest);
        if random.random_range(0..10_000) >= trouble.duplication {
            return (Some(first), None);
        }
        let second = if trouble.stragglers && random.random_bool(0.7) {
            (now + random.random_range(0..1_500_000), Kind::Straggler)
        } else {
            (self.arrival(random, trouble, now, link, lane), Kind::Duplication)
        };
        (Some(first), Some(second))
    }

    /// When the last frame on its way arrives, or the last one did; second copies aside.
    pub fn last_arrival(&self, (from, to): LinkId) -> u64 {
        self.links[from * self.nodes + to].latest
    }

    fn arrival(
        &mut self,
        random: &mut SplitMix64,
        trouble: &Trouble,
        now: u64,
        link: LinkId,
        lane: Lane,
    ) -> u64 {
        let link = self.link(link);
        let delay = trouble.delay + random.random_range(0..=trouble.jitter);
        let at = now + if trouble.uneven { delay * link.delay / 100 } else { delay };
        if trouble.reorder {
            return at;
        }
        let last = &mut link.last_arrival[usize::from(lane == Lane::Log)];
        *last = at.max(*last + 1);
        *last
    }
}

/// A frame as a bad link or memory hands it on: never the same.
pub fn corrupt(random: &mut SplitMix64, mut frame: Vec<u8>) -> Vec<u8> {
    let length = frame.len();
    match random.random_range(0..5) {
        0 => frame.truncate(random.random_range(0..length)),
        1 => {
            let garbage = random.random_range(1..40);
            frame.extend((0..garbage).map(|_| random.random_range(0..=255u8)));
        }
        2 => {
            // A run of bytes, as of a buffer that was used twice.
            let from = random.random_range(0..length);
            let to = (from + random.random_range(1..64)).min(length);
            for byte in &mut frame[from..to] {
                *byte ^= random.random_range(1..=255u8);
            }
        }
        _ => {
            let bit = random.random_range(0..8 * length);
            frame[bit / 8] ^= 1 << (bit % 8);
        }
    }
    frame
}
