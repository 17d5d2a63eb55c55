//! Faults on victims that only remember what was done to them.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::bail;

use super::*;

/// Three nodes that cannot feel.
struct Dolls {
    links: Links,
    down: BTreeSet<usize>,
    paused: BTreeSet<usize>,
    full: BTreeSet<usize>,
    deeds: Vec<&'static str>,
    /// The fault after so many deeds is an error.
    patience: usize,
}

impl Dolls {
    fn new(patience: usize) -> Dolls {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
        let links = Links::between_all(&[nowhere; 3]).expect("ports");
        let (down, paused, full) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Dolls { links, down, paused, full, deeds: Vec::new(), patience }
    }

    fn note(&mut self, deed: &'static str) -> Result<()> {
        self.deeds.push(deed);
        if self.deeds.len() == self.patience { bail!("enough") } else { Ok(()) }
    }

    fn all_well(&self) -> bool {
        let healthy = |(from, to)| self.links.condition(from, to) == Default::default();
        self.links.all().all(healthy)
            && [&self.down, &self.paused, &self.full].iter().all(|harmed| harmed.is_empty())
    }
}

impl Victims for Dolls {
    fn nodes(&self) -> usize {
        3
    }
    fn leader(&mut self) -> Option<usize> {
        (1..=3).find(|node| !self.down.contains(node))
    }
    fn links(&self) -> &Links {
        &self.links
    }
    fn kill(&mut self, nodes: &[usize]) -> Result<()> {
        self.down.extend(nodes);
        self.note("kill")
    }
    fn restart(&mut self, node: usize) -> Result<()> {
        self.down.remove(&node);
        Ok(())
    }
    fn pause(&mut self, node: usize) -> Result<()> {
        self.paused.insert(node);
        self.note("pause")
    }
    fn resume(&mut self, node: usize) -> Result<()> {
        self.paused.remove(&node);
        Ok(())
    }
    fn restart_gently(&mut self, _: usize) -> Result<()> {
        self.note("restart")
    }
    fn further(&self) -> Vec<&'static str> {
        vec!["full disk"]
    }
    fn begin(&mut self, name: &'static str, node: usize) -> Result<()> {
        self.full.insert(node);
        self.note(name)
    }
    fn end(&mut self, _: &'static str, node: usize) -> Result<()> {
        self.full.remove(&node);
        Ok(())
    }
}

fn hectic() -> Pace {
    let millis = Duration::from_millis;
    Pace { lasts: millis(0)..millis(10), quiet: millis(0)..millis(2) }
}

#[test]
fn all_faults_are_counted_told_and_healed() {
    let mut dolls = Dolls::new(usize::MAX);
    let mut faults = Faults::new(3, hectic());
    let mut told = Vec::new();
    let run = faults
        .run(&mut dolls, Duration::from_millis(1_500), &mut |line| told.push(line.to_owned()));
    run.expect("dolls endure everything");
    assert!(dolls.all_well());
    let healings = told.iter().filter(|line| line.contains("healed ")).count();
    let begun: u64 = faults.counts().values().sum();
    assert!(begun > 30, "{told:?}");
    assert_eq!((healings as u64, told.len() as u64), (begun, 2 * begun), "{told:?}");
    for deed in ["kill", "pause", "restart", "full disk"] {
        assert!(dolls.deeds.contains(&deed), "{deed} never: {told:?}");
    }
}

#[test]
fn an_error_ends_the_faults_and_all_is_healed() {
    for patience in 1..20 {
        let mut dolls = Dolls::new(patience);
        let mut faults = Faults::new(patience as u64, hectic());
        let run = faults.run(&mut dolls, Duration::from_secs(60), &mut |_| {});
        assert_eq!(run.expect_err("it has enough").to_string(), "enough");
        assert!(dolls.all_well(), "after {patience} deeds");
    }
}
