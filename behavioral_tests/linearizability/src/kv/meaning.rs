//! What each command does and answers, as Redis documents it.

use std::sync::Arc;

use super::{Command, Reply};

/// What a key holds; `None`: the key does not exist.
pub type Value = Option<Arc<[u8]>>;

/// The keys a command can reach.
pub trait Values {
    /// The key's value, to read or to change.
    fn of(&mut self, key: &[u8]) -> &mut Value;
}

/// A key alone.
pub struct Single(pub Value);

impl Values for Single {
    fn of(&mut self, _key: &[u8]) -> &mut Value {
        &mut self.0
    }
}

/// Does the command, and answers it.
pub fn execute(command: &Command, values: &mut impl Values) -> Reply {
    match command {
        Command::Get(key) => reply_with(values.of(key)),
        Command::Set(key, value) => {
            *values.of(key) = Some(value.as_slice().into());
            Reply::Ok
        }
        Command::SetNx(key, value) => set_if_absent(&[(key, value)], values),
        Command::GetSet(key, value) => {
            let old = values.of(key).replace(value.as_slice().into());
            reply_with(&old)
        }
        Command::GetDel(key) => reply_with(&values.of(key).take()),
        Command::Incr(key) => increase(values.of(key), 1),
        Command::IncrBy(key, amount) => increase(values.of(key), *amount),
        Command::Append(key, tail) => {
            let value = values.of(key);
            let longer = [value.as_deref().unwrap_or(&[]), tail].concat();
            let length = count(longer.len());
            *value = Some(longer.into());
            length
        }
        Command::Strlen(key) => count(values.of(key).as_ref().map_or(0, |value| value.len())),
        Command::Exists(keys) => count(keys.iter().filter(|key| values.of(key).is_some()).count()),
        Command::Del(keys) => {
            count(keys.iter().filter(|key| values.of(key).take().is_some()).count())
        }
        Command::MGet(keys) => {
            let value = |key| values.of(key).as_ref().map(|value| value.to_vec());
            Reply::Values(keys.iter().map(Vec::as_slice).map(value).collect())
        }
        Command::MSet(pairs) => {
            for (key, value) in pairs {
                *values.of(key) = Some(value.as_slice().into());
            }
            Reply::Ok
        }
        Command::MSetNx(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(key, value)| (key, value)).collect();
            set_if_absent(&pairs, values)
        }
    }
}

fn reply_with(value: &Value) -> Reply {
    value.as_ref().map_or(Reply::Nil, |value| Reply::Value(value.to_vec()))
}

fn count(number: usize) -> Reply {
    Reply::Integer(i64::try_from(number).expect("a length in memory"))
}

fn set_if_absent(pairs: &[(&Vec<u8>, &Vec<u8>)], values: &mut impl Values) -> Reply {
    if pairs.iter().any(|(key, _)| values.of(key).is_some()) {
        return Reply::Integer(0);
    }
    for (key, value) in pairs {
        *values.of(key) = Some(value.as_slice().into());
    }
    Reply::Integer(1)
}

/// A key that does not exist counts as 0. What is not a number in 64 bits, and a sum that is none,
/// are errors and change nothing.
fn increase(value: &mut Value, amount: i64) -> Reply {
    let old = value.as_deref().map_or(Some(0), number);
    match old.and_then(|old| old.checked_add(amount)) {
        Some(sum) => {
            *value = Some(sum.to_string().into_bytes().into());
            Reply::Integer(sum)
        }
        None => Reply::Error,
    }
}

/// A number spelt as Redis spells it: no sign but `-`, no space, no leading zero.
fn number(text: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}
