//! Envelopes as MessagePack by `docs/wire.md` alone: a second speller, by hand, that shares nothing
//! with `messages::wire` and knows all the forms that a reader must take, not only the shortest.

use messages::{
    AppendOutcome, Content, Entry, Envelope, ForwardOutcome, Item, LogPosition, Message,
    NotAppended, Operation, Payload, SnapshotMeta,
};

/// A value of MessagePack.
#[derive(Clone, Debug)]
pub enum Tree {
    /// A number.
    Number(u64),
    /// A bool.
    Bool(bool),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list of values of one type: nothing may be appended.
    List(Vec<Tree>),
    /// The fields of a struct or of an enum's kind: it may grow.
    Fields(Vec<Tree>),
    /// Anything, as it is spelt.
    Raw(Vec<u8>),
}

use Tree::{Bool, Bytes, Fields, List, Number};

impl Tree {
    /// The body of a frame.
    pub fn body(envelopes: &[Envelope]) -> Tree {
        List(envelopes.iter().map(envelope).collect())
    }

    /// Spells it; `form` is asked for each number, bytes and array how many steps longer than the
    /// shortest its form shall be.
    pub fn write(&self, out: &mut Vec<u8>, form: &mut impl FnMut() -> usize) {
        match self {
            Number(number) => write_number(*number, form(), out),
            Bool(yes) => out.push(if *yes { 0xc3 } else { 0xc2 }),
            Bytes(bytes) => {
                write_length(bytes.len(), &[(0xff, 0xc4), (0xffff, 0xc5)], 0xc6, form(), out);
                out.extend_from_slice(bytes);
            }
            List(elements) | Fields(elements) => {
                if elements.len() < 16 && form() == 0 {
                    out.push(0x90 | elements.len() as u8);
                } else {
                    write_length(elements.len(), &[(0xffff, 0xdc)], 0xdd, form(), out);
                }
                elements.iter().for_each(|element| element.write(out, form));
            }
            Tree::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }

    /// The shortest spelling.
    pub fn spelt(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.write(&mut out, &mut || 0);
        out
    }

    /// Shows every struct and kind in it to `change`, the inner ones first.
    pub fn visit(&mut self, change: &mut impl FnMut(&mut Vec<Tree>)) {
        match self {
            Fields(elements) => {
                elements.iter_mut().for_each(|element| element.visit(change));
                change(elements);
            }
            List(elements) => elements.iter_mut().for_each(|element| element.visit(change)),
            Number(_) | Bool(_) | Bytes(_) | Tree::Raw(_) => {}
        }
    }
}

/// A number in one of the forms that hold it: fixint, then 8, 16, 32 and 64 bits, then signed.
fn write_number(number: u64, longer: usize, out: &mut Vec<u8>) {
    let mut forms = Vec::new();
    if let Ok(small @ 0..128) = u8::try_from(number) {
        forms.push(vec![small]);
    }
    let big_endian = number.to_be_bytes();
    for (marker, bytes, limit) in [
        (0xcc, 1, 1 << 8),
        (0xcd, 2, 1 << 16),
        (0xce, 4, 1 << 32),
        (0xcf, 8, u128::MAX),
        (0xd0, 1, 1 << 7),
        (0xd1, 2, 1 << 15),
        (0xd2, 4, 1 << 31),
        (0xd3, 8, 1 << 63),
    ] {
        if u128::from(number) < limit {
            forms.push([&[marker], &big_endian[8 - bytes..]].concat());
        }
    }
    out.extend_from_slice(&forms[longer.min(forms.len() - 1)]);
}

/// A marker and a length: one of `short`, each with the greatest length that it holds, or `long`.
fn write_length(length: usize, short: &[(usize, u8)], long: u8, longer: usize, out: &mut Vec<u8>) {
    let fitting: Vec<&(usize, u8)> = short.iter().filter(|(most, _)| length <= *most).collect();
    match fitting.get(longer) {
        Some((0xff, marker)) => out.extend_from_slice(&[*marker, length as u8]),
        Some((_, marker)) => {
            out.push(*marker);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        None => {
            out.push(long);
            out.extend_from_slice(&(length as u32).to_be_bytes());
        }
    }
}

fn kind(number: u64, fields: impl IntoIterator<Item = Tree>) -> Tree {
    Fields([Number(number)].into_iter().chain(fields).collect())
}

fn bytes(bytes: &[u8]) -> Tree {
    Bytes(bytes.to_vec())
}

fn position(position: LogPosition) -> Tree {
    Fields(vec![Number(position.term.0), Number(position.index.0)])
}

fn snapshot_meta(meta: &SnapshotMeta) -> Tree {
    let voters = meta.membership.voters.iter().map(|voter| Number(voter.0)).collect();
    Fields(vec![position(meta.position), Number(meta.time.0), Fields(vec![List(voters)])])
}

fn entry(entry: &Entry) -> Tree {
    let payload = match &entry.payload {
        Payload::Blank => kind(1, []),
        Payload::Command(items) => kind(2, [List(items.iter().map(item).collect())]),
    };
    Fields(vec![position(entry.position), Number(entry.time.0), payload])
}

fn item(item: &Item) -> Tree {
    match item {
        Item::Plain(command) => kind(1, [bytes(command)]),
        Item::Session { session, number, command } => {
            kind(2, [Number(session.0), Number(number.0), bytes(command)])
        }
        Item::OpenSession => kind(3, []),
        Item::Outcome { session, number } => kind(4, [Number(session.0), Number(number.0)]),
        Item::CloseSession(session) => kind(5, [Number(session.0)]),
    }
}

fn operation(operation: &Operation) -> Tree {
    match operation {
        Operation::Command(command) => kind(1, [bytes(command)]),
        Operation::Query(query) => kind(2, [bytes(query)]),
        Operation::Session { session, number, command } => {
            kind(3, [Number(session.0), Number(number.0), bytes(command)])
        }
        Operation::OpenSession => kind(4, []),
        Operation::Outcome { session, number } => kind(5, [Number(session.0), Number(number.0)]),
        Operation::CloseSession(session) => kind(6, [Number(session.0)]),
    }
}

fn envelope(envelope: &Envelope) -> Tree {
    let content = match &envelope.content {
        Content::Raft { term, message: said } => kind(1, [Number(term.0), message(said)]),
        Content::Forward(forward) => {
            let operations = List(forward.operations.iter().map(operation).collect());
            kind(2, [Number(forward.number), Number(forward.only_in.0), operations])
        }
        Content::ForwardReply(reply) => {
            let outcome = match &reply.outcome {
                ForwardOutcome::Done(replies) => {
                    kind(1, [List(replies.iter().map(|reply| bytes(reply)).collect())])
                }
                ForwardOutcome::NotAppended(NotAppended::NotLeader) => kind(2, [kind(1, [])]),
                ForwardOutcome::NotAppended(NotAppended::Busy) => kind(2, [kind(2, [])]),
                ForwardOutcome::NotAppended(NotAppended::Full) => kind(2, [kind(3, [])]),
            };
            kind(3, [Number(reply.number), outcome])
        }
        Content::SnapshotPart(part) => {
            let place = [Number(part.size), Number(part.offset), bytes(&part.bytes)];
            kind(4, [Number(part.term.0), snapshot_meta(&part.meta)].into_iter().chain(place))
        }
        Content::SnapshotPartReply(reply) => {
            kind(5, [position(reply.position), Number(reply.wanted)])
        }
    };
    Fields(vec![Number(envelope.group.0), content])
}

fn message(message: &Message) -> Tree {
    match message {
        Message::PreVote(m) => kind(1, [Number(m.proposed.0), position(m.last), Number(m.round.0)]),
        Message::PreVoteReply(m) => {
            kind(2, [Number(m.proposed.0), Bool(m.granted), Number(m.round.0)])
        }
        Message::RequestVote(m) => kind(3, [position(m.last)]),
        Message::RequestVoteReply(m) => {
            kind(4, [Number(m.answers.0), Bool(m.granted), Number(m.wall)])
        }
        Message::AppendEntries(m) => {
            let entries = List(m.entries.iter().map(entry).collect());
            kind(5, [position(m.previous), entries, Number(m.commit.0)])
        }
        Message::AppendEntriesReply(m) => {
            let outcome = match &m.outcome {
                AppendOutcome::Matched(index) => kind(1, [Number(index.0)]),
                AppendOutcome::Mismatched { rejected, try_at } => {
                    kind(2, [Number(rejected.0), position(*try_at)])
                }
            };
            kind(6, [outcome])
        }
        Message::Heartbeat(m) => kind(7, [Number(m.round.0), Number(m.commit.0)]),
        Message::HeartbeatReply(m) => kind(8, [Number(m.round.0), Bool(m.full)]),
        Message::Snapshotted(m) => kind(9, [position(m.position)]),
    }
}
