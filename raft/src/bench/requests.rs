//! The requests of a load, spelt in the Redis protocol. Must never allocate per request: all of one
//! load are of the same length, so one is spelt once and only the digits of its key change. What comes
//! before a command in a session is of its connection (`numbering`).

use rand::RngExt;
use states::random::SplitMix64;

/// Digits of a key: as many for ten keys as for ten million, so that only their number differs.
const DIGITS: usize = 12;

/// As many keys as [`DIGITS`] can tell apart.
pub const MOST_KEYS: u64 = 10_u64.pow(DIGITS as u32);

/// What is asked of the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// `SET key value`.
    Set,
    /// `INCR key`.
    Incr,
    /// `GET key`.
    Get,
    /// `RAFT.DO session number SET key value`, with a session for each connection.
    Do,
}

impl Operation {
    /// Each of them.
    pub const ALL: [Operation; 4] =
        [Operation::Set, Operation::Incr, Operation::Get, Operation::Do];

    /// As the command line names it.
    pub fn word(self) -> &'static str {
        match self {
            Operation::Set => "set",
            Operation::Incr => "incr",
            Operation::Get => "get",
            Operation::Do => "do",
        }
    }

    /// Whether it writes values.
    pub fn has_value(self) -> bool {
        matches!(self, Operation::Set | Operation::Do)
    }

    /// The command's name.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Set => "SET",
            Operation::Incr => "INCR",
            Operation::Get => "GET",
            Operation::Do => "RAFT.DO SET",
        }
    }

    /// What keys begin with: those that are counted up hold numbers, and must not be those that `SET`
    /// writes to.
    fn prefix(self) -> &'static str {
        match self {
            Operation::Set | Operation::Get | Operation::Do => "key:",
            Operation::Incr => "num:",
        }
    }
}

/// The requests of one load: keys are drawn uniformly from a seed.
#[derive(Clone, Debug)]
pub struct Requests {
    template: Vec<u8>,
    /// Where the key's digits begin in it.
    digits: usize,
    keys: u64,
    random: SplitMix64,
    numbered: bool,
}

impl Requests {
    /// Requests for `keys` keys (1 to [`MOST_KEYS`]); values have `size` bytes.
    pub fn new(operation: Operation, keys: u64, size: usize, seed: u64) -> Requests {
        assert!((1..=MOST_KEYS).contains(&keys), "a number of keys that can be spelt");
        let key = format!("{}{:0DIGITS$}", operation.prefix(), 0);
        let (array, name) = match operation {
            Operation::Set => ("*3\r\n", "SET"),
            Operation::Incr => ("*2\r\n", "INCR"),
            Operation::Get => ("*2\r\n", "GET"),
            Operation::Do => ("", "SET"), // its array begins before
        };
        let mut template = format!("{array}${}\r\n{name}\r\n", name.len());
        template.push_str(&format!("${}\r\n{key}", key.len()));
        let digits = template.len() - DIGITS;
        template.push_str("\r\n");
        if operation.has_value() {
            template.push_str(&format!("${size}\r\n{}\r\n", value(size)));
        }
        let template = template.into_bytes();
        let numbered = operation == Operation::Do;
        Requests { template, digits, keys, random: SplitMix64::new(seed), numbered }
    }

    /// Whether each request has a number in its connection's session, which is spelt before it.
    pub fn are_numbered(&self) -> bool {
        self.numbered
    }

    /// Bytes of a request, without what numbers it.
    pub fn length(&self) -> usize {
        self.template.len()
    }

    /// Room for so many requests in a row, each with some key.
    pub fn slots(&self, count: usize) -> Vec<u8> {
        self.template.repeat(count)
    }

    /// Spells the next request into a slot, whatever it holds.
    pub fn spell(&mut self, slot: &mut [u8]) {
        slot.copy_from_slice(&self.template);
        self.draw(slot);
    }

    /// Gives the request in a slot the next key.
    pub fn draw(&mut self, slot: &mut [u8]) {
        let mut rest = self.random.random_range(0..self.keys);
        for digit in slot[self.digits..self.digits + DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// The commands that write every key of a load once, `GET`'s keys.
pub fn fill(keys: u64, size: usize) -> impl Iterator<Item = Vec<String>> {
    let value = value(size);
    let key = |number| format!("{}{number:0DIGITS$}", Operation::Set.prefix());
    (0..keys).map(move |number| vec!["SET".to_owned(), key(number), value.clone()])
}

fn value(size: usize) -> String {
    "abcdefghijklmnopqrstuvwxyz".chars().cycle().take(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    fn one(operation: Operation, keys: u64, size: usize) -> Vec<u8> {
        let mut requests = Requests::new(operation, keys, size, 1);
        let mut slot = requests.slots(1);
        requests.draw(&mut slot);
        slot
    }

    #[test]
    fn a_request_is_spelt_as_any_client_spells_it() {
        let key = "key:000000000000";
        assert_eq!(one(Operation::Set, 1, 5), client::request(&["SET", key, "abcde"]));
        assert_eq!(one(Operation::Get, 1, 5), client::request(&["GET", key]));
        assert_eq!(one(Operation::Incr, 1, 5), client::request(&["INCR", "num:000000000000"]));
        assert_eq!(one(Operation::Set, 1, 0), client::request(&["SET", key, ""]));
    }

    #[test]
    fn a_write_in_a_session_is_the_same_write() {
        let mut requests = Requests::new(Operation::Do, 1, 5, 1);
        let mut slot = vec![b'x'; requests.length()];
        requests.spell(&mut slot);
        let plain = one(Operation::Set, 1, 5);
        assert_eq!(Some(&slot[..]), plain.strip_prefix(b"*3\r\n"));
        assert!(requests.are_numbered());
    }

    #[test]
    fn every_key_is_drawn_and_no_other() {
        let mut requests = Requests::new(Operation::Get, 3, 0, 7);
        let mut slots = requests.slots(2);
        let length = requests.length();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..100 {
            requests.draw(&mut slots[length..]);
            seen.insert(slots[length..].to_vec());
        }
        let key = |number| client::request(&["GET", &format!("key:{number:012}")]);
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [key(0), key(1), key(2)]);
        assert_eq!(slots[..length], key(0), "the other slot stays");
    }

    #[test]
    fn what_fills_are_the_keys_that_are_got() {
        let filled: Vec<Vec<String>> = fill(2, 3).collect();
        assert_eq!(
            filled,
            [["SET", "key:000000000000", "abc"], ["SET", "key:000000000001", "abc"]]
        );
    }
}
