//! What a typed command means to the judge. Must never take a command for one that it is not.

use linearizability::kv::{Bytes, Command};

/// A command, as far as the judge is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It is judged.
    Known(Command),
    /// It changes nothing, and what it answers is not judged.
    Nothing,
    /// From its answer on reads over this connection may be old, or no longer.
    Staleness(bool),
    /// It removes every key.
    RemovesAll,
    /// It may do anything to the keys among its words.
    Unknown,
}

const HARMLESS: [&str; 21] = [
    "PING",
    "ECHO",
    "HELLO",
    "SELECT",
    "CLIENT",
    "COMMAND",
    "INFO",
    "CONFIG",
    "TIME",
    "QUIT",
    "KEYS",
    "DBSIZE",
    "TYPE",
    "RAFT.STATUS",
    "RAFT.POSITION",
    "RAFT.LOG",
    // `EXEC` changes something, but only behind `MULTI`: that is seen elsewhere.
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH",
    "UNWATCH",
];

/// What these words mean.
pub fn meaning(words: &[Bytes]) -> Meaning {
    let [name, arguments @ ..] = words else { return Meaning::Nothing };
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    match (name.as_str(), arguments) {
        ("READONLY", []) => Meaning::Staleness(true),
        ("READWRITE", []) => Meaning::Staleness(false),
        ("FLUSHALL" | "FLUSHDB", _) => Meaning::RemovesAll,
        (name, _) if HARMLESS.contains(&name) => Meaning::Nothing,
        (name, arguments) => command(name, arguments).map_or(Meaning::Unknown, Meaning::Known),
    }
}

fn command(name: &str, arguments: &[Bytes]) -> Option<Command> {
    Some(match (name, arguments) {
        ("GET", [key]) => Command::Get(key.clone()),
        ("SET", [key, value]) => Command::Set(key.clone(), value.clone()),
        ("SETNX", [key, value]) => Command::SetNx(key.clone(), value.clone()),
        ("GETSET", [key, value]) => Command::GetSet(key.clone(), value.clone()),
        ("GETDEL", [key]) => Command::GetDel(key.clone()),
        ("INCR", [key]) => Command::Incr(key.clone()),
        ("DECR", [key]) => Command::IncrBy(key.clone(), -1),
        ("INCRBY", [key, by]) => Command::IncrBy(key.clone(), number(by)?),
        ("DECRBY", [key, by]) => Command::IncrBy(key.clone(), number(by)?.checked_neg()?),
        ("APPEND", [key, value]) => Command::Append(key.clone(), value.clone()),
        ("STRLEN", [key]) => Command::Strlen(key.clone()),
        ("EXISTS", [_, ..]) => Command::Exists(arguments.to_vec()),
        ("DEL", [_, ..]) => Command::Del(arguments.to_vec()),
        ("MGET", [_, ..]) => Command::MGet(arguments.to_vec()),
        ("MSET", [_, ..]) => Command::MSet(pairs(arguments)?),
        ("MSETNX", [_, ..]) => Command::MSetNx(pairs(arguments)?),
        _ => return None,
    })
}

/// A number as every reader of numbers spells it; other spellings are for the store to judge.
fn number(text: &Bytes) -> Option<i64> {
    let number: i64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text.as_slice()).then_some(number)
}

fn pairs(arguments: &[Bytes]) -> Option<Vec<(Bytes, Bytes)>> {
    let pairs = arguments.chunks(2);
    pairs.map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Meaning {
        let words: Vec<Bytes> = line.split(' ').map(|word| word.as_bytes().to_vec()).collect();
        meaning(&words)
    }

    #[test]
    fn what_the_judge_knows_is_sent_as_it_was_typed() {
        for line in ["GET a", "SET a 1", "INCRBY a -5", "MSET a 1 b 2", "DEL a b", "MGET a a"] {
            let Meaning::Known(command) = of(line) else { panic!("{line}") };
            assert_eq!(command.arguments().join(&b' '), line.as_bytes());
            assert_eq!(of(&line.to_lowercase()), Meaning::Known(command));
        }
        assert_eq!(of("decr a"), Meaning::Known(Command::IncrBy(b"a".to_vec(), -1)));
        assert_eq!(of("decrby a 3"), Meaning::Known(Command::IncrBy(b"a".to_vec(), -3)));
    }

    #[test]
    fn what_it_does_not_know_is_not_guessed() {
        let smallest = format!("decrby a {}", i64::MIN);
        for line in ["set a 1 nx", "get", "incrby a 007", "mset a 1 b", "rename a b", &smallest] {
            assert_eq!(of(line), Meaning::Unknown, "{line}");
        }
        assert_eq!(of("flushall async"), Meaning::RemovesAll);
        assert_eq!(of("readonly"), Meaning::Staleness(true));
        assert_eq!(of("info raft"), Meaning::Nothing);
    }
}
