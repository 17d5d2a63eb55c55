//! Majorities. Pure arithmetic over a set of voters; knows no messages and no roles.

use std::collections::BTreeSet;

use messages::NodeId;

/// How many of `voters` nodes are a majority.
pub fn majority(voters: usize) -> usize {
    voters / 2 + 1
}

/// Whether the voters for which `agrees` holds are a majority.
pub fn has_majority(voters: &BTreeSet<NodeId>, agrees: impl Fn(NodeId) -> bool) -> bool {
    voters.iter().filter(|voter| agrees(**voter)).count() >= majority(voters.len())
}

/// The highest value that a majority of the voters has reached; the least value without voters.
pub fn reached<V: Ord + Copy + Default>(
    voters: &BTreeSet<NodeId>,
    value_of: impl Fn(NodeId) -> V,
) -> V {
    let mut values: Vec<V> = voters.iter().map(|voter| value_of(*voter)).collect();
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(majority(voters.len()) - 1).copied().unwrap_or_default()
}
