//! A fault that is there. Must be ended, whether or not it began well.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::Victims;
use super::draw::{Deed, Fault};
use crate::chaos::links::Links;

/// A fault, and what it needs to go on and to be undone.
#[derive(Debug)]
pub struct Begun {
    /// The fault.
    pub fault: Fault,
    /// When it is to be healed.
    pub until: Instant,
    /// Flapping: when the links changed last. One after the other: which node is next.
    flipped: Instant,
    next_node: usize,
}

impl Begun {
    /// A fault that has done nothing yet.
    pub fn new(fault: Fault, lasts: Duration) -> Begun {
        let now = Instant::now();
        Begun { fault, until: now + lasts, flipped: now, next_node: 0 }
    }

    /// Does the harm.
    pub fn begin(&mut self, victims: &mut impl Victims) -> Result<()> {
        match &self.fault.deed {
            Deed::Cut(links, cut) | Deed::Flap(links, cut, _) => {
                let proxies = victims.links();
                links.iter().for_each(|(from, to)| proxies.cut(*from, *to, *cut));
                Ok(())
            }
            Deed::Delay(links, delay) => {
                let proxies = victims.links();
                links.iter().for_each(|(from, to)| proxies.delay(*from, *to, *delay));
                Ok(())
            }
            Deed::Throttle(links, rate) => {
                let proxies = victims.links();
                links.iter().for_each(|(from, to)| proxies.throttle(*from, *to, Some(*rate)));
                Ok(())
            }
            Deed::Kill(nodes) => victims.kill(nodes),
            Deed::Pause(node) => victims.pause(*node),
            Deed::RestartGently(_) => Ok(()), // goes on from the first
            Deed::Further(name, node) => victims.begin(name, *node),
        }
    }

    /// Does what comes after the beginning.
    pub fn go_on(&mut self, victims: &mut impl Victims) -> Result<()> {
        match &self.fault.deed {
            Deed::Flap(links, cut, half_period) if self.flipped.elapsed() >= *half_period => {
                self.flipped = Instant::now();
                let proxies = victims.links();
                for (from, to) in links {
                    match proxies.condition(*from, *to).cut {
                        Some(_) => proxies.heal_link(*from, *to),
                        None => proxies.cut(*from, *to, *cut),
                    }
                }
                Ok(())
            }
            Deed::RestartGently(nodes) if self.next_node < nodes.len() => {
                self.next_node += 1;
                victims.restart_gently(nodes[self.next_node - 1])
            }
            _ => Ok(()),
        }
    }

    /// Undoes the harm.
    pub fn end(self, victims: &mut impl Victims) -> Result<()> {
        match &self.fault.deed {
            Deed::Cut(links, _)
            | Deed::Flap(links, ..)
            | Deed::Delay(links, _)
            | Deed::Throttle(links, _) => {
                heal(victims.links(), links);
                Ok(())
            }
            Deed::Kill(nodes) => nodes.iter().try_for_each(|node| victims.restart(*node)),
            Deed::Pause(node) => victims.resume(*node),
            Deed::RestartGently(_) => Ok(()),
            Deed::Further(name, node) => victims.end(name, *node),
        }
    }
}

fn heal(proxies: &Links, links: &[(usize, usize)]) {
    links.iter().for_each(|(from, to)| proxies.heal_link(*from, *to));
}
