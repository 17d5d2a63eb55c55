//! Lines that cut, slow and heal links. Must never touch a node.

use std::time::{Duration, Instant};

use anyhow::bail;
use raft::chaos::links::Cut;

use super::line::Target;
use super::session::{Session, resolve};
use super::show;

impl Session {
    /// Cuts the links between groups, and no others; a node of no group is alone.
    pub(super) fn partition(&mut self, groups: &[Vec<usize>]) -> anyhow::Result<String> {
        self.must_have_links()?;
        let group = |node: usize| groups.iter().position(|group| group.contains(&node));
        let apart = |one, other| group(one).is_none() || group(one) != group(other);
        let led = self.cluster.leader().map(|(number, _)| number);
        let start = Instant::now();
        let links: Vec<_> = self.cluster.links.all().collect();
        for (from, to) in links {
            let cut = apart(from, to).then_some(Cut::Silent);
            self.cluster.links.set_cut(from, to, cut);
        }
        let mut shown: Vec<String> = groups.iter().map(|group| list(group)).collect();
        let alone = (1..=self.cluster.nodes.len()).filter(|node| group(*node).is_none());
        shown.extend(alone.map(|node| node.to_string()));
        self.after_cut(&format!("partitioned {}", shown.join(" | ")), led, start)
    }

    /// Cuts all links of a node, and leaves the others as they are.
    pub(super) fn isolate(&mut self, target: Target) -> anyhow::Result<String> {
        self.must_have_links()?;
        let led = self.cluster.leader().map(|(number, _)| number);
        let number = resolve(target, led)?;
        let start = Instant::now();
        for (from, to) in self.links_of(number) {
            self.cluster.links.set_cut(from, to, Some(Cut::Silent));
        }
        let role = if led == Some(number) { " (leader)" } else { "" };
        self.after_cut(&format!("isolated node {number}{role}"), led, start)
    }

    /// Delays all links of a node, both ways.
    pub(super) fn slow(&mut self, target: Target, delay: Duration) -> anyhow::Result<String> {
        self.must_have_links()?;
        let led = self.cluster.leader().map(|(number, _)| number);
        let number = resolve(target, led)?;
        for (from, to) in self.links_of(number) {
            self.cluster.links.delay(from, to, delay);
        }
        Ok(match delay {
            Duration::ZERO => format!("node {number} is no longer slow"),
            _ => {
                let delay = show::duration(delay);
                format!("all that node {number} says and hears comes {delay} later")
            }
        })
    }

    /// Undoes every fault of the links, and waits until all nodes are up to date.
    pub(super) fn heal(&mut self) -> anyhow::Result<String> {
        let committed = self.cluster.committed();
        self.cluster.links.heal();
        if let Some(lack) = self.cluster.lacks_majority() {
            return Ok(format!("healed all links; {lack}"));
        }
        self.cluster.wait_until_applied(committed)?;
        Ok(format!("healed all links; all that run have applied entry {committed}"))
    }

    /// Who leads where a majority is.
    fn after_cut(
        &mut self,
        first: &str,
        led: Option<usize>,
        start: Instant,
    ) -> anyhow::Result<String> {
        let stays = led.is_some_and(|leader| self.cluster.heard().contains(&leader));
        Ok(format!("{first}\n{}", self.succession(start, stays)?))
    }

    fn links_of(&self, number: usize) -> Vec<(usize, usize)> {
        let all = self.cluster.links.all();
        all.filter(|(from, to)| *from == number || *to == number).collect()
    }

    fn must_have_links(&self) -> anyhow::Result<()> {
        match self.cluster.nodes.len() {
            1 => bail!("a single node has no links; see --nodes"),
            _ => Ok(()),
        }
    }
}

fn list(group: &[usize]) -> String {
    let names: Vec<String> = group.iter().map(usize::to_string).collect();
    names.join(",")
}
