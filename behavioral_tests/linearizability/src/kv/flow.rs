//! What an operation needs a key to hold before it, and what it leaves there, as far as its replies
//! tell without knowing more.

use super::meaning::{Single, Value, execute};
use super::parts::{Part, Step};
use super::{Command, Reply};

/// What a key must hold for an operation to have been answered as it was.
#[derive(Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing, or more than is told here.
    Unclear,
    /// One of these.
    OneOf(Vec<Value>),
}

/// What a key holds after an operation.
#[derive(Debug, PartialEq, Eq)]
pub enum Leaves {
    /// What it held before.
    Same,
    /// This, whatever it held before.
    Value(Value),
    /// A value of this length with this end.
    Tail(Vec<u8>, usize),
    /// More than is told here.
    Unclear,
}

impl Leaves {
    /// Whether the value may be what the operation left.
    pub fn may_be(&self, value: &Value) -> bool {
        match self {
            Leaves::Same => false,
            Leaves::Value(left) => left == value,
            Leaves::Tail(end, length) => {
                value.as_ref().is_some_and(|value| value.len() == *length && value.ends_with(end))
            }
            Leaves::Unclear => true,
        }
    }
}

/// What the operation needs.
pub fn needs(part: &Part) -> Needs {
    let Some(Step { command, reply: Some(reply) }) = part.steps().first() else {
        return Needs::Unclear;
    };
    match (command, reply) {
        (Command::Get(_) | Command::GetSet(..) | Command::GetDel(_), Reply::Nil) => {
            Needs::OneOf(vec![None])
        }
        (Command::Get(_) | Command::GetSet(..) | Command::GetDel(_), Reply::Value(value)) => {
            Needs::OneOf(vec![Some(value.as_slice().into())])
        }
        (Command::SetNx(..), Reply::Integer(1))
        | (Command::Exists(_) | Command::Del(_), Reply::Integer(0)) => Needs::OneOf(vec![None]),
        (Command::Incr(_), Reply::Integer(sum)) => before_sum(*sum, 1),
        (Command::IncrBy(_, amount), Reply::Integer(sum)) => before_sum(*sum, *amount),
        _ => Needs::Unclear,
    }
}

fn before_sum(sum: i64, amount: i64) -> Needs {
    let Some(old) = sum.checked_sub(amount) else { return Needs::Unclear };
    let text = Some(old.to_string().into_bytes().into());
    Needs::OneOf(if old == 0 { vec![None, text] } else { vec![text] })
}

/// What the operation leaves.
pub fn leaves(part: &Part) -> Leaves {
    part.steps().iter().fold(Leaves::Same, after)
}

fn after(before: Leaves, step: &Step) -> Leaves {
    if let Leaves::Value(value) = before {
        let mut value = Single(value);
        execute(&step.command, &mut value);
        return Leaves::Value(value.0);
    }
    if step.only_reads() {
        return before;
    }
    match (&step.command, &step.reply) {
        (Command::Set(_, value) | Command::GetSet(_, value), _)
        | (Command::SetNx(_, value), Some(Reply::Integer(1))) => {
            Leaves::Value(Some(value.as_slice().into()))
        }
        (Command::Del(_) | Command::GetDel(_), _) => Leaves::Value(None),
        (Command::Incr(_) | Command::IncrBy(..), Some(Reply::Integer(sum))) => {
            Leaves::Value(Some(sum.to_string().into_bytes().into()))
        }
        (Command::Append(_, tail), Some(Reply::Integer(length))) => {
            match usize::try_from(*length) {
                Ok(length) if length == tail.len() => Leaves::Value(Some(tail.as_slice().into())),
                Ok(length) => Leaves::Tail(tail.clone(), length),
                Err(_) => Leaves::Unclear,
            }
        }
        _ => Leaves::Unclear,
    }
}
