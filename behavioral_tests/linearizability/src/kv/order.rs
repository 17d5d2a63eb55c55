//! Which operations must come before which, on whatever key: by time and connection, and because a
//! value read was written by one operation only, between which two no other may write.
//!
//! Every order told here holds in every completion; the search is left with what is open.

use std::collections::HashMap;

use super::flow::{Leaves, Needs, leaves, needs};
use super::meaning::Value;
use super::partition::{Component, Entry};

/// The order of a component's operations that returned. They lie on *chains*, each wholly ordered:
/// the connections, and where one began after another had ended, both on one chain. What comes
/// before an operation is then told by one place for each chain.
pub struct Order {
    pub chains: Vec<Vec<usize>>,
    /// Of each entry that returned, its chain and its place there.
    pub places: Vec<Option<(usize, usize)>>,
    /// For each entry and chain, how many of the chain come before it.
    before: Vec<u32>,
    /// For each entry and chain, the first of the chain that comes after it.
    after: Vec<u32>,
}

impl Order {
    /// The order by time and connection.
    fn by_time(entries: &[Entry]) -> Order {
        let chains = chains(entries);
        let mut places = vec![None; entries.len()];
        for (chain, members) in chains.iter().enumerate() {
            members.iter().enumerate().for_each(|(place, one)| places[*one] = Some((chain, place)));
        }
        let invoked = |one: &usize| entries[*one].span.invoked;
        let deadline = |one: &usize| entries[*one].span.deadline.unwrap_or(u64::MAX);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            for (chain, members) in chains.iter().enumerate() {
                let own = places[index].filter(|(own, _)| *own == chain).map(|(_, place)| place);
                let ended = members.partition_point(|one| deadline(one) < entry.span.invoked);
                let begun = members.partition_point(|one| invoked(one) <= deadline(&index));
                before.push(own.unwrap_or(ended) as u32);
                after.push(own.map_or(begun, |place| place + 1) as u32);
            }
        }
        Order { chains, places, before, after }
    }

    /// How many of each chain come before the entry.
    pub fn before(&self, entry: usize) -> &[u32] {
        &self.before[entry * self.chains.len()..][..self.chains.len()]
    }

    fn after(&self, entry: usize) -> &[u32] {
        &self.after[entry * self.chains.len()..][..self.chains.len()]
    }

    /// Whether one must come before the other. Never told of what did not return.
    pub fn is_before(&self, one: usize, other: usize) -> bool {
        let (Some((chain, place)), Some(_)) = (self.places[one], self.places[other]) else {
            return false;
        };
        place < self.before(other)[chain] as usize
    }

    /// Adds that one comes before the other, and all that follows. Whether it was not known.
    fn add(&mut self, one: usize, other: usize) -> bool {
        let (Some(place), Some(other_place)) = (self.places[one], self.places[other]) else {
            return false;
        };
        if self.is_before(one, other) || one == other {
            return false;
        }
        let width = self.chains.len();
        let mut ends = self.before(one).to_vec();
        ends[place.0] = ends[place.0].max(place.1 as u32 + 1);
        let mut begins = self.after(other).to_vec();
        begins[other_place.0] = begins[other_place.0].min(other_place.1 as u32);
        for chain in 0..width {
            for place in (0..ends[chain] as usize).rev() {
                let entry = self.chains[chain][place];
                // Those earlier on the chain know all that this one knows.
                if !lower(&mut self.after[entry * width..][..width], &begins) {
                    break;
                }
            }
            for place in begins[chain] as usize..self.chains[chain].len() {
                let entry = self.chains[chain][place];
                if !raise(&mut self.before[entry * width..][..width], &ends) {
                    break;
                }
            }
        }
        true
    }
}

fn lower(places: &mut [u32], to: &[u32]) -> bool {
    let is_lower = places.iter().zip(to).any(|(place, to)| to < place);
    places.iter_mut().zip(to).for_each(|(place, to)| *place = (*place).min(*to));
    is_lower
}

fn raise(places: &mut [u32], to: &[u32]) -> bool {
    let is_higher = places.iter().zip(to).any(|(place, to)| to > place);
    places.iter_mut().zip(to).for_each(|(place, to)| *place = (*place).max(*to));
    is_higher
}

/// Connections laid end to end, as few chains as possible.
fn chains(entries: &[Entry]) -> Vec<Vec<usize>> {
    let mut connections: Vec<Vec<usize>> = Vec::new();
    let mut known = HashMap::new();
    for (index, entry) in entries.iter().enumerate().filter(|(_, one)| one.span.deadline.is_some())
    {
        let connection = *known.entry(entry.process).or_insert_with(|| {
            connections.push(Vec::new());
            connections.len() - 1
        });
        connections[connection].push(index);
    }
    connections.sort_by_key(|members| entries[members[0]].span.invoked);
    let mut chains: Vec<Vec<usize>> = Vec::new();
    for members in connections {
        let begun = entries[members[0]].span.invoked;
        let ended = |chain: &Vec<usize>| chain.last().and_then(|last| entries[*last].span.deadline);
        match chains.iter_mut().find(|chain| ended(chain).is_some_and(|ended| ended < begun)) {
            Some(chain) => chain.extend(members),
            None => chains.push(members),
        }
    }
    chains
}

/// A read of a value, or a write that tells what it found.
struct Read {
    entry: usize,
    values: Vec<Value>,
}

struct Write {
    entry: usize,
    leaves: Leaves,
}

/// What one key's operations need and leave.
struct Flow {
    reads: Vec<Read>,
    /// By `invoked`.
    writes: Vec<Write>,
    /// For each write, the latest deadline of it and those before it.
    ended: Vec<u64>,
    by_value: HashMap<Value, Vec<usize>>,
    others: Vec<usize>,
}

/// Where a value read came from.
enum Origin {
    Beginning,
    Write(usize),
    Open,
}

/// The order that times, connections and values tell.
pub fn order(component: &Component) -> Order {
    let entries = &component.entries;
    let mut order = Order::by_time(entries);
    let flows: Vec<Flow> = (0..component.keys.len()).map(|key| flow(component, key)).collect();
    let mut is_growing = true;
    while is_growing {
        is_growing = false;
        for flow in &flows {
            for read in &flow.reads {
                let origin = flow.origin(read, entries, &order);
                is_growing |= flow.settle(read.entry, &origin, entries, &mut order);
            }
        }
    }
    order
}

fn flow(component: &Component, key: usize) -> Flow {
    let name = &component.keys[key];
    let (mut reads, mut writes) = (Vec::new(), Vec::new());
    for (index, entry) in component.entries.iter().enumerate() {
        if !entry.keys.contains(&key) {
            continue;
        }
        let part = entry.ways[0].part(name);
        if let Needs::OneOf(values) = needs(&part)
            && entry.span.deadline.is_some()
        {
            reads.push(Read { entry: index, values });
        }
        let leaves = if entry.ways.len() == 1 { leaves(&part) } else { Leaves::Unclear };
        if leaves != Leaves::Same {
            writes.push(Write { entry: index, leaves });
        }
    }
    writes.sort_by_key(|write| component.entries[write.entry].span.invoked);
    let mut latest = 0;
    let ended = writes.iter().map(|write| {
        latest = latest.max(component.entries[write.entry].span.deadline.unwrap_or(0));
        latest
    });
    let ended = ended.collect();
    let mut by_value: HashMap<Value, Vec<usize>> = HashMap::new();
    let mut others = Vec::new();
    for (place, write) in writes.iter().enumerate() {
        match &write.leaves {
            Leaves::Value(value) => by_value.entry(value.clone()).or_default().push(place),
            _ => others.push(place),
        }
    }
    Flow { reads, writes, ended, by_value, others }
}

impl Flow {
    /// The only write that the read can have seen, if there is only one.
    fn origin(&self, read: &Read, entries: &[Entry], order: &Order) -> Origin {
        let mut origin = None;
        let mut add = |new: Origin| {
            let is_second = origin.is_some();
            origin = Some(if is_second { Origin::Open } else { new });
            is_second
        };
        let deadline = entries[read.entry].span.deadline.unwrap_or(u64::MAX);
        for value in &read.values {
            if value.is_none()
                && !self.writes.iter().any(|one| order.is_before(one.entry, read.entry))
            {
                add(Origin::Beginning);
            }
            let known = self.by_value.get(value).into_iter().flatten();
            let others = self.others.iter().filter(|one| self.writes[**one].leaves.may_be(value));
            for &place in known.chain(others) {
                let write = self.writes[place].entry;
                let is_late = write == read.entry
                    || order.is_before(read.entry, write)
                    || entries[write].span.invoked > deadline;
                if !is_late
                    && !self.is_overwritten(write, read.entry, entries, order)
                    && add(Origin::Write(write))
                {
                    return Origin::Open;
                }
            }
        }
        origin.unwrap_or(Origin::Open)
    }

    /// Whether another write certainly came after this one and before the read.
    fn is_overwritten(&self, write: usize, read: usize, entries: &[Entry], order: &Order) -> bool {
        self.between(Some(write), read, entries)
            .any(|other| order.is_before(write, other) && order.is_before(other, read))
    }

    /// The other writes whose order to these two is not told by time alone, and some more.
    fn between<'a>(
        &'a self,
        write: Option<usize>,
        read: usize,
        entries: &'a [Entry],
    ) -> impl Iterator<Item = usize> + 'a {
        let begun = write.map_or(0, |write| entries[write].span.invoked);
        let deadline = entries[read].span.deadline.unwrap_or(u64::MAX);
        let first = self.ended.partition_point(|ended| *ended < begun);
        let end = self.writes.partition_point(|one| entries[one.entry].span.invoked <= deadline);
        let found = self.writes.get(first..end).unwrap_or(&[]).iter().map(|one| one.entry);
        found.filter(move |other| *other != read && Some(*other) != write)
    }

    /// No write comes between a read and its origin. Whether that told more.
    fn settle(&self, read: usize, origin: &Origin, entries: &[Entry], order: &mut Order) -> bool {
        let write = match origin {
            Origin::Open => return false,
            Origin::Beginning => None,
            Origin::Write(write) => Some(*write),
        };
        let mut is_new = write.is_some_and(|write| order.add(write, read));
        for other in self.between(write, read, entries) {
            let comes_after = write.is_none_or(|write| order.is_before(write, other));
            if comes_after {
                is_new |= order.add(read, other);
            } else if order.is_before(other, read) {
                is_new |= write.is_some_and(|write| order.add(other, write));
            }
        }
        is_new
    }
}
