//! Which command comes next. Must never draw one whose answer could not be judged.
//!
//! Keys come in groups of three: a counter, and two strings that commands on several keys name
//! together. Values are never drawn twice, so that a read tells which write it saw. After so many
//! operations clients go on to other keys, since the longer a key's history is, the longer it takes to
//! judge.

use linearizability::kv::{Bytes, Command};
use rand::RngExt;
use rand::rngs::StdRng;

/// Which commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Three counts, then a look.
    Counts,
    /// Everything that can be judged.
    Everything,
}

/// Over which keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What all their names begin with.
    pub prefix: String,
    /// Groups of keys in use at a time, at least 1.
    pub groups: usize,
    /// Other keys come into use after so many operations of all clients, at least 1.
    pub fresh_after: u64,
}

impl Keys {
    /// What the names of a generation of keys begin with.
    pub fn generation(&self, number: u64) -> String {
        format!("{}:{number}:", self.prefix)
    }
}

/// One client's drawer.
#[derive(Debug)]
pub struct Drawer {
    client: usize,
    values: u64,
}

impl Drawer {
    /// Of the client of this number.
    pub fn new(client: usize) -> Drawer {
        Drawer { client, values: 0 }
    }

    /// The next command, over keys of this generation.
    pub fn draw(&mut self, random: &mut StdRng, mix: Mix, keys: &Keys, generation: u64) -> Command {
        let group = random.random_range(0..keys.groups);
        let key = |kind| format!("{}{group}:{kind}", keys.generation(generation)).into_bytes();
        let counter = key("count");
        if mix == Mix::Counts {
            let looks = random.random_range(0..4) == 0;
            return if looks { Command::Get(counter) } else { Command::Incr(counter) };
        }
        match random.random_range(0..4) {
            0 => count(random, counter),
            _ => self.write_and_read(random, [key("a"), key("b")]),
        }
    }

    fn write_and_read(&mut self, random: &mut StdRng, keys: [Bytes; 2]) -> Command {
        let [a, b] = keys.clone();
        let one = keys[random.random_range(0..2)].clone();
        match random.random_range(0..24) {
            0..6 => Command::Get(one),
            6..11 => Command::Set(one, self.value()),
            11 => Command::SetNx(one, self.value()),
            12 => Command::GetSet(one, self.value()),
            13 => Command::GetDel(one),
            14 => Command::Append(one, self.value()),
            15 => Command::Strlen(one),
            16 => Command::Del(vec![one]),
            17 => Command::Del(vec![a, b]),
            18 => Command::Exists(vec![a, b]),
            19 => Command::MSetNx(vec![(a, self.value()), (b, self.value())]),
            20 => Command::MSet(vec![(a, self.value()), (b, self.value())]),
            21 => Command::Incr(one), // mostly an error: that is an answer, too
            _ => Command::MGet(vec![a, b]),
        }
    }

    fn value(&mut self) -> Bytes {
        self.values += 1;
        format!("{}.{};", self.client, self.values).into_bytes()
    }
}

fn count(random: &mut StdRng, counter: Bytes) -> Command {
    match random.random_range(0..8) {
        0..3 => Command::Incr(counter),
        3 | 4 => Command::IncrBy(counter, random.random_range(-5..=5)),
        5 => Command::Del(vec![counter]),
        _ => Command::Get(counter),
    }
}
