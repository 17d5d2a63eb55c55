//! How every type is spelt in MessagePack; `docs/wire.md` is the norm, this is its implementation.
//! Must never panic on, recurse with, or allocate by what the bytes claim.
//!
//! A struct is the array of its fields; an enum is the array of its kind's number and that kind's
//! fields. Fields are only ever appended, and a reader skips what it does not know. The tables of
//! all types are at the end of this file. What is written is a handful of forms (`spelling`);
//! what is read may be anything, and goes through rmp-serde.

mod spelling;

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use bytes::Bytes;
use rmp_serde::decode::Error as ReadError;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, SeqAccess, Visitor};

use crate::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Heartbeat, HeartbeatReply, Message, PreVote,
    PreVoteReply, RequestVote, RequestVoteReply, Snapshotted,
};
use crate::{
    Boot, ClusterId, CommandNumber, Content, DecodeError, Entry, Envelope, Forward, ForwardOutcome,
    ForwardReply, GroupId, Item, LogIndex, LogPosition, LogTime, Membership, NodeId, NotAppended,
    Operation, Payload, Round, SessionId, SnapshotMeta, SnapshotPart, SnapshotPartReply, Term,
};

/// Deeper nesting than any type has, with room for fields to come.
const MAX_DEPTH: usize = 32;

/// Elements that a list may reserve room for by its claimed length alone.
const MAX_RESERVED: usize = 1024;

/// How the error begins that an unknown kind makes: serde carries errors as text.
const UNKNOWN_KIND: &str = "unknown kind";

/// Spells an entry, for the log on disk, at the end of `out`.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    encode(entry, out);
}

/// Reads an entry that `encode_entry` spelt, here or in another version of this program.
pub fn decode_entry(bytes: &[u8]) -> Result<Entry, DecodeError> {
    decode(bytes)
}

/// Spells a value at the end of `out`.
pub fn encode<T: Encode + ?Sized>(value: &T, out: &mut Vec<u8>) {
    value.write(out);
}

/// Reads a value that fills all of `bytes`.
pub fn decode<T: Decode>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_from(bytes, Source(None))
}

/// Reads a value that fills what `whole` holds from `start` on. Bytes in it are not copied: they are
/// parts of `whole`, and keep all of it in memory.
pub fn decode_parts<T: Decode>(whole: &Bytes, start: usize) -> Result<T, DecodeError> {
    decode_from(&whole[start..], Source(Some(whole)))
}

fn decode_from<T: Decode>(bytes: &[u8], source: Source<'_>) -> Result<T, DecodeError> {
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(MAX_DEPTH);
    let value = T::read(&mut deserializer, source).map_err(refusal)?;
    // The reader does not tell where it is; that no marker can be read from it tells its end.
    match bool::read(&mut deserializer, source) {
        Err(ReadError::InvalidMarkerRead(_)) => Ok(value),
        _ => Err(DecodeError::Trailing),
    }
}

fn refusal(error: ReadError) -> DecodeError {
    match error {
        ReadError::Syntax(what) if what.starts_with(UNKNOWN_KIND) => DecodeError::UnknownKind(what),
        other => DecodeError::Body(other.to_string()),
    }
}

/// A type that can be spelt.
pub trait Encode {
    /// Spells it, at the end of `out`.
    fn write(&self, out: &mut Vec<u8>);
}

/// A type that can be read from its spelling. Not serde's own trait: that would lend itself to
/// decoding without this module's limits.
pub trait Decode: Sized {
    /// Reads it.
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        source: Source<'_>,
    ) -> Result<Self, D::Error>;
}

/// What is read lies in here, if it may be kept by parts.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a>(Option<&'a Bytes>);

impl Source<'_> {
    /// These bytes: a part of the whole they lie in, or a copy.
    fn take(self, bytes: &[u8]) -> Bytes {
        match self.0 {
            Some(whole) if whole.as_ptr_range().contains(&bytes.as_ptr()) => whole.slice_ref(bytes),
            Some(_) | None => Bytes::copy_from_slice(bytes),
        }
    }
}

/// Lends a type's reader to serde.
struct Reader<'a, T>(Source<'a>, PhantomData<T>);

impl<'de, T: Decode> DeserializeSeed<'de> for Reader<'_, T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<T, D::Error> {
        T::read(deserializer, self.0)
    }
}

/// The next of an array's fields, if it has one more.
fn next<'de, T: Decode, A: SeqAccess<'de>>(
    fields: &mut A,
    source: Source<'_>,
) -> Result<Option<T>, A::Error> {
    fields.next_element_seed(Reader(source, PhantomData))
}

/// A type that is an array of fields.
trait Record: Sized {
    /// The type, as errors name it.
    const NAME: &'static str;

    /// Takes the known fields from the front of the array.
    fn take<'de, A: SeqAccess<'de>>(fields: &mut A, source: Source<'_>) -> Result<Self, A::Error>;
}

/// Reads any array of fields, tolerantly: what follows the known fields is skipped. Driven by
/// `deserialize_any`: to rmp-serde's `deserialize_seq` bytes would do as well.
struct Fields<'a, T>(Source<'a>, PhantomData<T>);

impl<'de, T: Record> Visitor<'de> for Fields<'_, T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the array of {}", T::NAME)
    }

    // Inlined, here and in `take`: a quarter of the time that a batch of entries takes.
    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, mut fields: A) -> Result<T, A::Error> {
        let record = T::take(&mut fields, self.0)?;
        while fields.next_element::<IgnoredAny>()?.is_some() {}
        Ok(record)
    }
}

/// The next field of `$record`. Missing, it is an error, or its default where one makes sense.
macro_rules! field {
    ($record:ident, $fields:ident, $source:ident, $field:ident) => {
        next($fields, $source)?.ok_or_else(|| {
            A::Error::custom(concat!(stringify!($record), " without ", stringify!($field)))
        })?
    };
    ($record:ident, $fields:ident, $source:ident, $field:ident, $default:expr) => {
        next($fields, $source)?.unwrap_or($default)
    };
}

/// Declares the spelling of a struct: `Name [field, field = default]`.
macro_rules! record {
    ($name:ident [$($field:ident $(= $default:expr)?),+]) => {
        impl Record for $name {
            const NAME: &'static str = stringify!($name);

            #[inline]
            fn take<'de, A: SeqAccess<'de>>(fields: &mut A, source: Source<'_>) -> Result<Self, A::Error> {
                $(let $field = field!($name, fields, source, $field $(, $default)?);)+
                Ok($name { $($field),+ })
            }
        }

        impl Encode for $name {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                let $name { $($field),+ } = self;
                spelling::array(out, [$(stringify!($field)),+].len());
                $($field.write(out);)+
            }
        }

        impl Decode for $name {
            fn read<'de, D: Deserializer<'de>>(deserializer: D, source: Source<'_>) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Fields(source, PhantomData))
            }
        }
    };
}

/// Declares the spelling of an enum: `Name { kind [fields] (the variant that they make) }`. The
/// variant is both taken apart and built with the same tokens.
macro_rules! kinds {
    ($name:ident {
        $($kind:literal [$($field:ident $(= $default:expr)?),*] ($($variant:tt)+))+
    }) => {
        impl Record for $name {
            const NAME: &'static str = stringify!($name);

            #[inline]
            fn take<'de, A: SeqAccess<'de>>(fields: &mut A, source: Source<'_>) -> Result<Self, A::Error> {
                let kind: u64 = field!($name, fields, source, kind);
                match kind {
                    $($kind => {
                        $(let $field = field!($name, fields, source, $field $(, $default)?);)*
                        Ok($name::$($variant)+)
                    })+
                    _ => Err(A::Error::custom(format_args!("{UNKNOWN_KIND} {kind} of {}", Self::NAME))),
                }
            }
        }

        impl Encode for $name {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $($name::$($variant)+ => {
                        let names: &[&str] = &["kind" $(, stringify!($field))*];
                        spelling::array(out, names.len());
                        spelling::number(out, $kind);
                        $($field.write(out);)*
                    })+
                }
            }
        }

        impl Decode for $name {
            fn read<'de, D: Deserializer<'de>>(deserializer: D, source: Source<'_>) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Fields(source, PhantomData))
            }
        }
    };
}

/// Declares that newtypes are spelt as their number.
macro_rules! numbers {
    ($($name:ident)+) => {
        $(impl Encode for $name {
            #[inline]
            fn write(&self, out: &mut Vec<u8>) {
                spelling::number(out, self.0);
            }
        }

        impl Decode for $name {
            fn read<'de, D: Deserializer<'de>>(deserializer: D, source: Source<'_>) -> Result<Self, D::Error> {
                u64::read(deserializer, source).map($name)
            }
        })+
    };
}

impl Encode for u64 {
    fn write(&self, out: &mut Vec<u8>) {
        spelling::number(out, *self);
    }
}

impl Decode for u64 {
    fn read<'de, D: Deserializer<'de>>(deserializer: D, _: Source<'_>) -> Result<Self, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

impl Encode for bool {
    fn write(&self, out: &mut Vec<u8>) {
        spelling::boolean(out, *self);
    }
}

impl Decode for bool {
    fn read<'de, D: Deserializer<'de>>(deserializer: D, _: Source<'_>) -> Result<Self, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }
}

impl Encode for Bytes {
    fn write(&self, out: &mut Vec<u8>) {
        spelling::bytes(out, self);
    }
}

impl Decode for Bytes {
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        source: Source<'_>,
    ) -> Result<Self, D::Error> {
        struct Bin<'a>(Source<'a>);

        impl Visitor<'_> for Bin<'_> {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(self.0.take(bytes))
            }
        }

        deserializer.deserialize_any(Bin(source))
    }
}

impl<T: Encode> Encode for [T] {
    fn write(&self, out: &mut Vec<u8>) {
        spelling::array(out, self.len());
        self.iter().for_each(|element| element.write(out));
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        self.as_slice().write(out);
    }
}

impl<T: Encode> Encode for BTreeSet<T> {
    fn write(&self, out: &mut Vec<u8>) {
        spelling::array(out, self.len());
        self.iter().for_each(|element| element.write(out));
    }
}

impl<T: Decode + Ord> Decode for BTreeSet<T> {
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        source: Source<'_>,
    ) -> Result<Self, D::Error> {
        Vec::read(deserializer, source).map(BTreeSet::from_iter)
    }
}

impl<T: Encode> Encode for Arc<[T]> {
    fn write(&self, out: &mut Vec<u8>) {
        (**self).write(out);
    }
}

impl<T: Decode> Decode for Arc<[T]> {
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        source: Source<'_>,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(List(source, PhantomData))
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn read<'de, D: Deserializer<'de>>(
        deserializer: D,
        source: Source<'_>,
    ) -> Result<Self, D::Error> {
        deserializer.deserialize_any(List(source, PhantomData))
    }
}

/// Reads a list of any length into `L`.
struct List<'a, L>(Source<'a>, PhantomData<L>);

impl<'de, L: FromElements> Visitor<'de> for List<'_, L> {
    type Value = L;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    #[inline]
    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<L, A::Error> {
        L::take(elements, self.0)
    }
}

/// What a list is read into.
trait FromElements: Sized {
    /// Takes all elements.
    fn take<'de, A: SeqAccess<'de>>(elements: A, source: Source<'_>) -> Result<Self, A::Error>;
}

impl<T: Decode> FromElements for Vec<T> {
    fn take<'de, A: SeqAccess<'de>>(
        mut elements: A,
        source: Source<'_>,
    ) -> Result<Vec<T>, A::Error> {
        let claimed = elements.size_hint().unwrap_or(0);
        let mut list = Vec::with_capacity(claimed.min(MAX_RESERVED));
        while let Some(element) = next(&mut elements, source)? {
            list.push(element);
        }
        Ok(list)
    }
}

impl<T: Decode> FromElements for Arc<[T]> {
    fn take<'de, A: SeqAccess<'de>>(
        mut elements: A,
        source: Source<'_>,
    ) -> Result<Arc<[T]>, A::Error> {
        // Most entries have one command, which needs no list that is copied.
        if elements.size_hint() == Some(1)
            && let Some(only) = next(&mut elements, source)?
        {
            return Ok(Arc::new([only]));
        }
        Vec::take(elements, source).map(Arc::from)
    }
}

numbers! { Boot ClusterId CommandNumber GroupId LogIndex LogTime NodeId Round SessionId Term }

record! { LogPosition [term, index] }

record! { Entry [position, time, payload] }

kinds! { Payload {
    1 [] (Blank)
    2 [items] (Command(items))
} }

kinds! { Item {
    1 [command] (Plain(command))
    2 [session, number, command] (Session { session, number, command })
    3 [] (OpenSession)
    4 [session, number] (Outcome { session, number })
    5 [session] (CloseSession(session))
} }

record! { Membership [voters] }

record! { SnapshotMeta [position, time, membership] }

record! { Envelope [group, content] }

kinds! { Content {
    1 [term, message] (Raft { term, message })
    2 [number, only_in, operations] (Forward(Forward { number, only_in, operations }))
    3 [number, outcome] (ForwardReply(ForwardReply { number, outcome }))
    4 [term, meta, size, offset, bytes]
        (SnapshotPart(SnapshotPart { term, meta, size, offset, bytes }))
    5 [position, wanted] (SnapshotPartReply(SnapshotPartReply { position, wanted }))
} }

kinds! { Operation {
    1 [command] (Command(command))
    2 [query] (Query(query))
    3 [session, number, command] (Session { session, number, command })
    4 [] (OpenSession)
    5 [session, number] (Outcome { session, number })
    6 [session] (CloseSession(session))
} }

kinds! { ForwardOutcome {
    1 [replies] (Done(replies))
    2 [why] (NotAppended(why))
} }

kinds! { NotAppended {
    1 [] (NotLeader)
    2 [] (Busy)
    3 [] (Full)
} }

// A commit index that is not told is zero: it teaches nothing. A round that is not told is zero: it
// answers no question that was asked on a hint.
kinds! { Message {
    1 [proposed, last, round = Round(0)] (PreVote(PreVote { proposed, last, round }))
    2 [proposed, granted, round = Round(0)]
        (PreVoteReply(PreVoteReply { proposed, granted, round }))
    3 [last] (RequestVote(RequestVote { last }))
    4 [answers, granted, wall] (RequestVoteReply(RequestVoteReply { answers, granted, wall }))
    5 [previous, entries, commit = LogIndex(0)]
        (AppendEntries(AppendEntries { previous, entries, commit }))
    6 [outcome] (AppendEntriesReply(AppendEntriesReply { outcome }))
    7 [round, commit = LogIndex(0)] (Heartbeat(Heartbeat { round, commit }))
    8 [round, full = false] (HeartbeatReply(HeartbeatReply { round, full }))
    9 [position] (Snapshotted(Snapshotted { position }))
} }

kinds! { AppendOutcome {
    1 [matched] (Matched(matched))
    2 [rejected, try_at] (Mismatched { rejected, try_at })
} }
