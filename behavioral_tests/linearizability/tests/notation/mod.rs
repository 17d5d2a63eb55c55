//! Histories as text, an operation a line: `process invoked..returned COMMAND -> reply`. Without
//! `returned` and reply the outcome is unknown. Values in replies are quoted; several commands of
//! one operation are parted by `;`, and their replies too.

use linearizability::Event;
use linearizability::kv::{Bytes, Command, Operation, Reply};

pub fn history(text: &str) -> Vec<Event<Operation>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| event(line).unwrap_or_else(|| panic!("not understood: {line}"))).collect()
}

fn event(line: &str) -> Option<Event<Operation>> {
    let (process, rest) = line.split_once(' ')?;
    let (times, rest) = rest.split_once(' ')?;
    let (invoked, returned) = times.split_once("..")?;
    let returned = if returned.is_empty() { None } else { Some(returned.parse().ok()?) };
    let (asked, heard) = match rest.split_once(" -> ") {
        Some((asked, heard)) => (asked, Some(heard)),
        None => (rest, None),
    };
    let commands = asked.split(';').map(command).collect::<Option<Vec<_>>>()?;
    let replies = match heard {
        Some(heard) => Some(heard.split(';').map(reply).collect::<Option<Vec<_>>>()?),
        None => None,
    };
    let operation = Operation { commands, replies };
    let (process, invoked) = (process.parse().ok()?, invoked.parse().ok()?);
    Some(Event { process, invoked, returned, operation })
}

fn command(text: &str) -> Option<Command> {
    let words: Vec<Bytes> = text.split_whitespace().map(|word| word.as_bytes().to_vec()).collect();
    let (name, rest) = words.split_first()?;
    let pairs = || rest.chunks(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    let second = || rest.get(1).cloned();
    let first = rest.first()?.clone();
    Some(match name.as_slice() {
        b"GET" => Command::Get(first),
        b"SET" => Command::Set(first, second()?),
        b"SETNX" => Command::SetNx(first, second()?),
        b"GETSET" => Command::GetSet(first, second()?),
        b"GETDEL" => Command::GetDel(first),
        b"INCR" => Command::Incr(first),
        b"INCRBY" => Command::IncrBy(first, String::from_utf8(second()?).ok()?.parse().ok()?),
        b"APPEND" => Command::Append(first, second()?),
        b"STRLEN" => Command::Strlen(first),
        b"EXISTS" => Command::Exists(rest.to_vec()),
        b"DEL" => Command::Del(rest.to_vec()),
        b"MGET" => Command::MGet(rest.to_vec()),
        b"MSET" => Command::MSet(pairs()),
        b"MSETNX" => Command::MSetNx(pairs()),
        _ => return None,
    })
}

fn reply(text: &str) -> Option<Reply> {
    let text = text.trim();
    if let Some(list) = text.strip_prefix('[') {
        let values = list.strip_suffix(']')?.split_whitespace();
        let values =
            values.map(|value| if value == "nil" { Some(None) } else { quoted(value).map(Some) });
        return Some(Reply::Values(values.collect::<Option<_>>()?));
    }
    match text {
        "OK" => Some(Reply::Ok),
        "nil" => Some(Reply::Nil),
        "ERR" => Some(Reply::Error),
        _ => quoted(text).map(Reply::Value).or_else(|| text.parse().ok().map(Reply::Integer)),
    }
}

fn quoted(text: &str) -> Option<Bytes> {
    Some(text.strip_prefix('"')?.strip_suffix('"')?.as_bytes().to_vec())
}
