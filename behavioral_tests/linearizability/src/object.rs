//! The search over one object: every configuration — which operations have taken effect, and the
//! state they left — is met once, and remembered as a dead end or as one that can be completed.
//!
//! This is Wing and Gong's search with Lowe's memory. It walks with a stack of its own, so that a
//! long history cannot exhaust the thread's. What keeps it small, and why that is sound:
//!
//! - A read that is possible now is taken at once: it changes nothing, so that any completion stays
//!   one when the read is moved to its front.
//! - Operations of unknown outcome are tried last, and each must be *needed*: if what comes next is
//!   possible without it and leads to the same state, leave it out; if a read comes next that is
//!   possible without it, let it take effect after the read. Either turns a completion into one
//!   with fewer, or later, such operations, so one with all of them needed exists if any does. The
//!   state without it (`without`) is part of the configuration for that. Not for operations that
//!   touch other objects too: they may be needed there. Nor before operations that ask something
//!   of several objects together: whether it is needed is not seen here.
//! - Of unknown operations with the same effect the one invoked first is taken: it could stand
//!   wherever another of them does.
//! - A configuration from which nothing is complete stays so if more unknown operations are used
//!   up, and one that can be completed stays so if fewer are.

use std::collections::HashMap;

use crate::Model;
use crate::bits::Bits;
use crate::timing::Span;

/// An operation as one object sees it.
pub struct Slot<O> {
    /// Its place in the history.
    pub event: usize,
    pub span: Span,
    /// Slots that must have taken effect before, as places in the list of all slots.
    pub after: Vec<usize>,
    /// What it may have been; more than one only where the outcome is unknown.
    pub variants: Vec<O>,
    /// Whether it touches other objects too.
    pub is_shared: bool,
    /// Whether it asks more of this and other objects together than its variants tell.
    pub is_joint: bool,
}

/// Names a configuration of an object.
pub type Id = u32;

/// An operation that takes effect next.
#[derive(Clone, Copy, Debug)]
pub struct Move {
    pub event: usize,
    pub variant: usize,
    pub next: Id,
}

/// The search gave up.
#[derive(Debug)]
pub struct Exhausted;

/// Steps that may still be made.
pub struct Budget(pub u64);

impl Budget {
    pub fn spend(&mut self) -> Result<(), Exhausted> {
        self.0 = self.0.checked_sub(1).ok_or(Exhausted)?;
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    Completable,
    DeadEnd,
}

/// All of a configuration but which unknown operations are used up.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Core {
    done: Bits,
    state: u32,
    without: Option<u32>,
}

struct Configuration {
    core: Core,
    used: Bits,
    /// How many operations that returned have taken effect.
    count: usize,
    fate: Fate,
    moves: Option<Vec<Move>>,
}

/// Which operation to try: of `definite`, or of `unknown` as one of its variants.
#[derive(Clone, Copy)]
enum Try {
    Definite(usize),
    Unknown(usize, usize),
}

struct Frame {
    id: Id,
    tries: Vec<Try>,
    next: usize,
}

/// One object and its part of the history.
pub struct Object<M: Model> {
    model: M,
    /// By `invoked`.
    definite: Vec<Slot<M::Operation>>,
    /// For each definite one, those that must come before it.
    previous: Vec<Vec<usize>>,
    /// By `invoked`.
    unknown: Vec<Slot<M::Operation>>,
    /// For each unknown one, the last before it with the same effect.
    twin: Vec<Option<usize>>,
    states: Vec<M::State>,
    state_ids: HashMap<M::State, u32>,
    configurations: Vec<Configuration>,
    ids: HashMap<Core, Vec<Id>>,
}

impl<M: Model> Object<M> {
    pub fn new(model: M, slots: Vec<Slot<M::Operation>>) -> Object<M> {
        let mut by_time: Vec<usize> = (0..slots.len()).collect();
        by_time.sort_by_key(|place| slots[*place].span.invoked);
        let (known, _): (Vec<usize>, Vec<usize>) =
            by_time.into_iter().partition(|place| slots[*place].span.deadline.is_some());
        let mut renamed = vec![0; slots.len()];
        known.iter().enumerate().for_each(|(new, old)| renamed[*old] = new);
        let new_names = |old: &usize| slots[*old].after.iter().map(|one| renamed[*one]).collect();
        let previous = known.iter().map(new_names).collect();
        let (mut definite, mut unknown): (Vec<_>, Vec<_>) =
            slots.into_iter().partition(|slot| slot.span.deadline.is_some());
        definite.sort_by_key(|slot| slot.span.invoked);
        unknown.sort_by_key(|slot| slot.span.invoked);
        let twin = twins(&model, &unknown);
        let initial = model.initial();
        let mut object = Object {
            model,
            definite,
            previous,
            unknown,
            twin,
            states: Vec::new(),
            state_ids: HashMap::new(),
            configurations: Vec::new(),
            ids: HashMap::new(),
        };
        let state = object.name_state(initial);
        let core = Core { done: Bits::default(), state, without: None };
        object.name(core, Bits::default(), 0);
        object
    }

    /// The most operations that returned and could be placed, and where that leads: configurations.
    pub fn furthest(&self) -> (usize, Vec<Id>) {
        let count = self.configurations.iter().map(|one| one.count).max().unwrap_or(0);
        let ids = (0..).zip(&self.configurations).filter(|(_, one)| one.count == count);
        (count, ids.map(|(id, _)| id).collect())
    }

    /// Configurations met after at least so many operations that returned, in which the event
    /// could have come next by time and connection.
    pub fn met_with(&self, count: usize, event: Option<usize>) -> impl Iterator<Item = Id> + '_ {
        let late = (0..).zip(&self.configurations).filter(move |(_, one)| one.count >= count);
        late.map(|(id, _)| id).filter(move |id| {
            self.candidates(*id).0.iter().any(|index| Some(self.definite[*index].event) == event)
        })
    }

    /// How many operations returned.
    pub fn returned(&self) -> usize {
        self.definite.len()
    }

    /// What could come next by time and connection, whatever its answer, each with its deadline; all
    /// that is left if nothing could.
    pub fn waiting(&self, id: Id) -> impl Iterator<Item = (u64, usize)> + '_ {
        let mut next = self.candidates(id).0;
        if next.is_empty() {
            next =
                self.configurations[id as usize].core.done.missing(self.definite.len()).collect();
        }
        let slots = next.into_iter().map(|index| &self.definite[index]);
        slots.map(|slot| (slot.span.deadline.unwrap_or(u64::MAX), slot.event))
    }

    /// The configuration before the first operation.
    pub fn root(&self) -> Id {
        0
    }

    pub fn state(&self, id: Id) -> &M::State {
        &self.states[self.configurations[id as usize].core.state as usize]
    }

    /// Whether all operations that returned and have not taken effect yet still can.
    pub fn is_completable(&mut self, id: Id, budget: &mut Budget) -> Result<bool, Exhausted> {
        let mut stack = Vec::new();
        self.visit(id, &mut stack);
        while let Some(frame) = stack.last_mut() {
            let id = frame.id;
            let configuration = &mut self.configurations[id as usize];
            if configuration.fate == Fate::Completable {
                stack.pop();
                if let Some(below) = stack.last() {
                    self.configurations[below.id as usize].fate = Fate::Completable;
                }
            } else if let Some(&chosen) = frame.tries.get(frame.next) {
                frame.next += 1;
                budget.spend()?;
                if let Some(next) = self.take(id, chosen) {
                    self.visit(next, &mut stack);
                }
            } else {
                configuration.fate = Fate::DeadEnd;
                stack.pop();
            }
        }
        Ok(self.configurations[id as usize].fate == Fate::Completable)
    }

    /// All operations that could come next here in a completion, those that returned first.
    pub fn moves(&mut self, id: Id, budget: &mut Budget) -> Result<&[Move], Exhausted> {
        if self.configurations[id as usize].moves.is_none() {
            let mut moves = Vec::new();
            for chosen in self.tries(id) {
                budget.spend()?;
                let Some(next) = self.take(id, chosen) else { continue };
                if self.is_completable(next, budget)? {
                    let (slot, variant) = self.slot(chosen);
                    moves.push(Move { event: slot.event, variant, next });
                }
            }
            self.configurations[id as usize].moves = Some(moves);
        }
        Ok(self.configurations[id as usize].moves.as_deref().expect("made above"))
    }

    /// The moves if they were asked for before.
    pub fn known_moves(&self, id: Id) -> &[Move] {
        self.configurations[id as usize].moves.as_deref().unwrap_or(&[])
    }

    /// Enters a configuration: above its parent if it must be searched, else its fate is passed on.
    fn visit(&mut self, id: Id, stack: &mut Vec<Frame>) {
        if self.configurations[id as usize].fate == Fate::Open {
            let fate = self.fate_from_kin(id);
            self.configurations[id as usize].fate = fate;
        }
        match self.configurations[id as usize].fate {
            Fate::Open => {
                let tries = match self.free_read(id) {
                    Some(read) => vec![read],
                    None => self.tries(id),
                };
                stack.push(Frame { id, tries, next: 0 });
            }
            Fate::Completable => {
                if let Some(frame) = stack.last() {
                    self.configurations[frame.id as usize].fate = Fate::Completable;
                }
            }
            Fate::DeadEnd => {}
        }
    }

    /// What is known from configurations that differ only in the unknown operations used up.
    fn fate_from_kin(&self, id: Id) -> Fate {
        let configuration = &self.configurations[id as usize];
        if configuration.count == self.definite.len() {
            return Fate::Completable;
        }
        let kin = &self.ids[&configuration.core];
        kin.iter().map(|id| &self.configurations[*id as usize]).fold(Fate::Open, |fate, other| {
            match other.fate {
                Fate::DeadEnd if other.used.is_subset(&configuration.used) => Fate::DeadEnd,
                Fate::Completable if configuration.used.is_subset(&other.used) => Fate::Completable,
                _ => fate,
            }
        })
    }

    /// The definite operations that may take effect next: their connection has come so far, and
    /// none that has not taken effect returned before they were invoked. Looks no further than the
    /// operations that were under way together.
    fn candidates(&self, id: Id) -> (Vec<usize>, u64) {
        let done = &self.configurations[id as usize].core.done;
        let mut deadline = u64::MAX;
        let mut candidates = Vec::new();
        for index in done.missing(self.definite.len()) {
            let span = self.definite[index].span;
            if span.invoked > deadline {
                break;
            }
            deadline = deadline.min(span.deadline.unwrap_or(u64::MAX));
            if self.previous[index].iter().all(|previous| done.contains(*previous)) {
                candidates.push(index);
            }
        }
        candidates.retain(|index| self.definite[*index].span.invoked <= deadline);
        (candidates, deadline)
    }

    fn tries(&self, id: Id) -> Vec<Try> {
        let (mut candidates, deadline) = self.candidates(id);
        candidates.sort_by_key(|index| self.definite[*index].span.deadline);
        let used = &self.configurations[id as usize].used;
        let mut tries: Vec<Try> = candidates.into_iter().map(Try::Definite).collect();
        let end = self.unknown.partition_point(|slot| slot.span.invoked <= deadline);
        let is_complete = self.configurations[id as usize].count == self.definite.len();
        let free = used.missing(end).filter(|index| {
            let is_needed = !is_complete || self.unknown[*index].is_shared;
            is_needed && self.twin[*index].is_none_or(|twin| used.contains(twin))
        });
        let free: Vec<usize> = free.collect();
        // What had an effect most often had it soon.
        for index in free.into_iter().rev() {
            let variants = self.unknown[index].variants.len();
            tries.extend((0..variants).map(|variant| Try::Unknown(index, variant)));
        }
        tries
    }

    /// A read that is possible here.
    fn free_read(&mut self, id: Id) -> Option<Try> {
        let (candidates, _) = self.candidates(id);
        let core = &self.configurations[id as usize].core;
        let found = candidates.into_iter().find(|index| {
            let slot = &self.definite[*index];
            self.model.only_reads(&slot.variants[0]) && self.step(core, slot, 0).is_some()
        });
        found.map(Try::Definite)
    }

    fn slot(&self, chosen: Try) -> (&Slot<M::Operation>, usize) {
        match chosen {
            Try::Definite(index) => (&self.definite[index], 0),
            Try::Unknown(index, variant) => (&self.unknown[index], variant),
        }
    }

    /// The configuration after the operation, if it is possible here.
    fn take(&mut self, id: Id, chosen: Try) -> Option<Id> {
        let (slot, variant) = self.slot(chosen);
        let is_shared = slot.is_shared;
        let configuration = &self.configurations[id as usize];
        let state = self.step(&configuration.core, slot, variant)?;
        let before = configuration.core.state;
        let (done, used) = (&configuration.core.done, &configuration.used);
        let (done, used, count, without) = match chosen {
            Try::Definite(index) => (done.with(index), used.clone(), configuration.count + 1, None),
            Try::Unknown(index, _) => {
                let without = (!is_shared).then_some(before);
                (done.clone(), used.with(index), configuration.count, without)
            }
        };
        let state = self.name_state(state);
        if state == before && matches!(chosen, Try::Unknown(..)) && !is_shared {
            return None;
        }
        Some(self.name(Core { done, state, without }, used, count))
    }

    /// The state after the operation, if it is possible and the unknown operation before it, if
    /// one was, is needed for it.
    fn step(&self, core: &Core, slot: &Slot<M::Operation>, variant: usize) -> Option<M::State> {
        let state = &self.states[core.state as usize];
        let operation = &slot.variants[variant];
        let after = self.model.step(state, operation)?;
        let is_needless = core.without.filter(|_| !slot.is_joint).is_some_and(|without| {
            let without = &self.states[without as usize];
            self.model
                .step(without, operation)
                .is_some_and(|other| other == after || (other == *without && after == *state))
        });
        (!is_needless).then_some(after)
    }

    fn name_state(&mut self, state: M::State) -> u32 {
        if let Some(id) = self.state_ids.get(&state) {
            return *id;
        }
        let id = u32::try_from(self.states.len()).expect("fewer states than steps in a budget");
        self.states.push(state.clone());
        self.state_ids.insert(state, id);
        id
    }

    fn name(&mut self, core: Core, used: Bits, count: usize) -> Id {
        let kin = self.ids.entry(core.clone()).or_default();
        let known = kin.iter().find(|id| self.configurations[**id as usize].used == used);
        if let Some(id) = known {
            return *id;
        }
        let id = Id::try_from(self.configurations.len()).expect("fewer than a budget's steps");
        kin.push(id);
        let fate = Fate::Open;
        self.configurations.push(Configuration { core, used, count, fate, moves: None });
        id
    }
}

/// For each slot the last before it with the same effect everywhere it is seen.
fn twins<M: Model>(model: &M, unknown: &[Slot<M::Operation>]) -> Vec<Option<usize>> {
    let mut latest: Vec<usize> = Vec::new();
    let twin = unknown.iter().enumerate().map(|(index, slot)| {
        let [operation] = &slot.variants[..] else { return None };
        let found = latest.iter_mut().find(|other| {
            let other = &unknown[**other];
            !slot.is_shared
                && !other.is_shared
                && other.variants.len() == 1
                && model.same_effect(&other.variants[0], operation)
        });
        match found {
            Some(other) => Some(std::mem::replace(other, index)),
            None => {
                latest.push(index);
                None
            }
        }
    });
    twin.collect()
}
