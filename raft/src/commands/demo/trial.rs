//! Lines that put the cluster under load and faults, and judge what clients saw. Must never call
//! anything linearizable that was not checked.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use anyhow::bail;
use linearizability::Verdict;
use raft::chaos::faults::{Faults, Pace, Victims};
use raft::chaos::history::Findings;
use raft::chaos::links::Links;
use raft::chaos::load::{Keys, Load, Mix, Plan, Report};
use raft::print;

use super::session::{Answer, Session};
use super::show;
use crate::commands::local::cluster::Cluster;
use crate::commands::local::founding;

/// Operations that the history may hold.
const MOST_KEPT: usize = 200_000;
/// Operations a second during chaos: the nodes share the machine with those who judge.
const CHAOS_RATE: u64 = 2_000;

impl Session {
    /// Begins to count in the background.
    pub(super) fn load_on(&mut self) -> anyhow::Result<String> {
        if self.load.is_some() {
            return Ok("load is on already".to_owned());
        }
        self.load = Some(self.start_load("load", Mix::Counts, 16, None));
        Ok("counting in the background; 'load off' shows the rate and the longest gap".to_owned())
    }

    /// Ends it, and tells how it went.
    pub(super) fn load_off(&mut self) -> anyhow::Result<String> {
        let Some(load) = self.load.take() else { return Ok("load is off already".to_owned()) };
        let report = load.stop();
        let rate = report.acknowledged as f64 / report.time.as_secs_f64();
        let time = show::duration(report.time);
        let mut text = format!("{} counts in {time}, {rate:.0}/s", report.acknowledged);
        if report.slowed {
            text.push_str(" (slowed down: no more operations can be kept for 'verify')");
        }
        Ok(format!("{text}\n{}", outcomes(&report)))
    }

    /// Random faults under load; afterwards everything is healed.
    pub(super) fn chaos(&mut self, time: Duration) -> anyhow::Result<String> {
        let committed = self.cluster.committed();
        make_whole(&mut self.cluster)?;
        self.cluster.wait_until_applied(committed)?;
        for number in 1..=self.cluster.nodes.len() {
            self.disconnect(number);
        }
        let load = self.start_load("chaos", Mix::Everything, 4, Some(CHAOS_RATE));
        let mut faults = Faults::new(rand::random(), self.fault_pace());
        let watched = io::stdout().is_terminal();
        // A reader who has gone is noticed when the answer is printed.
        let mut say = |line: &str| drop(watched.then(|| print::line(line)));
        let run = faults.run(&mut self.cluster, time, &mut say);
        let report = load.stop();
        run?;
        let committed = self.cluster.committed();
        self.cluster.wait_for_leader(Instant::now())?;
        self.cluster.wait_until_applied(committed)?;

        let kinds = faults.counts().iter().map(|(kind, count)| format!("{kind} {count}"));
        let kinds: Vec<String> = kinds.collect();
        let text = match &kinds[..] {
            [] => "no fault in so short a time".to_owned(),
            _ => format!("faults: {}", kinds.join(" · ")),
        };
        Ok(format!(
            "{text}\n{}\nhealed; all nodes run and have applied entry {committed}",
            outcomes(&report)
        ))
    }

    /// Judges what lines, load and chaos saw so far.
    pub(super) fn verify(&mut self) -> Answer {
        answer(&self.history.verify())
    }

    /// Where elections take ten times as long, so do faults.
    fn fault_pace(&self) -> Pace {
        let Pace { lasts, quiet } = Pace::default();
        match self.cluster.pace {
            founding::Pace::Usual => Pace { lasts, quiet },
            founding::Pace::Slow => Pace {
                lasts: lasts.start * 10..lasts.end * 10,
                quiet: quiet.start * 10..quiet.end * 10,
            },
        }
    }

    fn start_load(&mut self, name: &str, mix: Mix, pipeline: usize, rate: Option<u64>) -> Load {
        self.loads += 1;
        let prefix = format!("{name}:{}", self.loads);
        let plan = Plan {
            clients: 2 * self.cluster.nodes.len().min(3),
            pipeline,
            mix,
            keys: Keys { prefix, groups: 8, fresh_after: 10_000 },
            rate,
            most: MOST_KEPT,
            patience: self.cluster.pace.client_patience(),
            seed: rand::random(),
        };
        let addresses = self.cluster.nodes.iter().map(|node| node.address.clone());
        Load::start(&self.history, addresses.collect(), plan)
    }
}

fn outcomes(report: &Report) -> String {
    let gap = show::duration(report.longest_gap);
    format!("operations: {report}\nlongest time without an acknowledged write: {gap}")
}

/// A verdict, and what it rests on.
fn answer(findings: &Findings) -> Answer {
    let checked = &findings.checked;
    let (operations, keys) = (checked.operations, checked.keys);
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let (ops, ks) = (plural(operations), plural(keys));
    let mut basis = format!("{operations} operation{ops} over {keys} key{ks}");
    if findings.unchecked_keys > 0 {
        let out = findings.unchecked_keys;
        basis.push_str(&format!(
            "; {out} keys left out, changed by commands that the checker does not know"
        ));
    }
    match &checked.verdict {
        _ if operations == 0 => {
            Answer::Refused(format!("nothing to check ({basis}); 'chaos 10s' gives some"))
        }
        Verdict::Linearizable => Answer::Text(format!(
            "linearizable: {basis}, checked in {}",
            show::duration(findings.took)
        )),
        Verdict::NotLinearizable(why) => {
            Answer::Refused(format!("NOT linearizable: {basis}\n{why}"))
        }
        Verdict::Unknown => Answer::Refused(format!("undecided: {basis}; the search was given up")),
    }
}

/// All nodes run, all links are whole.
fn make_whole(cluster: &mut Cluster) -> anyhow::Result<()> {
    cluster.links.heal();
    for number in 1..=cluster.nodes.len() {
        cluster.resume(number)?;
        cluster.restart(number)?;
    }
    Ok(())
}

impl Victims for Cluster {
    fn nodes(&self) -> usize {
        self.nodes.len()
    }

    fn leader(&mut self) -> Option<usize> {
        Cluster::leader(self).map(|(number, _)| number)
    }

    fn links(&self) -> &Links {
        &self.links
    }

    fn kill(&mut self, nodes: &[usize]) -> anyhow::Result<()> {
        self.kill_at_once(nodes)
    }

    fn restart(&mut self, node: usize) -> anyhow::Result<()> {
        if self.node(node).pid().is_none() { self.start_node(node) } else { Ok(()) }
    }

    fn pause(&mut self, node: usize) -> anyhow::Result<()> {
        self.node(node).pause()
    }

    fn resume(&mut self, node: usize) -> anyhow::Result<()> {
        if self.node(node).is_paused() { self.node(node).resume() } else { Ok(()) }
    }

    fn restart_gently(&mut self, node: usize) -> anyhow::Result<()> {
        if self.node(node).pid().is_none() {
            return Ok(());
        }
        self.node(node).stop()?;
        self.start_node(node)
    }

    fn check(&mut self) -> anyhow::Result<()> {
        match self.nodes.iter_mut().find_map(|node| node.ended()) {
            Some(obituary) => bail!(obituary),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use linearizability::kv::Checked;

    use super::*;

    fn verdict(verdict: Verdict, operations: usize, unchecked_keys: usize) -> Answer {
        let checked = Checked { verdict, operations, keys: 3, components: 2 };
        answer(&Findings { checked, unchecked_keys, took: Duration::from_millis(20) })
    }

    #[test]
    fn only_what_was_found_linearizable_is_called_so() {
        let Answer::Text(text) = verdict(Verdict::Linearizable, 7, 0) else { panic!("it is") };
        assert_eq!(text, "linearizable: 7 operations over 3 keys, checked in 20 ms");
        let Answer::Text(text) = verdict(Verdict::Linearizable, 7, 2) else { panic!("it is") };
        assert!(text.contains("2 keys left out"), "{text}");
        let why = || Verdict::NotLinearizable("GET a -> nil".to_owned());
        for (verdict, begin) in [
            (verdict(why(), 7, 0), "NOT linearizable: 7 operations over 3 keys\nGET a -> nil"),
            (verdict(Verdict::Unknown, 7, 0), "undecided: 7 operations"),
            (verdict(Verdict::Linearizable, 0, 0), "nothing to check"),
        ] {
            let Answer::Refused(text) = verdict else { panic!("not a failed line: {begin}") };
            assert!(text.starts_with(begin), "{text}");
        }
    }
}
