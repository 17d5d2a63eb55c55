//! Judges whether a history of operations could have come from one copy of the data: whether every
//! operation can be given one moment, between its call and its answer, at which it took effect.
//!
//! It must never share code with what it judges, and never call a history good because the search
//! was long: then the verdict is [`Verdict::Unknown`].
//!
//! In reading order: [`check`] (any [`Model`]) · `timing` (what must come before what) · `object`
//! (the search) · [`kv`] (the model of a key-value store, key by key).

mod bits;
pub mod kv;
mod object;
mod report;
mod timing;

use std::collections::HashMap;
use std::hash::Hash;

use crate::object::{Budget, Exhausted, Object, Slot};

/// What the checked thing is meant to do.
pub trait Model {
    /// All that later answers depend on.
    type State: Clone + Eq + Hash;
    /// What was asked, with what was answered if that is known.
    type Operation;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after the operation, if in this state it could have had the outcome it had.
    fn step(&self, state: &Self::State, operation: &Self::Operation) -> Option<Self::State>;

    /// Whether the operation, with the outcome it had, never changes a state in which it is
    /// possible. `false` is always right, and slower.
    fn only_reads(&self, _operation: &Self::Operation) -> bool {
        false
    }

    /// Whether two operations of unknown outcome do the same in every state. `false` is always
    /// right, and slower.
    fn same_effect(&self, _one: &Self::Operation, _other: &Self::Operation) -> bool {
        false
    }

    /// The operation in words, for verdicts.
    fn describe(&self, _operation: &Self::Operation) -> String {
        String::from("an operation")
    }

    /// The state in words, for verdicts.
    fn describe_state(&self, _state: &Self::State) -> String {
        String::from("a state")
    }
}

/// One operation of a history. Times are any rising numbers; equal times overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<O> {
    /// One connection: its operations that returned take effect in the order listed, even if their
    /// times overlap.
    pub process: u64,
    /// When it was asked.
    pub invoked: u64,
    /// When it was answered. `None`: outcome unknown, it may take effect at any time after
    /// `invoked`, or never.
    pub returned: Option<u64>,
    /// What was asked, and answered.
    pub operation: O,
}

/// What is to be thought of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order that explains every answer.
    Linearizable,
    /// There is none: what cannot be placed, for people, in about thirty lines at most.
    NotLinearizable(String),
    /// The budget of steps ran out first.
    Unknown,
}

/// Judges a history against a model. `budget` bounds the steps of the search; a step tries one
/// operation in one state, and remembers at most one state. Operations of different processes are
/// ordered by time only: one comes before another if it returned before the other was invoked.
pub fn check<M: Model>(model: &M, history: &[Event<M::Operation>], budget: u64) -> Verdict {
    let spans = timing::spans(history.iter().map(|one| (one.process, one.invoked, one.returned)));
    let mut slots: Vec<Slot<&M::Operation>> = Vec::new();
    let mut latest = HashMap::new();
    for (event, (one, span)) in history.iter().zip(spans).enumerate() {
        let is_known = span.deadline.is_some();
        // A read nobody heard the answer of says nothing.
        if !is_known && model.only_reads(&one.operation) {
            continue;
        }
        let previous = is_known.then(|| latest.insert(one.process, slots.len())).flatten();
        let (after, variants) = (previous.into_iter().collect(), vec![&one.operation]);
        slots.push(Slot { event, span, after, variants, is_shared: false, is_joint: false });
    }
    let mut object = Object::new(Borrowed(model), slots);
    match object.is_completable(object.root(), &mut Budget(budget)) {
        Ok(true) => Verdict::Linearizable,
        Ok(false) => Verdict::NotLinearizable(report::of_object(
            &object,
            |event| report::line(history, event, model.describe(&history[event].operation)),
            |state| model.describe_state(state),
        )),
        Err(Exhausted) => Verdict::Unknown,
    }
}

/// A model whose operations stay in the history.
struct Borrowed<'a, M>(&'a M);

impl<'a, M: Model> Model for Borrowed<'a, M> {
    type State = M::State;
    type Operation = &'a M::Operation;

    fn initial(&self) -> M::State {
        self.0.initial()
    }

    fn step(&self, state: &M::State, operation: &Self::Operation) -> Option<M::State> {
        self.0.step(state, operation)
    }

    fn only_reads(&self, operation: &Self::Operation) -> bool {
        self.0.only_reads(operation)
    }

    fn same_effect(&self, one: &Self::Operation, other: &Self::Operation) -> bool {
        self.0.same_effect(one, other)
    }
}
