//! Draws random faults and carries them out on a cluster of real processes. Must never leave a fault
//! behind: whatever happens, at the end everything is healed.
//!
//! Faults of the links, of the processes and those that only some clusters offer come side by side,
//! at most one of each sort at a time. Each lasts a while and is healed; then its sort is quiet for a
//! while. A seed repeats which faults are drawn, as long as the cluster answers alike; nothing repeats
//! their effects.

mod begun;
mod draw;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::links::Links;
use begun::Begun;
use draw::{Facts, Fault, Sort};

pub use draw::{KINDS, between};

/// How often a kind is drawn again that was left out, before its sort rests for a moment.
const DRAWS: usize = 20;
/// How often the time and the victims' health are looked at.
const MOMENT: Duration = Duration::from_millis(5);

/// A cluster of nodes 1, 2, ..., as those who harm it see it. Each method returns when its work is
/// done; an error ends the faults.
pub trait Victims {
    /// How many nodes there are.
    fn nodes(&self) -> usize;

    /// Who leads, if somebody does.
    fn leader(&mut self) -> Option<usize>;

    /// The links between them.
    fn links(&self) -> &Links;

    /// SIGKILL to all of these, as near to one moment as can be. One that does not run is passed over.
    fn kill(&mut self, nodes: &[usize]) -> Result<()>;

    /// Starts a node with its data; nothing if it runs.
    fn restart(&mut self, node: usize) -> Result<()>;

    /// SIGSTOP; nothing if it does not run.
    fn pause(&mut self, node: usize) -> Result<()>;

    /// SIGCONT; nothing if it does not run or is not paused.
    fn resume(&mut self, node: usize) -> Result<()>;

    /// SIGTERM, waits for the end, which must be a good one, and starts it again; nothing if it does
    /// not run.
    fn restart_gently(&mut self, node: usize) -> Result<()>;

    /// Names of further faults.
    fn further(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Begins a further fault on a node.
    fn begin(&mut self, name: &'static str, node: usize) -> Result<()> {
        let _ = (name, node);
        Ok(())
    }

    /// Undoes it, also if it did not begin well.
    fn end(&mut self, name: &'static str, node: usize) -> Result<()> {
        let _ = (name, node);
        Ok(())
    }

    /// An error if something has happened that no fault explains, such as a node that ended by itself.
    fn check(&mut self) -> Result<()> {
        Ok(())
    }
}

/// How long faults last, and how long each sort is quiet between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A fault.
    pub lasts: Range<Duration>,
    /// The quiet after it.
    pub quiet: Range<Duration>,
}

impl Default for Pace {
    /// Some faults outlast elections (0.3 s) and clients' time-outs (2.5 s), others neither.
    fn default() -> Pace {
        let millis = Duration::from_millis;
        Pace { lasts: millis(100)..millis(3_000), quiet: millis(200)..millis(1_500) }
    }
}

/// A drawer of faults, which counts them by kind.
#[derive(Debug)]
pub struct Faults {
    random: StdRng,
    pace: Pace,
    without: BTreeSet<&'static str>,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    /// One that repeats itself for the same seed.
    pub fn new(seed: u64, pace: Pace) -> Faults {
        let random = StdRng::seed_from_u64(seed);
        Faults { random, pace, without: BTreeSet::new(), counts: BTreeMap::new() }
    }

    /// Leaves these kinds out.
    pub fn without(self, kinds: BTreeSet<&'static str>) -> Faults {
        Faults { without: kinds, ..self }
    }

    /// How many faults of each kind were carried out.
    pub fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    /// Harms the victims for so long, then heals all that it did, also after an error. `say` is told
    /// each fault and each healing, one line each.
    ///
    /// # Errors
    /// The first one of the victims.
    pub fn run(
        &mut self,
        victims: &mut impl Victims,
        time: Duration,
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let start = Instant::now();
        let mut say = |text: &str| say(&format!("{:5.1} s  {text}", start.elapsed().as_secs_f64()));
        let mut begun = Vec::new();
        let harmed = self.harm(victims, start + time, &mut begun, &mut say);
        let healed = begun.into_iter().map(|begun| heal(begun, victims, &mut say));
        let healed = healed.fold(Ok(()), Result::and);
        harmed.and(healed)
    }

    fn harm(
        &mut self,
        victims: &mut impl Victims,
        end: Instant,
        begun: &mut Vec<Begun>,
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let mut quiet = Sort::ALL.map(|sort| (sort, Instant::now() + self.draw_quiet()));
        while Instant::now() < end {
            victims.check()?;
            for (sort, quiet) in &mut quiet {
                match begun.iter().position(|begun| begun.fault.sort == *sort) {
                    Some(at) if begun[at].until <= Instant::now() => {
                        heal(begun.remove(at), victims, say)?;
                        *quiet = Instant::now() + self.draw_quiet();
                    }
                    Some(at) => begun[at].go_on(victims)?,
                    None if *quiet <= Instant::now() => self.begin(*sort, victims, begun, say)?,
                    None => {}
                }
            }
            thread::sleep(MOMENT);
        }
        Ok(())
    }

    fn begin(
        &mut self,
        sort: Sort,
        victims: &mut impl Victims,
        begun: &mut Vec<Begun>,
        say: &mut dyn FnMut(&str),
    ) -> Result<()> {
        let Some(fault) = self.draw(sort, victims) else { return Ok(()) };
        say(&fault.to_string());
        *self.counts.entry(fault.kind).or_default() += 1;
        let lasts = self.random.random_range(self.pace.lasts.clone());
        let mut fault = Begun::new(fault, lasts);
        let done = fault.begin(victims);
        begun.push(fault); // what began badly is ended, too
        done
    }

    fn draw(&mut self, sort: Sort, victims: &mut impl Victims) -> Option<Fault> {
        let (nodes, leader, further) = (victims.nodes(), victims.leader(), victims.further());
        let facts = Facts { nodes, leader, further };
        let mut draws = (0..DRAWS).filter_map(|_| draw::draw(&mut self.random, sort, &facts));
        draws.find(|fault| !self.without.contains(fault.kind))
    }

    fn draw_quiet(&mut self) -> Duration {
        self.random.random_range(self.pace.quiet.clone())
    }
}

fn heal(begun: Begun, victims: &mut impl Victims, say: &mut dyn FnMut(&str)) -> Result<()> {
    say(&format!("healed {}", begun.fault.kind));
    begun.end(victims)
}

#[cfg(test)]
mod tests;
