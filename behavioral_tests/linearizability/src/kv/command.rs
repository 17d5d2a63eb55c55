//! The commands on strings, and how they are sent. What they do is told in `meaning`.

use std::fmt;

/// A key or a value: any bytes.
pub type Bytes = Vec<u8>;

/// A command on strings, as Redis documents it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// `GET key`
    Get(Bytes),
    /// `SET key value`
    Set(Bytes, Bytes),
    /// `SETNX key value`: answers 1 if it set, else 0.
    SetNx(Bytes, Bytes),
    /// `GETSET key value`: answers the old value.
    GetSet(Bytes, Bytes),
    /// `GETDEL key`
    GetDel(Bytes),
    /// `INCR key`
    Incr(Bytes),
    /// `INCRBY key amount`
    IncrBy(Bytes, i64),
    /// `APPEND key value`: answers the length after it.
    Append(Bytes, Bytes),
    /// `STRLEN key`
    Strlen(Bytes),
    /// `EXISTS key ...`: answers how many exist; a key named twice counts twice.
    Exists(Vec<Bytes>),
    /// `DEL key ...`: answers how many it removed.
    Del(Vec<Bytes>),
    /// `MGET key ...`
    MGet(Vec<Bytes>),
    /// `MSET key value ...`
    MSet(Vec<(Bytes, Bytes)>),
    /// `MSETNX key value ...`: sets all and answers 1 if none exists, else 0.
    MSetNx(Vec<(Bytes, Bytes)>),
}

impl Command {
    /// The words of the command, as sent to the store.
    pub fn arguments(&self) -> Vec<Vec<u8>> {
        let mut words = vec![self.name().as_bytes().to_vec()];
        match self {
            Command::Get(key)
            | Command::GetDel(key)
            | Command::Incr(key)
            | Command::Strlen(key) => words.push(key.clone()),
            Command::Set(key, value)
            | Command::SetNx(key, value)
            | Command::GetSet(key, value)
            | Command::Append(key, value) => words.extend([key.clone(), value.clone()]),
            Command::IncrBy(key, amount) => {
                words.extend([key.clone(), amount.to_string().into_bytes()]);
            }
            Command::Exists(keys) | Command::Del(keys) | Command::MGet(keys) => {
                words.extend(keys.iter().cloned());
            }
            Command::MSet(pairs) | Command::MSetNx(pairs) => {
                words.extend(pairs.iter().flat_map(|(key, value)| [key.clone(), value.clone()]));
            }
        }
        words
    }

    /// Whether the command can change anything.
    pub fn is_write(&self) -> bool {
        !matches!(
            self,
            Command::Get(_) | Command::Strlen(_) | Command::Exists(_) | Command::MGet(_)
        )
    }

    /// The keys it names, in order; one named twice comes twice.
    pub fn keys(&self) -> Vec<&[u8]> {
        match self {
            Command::Get(key)
            | Command::GetDel(key)
            | Command::Incr(key)
            | Command::Strlen(key)
            | Command::Set(key, _)
            | Command::SetNx(key, _)
            | Command::GetSet(key, _)
            | Command::Append(key, _)
            | Command::IncrBy(key, _) => vec![key],
            Command::Exists(keys) | Command::Del(keys) | Command::MGet(keys) => {
                keys.iter().map(Vec::as_slice).collect()
            }
            Command::MSet(pairs) | Command::MSetNx(pairs) => {
                pairs.iter().map(|(key, _)| key.as_slice()).collect()
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Command::Get(_) => "GET",
            Command::Set(..) => "SET",
            Command::SetNx(..) => "SETNX",
            Command::GetSet(..) => "GETSET",
            Command::GetDel(_) => "GETDEL",
            Command::Incr(_) => "INCR",
            Command::IncrBy(..) => "INCRBY",
            Command::Append(..) => "APPEND",
            Command::Strlen(_) => "STRLEN",
            Command::Exists(_) => "EXISTS",
            Command::Del(_) => "DEL",
            Command::MGet(_) => "MGET",
            Command::MSet(_) => "MSET",
            Command::MSetNx(_) => "MSETNX",
        }
    }
}

/// As a person would type it.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        self.arguments()[1..].iter().try_for_each(|word| write!(f, " {}", word.escape_ascii()))
    }
}
