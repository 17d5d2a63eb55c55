//! Which keys must be judged together: those that one operation touches, and theirs.

use std::collections::{HashMap, HashSet};

use super::flow::{Leaves, Needs, leaves, needs};
use super::meaning::Value;
use super::order::Order;
use super::origin::{Flow, Origin};
use super::parts::{Whole, ways};
use super::{Event, Operation};
use crate::timing::{Span, spans};

/// An operation that must be judged.
#[derive(Clone)]
pub struct Entry {
    /// Its place in the history.
    pub event: usize,
    /// Its connection, if its place along it counts.
    pub process: Option<u64>,
    pub span: Span,
    /// How it may have gone.
    pub ways: Vec<Whole>,
    /// Its keys, each once, rising: places in the list of all keys, or in the component's.
    pub keys: Vec<usize>,
}

/// Keys that operations join, and the operations on them in the order of the history.
pub struct Component {
    pub keys: Vec<Vec<u8>>,
    pub entries: Vec<Entry>,
}

impl Component {
    /// The same without the operations of unknown outcome that nobody seems to have seen: all they
    /// wrote is values, none of which any reply names. On the keys in `whole` all are kept. If there
    /// is an order of these, the others never took effect; if there is none, nothing is said.
    pub fn without_unseen(&self, whole: &[usize]) -> Component {
        let mut seen: HashSet<(usize, Value)> = HashSet::new();
        for entry in self.entries.iter().filter(|entry| entry.span.deadline.is_some()) {
            for &key in &entry.keys {
                if let Needs::OneOf(values) = needs(&entry.ways[0].part(&self.keys[key])) {
                    seen.extend(values.into_iter().map(|value| (key, value)));
                }
            }
        }
        let is_seen = |entry: &Entry, key: usize| {
            let mut ways = entry.ways.iter();
            whole.contains(&key)
                || ways.any(|way| match leaves(&way.part(&self.keys[key])) {
                    Leaves::Value(value) => seen.contains(&(key, value)),
                    Leaves::Same => false,
                    Leaves::Tail(..) | Leaves::Unclear => true,
                })
        };
        let kept = self.entries.iter().filter(|entry| {
            entry.span.deadline.is_some() || entry.keys.iter().any(|key| is_seen(entry, *key))
        });
        Component { keys: self.keys.clone(), entries: kept.cloned().collect() }
    }
}

/// The components of a history; `None` if an operation may have gone in too many ways.
pub fn components(history: &[Event<Operation>]) -> Option<Vec<Component>> {
    let mut names: HashMap<&[u8], usize> = HashMap::new();
    let mut entries = Vec::new();
    // Only what returned with replies is known to have taken effect.
    let times = history.iter().map(|one| {
        (one.process, one.invoked, one.returned.filter(|_| one.operation.replies.is_some()))
    });
    for (event, (one, span)) in history.iter().zip(spans(times)).enumerate() {
        let is_known = span.deadline.is_some();
        let touching = one.operation.commands.iter().filter(|one| is_known || one.is_write());
        let mut keys: Vec<usize> = Vec::new();
        for key in touching.flat_map(|command| command.keys()) {
            let fresh = names.len();
            keys.push(*names.entry(key).or_insert(fresh));
        }
        keys.sort_unstable();
        keys.dedup();
        let ways = ways(&one.operation, is_known)?;
        if !keys.is_empty() && !ways.is_empty() {
            entries.push(Entry {
                event,
                process: is_known.then_some(one.process),
                span,
                ways,
                keys,
            });
        }
    }
    let mut sets = Sets((0..names.len()).collect());
    for entry in &entries {
        entry.keys.windows(2).for_each(|pair| sets.join(pair[0], pair[1]));
    }
    let mut all: Vec<&[u8]> = vec![&[]; names.len()];
    names.iter().for_each(|(name, index)| all[*index] = name);
    let mut components = split(&all, entries, &mut sets);
    components.iter_mut().for_each(promote);
    Some(components)
}

fn split(names: &[&[u8]], entries: Vec<Entry>, sets: &mut Sets) -> Vec<Component> {
    let mut components: Vec<Component> = Vec::new();
    let mut of_root: HashMap<usize, usize> = HashMap::new();
    let mut within = Vec::new();
    for (key, name) in names.iter().enumerate() {
        let component = *of_root.entry(sets.root(key)).or_insert_with(|| {
            components.push(Component { keys: Vec::new(), entries: Vec::new() });
            components.len() - 1
        });
        within.push((component, components[component].keys.len()));
        components[component].keys.push(name.to_vec());
    }
    for mut entry in entries {
        let component = within[entry.keys[0]].0;
        entry.keys.iter_mut().for_each(|key| *key = within[*key].1);
        components[component].entries.push(entry);
    }
    components
}

/// What has an unknown outcome, but wrote a value that somebody read and nobody else can have
/// written, did take effect, and by the time the reader returned: from here on that is known.
fn promote(component: &mut Component) {
    let is_known = |entry: &Entry| entry.span.deadline.is_some();
    if component.entries.iter().all(is_known) {
        return;
    }
    let order = Order::by_time(&component.entries);
    let mut seen: Vec<(usize, Option<u64>)> = Vec::new();
    for key in 0..component.keys.len() {
        let mut flow = Flow::new(component, key);
        for read in flow.take_reads() {
            if let Origin::Write(write) = flow.origin(&read, &component.entries, &order) {
                seen.push((write, component.entries[read.entry].span.deadline));
            }
        }
    }
    for (write, deadline) in seen {
        let entry = &mut component.entries[write];
        if entry.process.is_none() && entry.ways.len() == 1 {
            let earliest = entry.span.deadline.into_iter().chain(deadline).min();
            entry.span.deadline = earliest;
        }
    }
}

/// Disjoint sets: each member points towards its set's root.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut member: usize) -> usize {
        while self.0[member] != member {
            self.0[member] = self.0[self.0[member]];
            member = self.0[member];
        }
        member
    }

    fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        self.0[one] = other;
    }
}
