//! Histories drawn from a seed: correct by construction, since every operation is carried out at
//! one moment between its call and its answer, on a store written down here once more.

use std::collections::{BTreeMap, VecDeque};

use linearizability::Event;
use linearizability::kv::{Bytes, Command, Operation, Reply};

/// Numbers that look random (SplitMix64).
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What is drawn.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub processes: u64,
    pub operations: usize,
    pub keys: u64,
    /// Operations that one process has under way at most.
    pub pipeline: u64,
    /// Of 100 operations, how many have an unknown outcome.
    pub unknown: u64,
    /// Of 100 operations, how many touch several keys.
    pub several: u64,
    /// Of 100 operations, how many are several commands.
    pub batches: u64,
    /// Whether every value written is written once.
    pub unique: bool,
}

/// The answer of a correct store.
pub fn answer(store: &mut BTreeMap<Bytes, Bytes>, command: &Command) -> Reply {
    let bulk = |value: Option<Bytes>| value.map_or(Reply::Nil, Reply::Value);
    let add = |store: &mut BTreeMap<Bytes, Bytes>, key: &Bytes, amount: i64| {
        let text = store.get(key).cloned().unwrap_or(b"0".to_vec());
        // Redis reads no number that it would not write so: no `+`, `-0` or leading zero.
        let old = String::from_utf8(text).ok().and_then(|text| {
            let digits = text.strip_prefix('-').unwrap_or(&text);
            let is_plain = !digits.starts_with(['0', '+']) || text == "0";
            is_plain.then(|| text.parse::<i64>().ok()).flatten()
        });
        let Some(sum) = old.and_then(|old| old.checked_add(amount)) else { return Reply::Error };
        store.insert(key.clone(), sum.to_string().into_bytes());
        Reply::Integer(sum)
    };
    match command {
        Command::Get(key) => bulk(store.get(key).cloned()),
        Command::Set(key, value) => {
            store.insert(key.clone(), value.clone());
            Reply::Ok
        }
        Command::SetNx(key, value) => {
            let sets = !store.contains_key(key);
            store.entry(key.clone()).or_insert_with(|| value.clone());
            Reply::Integer(sets.into())
        }
        Command::GetSet(key, value) => bulk(store.insert(key.clone(), value.clone())),
        Command::GetDel(key) => bulk(store.remove(key)),
        Command::Incr(key) => add(store, key, 1),
        Command::IncrBy(key, amount) => add(store, key, *amount),
        Command::Append(key, tail) => {
            let value = store.entry(key.clone()).or_default();
            value.extend(tail);
            Reply::Integer(value.len() as i64)
        }
        Command::Strlen(key) => Reply::Integer(store.get(key).map_or(0, Vec::len) as i64),
        Command::Exists(keys) => {
            Reply::Integer(keys.iter().map(|key| i64::from(store.contains_key(key))).sum())
        }
        Command::Del(keys) => {
            Reply::Integer(keys.iter().map(|key| i64::from(store.remove(key).is_some())).sum())
        }
        Command::MGet(keys) => {
            Reply::Values(keys.iter().map(|key| store.get(key).cloned()).collect())
        }
        Command::MSet(pairs) => {
            store.extend(pairs.iter().cloned());
            Reply::Ok
        }
        Command::MSetNx(pairs) => {
            let sets = pairs.iter().all(|(key, _)| !store.contains_key(key));
            if sets {
                store.extend(pairs.iter().cloned());
            }
            Reply::Integer(sets.into())
        }
    }
}

fn command(random: &mut Random, shape: Shape, written: &mut u64) -> Command {
    let key = |random: &mut Random| format!("k{}", random.below(shape.keys)).into_bytes();
    let mut value = |random: &mut Random| {
        *written += 1;
        let number = if shape.unique { *written } else { random.below(3) };
        let letter = if random.percent(20) { "v" } else { "" };
        format!("{letter}{number}").into_bytes()
    };
    let first = key(random);
    if random.percent(shape.several) {
        let mut keys = vec![first];
        keys.extend((0..1 + random.below(3)).map(|_| key(random)));
        let kind = random.below(10);
        let mut pairs = || keys.iter().map(|key| (key.clone(), value(random))).collect();
        return match kind {
            0..3 => Command::MSet(pairs()),
            3 => Command::MSetNx(pairs()),
            4 => Command::Del(keys),
            5 => Command::Exists(keys),
            _ => Command::MGet(keys),
        };
    }
    match random.below(20) {
        0..7 => Command::Get(first),
        7..12 => Command::Set(first, value(random)),
        12 => Command::SetNx(first, value(random)),
        13 => Command::GetSet(first, value(random)),
        14 => Command::GetDel(first),
        15 => Command::Del(vec![first]),
        16 => Command::Incr(first),
        17 => Command::IncrBy(first, random.below(5) as i64 - 2),
        18 => Command::Append(first, value(random)),
        _ => Command::Strlen(first),
    }
}

/// A connection: the places in the history of what it has under way, in order.
#[derive(Default)]
struct Connection {
    asked: VecDeque<usize>,
    done: VecDeque<usize>,
}

/// A correct history.
pub fn history(random: &mut Random, shape: Shape) -> Vec<Event<Operation>> {
    let mut store = BTreeMap::new();
    let mut history: Vec<Event<Operation>> = Vec::new();
    let mut connections: Vec<Connection> = Vec::new();
    connections.resize_with(shape.processes as usize, Connection::default);
    let mut lost: Vec<usize> = Vec::new();
    let (mut now, mut written) = (0, 0);
    let carry_out = |store: &mut BTreeMap<Bytes, Bytes>, operation: &Operation| {
        operation.commands.iter().map(|command| answer(store, command)).collect()
    };
    loop {
        now += random.below(3);
        if !lost.is_empty() && random.percent(3) {
            let event = lost.swap_remove(random.below(lost.len() as u64) as usize);
            let _: Vec<Reply> = carry_out(&mut store, &history[event].operation);
        }
        let process = random.below(shape.processes);
        let connection = &mut connections[process as usize];
        let is_idle = connection.asked.is_empty() && connection.done.is_empty();
        if is_idle && history.len() < shape.operations {
            for _ in 0..1 + random.below(shape.pipeline) {
                let count = if random.percent(shape.batches) { 2 + random.below(2) } else { 1 };
                let commands = (0..count).map(|_| command(random, shape, &mut written)).collect();
                let operation = Operation { commands, replies: None };
                let place = history.len();
                history.push(Event { process, invoked: now, returned: None, operation });
                if random.percent(shape.unknown) {
                    // Half of them are never carried out.
                    lost.extend(random.percent(50).then_some(place));
                } else {
                    connection.asked.push_back(place);
                }
            }
        } else if let Some(event) = connection.asked.pop_front_if(|_| random.percent(70)) {
            let operation = &mut history[event].operation;
            operation.replies = Some(carry_out(&mut store, operation));
            connection.done.push_back(event);
        } else if let Some(event) = connection.done.pop_front() {
            history[event].returned = Some(now);
        } else if history.len() >= shape.operations
            && connections.iter().all(|one| one.asked.is_empty() && one.done.is_empty())
        {
            return history;
        }
    }
}
