//! Redis strings: what clients ask and hear, and the check of a history of it, key by key. Written
//! against Redis's documentation; it must never share code with the store it judges.

mod command;
mod flow;
mod joined;
mod keyspace;
mod meaning;
mod order;
mod origin;
mod partition;
mod parts;
mod reply;

pub use command::{Bytes, Command};
pub use keyspace::Keyspace;
pub use reply::Reply;

use std::fmt;

use crate::object::{Budget, Exhausted};
use crate::{Event, Verdict, report};
use joined::{Found, Joined};
use order::Inference;
use partition::{Component, components};

/// Commands that take effect together, in order, with their replies. An answer that promises "no
/// effect, never" (`CLUSTERDOWN`, `TRYAGAIN`) is to be left out of the history.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Operation {
    /// What was asked.
    pub commands: Vec<Command>,
    /// As many replies as commands; `None` where the outcome is unknown.
    pub replies: Option<Vec<Reply>>,
}

/// A verdict, and how much it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The verdict over all components: the first bad one's, else `Unknown` if any is.
    pub verdict: Verdict,
    /// Operations of the history.
    pub operations: usize,
    /// Different keys in it.
    pub keys: usize,
    /// Sets of keys that no operation joins with one another.
    pub components: usize,
}

/// Steps for one component at most. A search that needs more has met a history too entangled.
const BUDGET: u64 = 4_000_000;

/// Steps for each operation of a search that never goes back.
const RUSH: u64 = 100;

/// Judges a history that began with no key. Operations on several keys join them into one
/// component, and components are judged one by one: the order of one connection's operations on
/// keys of different components is checked only as far as their times tell.
pub fn check(history: &[Event<Operation>]) -> Checked {
    check_within(history, BUDGET)
}

/// The same with a bound of one's own for the steps spent on one component.
pub fn check_within(history: &[Event<Operation>], budget: u64) -> Checked {
    let mut checked =
        Checked { verdict: Verdict::Unknown, operations: history.len(), keys: 0, components: 0 };
    let Some(components) = components(history) else { return checked };
    checked.keys = components.iter().map(|component| component.keys.len()).sum();
    checked.components = components.len();
    checked.verdict = match history.iter().position(|event| !event.operation.is_well_answered()) {
        Some(event) => Verdict::NotLinearizable(format!(
            "no state could have answered this:\n  {}",
            line(history, event)
        )),
        None => worst(components.iter().map(|component| judge(component, history, budget))),
    };
    checked
}

fn worst(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut worst = Verdict::Linearizable;
    for verdict in verdicts {
        match verdict {
            Verdict::NotLinearizable(_) => return verdict,
            Verdict::Unknown => worst = Verdict::Unknown,
            Verdict::Linearizable => {}
        }
    }
    worst
}

fn judge(component: &Component, history: &[Event<Operation>], budget: u64) -> Verdict {
    let mut inference = Inference::new(component);
    let mut joined = Joined::new(component, inference.order().clone());
    if component.keys.len() > 1 {
        let rush = budget.min(RUSH * component.entries.len() as u64);
        if let Ok(true) = joined.rush(&mut inference, &mut Budget(rush)) {
            return Verdict::Linearizable;
        }
        joined.begin_again();
    }
    match joined.search(&mut Budget(budget)) {
        Ok(Found::Order) => Verdict::Linearizable,
        Ok(found) => Verdict::NotLinearizable(explain(component, &joined, &found, history)),
        Err(Exhausted) => Verdict::Unknown,
    }
}

fn explain(
    component: &Component,
    joined: &Joined<'_>,
    found: &Found,
    history: &[Event<Operation>],
) -> String {
    let event = |index: usize| component.entries[index].event;
    match found {
        Found::Order => String::new(),
        Found::BadKey(key) => {
            let why = report::of_object(
                &joined.objects[*key],
                |index| line(history, event(index)),
                value,
            );
            format!("key {}: {why}", component.keys[*key].escape_ascii())
        }
        Found::NoOrder(stuck) => {
            let mut lines = vec![format!(
                "{} keys that operations join: {} of {} operations that returned can be put in \
                 order. Then these keys hold:",
                component.keys.len(),
                stuck.placed,
                joined.returned()
            )];
            let held = stuck.values.iter();
            let held = held.map(|(key, held)| {
                format!("{} = {}", component.keys[*key].escape_ascii(), value(held))
            });
            report::extend(&mut lines, held);
            lines.push(String::from("and of these, each has to come before another of them:"));
            let mut waiting: Vec<usize> = stuck.waiting.iter().map(|one| event(*one)).collect();
            waiting.sort_by_key(|event| history[*event].returned);
            report::extend(&mut lines, waiting.into_iter().map(|event| line(history, event)));
            lines.join("\n")
        }
    }
}

fn value(value: &meaning::Value) -> String {
    format!("{:?}", value.as_ref().map_or(Reply::Nil, |value| Reply::Value(value.to_vec())))
}

fn line(history: &[Event<Operation>], event: usize) -> String {
    report::line(history, event, history[event].operation.to_string())
}

impl Operation {
    /// Whether the replies are as many as the commands, and a command without a key was refused.
    fn is_well_answered(&self) -> bool {
        let Some(replies) = &self.replies else { return true };
        let is_possible = |(command, reply): (&Command, &Reply)| {
            !command.keys().is_empty() || *reply == Reply::Error
        };
        replies.len() == self.commands.len() && self.commands.iter().zip(replies).all(is_possible)
    }
}

/// Each command and what it answered.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, command) in self.commands.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{command:?}")?;
            match self.replies.as_ref().and_then(|replies| replies.get(index)) {
                Some(reply) => write!(f, " -> {reply:?}")?,
                None => write!(f, " -> ?")?,
            }
        }
        Ok(())
    }
}
