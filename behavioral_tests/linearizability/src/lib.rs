//! Judges whether a history of operations could have come from one copy of the data: whether every
//! operation can be given one moment, between its call and its answer, at which it took effect.
//!
//! It must never share code with what it judges, and never call a history good because the search
//! was long: then the verdict is [`Verdict::Unknown`].
//!
//! In reading order: [`check`] (any [`Model`]) · `timing` (what must come before what) · `object`
//! (the search) · [`kv`] (the model of a key-value store, key by key).

pub mod kv;

use std::hash::Hash;

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
/// operation in one state. Cross-process order is by time only: an operation comes before another
/// if it returned before the other was invoked.
pub fn check<M: Model>(_model: &M, _history: &[Event<M::Operation>], _budget: u64) -> Verdict {
    Verdict::Unknown
}
