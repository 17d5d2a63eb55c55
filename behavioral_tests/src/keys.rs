//! What simulated clients ask of the key-value store, and whether what they were told could have come
//! from one copy of it. Must never look into the store or the log: it knows what clients know.

use std::collections::HashMap;

use bytes::Bytes;
use linearizability::kv::{self, Command, Keyspace, Operation, Reply};
use linearizability::{Event, Verdict};
use raft::simulation::{Answer, Chance, Exchange, Judged, Request, Violation, Workload};
use raft::store::{Store, arguments};

/// A few keys, so that clients meet on them. A batch keeps to one pair, as does a command on two
/// keys: so the history falls into parts that can be judged one by one. The last pairs only ever
/// hold numbers.
const PAIRS: [[&str; 2]; 7] =
    [["a", "b"], ["c", "d"], ["e", "f"], ["g", "h"], ["i", "j"], ["k", "l"], ["m", "n"]];
const WORDS: usize = 4;
/// The pair whose keys may go by themselves, at a time that no client knows: what is read of them is
/// what was set last, or nothing.
const FLEETING: usize = 6;

/// Milliseconds that no run lasts, whatever its clocks are set to.
const FAR: &str = "1000000000000";

/// Steps of the search for an order, for one pair of keys at most.
const BUDGET: u64 = 10_000;

/// Clients of the store, and all that they saw.
#[derive(Debug, Default)]
pub struct Keys {
    history: Vec<Event<Operation>>,
    /// All commands, in the order that the replicas follow.
    committed: Vec<Bytes>,
    /// What was asked and answered at each place of that order.
    told: Vec<(u64, Command, Reply)>,
    /// What was drawn, by its spelling.
    drawn: HashMap<Bytes, Command>,
    /// The pair that the present batch keeps to.
    pair: usize,
    /// Makes every value written another.
    values: u64,
}

impl Keys {
    fn key(&self, chance: &mut Chance) -> Vec<u8> {
        chance.one_of(&PAIRS[self.pair]).as_bytes().to_vec()
    }

    fn value(&mut self, chance: &mut Chance) -> Vec<u8> {
        self.values += 1;
        let padding = *chance.one_of(&[0, 0, 0, 30, 300, 1_000]);
        format!("v{}{}", self.values, ".".repeat(padding)).into_bytes()
    }

    fn draw_command(&mut self, chance: &mut Chance) -> Command {
        let key = self.key(chance);
        if self.pair == FLEETING {
            return Command::Set(key, self.value(chance));
        }
        if self.pair >= WORDS {
            return match chance.below(100) {
                0..70 => Command::Incr(key),
                70..90 => Command::IncrBy(key, chance.below(9) as i64 - 4),
                _ => Command::GetDel(key),
            };
        }
        match chance.below(100) {
            0..45 => Command::Set(key, self.value(chance)),
            45..65 => {
                self.values += 1;
                Command::Append(key, format!("+{}", self.values).into_bytes())
            }
            65..72 => Command::SetNx(key, self.value(chance)),
            72..78 => Command::GetSet(key, self.value(chance)),
            78..84 => Command::GetDel(key),
            84..91 => Command::Del(vec![key]),
            91..94 => Command::Incr(key), // of no number: an error
            94..97 => Command::MSet(self.pairs(chance)),
            97..98 => Command::MSetNx(self.pairs(chance)),
            _ => Command::Del(self.both()),
        }
    }

    fn both(&self) -> Vec<Vec<u8>> {
        PAIRS[self.pair].iter().map(|key| key.as_bytes().to_vec()).collect()
    }

    fn pairs(&mut self, chance: &mut Chance) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.both().into_iter().map(|key| (key, self.value(chance))).collect()
    }

    fn draw_query(&self, chance: &mut Chance) -> Command {
        let key = self.key(chance);
        if self.pair == FLEETING {
            return Command::Get(key);
        }
        match chance.below(100) {
            0..75 => Command::Get(key),
            75..90 => Command::MGet(self.both()),
            90..95 => Command::Exists(vec![key]),
            _ => Command::Strlen(key),
        }
    }
}

impl Keys {
    fn spell(&mut self, command: Command) -> Bytes {
        let words = command.arguments();
        self.spell_as(command, &words)
    }

    /// Words that do the same while a run lasts, or to a fleeting key.
    fn spell_as(&mut self, command: Command, words: &[Vec<u8>]) -> Bytes {
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

    fn begin_batch(&mut self, chance: &mut Chance) {
        self.pair = chance.below(PAIRS.len() as u64) as usize;
    }

    fn command(&mut self, chance: &mut Chance) -> Bytes {
        let command = self.draw_command(chance);
        let mut words = command.arguments();
        if matches!(command, Command::Set(..)) {
            let millis = match chance.below(4) {
                0..3 if self.pair == FLEETING => Some((1 + chance.below(2_000)).to_string()),
                0 => Some(FAR.to_owned()),
                _ => None,
            };
            words.extend(
                millis.into_iter().flat_map(|millis| [b"PX".to_vec(), millis.into_bytes()]),
            );
        }
        self.spell_as(command, &words)
    }

    fn query(&mut self, chance: &mut Chance) -> Bytes {
        let query = self.draw_query(chance);
        self.spell(query)
    }

    fn on_end(&mut self, exchange: Exchange) -> Result<(), Violation> {
        let commands: Vec<Command> =
            exchange.operations.iter().map(|request| self.meaning(request)).collect();
        let (replies, returned) = match &exchange.answer {
            Answer::Refused => return Ok(()),
            Answer::Unknown => (None, None),
            Answer::Done(replies) => {
                let replies = replies.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                let told = exchange.places.iter().zip(&commands).zip(&replies);
                self.told.extend(
                    told.map(|((place, command), reply)| (*place, command.clone(), reply.clone())),
                );
                (Some(replies), Some(exchange.answered))
            }
        };
        if !exchange.stale && !commands.iter().any(is_fleeting) {
            let operation = Operation { commands, replies };
            let (process, invoked) = (exchange.client as u64, exchange.asked);
            self.history.push(Event { process, invoked, returned, operation });
        }
        Ok(())
    }

    fn on_commit(&mut self, command: Bytes) {
        self.committed.push(command);
    }

    fn finish(&mut self) -> Result<Judged, Violation> {
        self.replay()?;
        let checked = kv::check_within(&self.history, BUDGET);
        let operations = checked.operations as u64;
        match checked.verdict {
            Verdict::Linearizable => Ok(Judged { good: operations, undecided: 0 }),
            Verdict::NotLinearizable(why) => Err(format!("linearizability: {why}")),
            Verdict::Unknown => Ok(Judged { good: 0, undecided: operations }),
        }
    }
}

/// Whether the command is on a key that may go by itself.
fn is_fleeting(command: &Command) -> bool {
    match command {
        Command::Get(key) | Command::Set(key, _) => {
            PAIRS[FLEETING].iter().any(|fleeting| fleeting.as_bytes() == key)
        }
        _ => false,
    }
}

fn read(reply: &Bytes) -> Result<Reply, Violation> {
    match Reply::parse(reply) {
        Some((reply, [])) => Ok(reply),
        _ => Err(format!("reply: not one of the protocol: {reply:?}")),
    }
}

impl Keys {
    /// Redis's own meaning of the commands, one after the other in the replicas' order, must give
    /// every answer. That order respects time, as is checked for every workload: so this alone shows
    /// that the history is linearizable, however long the search without that order would take.
    fn replay(&mut self) -> Result<(), Violation> {
        self.told.sort_by_key(|(place, ..)| *place);
        let mut told = self.told.iter().peekable();
        let mut keys = Keyspace::default();
        for place in 0..=self.committed.len() {
            let replied = place.checked_sub(1).map(|before| {
                let command = &self.drawn[&self.committed[before]];
                (command, keys.execute(command))
            });
            while let Some((_, command, reply)) = told.next_if(|told| told.0 == place as u64) {
                let expected = match &replied {
                    Some((written, expected)) if command.is_write() && *written == command => {
                        expected.clone()
                    }
                    _ if command.is_write() => {
                        return Err(format!(
                            "reply: {command:?} was answered at {place}, not its own"
                        ));
                    }
                    _ => keys.execute(command),
                };
                let gone = is_fleeting(command) && *reply == Reply::Nil;
                if expected != *reply && !gone {
                    return Err(format!(
                        "reply: {command:?} at {place}: {reply:?}, not {expected:?}"
                    ));
                }
            }
        }
        match told.next() {
            None => Ok(()),
            Some((place, command, _)) => Err(format!(
                "reply: {command:?} was answered at {place}, which was never committed"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client saw who asked `command` at this moment, and stood at `place`.
    fn tell(
        keys: &mut Keys,
        command: Command,
        asked: u64,
        place: u64,
        reply: &str,
    ) -> Result<(), Violation> {
        let write = command.is_write();
        let spelling = keys.spell(command);
        let request = if write { Request::Command(spelling) } else { Request::Query(spelling) };
        keys.on_end(Exchange {
            client: 0,
            asked,
            answered: asked + 1,
            stale: false,
            operations: vec![request],
            answer: Answer::Done(vec![Bytes::copy_from_slice(reply.as_bytes())]),
            places: vec![place],
        })
    }

    /// `SET a 1`, the first command of all, and then `GET a` with this answer at this place.
    fn verdict(place: u64, reply: &str) -> Result<Judged, Violation> {
        let mut keys = Keys::default();
        let set = Command::Set(b"a".into(), b"1".into());
        let spelling = keys.spell(set.clone());
        keys.on_commit(spelling);
        tell(&mut keys, set, 1, 1, "+OK\r\n")?;
        tell(&mut keys, Command::Get(b"a".into()), 3, place, reply)?;
        keys.finish()
    }

    #[test]
    fn an_answer_follows_from_what_came_before_it() {
        assert_eq!(verdict(1, "$1\r\n1\r\n"), Ok(Judged { good: 2, undecided: 0 }));
        for (place, reply, part) in [
            (1, "$-1\r\n", "reply: "),
            (1, "what?\r\n", "not one of the protocol"),
            (7, "$1\r\n1\r\n", "never committed"),
            (0, "$-1\r\n", "linearizability: "), // right there, but asked after the answer to SET
        ] {
            let violation = verdict(place, reply).expect_err(reply);
            assert!(violation.contains(part), "{violation}");
        }
    }

    #[test]
    fn a_command_is_answered_at_its_own_place() {
        let mut keys = Keys::default();
        let (one, other) = (Command::Incr(b"i".into()), Command::Incr(b"j".into()));
        let spelling = keys.spell(other);
        keys.on_commit(spelling);
        tell(&mut keys, one, 1, 1, ":1\r\n").expect("not judged yet");
        let violation = keys.finish().expect_err("another command stands there");
        assert!(violation.contains("not its own"), "{violation}");
    }
}
