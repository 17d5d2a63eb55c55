//! Hints that the leader is gone: the connection to it was lost, or its process was started again.
//! What a follower makes of one, and how soon it believes the next. Must never do more than bring an
//! election forward: who may be elected, and in which term, is decided as ever.

use messages::NodeId;
use rand::RngExt;

use crate::{Config, Micros, Replica, Time};

/// Between the deadlines of two followers that lose their leader at once, and drawn on top of each.
const RANK_STEP: Micros = Micros(5_000);
/// Between two rounds of questions.
const ASK_EVERY: Micros = Micros(10_000);
/// How long who would vote for another waits for it.
const WAY: Micros = Micros(50_000);
/// How long no hint is believed after a false one; twice as long after each further one.
const QUIET: Micros = Micros(1_000_000);
/// So often that time is doubled at most.
const DOUBLINGS: u32 = 6;
/// The times above are for election timeouts from here on; for shorter ones they shrink alike.
const USUAL_ELECTION: Micros = Micros(300_000);

/// Rounds of questions after one hint.
pub(crate) const ASKS: u32 = 5;

/// A follower has a hint that its leader is gone, and has not heard it since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Suspicion {
    /// The election deadline from before the hint.
    pub before: Option<Time>,
    /// It has let another go first, which it does once.
    pub made_way: bool,
}

/// How a follower judges hints by those that it had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Experience {
    /// False hints in a row.
    falses: u32,
    quiet_until: Time,
}

impl Experience {
    /// Whether a hint is worth a question.
    pub fn believes(&self, now: Time) -> bool {
        now >= self.quiet_until
    }

    /// The leader was there after all.
    pub fn on_false(&mut self, config: &Config, now: Time) {
        let Micros(quiet) = scaled(config, QUIET);
        self.quiet_until = now + Micros(quiet << self.falses.min(DOUBLINGS));
        self.falses = self.falses.saturating_add(1);
    }
}

/// When a follower that lost `leader` asks whether it would be elected: one after the other, in the
/// order of their ids.
pub(crate) fn deadline(replica: &mut Replica, leader: NodeId, now: Time) -> Time {
    let Micros(step) = scaled(&replica.config, RANK_STEP);
    let others = replica.membership.voters.iter().filter(|voter| **voter != leader);
    let rank = others.take_while(|voter| **voter < replica.id).count() as u64;
    now + Micros(rank * step + replica.random.random_range(0..step.max(1)))
}

/// Between two rounds of questions.
pub(crate) fn ask_every(config: &Config) -> Micros {
    scaled(config, ASK_EVERY)
}

/// How long who would vote for another waits for it.
pub(crate) fn way(config: &Config) -> Micros {
    scaled(config, WAY)
}

fn scaled(config: &Config, span: Micros) -> Micros {
    Micros(span.0 * config.election.0.min(USUAL_ELECTION.0) / USUAL_ELECTION.0)
}
