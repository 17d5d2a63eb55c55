//! The search over keys that operations join.
//!
//! Each key's own search (`object`) tells which operations could come next on it. Here one order
//! for all keys is sought, with the connections' order across keys. Operations on different keys
//! commute, so that blind search would try the same thing in countless orders, and would take back
//! a thousand innocent steps to come to the wrong one. Two things prevent that:
//!
//! - **Stubborn sets** (Valmari). A set of operations such that none outside it can change what
//!   its members wait for, nor conflicts with those that can take effect now. If the rest can be
//!   completed at all, then with one of the set first: only these are tried. It is closed under:
//!   a member that is not its connection's next needs that one; one that real time holds back
//!   needs the one that holds it back; one that a key's value holds back needs all that could come
//!   next on that key; one that can take effect brings in all that could come next on its keys.
//! - **Backjumping.** Each dead end names its reason: the keys whose configuration, and the
//!   connections whose position, led to it. Whatever agrees in these is a dead end too: a step
//!   that touched none of them is taken back without trying its alternatives, and the reason is
//!   remembered, so that it is not met again.
//!
//! Why agreeing is enough, though real time is no part of a reason: a dead end is one even for
//! completions that need only respect the order in time among operations that have not taken
//! effect at it. All closure rules above hold back by such operations only, so the argument for
//! stubborn sets goes through, and completions elsewhere respect at least these orders.

use std::collections::HashSet;

use super::meaning::Value;
use super::order::{Order, infer};
use super::partition::Component;
use super::parts::{Key, Whole};
use crate::bits::Bits;
use crate::object::{Budget, Exhausted, Id, Object, Slot};

/// The dead end that came furthest.
#[derive(Default)]
pub struct Stuck {
    /// How many operations had an order before it.
    pub placed: usize,
    /// The keys it rests on, and their values there.
    pub values: Vec<(usize, Value)>,
    /// The next operations of the connections it rests on, as places among the entries.
    pub waiting: Vec<usize>,
}

/// What the search found.
pub enum Found {
    Order,
    /// A key whose own operations have no order.
    BadKey(usize),
    NoOrder(Stuck),
}

/// Keys and connections that a dead end rests on.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Reason {
    keys: Bits,
    connections: Bits,
}

impl Reason {
    fn add(
        &mut self,
        keys: impl IntoIterator<Item = usize>,
        connections: impl IntoIterator<Item = usize>,
    ) {
        keys.into_iter().for_each(|key| _ = self.keys.insert(key));
        connections.into_iter().for_each(|connection| _ = self.connections.insert(connection));
    }
}

/// An operation taken next, as one of its ways, with the configurations it leads to.
struct Choice {
    entry: usize,
    next: Vec<Id>,
}

#[derive(Default)]
struct Frame {
    choices: Vec<Choice>,
    /// The choice that was taken last; those after it are left.
    taken: usize,
    /// The configurations of its keys before it.
    before: Vec<Id>,
    reason: Reason,
}

/// Why there is nothing to try, or what there is, in which order.
enum Turn {
    Complete,
    DeadEnd(Reason),
    Try(Vec<Choice>, Reason),
}

/// What holds an operation back.
enum Held {
    Nothing(Vec<Choice>),
    By(usize),
    ByAllItsKeys,
}

/// Reasons that are remembered at most; each costs a look at every step.
const REASONS: usize = 64;

/// The search.
pub struct Joined<'a> {
    component: &'a Component,
    pub objects: Vec<Object<Key>>,
    /// What holds in every completion.
    order: Order,
    /// Of each connection, by position: which of its operations from there on has the earliest deadline.
    earliest: Vec<Vec<usize>>,
    /// Where the search is: configurations of the keys, and positions of the connections.
    at: Vec<Id>,
    positions: Vec<usize>,
    dead: Vec<(Reason, HashSet<Vec<u32>>)>,
    stuck: Stuck,
}

impl<'a> Joined<'a> {
    pub fn new(component: &'a Component) -> Joined<'a> {
        let entries = &component.entries;
        let order = infer(component);
        let earliest =
            order.chains.iter().map(|chain| suffix_minima(chain, |one| entries[one].span.deadline));
        let earliest = earliest.collect();
        let objects: Vec<_> =
            (0..component.keys.len()).map(|key| object(component, &order, key)).collect();
        Joined {
            component,
            at: objects.iter().map(Object::root).collect(),
            positions: vec![0; order.chains.len()],
            earliest,
            objects,
            order,
            dead: Vec::new(),
            stuck: Stuck::default(),
        }
    }

    /// How many operations returned.
    pub fn returned(&self) -> usize {
        self.order.chains.iter().map(Vec::len).sum()
    }

    pub fn search(&mut self, budget: &mut Budget) -> Result<Found, Exhausted> {
        if let Some(key) = self.bad_keys(budget)?.first() {
            return Ok(Found::BadKey(*key));
        }
        for object in &mut self.objects {
            object.moves(object.root(), budget)?;
        }
        let mut frames: Vec<Frame> = Vec::new();
        loop {
            budget.spend()?;
            match self.turn(budget)? {
                Turn::Complete => return Ok(Found::Order),
                Turn::Try(choices, reason) => {
                    frames.push(Frame { choices, reason, ..Frame::default() });
                    self.take(&mut frames, budget)?;
                }
                Turn::DeadEnd(reason) => {
                    self.note(&reason);
                    if !self.back(&mut frames, reason, budget)? {
                        return Ok(Found::NoOrder(std::mem::take(&mut self.stuck)));
                    }
                }
            }
        }
    }

    /// The keys whose own operations have no order.
    pub fn bad_keys(&mut self, budget: &mut Budget) -> Result<Vec<usize>, Exhausted> {
        let mut bad = Vec::new();
        for (key, object) in self.objects.iter_mut().enumerate() {
            if !object.is_completable(object.root(), budget)? {
                bad.push(key);
            }
        }
        Ok(bad)
    }

    /// Lets an operation take effect.
    fn advance(&mut self, choice: &Choice, budget: &mut Budget) -> Result<(), Exhausted> {
        let keys = &self.component.entries[choice.entry].keys;
        for (key, next) in keys.iter().zip(&choice.next) {
            self.at[*key] = *next;
            self.objects[*key].moves(*next, budget)?;
        }
        if let Some((connection, _)) = self.order.places[choice.entry] {
            self.positions[connection] += 1;
        }
        Ok(())
    }

    /// Takes the last frame's next choice.
    fn take(&mut self, frames: &mut [Frame], budget: &mut Budget) -> Result<(), Exhausted> {
        let frame = frames.last_mut().expect("a frame was pushed");
        let choice = &frame.choices[frame.taken];
        let keys = &self.component.entries[choice.entry].keys;
        frame.before = keys.iter().map(|key| self.at[*key]).collect();
        self.advance(choice, budget)
    }

    /// Goes back from a dead end to the next step whose alternatives can help, and takes one.
    /// `false`: there is none.
    fn back(
        &mut self,
        frames: &mut Vec<Frame>,
        mut reason: Reason,
        budget: &mut Budget,
    ) -> Result<bool, Exhausted> {
        while let Some(frame) = frames.last_mut() {
            let choice = &frame.choices[frame.taken];
            let keys = &self.component.entries[choice.entry].keys;
            keys.iter().zip(&frame.before).for_each(|(key, before)| self.at[*key] = *before);
            let connection = self.order.places[choice.entry].map(|(connection, _)| connection);
            connection.into_iter().for_each(|connection| self.positions[connection] -= 1);
            let is_guilty = keys.iter().any(|key| reason.keys.contains(*key))
                || connection.is_some_and(|one| reason.connections.contains(one));
            if !is_guilty {
                frames.pop();
                continue;
            }
            frame.reason.add(keys.iter().copied(), connection);
            frame.reason.add(reason.keys.members(), reason.connections.members());
            frame.taken += 1;
            if frame.taken < frame.choices.len() {
                self.take(frames, budget)?;
                return Ok(true);
            }
            reason = frames.pop().expect("looked at above").reason;
            self.remember(&reason);
        }
        Ok(false)
    }

    /// What the reason's keys and connections are at.
    fn view(&self, reason: &Reason) -> Vec<u32> {
        let keys = reason.keys.members().map(|key| self.at[key]);
        keys.chain(reason.connections.members().map(|one| self.positions[one] as u32)).collect()
    }

    fn remember(&mut self, reason: &Reason) {
        let view = self.view(reason);
        let known = self.dead.iter().position(|(other, _)| other == reason);
        let (_, mut views) = match known {
            Some(place) => self.dead.remove(place),
            None => (reason.clone(), HashSet::new()),
        };
        views.insert(view);
        self.dead.insert(0, (reason.clone(), views));
        self.dead.truncate(REASONS);
    }

    fn note(&mut self, reason: &Reason) {
        let placed = self.positions.iter().sum();
        if placed >= self.stuck.placed {
            let values = reason.keys.members();
            let values = values.map(|key| (key, self.objects[key].state(self.at[key]).clone()));
            let heads = reason.connections.members().filter_map(|one| self.head(one));
            self.stuck = Stuck { placed, values: values.collect(), waiting: heads.collect() };
        }
    }

    fn head(&self, connection: usize) -> Option<usize> {
        self.order.chains[connection].get(self.positions[connection]).copied()
    }

    /// Of the operations that returned and are to come, the one with the earliest deadline.
    fn first(&self) -> Option<usize> {
        let left = self.earliest.iter().zip(&self.positions);
        let left = left.filter_map(|(line, position)| line.get(*position));
        left.copied().min_by_key(|entry| self.component.entries[*entry].span.deadline)
    }

    fn turn(&mut self, budget: &mut Budget) -> Result<Turn, Exhausted> {
        let Some(first) = self.first() else { return Ok(Turn::Complete) };
        let known = self.dead.iter().find(|(reason, views)| views.contains(&self.view(reason)));
        if let Some((reason, _)) = known {
            return Ok(Turn::DeadEnd(reason.clone()));
        }
        let heads: Vec<usize> =
            (0..self.order.chains.len()).filter_map(|one| self.head(one)).collect();
        for &head in &heads {
            let entry = &self.component.entries[head];
            if self.held_by(head, first).is_none() && entry.ways[0].only_reads() {
                // Possible now and changing nothing: any completion can begin with it.
                if let Held::Nothing(choices) = self.held(head) {
                    return Ok(Turn::Try(choices, Reason::default()));
                }
            }
        }
        let mut fewest: Option<(Vec<Choice>, Reason)> = None;
        for seed in std::iter::once(first).chain(heads) {
            budget.spend()?;
            let (choices, reason) = self.stubborn(seed, first);
            if choices.is_empty() {
                self.remember(&reason);
                return Ok(Turn::DeadEnd(reason));
            }
            if fewest.as_ref().is_none_or(|(fewest, _)| choices.len() < fewest.len()) {
                fewest = Some((choices, reason));
            }
            if fewest.as_ref().is_some_and(|(fewest, _)| fewest.len() == 1) {
                break;
            }
        }
        let (mut choices, reason) = fewest.expect("there is a seed");
        choices.sort_by_key(|choice| {
            let deadline = self.component.entries[choice.entry].span.deadline;
            deadline.unwrap_or(u64::MAX)
        });
        Ok(Turn::Try(choices, reason))
    }

    /// A stubborn set with this operation: those of it that can take effect now, and what it rests
    /// on.
    fn stubborn(&self, seed: usize, first: usize) -> (Vec<Choice>, Reason) {
        let entries = &self.component.entries;
        let mut set = vec![seed];
        let mut is_member = Bits::default();
        is_member.insert(seed);
        let mut reason = Reason::default();
        let mut free = Vec::new();
        let mut next = 0;
        while let Some(&member) = set.get(next) {
            next += 1;
            let entry = &entries[member];
            let mut wanted = Vec::new();
            if let Some((connection, _)) = self.order.places[member] {
                reason.connections.insert(connection);
            }
            if let Some(other) = self.held_by(member, first) {
                wanted.push(other);
            } else {
                let held = self.held(member);
                let keys = match &held {
                    Held::By(key) => std::slice::from_ref(key),
                    Held::Nothing(_) | Held::ByAllItsKeys => &entry.keys[..],
                };
                for &key in keys {
                    reason.keys.insert(key);
                    let moves = self.objects[key].known_moves(self.at[key]);
                    wanted.extend(moves.iter().map(|one| one.event));
                }
                if let Held::Nothing(choices) = held {
                    free.extend(choices);
                }
            }
            set.extend(wanted.into_iter().filter(|one| is_member.insert(*one)));
        }
        (free, reason)
    }

    /// The next of a chain of which more must come before the operation; `first` is the operation
    /// with the earliest deadline of those to come.
    fn held_by(&self, member: usize, first: usize) -> Option<usize> {
        let entries = &self.component.entries;
        if self.order.places[member].is_none() {
            let is_late = Some(entries[member].span.invoked) > entries[first].span.deadline;
            return is_late.then_some(first);
        }
        let before = self.order.before(member).iter().zip(&self.positions);
        let chain = before.enumerate().find(|(_, (before, at))| **before as usize > **at)?.0;
        self.head(chain)
    }

    /// Whether the operation's keys let it take effect now, and how.
    fn held(&self, index: usize) -> Held {
        let entry = &self.component.entries[index];
        let next = |key: usize, way: usize| {
            let moves = self.objects[key].known_moves(self.at[key]);
            moves.iter().find(|one| one.event == index && one.variant == way).map(|one| one.next)
        };
        let mut choices = Vec::new();
        for (way, whole) in entry.ways.iter().enumerate() {
            let next: Option<Vec<Id>> = entry.keys.iter().map(|key| next(*key, way)).collect();
            let values = entry.keys.iter().map(|key| {
                let value = self.objects[*key].state(self.at[*key]);
                (self.component.keys[*key].clone(), value.clone())
            });
            if let Some(next) = next
                && whole.holds(values)
            {
                choices.push(Choice { entry: index, next });
            }
        }
        if !choices.is_empty() {
            return Held::Nothing(choices);
        }
        let bars = |key: &usize| (0..entry.ways.len()).all(|way| next(*key, way).is_none());
        entry.keys.iter().find(|key| bars(key)).map_or(Held::ByAllItsKeys, |key| Held::By(*key))
    }
}

/// For each place, the one from there on with the smallest key.
fn suffix_minima<K: Ord>(line: &[usize], key: impl Fn(usize) -> K) -> Vec<usize> {
    let mut minima = line.to_vec();
    for place in (1..minima.len()).rev() {
        if key(minima[place]) < key(minima[place - 1]) {
            minima[place - 1] = minima[place];
        }
    }
    minima
}

/// A key's part of the component.
fn object(component: &Component, order: &Order, key: usize) -> Object<Key> {
    let name = &component.keys[key];
    let entries = &component.entries;
    let touching: Vec<usize> =
        (0..entries.len()).filter(|index| entries[*index].keys.contains(&key)).collect();
    // Of each chain, the places on it of this key's operations, and which slot each is.
    let mut lines = vec![Vec::new(); order.chains.len()];
    for (slot, index) in touching.iter().enumerate() {
        order.places[*index]
            .into_iter()
            .for_each(|(chain, place)| lines[chain].push((place, slot)));
    }
    let slots = touching.iter().map(|index| {
        let entry = &entries[*index];
        let before = order.before(*index).iter().zip(&lines).filter_map(|(count, line)| {
            let end = line.partition_point(|(place, _)| *place < *count as usize);
            let (_, slot) = line[..end].last()?;
            // Time alone orders the others.
            (entries[touching[*slot]].span.deadline >= Some(entry.span.invoked)).then_some(*slot)
        });
        Slot {
            event: *index,
            span: entry.span,
            after: before.collect(),
            variants: entry.ways.iter().map(|way| way.part(name)).collect(),
            is_shared: entry.keys.len() > 1,
            is_joint: entry.ways.iter().any(Whole::is_joint),
        }
    });
    Object::new(Key, slots.collect())
}
