//! Which fault comes next. Must never do anything: it only draws.

use std::fmt;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};

use crate::chaos::links::Cut;

/// What a fault harms. At most one of each sort is there at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// Links.
    Network,
    /// Nodes' processes.
    Process,
    /// What the victims offer themselves.
    Further,
}

impl Sort {
    /// All of them.
    pub const ALL: [Sort; 3] = [Sort::Network, Sort::Process, Sort::Further];
}

/// The kinds of fault that every cluster has.
pub const KINDS: [&str; 15] = [
    "halves",
    "isolate one",
    "isolate leader",
    "bridge",
    "one way",
    "flapping",
    "delay",
    "throttle",
    "kill one",
    "kill leader",
    "kill majority",
    "kill all",
    "pause one",
    "pause leader",
    "rolling restart",
];

/// What is known of the victims when a fault is drawn.
#[derive(Clone, Debug)]
pub struct Facts {
    /// How many nodes there are.
    pub nodes: usize,
    /// Who leads.
    pub leader: Option<usize>,
    /// What else they offer.
    pub further: Vec<&'static str>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it harms.
    pub sort: Sort,
    /// Its name.
    pub kind: &'static str,
    /// What is done.
    pub deed: Deed,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Cuts these links.
    Cut(Vec<(usize, usize)>, Cut),
    /// The same, on and off, each for so long.
    Flap(Vec<(usize, usize)>, Cut, Duration),
    /// Makes these links slow.
    Delay(Vec<(usize, usize)>, Duration),
    /// Makes these links narrow: bytes a second.
    Throttle(Vec<(usize, usize)>, u64),
    /// SIGKILL.
    Kill(Vec<usize>),
    /// SIGSTOP.
    Pause(usize),
    /// SIGTERM and a new start, one after the other.
    RestartGently(Vec<usize>),
    /// What the victims offer themselves.
    Further(&'static str, usize),
}

/// The next fault of a sort, if there is any for these victims.
pub fn draw(random: &mut StdRng, sort: Sort, facts: &Facts) -> Option<Fault> {
    match sort {
        Sort::Network => network(random, facts),
        Sort::Process => Some(process(random, facts)),
        Sort::Further => {
            let kind = *facts.further.choose(random)?;
            Some(Fault { sort, kind, deed: Deed::Further(kind, any(random, facts)) })
        }
    }
}

fn network(random: &mut StdRng, facts: &Facts) -> Option<Fault> {
    if facts.nodes < 2 {
        return None;
    }
    let cut = if random.random_range(0..4) == 0 { Cut::Refused } else { Cut::Silent };
    let (kind, deed) = match random.random_range(0..9) {
        0 => ("halves", Deed::Cut(between(&halves(random, facts)), cut)),
        1 => ("isolate one", Deed::Cut(around(any(random, facts), facts), cut)),
        2 => ("isolate leader", Deed::Cut(around(leader(random, facts), facts), cut)),
        3 if facts.nodes > 2 => ("bridge", Deed::Cut(bridge(random, facts), cut)),
        3 | 4 => ("one way", Deed::Cut(one_way(random, facts), cut)),
        5 | 6 => {
            let links = some_links(random, facts);
            let half_period = Duration::from_millis(random.random_range(50..300));
            ("flapping", Deed::Flap(links, cut, half_period))
        }
        7 => {
            let delay = Duration::from_millis(random.random_range(20..150));
            ("delay", Deed::Delay(some_links(random, facts), delay))
        }
        _ => {
            let rate = 10_u64.pow(random.random_range(3..6)) * random.random_range(1..10);
            ("throttle", Deed::Throttle(some_links(random, facts), rate))
        }
    };
    Some(Fault { sort: Sort::Network, kind, deed })
}

fn process(random: &mut StdRng, facts: &Facts) -> Fault {
    let mut nodes: Vec<usize> = all(facts).collect();
    nodes.shuffle(random);
    let majority = facts.nodes / 2 + 1;
    let (kind, deed) = match random.random_range(0..8) {
        0 => ("kill one", Deed::Kill(vec![any(random, facts)])),
        1 | 2 => ("kill leader", Deed::Kill(vec![leader(random, facts)])),
        3 => ("kill majority", Deed::Kill(nodes[..majority].to_vec())),
        4 => ("kill all", Deed::Kill(nodes)),
        5 => ("pause one", Deed::Pause(any(random, facts))),
        6 => ("pause leader", Deed::Pause(leader(random, facts))),
        _ => ("rolling restart", Deed::RestartGently(nodes)),
    };
    Fault { sort: Sort::Process, kind, deed }
}

fn all(facts: &Facts) -> std::ops::RangeInclusive<usize> {
    1..=facts.nodes
}

fn any(random: &mut StdRng, facts: &Facts) -> usize {
    random.random_range(all(facts))
}

fn leader(random: &mut StdRng, facts: &Facts) -> usize {
    facts.leader.unwrap_or_else(|| any(random, facts))
}

/// Two groups, none empty, each node in one.
fn halves(random: &mut StdRng, facts: &Facts) -> [Vec<usize>; 2] {
    let mut nodes: Vec<usize> = all(facts).collect();
    nodes.shuffle(random);
    let rest = nodes.split_off(random.random_range(1..facts.nodes));
    [nodes, rest]
}

/// Both ways, between any two nodes of different groups.
pub fn between(groups: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut links = Vec::new();
    for (at, group) in groups.iter().enumerate() {
        for (_, other) in groups.iter().enumerate().filter(|(other, _)| *other != at) {
            links.extend(group.iter().flat_map(|from| other.iter().map(|to| (*from, *to))));
        }
    }
    links
}

/// Both ways, between a node and all others.
fn around(node: usize, facts: &Facts) -> Vec<(usize, usize)> {
    let others = all(facts).filter(|other| *other != node).collect();
    between(&[vec![node], others])
}

/// Two groups that only one node, of neither, still connects.
fn bridge(random: &mut StdRng, facts: &Facts) -> Vec<(usize, usize)> {
    let bridge = any(random, facts);
    let mut others: Vec<usize> = all(facts).filter(|node| *node != bridge).collect();
    others.shuffle(random);
    let rest = others.split_off(random.random_range(1..others.len()));
    between(&[others, rest])
}

/// A node that no longer hears, one that is no longer heard, or one link.
fn one_way(random: &mut StdRng, facts: &Facts) -> Vec<(usize, usize)> {
    let node =
        if random.random_range(0..2) == 0 { leader(random, facts) } else { any(random, facts) };
    let around = around(node, facts);
    match random.random_range(0..3) {
        0 => around.into_iter().filter(|(from, _)| *from == node).collect(),
        1 => around.into_iter().filter(|(_, to)| *to == node).collect(),
        _ => around.choose(random).into_iter().copied().collect(),
    }
}

/// All links, those of one node, or one link.
fn some_links(random: &mut StdRng, facts: &Facts) -> Vec<(usize, usize)> {
    let around = around(any(random, facts), facts);
    match random.random_range(0..3) {
        0 => between(&all(facts).map(|node| vec![node]).collect::<Vec<_>>()),
        1 => around,
        _ => around.choose(random).into_iter().copied().collect(),
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.kind)?;
        match &self.deed {
            Deed::Cut(links, cut) => write!(f, "{} {}", list(links), how(*cut)),
            Deed::Flap(links, cut, half) => {
                write!(f, "{} {}, each {} ms", list(links), how(*cut), half.as_millis())
            }
            Deed::Delay(links, delay) => write!(f, "{} {} ms", list(links), delay.as_millis()),
            Deed::Throttle(links, rate) => write!(f, "{} {rate} B/s", list(links)),
            Deed::Kill(nodes) | Deed::RestartGently(nodes) => {
                let nodes: Vec<String> = nodes.iter().map(usize::to_string).collect();
                write!(f, "node {}", nodes.join(" "))
            }
            Deed::Pause(node) | Deed::Further(_, node) => write!(f, "node {node}"),
        }
    }
}

fn list(links: &[(usize, usize)]) -> String {
    let links: Vec<String> = links.iter().map(|(from, to)| format!("{from}>{to}")).collect();
    links.join(" ")
}

fn how(cut: Cut) -> &'static str {
    match cut {
        Cut::Silent => "silent",
        Cut::Refused => "refused",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use rand::SeedableRng;

    use super::*;

    fn facts(nodes: usize) -> Facts {
        Facts { nodes, leader: Some(1), further: vec!["full disk"] }
    }

    fn drawn(nodes: usize) -> Vec<Fault> {
        let mut random = StdRng::seed_from_u64(1);
        let sorts = Sort::ALL.into_iter().cycle().take(3_000);
        sorts.filter_map(|sort| draw(&mut random, sort, &facts(nodes))).collect()
    }

    fn cuts(fault: &Fault) -> BTreeSet<(usize, usize)> {
        match &fault.deed {
            Deed::Cut(links, _) | Deed::Flap(links, ..) => links.iter().copied().collect(),
            _ => BTreeSet::new(),
        }
    }

    #[test]
    fn every_kind_is_drawn_and_names_only_what_is_there() {
        for nodes in 2..=7 {
            let mut kinds = BTreeMap::new();
            for fault in drawn(nodes) {
                *kinds.entry(fault.kind).or_insert(0) += 1;
                for (from, to) in cuts(&fault) {
                    assert!(from != to && from.max(to) <= nodes && from.min(to) >= 1, "{fault:?}");
                }
            }
            let expected = if nodes == 2 { 15 } else { 16 };
            assert_eq!(kinds.len(), expected, "{kinds:?}");
            assert!(kinds.values().all(|count| *count >= 50), "{kinds:?}");
        }
    }

    #[test]
    fn one_node_has_no_links_to_lose() {
        assert!(drawn(1).iter().all(|fault| fault.sort != Sort::Network));
    }

    #[test]
    fn halves_do_not_hear_each_other_and_each_node_hears_its_own_half() {
        for fault in drawn(5).iter().filter(|fault| fault.kind == "halves") {
            let cut = cuts(fault);
            let half: BTreeSet<usize> =
                (1..=5).filter(|node| *node == 1 || !cut.contains(&(1, *node))).collect();
            assert!((1..5).contains(&half.len()), "{fault}");
            for (from, to) in (1..=5).flat_map(|from| (1..=5).map(move |to| (from, to))) {
                let parted = half.contains(&from) != half.contains(&to);
                assert_eq!(cut.contains(&(from, to)), parted, "{fault}");
            }
        }
    }

    #[test]
    fn a_bridge_is_the_only_node_that_hears_all() {
        for fault in drawn(5).iter().filter(|fault| fault.kind == "bridge") {
            let cut = cuts(fault);
            let whole = (1..=5).filter(|node| !cut.iter().any(|(from, _)| from == node));
            assert_eq!(whole.count(), 1, "{fault}");
            assert!(cut.iter().all(|(from, to)| cut.contains(&(*to, *from))), "{fault}");
        }
    }

    #[test]
    fn a_one_way_cut_leaves_the_other_way() {
        for fault in drawn(5).iter().filter(|fault| fault.kind == "one way") {
            let cut = cuts(fault);
            assert!(!cut.is_empty());
            assert!(cut.iter().all(|(from, to)| !cut.contains(&(*to, *from))), "{fault}");
        }
    }

    #[test]
    fn the_leader_is_meant_where_it_is_named() {
        for fault in drawn(5) {
            match (fault.kind, &fault.deed) {
                ("isolate leader", _) => assert_eq!(cuts(&fault).len(), 8, "{fault}"),
                ("kill leader", Deed::Kill(nodes)) => assert_eq!(nodes[..], [1]),
                ("pause leader", Deed::Pause(node)) => assert_eq!(*node, 1),
                ("kill majority", Deed::Kill(nodes)) => assert_eq!(nodes.len(), 3),
                _ => {}
            }
        }
    }
}
