//! An operation cut into what each of its keys sees of it.
//!
//! A part asks less than the whole: of `DEL a b` that answered 1, neither key can tell whether it
//! was the one removed. What only several keys together can tell is asked by [`Whole::holds`].

use super::meaning::{Single, Value, Values, execute};
use super::{Command, Operation, Reply};
use crate::Model;

/// A command reduced to one key, and the answer it had if one key can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub command: Command,
    pub reply: Option<Reply>,
}

/// What one key sees of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part(Vec<Step>);

impl Part {
    /// In the order in which they take effect.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// One way an operation may have gone: with each command its answer, where known or assumed.
#[derive(Clone, Debug)]
pub struct Whole {
    steps: Vec<Step>,
    /// Whether the parts together say less than the whole.
    is_joint: bool,
}

/// Ways to tell apart for one operation at most.
const MOST_WAYS: usize = 64;

/// How the operation may have gone. One way if it was answered. If not: what `MSETNX` on several
/// keys does to one of them depends on the others, so that it is assumed once that it set, and
/// once that it did not. Nothing at all if it can have changed nothing; `None` if there are too
/// many ways.
pub fn ways(operation: &Operation, is_known: bool) -> Option<Vec<Whole>> {
    if let Some(replies) = operation.replies.as_ref().filter(|_| is_known) {
        let steps = operation.commands.iter().cloned().zip(replies.iter().cloned().map(Some));
        return Some(vec![Whole::new(steps)]);
    }
    let writes: Vec<&Command> =
        operation.commands.iter().filter(|command| command.is_write()).collect();
    let mut ways = vec![vec![]];
    for command in &writes {
        let assumed = match command {
            // By itself it might as well never have happened if it did not set.
            Command::MSetNx(_) if writes.len() == 1 => vec![Some(Reply::Integer(1))],
            Command::MSetNx(_) => vec![Some(Reply::Integer(1)), Some(Reply::Integer(0))],
            _ => vec![None],
        };
        let longer = ways.iter().flat_map(|way| {
            assumed.iter().map(|reply| {
                let step = ((*command).clone(), reply.clone());
                way.iter().cloned().chain([step]).collect::<Vec<_>>()
            })
        });
        ways = longer.collect();
        if ways.len() > MOST_WAYS {
            return None;
        }
    }
    ways.retain(|way| !way.is_empty());
    Some(ways.into_iter().map(|way| Whole::new(way.into_iter())).collect())
}

impl Whole {
    fn new(steps: impl Iterator<Item = (Command, Option<Reply>)>) -> Whole {
        let steps: Vec<Step> = steps.map(|(command, reply)| Step { command, reply }).collect();
        let is_joint = steps.iter().any(|step| {
            let distinct = distinct(&step.command);
            match (&step.command, &step.reply) {
                (Command::Del(_), Some(Reply::Integer(count))) => (1..distinct).contains(count),
                (Command::Exists(keys), Some(Reply::Integer(count))) => {
                    (1..keys.len() as i64).contains(count)
                }
                (Command::MSetNx(_), Some(Reply::Integer(0))) => distinct > 1,
                _ => false,
            }
        });
        Whole { steps, is_joint }
    }

    /// Whether the parts together say less than the whole.
    pub fn is_joint(&self) -> bool {
        self.is_joint
    }

    /// What one key sees.
    pub fn part(&self, key: &[u8]) -> Part {
        Part(self.steps.iter().flat_map(|step| step.part(key)).collect())
    }

    /// Whether the answers fit these values of all its keys. Only to be asked if each part fits.
    pub fn holds(&self, values: impl Iterator<Item = (Vec<u8>, Value)>) -> bool {
        if !self.is_joint {
            return true;
        }
        let mut values = Several(values.collect());
        self.steps.iter().all(|step| {
            let reply = execute(&step.command, &mut values);
            step.reply.as_ref().is_none_or(|expected| *expected == reply)
        })
    }

    /// Whether it changes nothing wherever it is possible.
    pub fn only_reads(&self) -> bool {
        self.steps.iter().all(Step::only_reads)
    }
}

fn distinct(command: &Command) -> i64 {
    let mut keys = command.keys();
    keys.sort_unstable();
    keys.dedup();
    keys.len() as i64
}

impl Step {
    /// Whether it changes nothing wherever it is possible.
    pub fn only_reads(&self) -> bool {
        match (&self.command, &self.reply) {
            (Command::SetNx(..) | Command::MSetNx(_) | Command::Del(_), Some(reply)) => {
                *reply == Reply::Integer(0)
            }
            (Command::GetDel(_), Some(reply)) => *reply == Reply::Nil,
            (Command::Incr(_) | Command::IncrBy(..), Some(reply)) => *reply == Reply::Error,
            (command, _) => !command.is_write(),
        }
    }

    /// What the key sees of it: mostly nothing, or one step.
    fn part(&self, key: &[u8]) -> Vec<Step> {
        let times = self.command.keys().iter().filter(|named| **named == key).count();
        if times == 0 {
            return Vec::new();
        }
        let key = key.to_vec();
        let step = |command, reply| vec![Step { command, reply }];
        let all_or_none = |all: i64, this: i64| match self.reply {
            None => None,
            Some(Reply::Integer(count)) if count == all => Some(Reply::Integer(this)),
            Some(Reply::Integer(0)) => Some(Reply::Integer(0)),
            Some(Reply::Integer(count)) if (1..all).contains(&count) => None,
            Some(_) => Some(Reply::Error),
        };
        match &self.command {
            Command::Del(_) => {
                step(Command::Del(vec![key]), all_or_none(distinct(&self.command), 1))
            }
            Command::Exists(keys) => {
                let reply = all_or_none(keys.len() as i64, times as i64);
                step(Command::Exists(vec![key; times]), reply)
            }
            Command::MGet(keys) => match &self.reply {
                Some(Reply::Values(values)) if values.len() == keys.len() => {
                    let seen = keys.iter().zip(values).filter(|(named, _)| **named == key);
                    let get = |value: &Option<Vec<u8>>| Step {
                        command: Command::Get(key.clone()),
                        reply: Some(value.clone().map_or(Reply::Nil, Reply::Value)),
                    };
                    seen.map(|(_, value)| get(value)).collect()
                }
                reply => step(Command::Get(key), reply.as_ref().map(|_| Reply::Error)),
            },
            Command::MSet(pairs) => {
                let value = last(pairs, &key);
                step(Command::Set(key, value), self.reply.clone())
            }
            Command::MSetNx(pairs) => match &self.reply {
                Some(Reply::Integer(0)) if distinct(&self.command) > 1 => Vec::new(),
                reply => {
                    let value = last(pairs, &key);
                    step(Command::SetNx(key, value), reply.clone())
                }
            },
            _ => vec![self.clone()],
        }
    }
}

fn last(pairs: &[(Vec<u8>, Vec<u8>)], key: &[u8]) -> Vec<u8> {
    let named = pairs.iter().rfind(|(named, _)| named == key);
    named.map(|(_, value)| value.clone()).unwrap_or_default()
}

/// The values of a few keys.
struct Several(Vec<(Vec<u8>, Value)>);

impl Values for Several {
    fn of(&mut self, key: &[u8]) -> &mut Value {
        let place = self.0.iter().position(|(named, _)| named == key);
        let place = place.unwrap_or_else(|| {
            self.0.push((key.to_vec(), None));
            self.0.len() - 1
        });
        &mut self.0[place].1
    }
}

/// One key, as a model.
pub struct Key;

impl Model for Key {
    type State = Value;
    type Operation = Part;

    fn initial(&self) -> Value {
        None
    }

    fn step(&self, state: &Value, operation: &Part) -> Option<Value> {
        let mut value = Single(state.clone());
        let holds = operation.0.iter().all(|step| {
            let reply = execute(&step.command, &mut value);
            step.reply.as_ref().is_none_or(|expected| *expected == reply)
        });
        holds.then_some(value.0)
    }

    fn only_reads(&self, operation: &Part) -> bool {
        operation.0.iter().all(Step::only_reads)
    }

    fn same_effect(&self, one: &Part, other: &Part) -> bool {
        one == other
    }
}
