//! What simulated clients ask of the key-value store, and whether what they were told could have come
//! from one copy of it. Must never look into the store or the log: it knows what clients know.

use std::collections::HashMap;

use bytes::Bytes;
use linearizability::kv::{self, Command, Operation, Reply};
use linearizability::{Event, Verdict};
use raft::simulation::{Answer, Chance, Exchange, Request, Violation, Workload};
use raft::store::{Store, arguments};

/// A few keys, so that clients meet on them. Some only ever hold numbers.
const WORDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
const NUMBERS: [&str; 4] = ["i", "j", "k", "l"];

/// Clients of the store, and all that they saw.
#[derive(Debug, Default)]
pub struct Keys {
    history: Vec<Event<Operation>>,
    /// What was drawn, by its spelling.
    drawn: HashMap<Bytes, Command>,
    /// Makes every value written another.
    values: u64,
}

impl Keys {
    fn word(chance: &mut Chance) -> Vec<u8> {
        chance.one_of(&WORDS).as_bytes().to_vec()
    }

    fn number(chance: &mut Chance) -> Vec<u8> {
        chance.one_of(&NUMBERS).as_bytes().to_vec()
    }

    fn value(&mut self, chance: &mut Chance) -> Vec<u8> {
        self.values += 1;
        let padding = *chance.one_of(&[0, 0, 0, 30, 300, 1_000]);
        format!("v{}{}", self.values, ".".repeat(padding)).into_bytes()
    }

    fn draw_command(&mut self, chance: &mut Chance) -> Command {
        match chance.below(100) {
            0..35 => Command::Set(Keys::word(chance), self.value(chance)),
            35..55 => Command::Incr(Keys::number(chance)),
            55..60 => Command::IncrBy(Keys::number(chance), chance.below(9) as i64 - 4),
            60..75 => {
                self.values += 1;
                Command::Append(Keys::word(chance), format!("+{}", self.values).into_bytes())
            }
            75..80 => Command::SetNx(Keys::word(chance), self.value(chance)),
            80..84 => Command::GetSet(Keys::word(chance), self.value(chance)),
            84..88 => Command::GetDel(Keys::word(chance)),
            88..94 => Command::Del(vec![Keys::word(chance)]),
            94..96 => Command::Incr(Keys::word(chance)), // mostly of no number: an error
            96..98 => Command::MSet(self.pairs(chance)),
            98..99 => Command::MSetNx(self.pairs(chance)),
            _ => Command::Del(vec![Keys::word(chance), Keys::word(chance)]),
        }
    }

    fn pairs(&mut self, chance: &mut Chance) -> Vec<(Vec<u8>, Vec<u8>)> {
        (0..2).map(|_| (Keys::word(chance), self.value(chance))).collect()
    }

    fn draw_query(chance: &mut Chance) -> Command {
        match chance.below(100) {
            0..50 => Command::Get(Keys::word(chance)),
            50..80 => Command::Get(Keys::number(chance)),
            80..88 => Command::MGet(vec![Keys::word(chance), Keys::word(chance)]),
            88..94 => Command::Exists(vec![Keys::word(chance)]),
            _ => Command::Strlen(Keys::word(chance)),
        }
    }
}

impl Keys {
    fn spell(&mut self, command: Command) -> Bytes {
        let words = command.arguments();
        let spelling = Bytes::from(arguments::encode(words.iter().map(Vec::as_slice)));
        self.drawn.insert(spelling.clone(), command);
        spelling
    }

    fn meaning(&self, request: &Request) -> Command {
        let (Request::Command(spelling) | Request::Query(spelling)) = request;
        self.drawn[spelling].clone()
    }
}

impl Workload for Keys {
    type Machine = Store;

    fn machine(&self) -> Store {
        Store::new()
    }

    fn command(&mut self, chance: &mut Chance) -> Bytes {
        let command = self.draw_command(chance);
        self.spell(command)
    }

    fn query(&mut self, chance: &mut Chance) -> Bytes {
        self.spell(Keys::draw_query(chance))
    }

    fn on_end(&mut self, exchange: Exchange) -> Result<(), Violation> {
        let (replies, returned) = match &exchange.answer {
            _ if exchange.stale => return Ok(()), // such a read may be as old as it likes
            Answer::Refused => return Ok(()),
            Answer::Unknown => (None, None),
            Answer::Done(replies) => {
                let read = replies.iter().map(|reply| match Reply::parse(reply) {
                    Some((reply, [])) => Ok(reply),
                    _ => Err(format!("reply: not one of the protocol: {reply:?}")),
                });
                (Some(read.collect::<Result<_, _>>()?), Some(exchange.answered))
            }
        };
        let commands = exchange.operations.iter().map(|request| self.meaning(request)).collect();
        self.history.push(Event {
            process: exchange.client as u64,
            invoked: exchange.asked,
            returned,
            operation: Operation { commands, replies },
        });
        Ok(())
    }

    fn finish(&mut self) -> Result<u64, Violation> {
        let checked = kv::check(&self.history);
        match checked.verdict {
            Verdict::Linearizable => Ok(checked.operations as u64),
            Verdict::NotLinearizable(why) => Err(format!("linearizability: {why}")),
            Verdict::Unknown => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client saw who asked `command` between these moments.
    fn exchange(keys: &mut Keys, command: Command, asked: u64, reply: &str) -> Exchange {
        let write = command.is_write();
        let spelling = keys.spell(command);
        let request = if write { Request::Command(spelling) } else { Request::Query(spelling) };
        Exchange {
            client: 0,
            asked,
            answered: asked + 1,
            stale: false,
            operations: vec![request],
            answer: Answer::Done(vec![Bytes::copy_from_slice(reply.as_bytes())]),
        }
    }

    fn verdict(second: &str) -> Result<u64, Violation> {
        let mut keys = Keys::default();
        let (set, get) = (Command::Set(b"a".into(), b"1".into()), Command::Get(b"a".into()));
        let first = exchange(&mut keys, set, 1, "+OK\r\n");
        keys.on_end(first)?;
        let second = exchange(&mut keys, get, 3, second);
        keys.on_end(second)?;
        keys.finish()
    }

    #[test]
    fn an_answer_that_forgets_is_refused() {
        assert_eq!(verdict("$1\r\n1\r\n"), Ok(2));
        let violation = verdict("$-1\r\n").expect_err("the value was set before it was asked for");
        assert!(violation.starts_with("linearizability: "), "{violation}");
        let violation = verdict("what?\r\n").expect_err("no reply of the protocol");
        assert!(violation.starts_with("reply: "), "{violation}");
    }
}
