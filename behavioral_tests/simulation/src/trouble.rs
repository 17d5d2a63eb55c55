//! What a seed draws: how large the cluster is, and which kinds of trouble it has, how strong. A
//! fixed mix of faults hides bugs, so the kinds are drawn, not only their moments.

use rand::RngExt;
use states::random::SplitMix64;

use crate::tally::named;

named! {
    /// A kind of trouble: what a report counts, and what can be left out of a seed.
    Kind {
        /// Frames are lost.
        Loss = "loss",
        /// Frames arrive twice.
        Duplication = "duplication",
        /// Second copies of frames arrive seconds later, out of another boot or term.
        Straggler = "straggler",
        /// Links between nodes are cut.
        Partition = "partition",
        /// A node crashes.
        Crash = "crash",
        /// All nodes crash at once.
        CrashOfAll = "crash-of-all",
        /// A node crashes between two effects of a turn.
        CrashInTurn = "crash-in-turn",
        /// A node stands still for a while.
        Pause = "pause",
        /// Operations of a disk fail.
        DiskError = "disk-error",
        /// Syncs take long.
        SlowSync = "slow-sync",
        /// Frames take long.
        SlowFrames = "slow-frames",
        /// Clocks run at different rates.
        Drift = "clock-drift",
    }
}

/// The kinds that come as single faults, at moments of their own.
pub const FAULTS: [Kind; 5] =
    [Kind::Partition, Kind::Crash, Kind::CrashOfAll, Kind::Pause, Kind::DiskError];

/// The settings of one simulated run. Times are in microseconds, chances out of 10,000.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Nodes in the cluster.
    pub nodes: usize,
    /// Clients, each with one batch at a time.
    pub clients: usize,
    /// Operations in a batch at most.
    pub batch: usize,
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
    /// A turn is cut short by a crash between two of its effects.
    pub crash_in_turn: u32,
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
}

impl Trouble {
    /// Draws a run.
    pub fn draw(random: &mut SplitMix64) -> Trouble {
        let lossy = random.random_bool(0.5);
        let slow = random.random_bool(0.3);
        let faulty = random.random_bool(0.8);
        let mut weights = [0; FAULTS.len()];
        for weight in &mut weights {
            if random.random_bool(0.6) {
                *weight = random.random_range(1..10);
            }
        }
        let crashes = weights[1] + weights[2] + weights[4] > 0;
        Trouble {
            nodes: [1, 2, 3, 3, 3, 3, 5, 5][random.random_range(0..8)],
            clients: random.random_range(1..8),
            batch: [1, 5, 20][random.random_range(0..3)],
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
            reorder: random.random_bool(0.5),
            sync: if slow {
                random.random_range(100..200_000)
            } else {
                random.random_range(50..5_000)
            },
            fault_every: if faulty { random.random_range(100_000..2_000_000) } else { 0 },
            weights,
            at_leader: random.random_range(0..10_000),
            crash_in_turn: if crashes && faulty { random.random_range(0..10) } else { 0 },
            fault_length: random.random_range(50_000..3_000_000),
            clock_drift: [0, 0, random.random_range(0..1_000), random.random_range(0..15_000)]
                [random.random_range(0..4)],
            election: [100_000, 150_000, 300_000][random.random_range(0..3)],
            window: [1, 4, 16][random.random_range(0..3)],
            append_bytes: [200, 4 << 10, 64 << 10][random.random_range(0..3)],
            apply_budget: [1, 3, 64][random.random_range(0..3)],
            waiting_bytes: [2 << 10, 1 << 20, 1 << 20][random.random_range(0..3)],
        }
    }

    /// The same without one kind of trouble.
    pub fn without(mut self, kind: Kind) -> Trouble {
        if let Some(place) = FAULTS.iter().position(|fault| *fault == kind) {
            self.weights[place] = 0;
        }
        match kind {
            Kind::Loss => self.loss = 0,
            Kind::Duplication => self.duplication = 0,
            Kind::Straggler => self.stragglers = false,
            Kind::CrashInTurn => self.crash_in_turn = 0,
            Kind::SlowSync => self.sync = self.sync.min(5_000),
            Kind::SlowFrames => self.jitter = self.jitter.min(2_000),
            Kind::Drift => self.clock_drift = 0,
            Kind::Partition | Kind::Crash | Kind::CrashOfAll | Kind::Pause | Kind::DiskError => {}
        }
        self
    }

    /// The same cluster with nothing going wrong.
    pub fn calm(&self) -> Trouble {
        Trouble {
            loss: 0,
            duplication: 0,
            stragglers: false,
            jitter: self.jitter.min(2_000),
            sync: self.sync.min(5_000),
            fault_every: 0,
            think: 20_000,
            crash_in_turn: 0,
            ..self.clone()
        }
    }
}
