//! What a seed draws: how large the cluster is, and which kinds of trouble it has, how strong. A
//! fixed mix of faults hides bugs, so the kinds are drawn, not only their moments.

use rand::RngExt;
use servers::sessions::Limits;
use states::Micros;
use states::random::SplitMix64;

use crate::tally::named;

named! {
    /// A kind of trouble: what a report counts, and what can be left out of a seed. Those that last
    /// for a whole run are counted once.
    Kind {
        /// Frames are lost.
        Loss = "loss",
        /// Frames arrive twice.
        Duplication = "duplication",
        /// Second copies of frames arrive seconds later, out of another boot or term.
        Straggler = "straggler",
        /// Frames arrive again right after their sender or receiver was started again.
        EarlierBoot = "earlier-boot",
        /// Frames arrive with other bytes than were sent.
        Corruption = "corrupt-frame",
        /// Frames take long.
        SlowFrames = "slow-frames",
        /// Frames overtake each other.
        Reordering = "reordering",
        /// Some links are slower and lose more than others.
        UnevenLinks = "uneven-links",
        /// Links between two halves are cut.
        Halves = "halves",
        /// The links of one node are cut.
        Isolated = "isolated",
        /// Links are cut in one direction.
        OneWay = "one-way",
        /// Links between two halves are cut, but one node reaches both.
        Bridge = "bridge",
        /// Some links are cut, some not.
        Patchy = "patchy",
        /// Links are cut and healed in turns.
        Flapping = "flapping",
        /// A link delivers nothing for seconds, and then all of it.
        Clog = "clog",
        /// A peer takes nothing for a while, and the queue to it is full.
        FullQueue = "full-queue",
        /// A node's machine loses its power.
        Crash = "crash",
        /// All machines lose their power at once.
        CrashOfAll = "crash-of-all",
        /// A node's process is killed; its machine goes on.
        Kill = "kill",
        /// A node ends, and a peer learns that its connection is closed.
        Closed = "closed-connection",
        /// One node loses the connection to another for a moment, and nothing else is wrong.
        FlapAtOne = "flap-at-one",
        /// Most nodes lose the connection to one for a moment, and nothing else is wrong.
        FlapAtMany = "flap-at-many",
        /// A node crashes between two effects of a turn.
        CrashInTurn = "crash-in-turn",
        /// A node crashes between a sync's return and one of the promises that it lets go.
        CrashInSync = "crash-in-sync",
        /// A node crashes when some of its jobs are written, and not all.
        CrashInStaging = "crash-in-staging",
        /// A node crashes while it starts.
        CrashInStart = "crash-in-start",
        /// A node stands still for a while.
        Pause = "pause",
        /// A node stands still between gathering what has arrived and looking at the clock.
        PauseAtClock = "pause-at-clock",
        /// A node stands still between two effects of a turn.
        PauseInTurn = "pause-in-turn",
        /// Clocks run at different rates.
        Drift = "clock-drift",
        /// A wall clock is set.
        WallJump = "wall-jump",
        /// Operations of a disk fail.
        DiskError = "disk-error",
        /// A sync fails, and what it should have written is lost, though it can still be read.
        FailingSync = "failing-sync",
        /// A disk is full for a while.
        FullDisk = "full-disk",
        /// Syncs take long.
        SlowSync = "slow-sync",
        /// A disk's syncs take up to two seconds for a while.
        GrayDisk = "gray-disk",
        /// Bits flip on a disk while its node is down.
        BitFlip = "bit-flip",
        /// A sector becomes zeros while its node is down.
        ZeroedSector = "zeroed-sector",
        /// A sector has its earlier content again.
        StaleSector = "stale-sector",
        /// Two sectors have changed places.
        SwappedSectors = "swapped-sectors",
        /// A file is shorter, or gone.
        TruncatedFile = "truncated-file",
    }
}

/// The kinds that come as single faults, at moments of their own.
pub const FAULTS: [Kind; 19] = [
    Kind::Halves,
    Kind::Isolated,
    Kind::OneWay,
    Kind::Bridge,
    Kind::Patchy,
    Kind::Flapping,
    Kind::Clog,
    Kind::FullQueue,
    Kind::Crash,
    Kind::CrashOfAll,
    Kind::Kill,
    Kind::Pause,
    Kind::WallJump,
    Kind::DiskError,
    Kind::FailingSync,
    Kind::FullDisk,
    Kind::GrayDisk,
    Kind::FlapAtOne,
    Kind::FlapAtMany,
];

/// What may happen to a disk while its node is down.
pub const DAMAGES: [Kind; 5] = [
    Kind::BitFlip,
    Kind::ZeroedSector,
    Kind::StaleSector,
    Kind::SwappedSectors,
    Kind::TruncatedFile,
];

/// More than a frame's or sync's usual time, microseconds, is slow.
const QUICK_FRAME: u64 = 2_000;
const QUICK_SYNC: u64 = 5_000;

/// The settings of one simulated run. Times are in microseconds, chances out of 10,000.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Nodes in the cluster.
    pub nodes: usize,
    /// Clients, each with one batch at a time.
    pub clients: usize,
    /// Operations in a batch at most.
    pub batch: usize,
    /// A batch is of queries whose client is content with what its node has applied.
    pub stale: u32,
    /// A client that has no command under way sends the next in its session.
    pub sessions: u32,
    /// When sessions end.
    pub session_limits: Limits,
    /// How long a client thinks between two batches at most.
    pub think: u64,
    /// A frame is lost.
    pub loss: u32,
    /// A frame arrives twice.
    pub duplication: u32,
    /// The least delay of a frame.
    pub delay: u64,
    /// What is added to it at most.
    pub jitter: u64,
    /// A second copy of a frame arrives seconds later, out of another boot or term.
    pub stragglers: bool,
    /// A frame is kept, and arrives again after the next start of its sender or receiver.
    pub earlier_boots: u32,
    /// A frame arrives with other bytes.
    pub corruption: u32,
    /// Whether some links are worse than others.
    pub uneven: bool,
    /// Whether frames may overtake each other on a lane.
    pub reorder: bool,
    /// How long a sync takes at most.
    pub sync: u64,
    /// Average time between two faults of the kinds below; zero: none.
    pub fault_every: u64,
    /// How often each of [`FAULTS`] is picked, relative to the others.
    pub weights: [u32; FAULTS.len()],
    /// A fault of one node hits the leader, if there is one; else any node.
    pub at_leader: u32,
    /// A peer of a node that ends learns that its connection is closed.
    pub told: u32,
    /// A turn is cut short by a crash between two of its effects.
    pub crash_in_turn: u32,
    /// A crash comes between a sync's return and the promises that it lets go.
    pub crash_in_sync: u32,
    /// A crash comes when some of the jobs that wait are written.
    pub crash_in_staging: u32,
    /// A crash comes while a node starts.
    pub crash_in_start: u32,
    /// A node stands still between gathering and looking at the clock.
    pub pause_at_clock: u32,
    /// A node stands still between two effects of a turn.
    pub pause_in_turn: u32,
    /// Before a node starts, it is seen how it would start on a copy of its disk with damage.
    pub damage: u32,
    /// How often each of [`DAMAGES`] is picked, relative to the others.
    pub damages: [u32; DAMAGES.len()],
    /// How long a fault lasts at most.
    pub fault_length: u64,
    /// Node clocks run apart by at most this share, out of 10,000.
    pub clock_drift: u32,
    /// The least election timeout; a heartbeat is a sixth of it.
    pub election: u64,
    /// Appends in flight to one follower at most.
    pub window: usize,
    /// Bytes of entries in one append at most.
    pub append_bytes: usize,
    /// Operations executed in one turn at most.
    pub apply_budget: usize,
    /// Bytes that may be uncommitted on a leader, and that may wait on a node.
    pub waiting_bytes: usize,
    /// Bytes that the log grows by before a snapshot is taken.
    pub snapshot_bytes: u64,
    /// Bytes of a snapshot sent in a second.
    pub snapshot_rate: u64,
    /// Bytes of one part.
    pub snapshot_part: u64,
    /// Bytes of entries that stay though a snapshot covers them, for others.
    pub kept_bytes: usize,
    /// Bytes of entries above which none does.
    pub pinned_bytes: usize,
}

impl Trouble {
    /// Draws a run.
    pub fn draw(random: &mut SplitMix64) -> Trouble {
        let lossy = random.random_bool(0.5);
        let slow = random.random_bool(0.3);
        let faulty = random.random_bool(0.8);
        let weights = self::weights(random, 0.4);
        let damages = self::weights(random, 0.6);
        let mut seldom = |most: u32| match random.random_bool(0.4) {
            true if faulty => random.random_range(1..most),
            _ => 0,
        };
        let (crash_in_turn, crash_in_sync) = (seldom(10), seldom(15));
        let (crash_in_staging, crash_in_start) = (seldom(10), seldom(5_000));
        let (pause_at_clock, pause_in_turn) = (seldom(10), seldom(10));
        let (earlier_boots, corruption) = (seldom(3_000), seldom(200));
        let damage = seldom(10_000);
        let (sessions, session_limits) = sessions(random.clone());
        Trouble {
            sessions,
            session_limits,
            nodes: [1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 6, 7][random.random_range(0..14)],
            clients: random.random_range(1..8),
            batch: [1, 5, 20][random.random_range(0..3)],
            stale: [200, 500, 3_000][random.random_range(0..3)],
            think: [20_000, 100_000, 500_000][random.random_range(0..3)],
            loss: if lossy { random.random_range(0..2_000) } else { 0 },
            duplication: if lossy { random.random_range(0..2_000) } else { 0 },
            delay: random.random_range(20..2_000),
            jitter: if slow {
                random.random_range(0..100_000)
            } else {
                random.random_range(0..2_000)
            },
            stragglers: lossy && random.random_bool(0.7),
            earlier_boots,
            corruption,
            uneven: random.random_bool(0.3),
            reorder: random.random_bool(0.5),
            sync: if slow {
                random.random_range(100..200_000)
            } else {
                random.random_range(50..5_000)
            },
            fault_every: if faulty { random.random_range(100_000..2_000_000) } else { 0 },
            weights,
            at_leader: random.random_range(0..10_000),
            told: [0, 5_000, 10_000, 10_000][random.random_range(0..4)],
            crash_in_turn,
            crash_in_sync,
            crash_in_staging,
            crash_in_start,
            pause_at_clock,
            pause_in_turn,
            damage,
            damages,
            fault_length: random.random_range(50_000..3_000_000),
            clock_drift: [0, 0, random.random_range(0..1_000), random.random_range(0..15_000)]
                [random.random_range(0..4)],
            election: [100_000, 150_000, 300_000][random.random_range(0..3)],
            window: [1, 4, 16][random.random_range(0..3)],
            append_bytes: [200, 4 << 10, 64 << 10][random.random_range(0..3)],
            apply_budget: [1, 3, 64][random.random_range(0..3)],
            waiting_bytes: [2 << 10, 1 << 20, 1 << 20][random.random_range(0..3)],
            snapshot_bytes: u64::MAX,
            snapshot_rate: 1 << 30,
            snapshot_part: 256 << 10,
            kept_bytes: 0,
            pinned_bytes: 0,
        }
    }

    /// Draws when snapshots are taken, and how they travel. Disks that are damaged have none: what such
    /// a disk still proves is known of logs alone.
    pub fn draw_snapshots(&mut self, random: &mut SplitMix64) {
        if self.damage > 0 || random.random_bool(0.2) {
            return;
        }
        self.snapshot_bytes = [500, 3_000, 20_000][random.random_range(0..3)];
        self.snapshot_rate = [20_000, 1 << 20, 1 << 30][random.random_range(0..3)];
        self.snapshot_part = [100, 1_000, 256 << 10][random.random_range(0..3)];
        self.kept_bytes = [0, 500, 10_000][random.random_range(0..3)];
        self.pinned_bytes = [0, 2_000, 1 << 20][random.random_range(0..3)];
    }

    /// The same without one kind of trouble.
    pub fn without(mut self, kind: Kind) -> Trouble {
        for (place, fault) in FAULTS.iter().enumerate() {
            self.weights[place] *= u32::from(*fault != kind);
        }
        for (place, damage) in DAMAGES.iter().enumerate() {
            self.damages[place] *= u32::from(*damage != kind);
        }
        match kind {
            Kind::Loss => self.loss = 0,
            Kind::Duplication => self.duplication = 0,
            Kind::Straggler => self.stragglers = false,
            Kind::EarlierBoot => self.earlier_boots = 0,
            Kind::Corruption => self.corruption = 0,
            Kind::SlowFrames => self.jitter = self.jitter.min(QUICK_FRAME),
            Kind::Reordering => self.reorder = false,
            Kind::UnevenLinks => self.uneven = false,
            Kind::Closed => self.told = 0,
            Kind::CrashInTurn => self.crash_in_turn = 0,
            Kind::CrashInSync => self.crash_in_sync = 0,
            Kind::CrashInStaging => self.crash_in_staging = 0,
            Kind::CrashInStart => self.crash_in_start = 0,
            Kind::PauseAtClock => self.pause_at_clock = 0,
            Kind::PauseInTurn => self.pause_in_turn = 0,
            Kind::Drift => self.clock_drift = 0,
            Kind::SlowSync => self.sync = self.sync.min(QUICK_SYNC),
            // Single faults and damages: their weights are zero now.
            _ => {}
        }
        self
    }

    /// Kinds that last for the whole run, and are in it.
    pub fn lasting(&self) -> impl Iterator<Item = Kind> {
        let lasting = [
            (Kind::SlowFrames, self.jitter > QUICK_FRAME),
            (Kind::Reordering, self.reorder),
            (Kind::UnevenLinks, self.uneven),
            (Kind::Drift, self.clock_drift > 0),
            (Kind::SlowSync, self.sync > QUICK_SYNC),
        ];
        lasting.into_iter().filter(|(_, present)| *present).map(|(kind, _)| kind)
    }

    /// The same cluster with nothing going wrong.
    pub fn calm(&self) -> Trouble {
        Trouble {
            loss: 0,
            duplication: 0,
            stragglers: false,
            earlier_boots: 0,
            corruption: 0,
            uneven: false,
            jitter: self.jitter.min(QUICK_FRAME),
            sync: self.sync.min(QUICK_SYNC),
            fault_every: 0,
            think: 20_000,
            crash_in_turn: 0,
            crash_in_sync: 0,
            crash_in_staging: 0,
            crash_in_start: 0,
            pause_at_clock: 0,
            pause_in_turn: 0,
            ..self.clone()
        }
    }
}

/// Draws how often clients use sessions, and when those end. Has chance of its own, so that what a seed
/// draws beside is the same with and without.
fn sessions(mut random: SplitMix64) -> (u32, Limits) {
    let often = [0, 0, 2_000, 9_000][random.random_range(0..4)];
    let limits = match random.random_range(0..3) {
        0 => Limits::default(),
        1 => Limits { sessions: 2, ..Limits::default() },
        _ => Limits { idle: Micros(1_000_000), ..Limits::default() },
    };
    (often, limits)
}

/// Draws which kinds there are, each with this chance, and how often they come.
fn weights<const KINDS: usize>(random: &mut SplitMix64, present: f64) -> [u32; KINDS] {
    std::array::from_fn(|_| match random.random_bool(present) {
        true => random.random_range(1..10),
        false => 0,
    })
}

/// Picks one of the kinds by its weight; none if all are zero.
pub fn pick(random: &mut SplitMix64, kinds: &[Kind], weights: &[u32]) -> Option<Kind> {
    let total: u32 = weights.iter().sum();
    if total == 0 {
        return None;
    }
    let mut pick = random.random_range(0..total);
    kinds.iter().zip(weights).find_map(|(kind, weight)| {
        let hit = pick < *weight;
        pick = pick.saturating_sub(*weight);
        hit.then_some(*kind)
    })
}
