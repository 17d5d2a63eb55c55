//! Which operations must come before which, on whatever key: by time and connection, and because a
//! value read was written by one operation only, between which two no other may write.
//!
//! Every order told here holds in every completion; the search is left with what is open.

use std::collections::HashMap;

use super::origin::{Flow, Origin};
use super::partition::{Component, Entry};

/// Rows as they were: of `before` or of `after`, whose, and what they held.
type Trail = Vec<(bool, usize, Vec<u32>)>;

/// The order of a component's operations that returned. They lie on *chains*, each wholly ordered:
/// the connections, and where one began after another had ended, both on one chain. What comes
/// before an operation is then told by one place for each chain.
#[derive(Clone)]
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

    /// Adds that one comes before the other, and what follows by transitivity. Tells which entries
    /// got more after them, and which more before them.
    fn add(&mut self, one: usize, other: usize, trail: &mut Trail) -> (Vec<usize>, Vec<usize>) {
        let (mut earlier, mut later) = (Vec::new(), Vec::new());
        let (Some(place), Some(other_place)) = (self.places[one], self.places[other]) else {
            return (earlier, later);
        };
        let width = self.chains.len();
        let mut ends = self.before(one).to_vec();
        ends[place.0] = ends[place.0].max(place.1 as u32 + 1);
        let mut begins = self.after(other).to_vec();
        begins[other_place.0] = begins[other_place.0].min(other_place.1 as u32);
        for chain in 0..width {
            for place in (0..ends[chain] as usize).rev() {
                let entry = self.chains[chain][place];
                let row = &mut self.after[entry * width..][..width];
                // Those earlier on the chain know all that this one knows.
                if row.iter().zip(&begins).all(|(row, begin)| row <= begin) {
                    break;
                }
                trail.push((false, entry, row.to_vec()));
                row.iter_mut().zip(&begins).for_each(|(row, begin)| *row = (*row).min(*begin));
                earlier.push(entry);
            }
            for place in begins[chain] as usize..self.chains[chain].len() {
                let entry = self.chains[chain][place];
                let row = &mut self.before[entry * width..][..width];
                if row.iter().zip(&ends).all(|(row, end)| row >= end) {
                    break;
                }
                trail.push((true, entry, row.to_vec()));
                row.iter_mut().zip(&ends).for_each(|(row, end)| *row = (*row).max(*end));
                later.push(entry);
            }
        }
        (earlier, later)
    }

    fn take_back(&mut self, trail: Trail) {
        let width = self.chains.len();
        for (is_before, entry, row) in trail.into_iter().rev() {
            let rows = if is_before { &mut self.before } else { &mut self.after };
            rows[entry * width..][..width].copy_from_slice(&row);
        }
    }
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

/// What an operation is to one of its keys.
#[derive(Clone, Default)]
struct Role {
    is_write: bool,
    /// Those that certainly read what it wrote.
    readers: Vec<usize>,
    /// Where what it read certainly came from.
    origin: Option<Origin>,
}

/// Orders that each other bring forth, until none is new.
pub struct Inference<'a> {
    component: &'a Component,
    order: Order,
    /// For each entry, as many as it has keys.
    roles: Vec<Vec<Role>>,
    flows: Vec<Flow>,
}

/// Two orders contradict one another.
struct Contradiction;

impl<'a> Inference<'a> {
    /// All that times, connections and values tell.
    pub fn new(component: &'a Component) -> Inference<'a> {
        let entries = &component.entries;
        let roles = entries.iter().map(|entry| vec![Role::default(); entry.keys.len()]).collect();
        let mut inference =
            Inference { component, order: Order::by_time(entries), roles, flows: Vec::new() };
        // What tells of one key only, the search over that key finds out itself.
        if component.keys.len() > 1 {
            let mut flows: Vec<Flow> =
                (0..component.keys.len()).map(|key| Flow::new(component, key)).collect();
            inference.infer(&mut flows);
            inference.flows = flows;
        }
        inference
    }

    /// What is known by now.
    pub fn order(&self) -> &Order {
        &self.order
    }

    fn infer(&mut self, flows: &mut [Flow]) {
        for (key, flow) in flows.iter().enumerate() {
            let writes: Vec<usize> = flow.writes().collect();
            writes.into_iter().for_each(|write| self.role(write, key).is_write = true);
        }
        let mut is_growing = true;
        while is_growing {
            is_growing = false;
            for (key, flow) in flows.iter_mut().enumerate() {
                for read in flow.take_reads() {
                    match flow.origin(&read, &self.component.entries, &self.order) {
                        Origin::Open => flow.leave(read),
                        origin => {
                            is_growing = true;
                            let others: Vec<usize> = flow.around(&read, &origin, self.component);
                            // The search will come upon what contradicts itself.
                            if self.settle(read.entry, key, origin, &others).is_err() {
                                return;
                            }
                        }
                    }
                }
            }
        }
    }

    fn role(&mut self, entry: usize, key: usize) -> &mut Role {
        let place =
            self.component.entries[entry].keys.binary_search(&key).expect("one of its keys");
        &mut self.roles[entry][place]
    }

    /// No write comes between a read and its origin.
    fn settle(
        &mut self,
        read: usize,
        key: usize,
        origin: Origin,
        others: &[usize],
    ) -> Result<(), Contradiction> {
        self.role(read, key).origin = Some(origin);
        let mut trail = Trail::new();
        if let Origin::Write(write) = origin {
            self.role(write, key).readers.push(read);
            self.add(write, read, &mut trail)?;
        }
        for &other in others {
            let comes_after = match origin {
                Origin::Write(write) => self.order.is_before(write, other),
                Origin::Beginning | Origin::Open => true,
            };
            if comes_after {
                self.add(read, other, &mut trail)?;
            } else if self.order.is_before(other, read)
                && let Origin::Write(write) = origin
            {
                self.add(other, write, &mut trail)?;
            }
        }
        Ok(())
    }

    /// Adds an order and all that it brings forth.
    fn add(&mut self, one: usize, other: usize, trail: &mut Trail) -> Result<(), Contradiction> {
        let mut queue = vec![(one, other)];
        while let Some((one, other)) = queue.pop() {
            if self.order.is_before(one, other) {
                continue;
            }
            let is_contradiction = one == other || self.order.is_before(other, one);
            let (earlier, later) = self.order.add(one, other, trail);
            if is_contradiction {
                return Err(Contradiction);
            }
            self.consequences(&earlier, &later, &mut queue);
        }
        Ok(())
    }

    /// What follows for reads and their origins if all of `earlier` may have come to lie before all
    /// of `later`.
    fn consequences(&self, earlier: &[usize], later: &[usize], queue: &mut Vec<(usize, usize)>) {
        let mut by_key: HashMap<usize, Vec<(usize, &Role)>> = HashMap::new();
        for &entry in earlier {
            let keys = self.component.entries[entry].keys.iter().zip(&self.roles[entry]);
            keys.filter(|(_, role)| role.is_write)
                .for_each(|(key, role)| by_key.entry(*key).or_default().push((entry, role)));
        }
        for &then in later {
            for (key, role) in self.component.entries[then].keys.iter().zip(&self.roles[then]) {
                for &(first, earlier) in by_key.get(key).into_iter().flatten() {
                    if first == then || !self.order.is_before(first, then) {
                        continue;
                    }
                    if role.is_write {
                        let readers = earlier.readers.iter().filter(|reader| **reader != then);
                        queue.extend(readers.map(|reader| (*reader, then)));
                    }
                    match role.origin {
                        Some(Origin::Write(write)) if write != first => queue.push((first, write)),
                        Some(Origin::Beginning) => queue.push((then, first)),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Lets the operation take effect before all others that may write its keys, if that contradicts
    /// nothing.
    pub fn take(&mut self, entry: usize) -> bool {
        let keys = self.component.entries[entry].keys.iter().zip(&self.roles[entry]);
        let written = keys.filter(|(_, role)| role.is_write).map(|(key, _)| &self.flows[*key]);
        let entries = &self.component.entries;
        let others: Vec<usize> = written.flat_map(|flow| flow.beside(entry, entries)).collect();
        let mut trail = Trail::new();
        let fits = others.into_iter().all(|other| {
            self.order.is_before(other, entry) || self.add(entry, other, &mut trail).is_ok()
        });
        if !fits {
            self.order.take_back(trail);
        }
        fits
    }
}
