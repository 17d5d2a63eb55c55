//! The decoder of frames: any bytes are refused or read, without a panic and with memory in
//! proportion to what came; what is read survives being spelt and read again; and it reads what
//! `docs/wire.md` says, in every form and with fields that it does not know.

use messages::frame::{self, HEADER, Header};
use messages::wire::{self, Decode, Encode};
use messages::{Boot, ClusterId, Content, DecodeError, Entry, Envelope, LogPosition, NodeId};

use super::hostile::{self, Near};
use super::tree::Tree;
use super::{Choices, Marks, Target, within};

/// The decoder's property.
pub const TARGET: Target = Target {
    name: "peer_frame",
    check,
    marks: &[
        "a frame of any bytes",
        "a body of any bytes is read",
        "a body of any bytes is refused",
        "an unknown kind",
        "something trails",
        "an entry is read",
        "an entry is refused",
        "envelopes of every form are read",
        "a part of a snapshot is read",
        "unknown fields are skipped",
        "nested too deep",
        "a commit index is missing",
        "a changed frame is refused",
        "a wrong length is refused",
    ],
    longest: 300,
};

/// Levels of arrays at which a reader refuses.
const TOO_DEEP: usize = 32;

fn check(bytes: &[u8]) -> Marks {
    let mut choices = Choices::new(bytes);
    let mut marks = Marks::new();
    match choices.below(6) {
        0 => any_frame(choices.rest(), &mut marks),
        1 | 2 => any_body(choices.rest(), &mut marks),
        3 => any_entry(&mut choices, &mut marks),
        4 => every_form(&mut choices, &mut marks),
        _ => changed(&mut choices, &mut marks),
    }
    marks
}

/// What decoding so many bytes may take: each byte may be an element of a list that doubles, and
/// each list may first make some room by what it claims.
fn allowed(bytes: usize) -> usize {
    (1 << 19) + 256 * bytes
}

/// Decodes, and checks that what was read survives.
fn decoded<T: Decode + Encode + PartialEq + std::fmt::Debug>(
    bytes: &[u8],
) -> Result<T, DecodeError> {
    let value: T = within(allowed(bytes.len()), || wire::decode(bytes))?;
    let mut again = Vec::new();
    wire::encode(&value, &mut again);
    assert_eq!(wire::decode::<T>(&again).as_ref(), Ok(&value), "spelt and read again");
    Ok(value)
}

fn any_frame(bytes: &[u8], marks: &mut Marks) {
    let opened = within(allowed(bytes.len()), || frame::decode(bytes));
    if frame::header(bytes).is_err() {
        assert!(opened.is_err(), "a frame with a bad header");
    }
    marks.insert("a frame of any bytes");
}

/// The body comes in a frame whose header is right, so that it is looked at.
fn any_body(body: &[u8], marks: &mut Marks) {
    let read: Result<Vec<Envelope>, DecodeError> = decoded(body);
    let frame = framed(body);
    let opened = within(allowed(frame.len()), || frame::decode(&frame));
    assert_eq!(opened.map(|(_, envelopes)| envelopes), read, "a frame is what its body is");
    marks.insert(match read {
        Ok(_) => "a body of any bytes is read",
        Err(DecodeError::UnknownKind(_)) => "an unknown kind",
        Err(DecodeError::Trailing) => "something trails",
        Err(_) => "a body of any bytes is refused",
    });
}

/// An entry as it stands on disk; one byte of it may be another, or all are.
fn any_entry(choices: &mut Choices, marks: &mut Marks) {
    let mut bytes = Vec::new();
    wire::encode_entry(&hostile::entry(choices, LogPosition::new(4, 3), 9), &mut bytes);
    match choices.below(4) {
        0 => {}
        1 => bytes = choices.rest().to_vec(),
        _ => {
            let at = choices.below(bytes.len());
            bytes[at] = choices.byte();
        }
    }
    marks.insert(match decoded::<Entry>(&bytes) {
        Ok(_) => "an entry is read",
        Err(_) => "an entry is refused",
    });
}

fn header() -> Header {
    let (from, to) = (NodeId(2), NodeId(1));
    Header { lane: 1, cluster: ClusterId(7), from, boot: Boot(1 << 32), to }
}

/// A frame around a body, by the table of `docs/wire.md`.
fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = frame::encode(&header(), &[]);
    frame.truncate(HEADER);
    frame.extend_from_slice(body);
    frame[40..44].copy_from_slice(&(body.len() as u32).to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[..44]), body);
    frame[44..48].copy_from_slice(&checksum.to_le_bytes());
    frame
}

fn envelopes(choices: &mut Choices) -> Vec<Envelope> {
    let near = Near {
        term: 3,
        commit: LogPosition::new(2, 1),
        round: 9,
        copy: 1 << 32,
        ..Near::default()
    };
    (0..choices.below(4)).map(|_| hostile::envelope(choices, &near)).collect()
}

/// Valid envelopes, in any form that the format allows.
fn every_form(choices: &mut Choices, marks: &mut Marks) {
    let envelopes = envelopes(choices);
    let tree = Tree::body(&envelopes);
    let spelt = frame::encode(&header(), &envelopes);
    assert_eq!(spelt, framed(&tree.spelt()), "the shortest form is what is sent");
    let (mut grown, mut deepest) = (tree, 0);
    let mut has_grown = false;
    grown.visit(&mut |fields| {
        for _ in 0..if choices.one_in(4) { choices.below(4) } else { 0 } {
            fields.push(Tree::Raw(unknown(choices, &mut deepest)));
            has_grown = true;
        }
    });
    let mut body = Vec::new();
    grown.write(&mut body, &mut || choices.below(12).saturating_sub(4));
    let read = within(allowed(body.len()), || wire::decode::<Vec<Envelope>>(&body));
    // What is skipped stands at most at level 9, the first array being level 1.
    if deepest + 9 < TOO_DEEP {
        let is_part = |envelope: &Envelope| matches!(envelope.content, Content::SnapshotPart(_));
        if envelopes.iter().any(is_part) {
            marks.insert("a part of a snapshot is read");
        }
        assert_eq!(read, Ok(envelopes), "every form is read");
        marks.insert("envelopes of every form are read");
        if has_grown {
            marks.insert("unknown fields are skipped");
        }
    } else if deepest >= TOO_DEEP {
        assert!(read.is_err(), "nested {deepest} deep");
        marks.insert("nested too deep");
    }
}

/// A field of a later version: any MessagePack. Tells how deep it nests.
fn unknown(choices: &mut Choices, deepest: &mut usize) -> Vec<u8> {
    let text = choices.bytes(20);
    match choices.below(11) {
        0 => vec![choices.byte() & 0x7f],
        1 => vec![0xc0],
        2 => [&[0xca][..], &choices.number().to_be_bytes()[..4]].concat(),
        3 => [&[0xcb][..], &choices.number().to_be_bytes()].concat(),
        4 => [&[0xa0 | text.len() as u8], text].concat(), // text that need not be UTF-8
        5 => [&[0xc4, text.len() as u8], text].concat(),
        6 => [&[0x82, 0x01, 0xa1, b'x', 0x93, 1, 2, 3, 0xc3][..]].concat(), // {1: "x", [1, 2, 3]: true}
        7 => [&[0xc7, text.len() as u8, 5], text].concat(),                 // an extension
        8 => vec![0xe0 | choices.byte()],
        9 => [&[0xd3][..], &choices.number().to_be_bytes()].concat(),
        _ => {
            let levels = choices.below(40);
            *deepest = levels.max(*deepest);
            [vec![0x91; levels], vec![0x01]].concat()
        }
    }
}

/// A valid frame that was changed on its way, or whose sender spells wrongly.
fn changed(choices: &mut Choices, marks: &mut Marks) {
    let mut envelopes = envelopes(choices);
    let mut frame = frame::encode(&header(), &envelopes);
    match choices.below(8) {
        0 | 1 => return without_commit(&mut envelopes, marks),
        2 => return wrong_length(choices, frame, marks),
        _ => {}
    }
    let before = frame.clone();
    let changes = 1 + choices.below(4);
    for _ in 0..changes {
        let at = choices.below(frame.len());
        match choices.below(4) {
            0 => frame[at] ^= 1 << choices.below(8),
            1 => frame[at] = choices.byte(),
            2 => frame.truncate(at.max(1)),
            _ => frame.insert(at, choices.byte()),
        }
    }
    let right = choices.one_in(2).then(|| framed(frame.get(HEADER..).unwrap_or(&[])));
    if let Some(right) = right {
        drop(within(allowed(right.len()), || frame::decode(&right)));
        any_body(&right[HEADER..], marks);
    } else if frame != before {
        let read = within(allowed(frame.len()), || frame::decode(&frame));
        // One change is always found; several might, once in 2^32 times, make up for each other.
        assert!(changes > 1 || read.is_err(), "a changed frame is read");
        marks.insert("a changed frame is refused");
    }
}

/// A header that names another length than the frame has, or a frame that is longer than its header:
/// its checksum is right, it is refused all the same.
fn wrong_length(choices: &mut Choices, mut frame: Vec<u8>, marks: &mut Marks) {
    let length = (frame.len() - HEADER) as u32;
    let claimed = hostile::number(choices, u64::from(length) + 1) as u32;
    if choices.one_in(2) {
        frame.extend_from_slice(choices.bytes(20));
    }
    frame[40..44].copy_from_slice(&claimed.to_le_bytes());
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[..44]), &frame[HEADER..]);
    frame[44..48].copy_from_slice(&checksum.to_le_bytes());
    let actual = frame.len() - HEADER;
    if claimed as usize != actual {
        let refused = within(allowed(frame.len()), || frame::decode(&frame));
        assert_eq!(refused, Err(DecodeError::Length { claimed, actual }));
        marks.insert("a wrong length is refused");
    }
}

/// A commit index may be left out; it is then zero.
fn without_commit(envelopes: &mut [Envelope], marks: &mut Marks) {
    use messages::{LogIndex, Message};
    let mut tree = Tree::body(envelopes);
    let Tree::List(trees) = &mut tree else { unreachable!("a body is a list") };
    for (tree, envelope) in trees.iter_mut().zip(envelopes.iter_mut()) {
        let Content::Raft { message, .. } = &mut envelope.content else { continue };
        let (Message::AppendEntries(messages::AppendEntries { commit, .. })
        | Message::Heartbeat(messages::Heartbeat { commit, .. })) = message
        else {
            continue;
        };
        *commit = LogIndex(0);
        let mut place = 0;
        // The message is the last but two of the structs that end: itself, content, envelope.
        let mut count = 0;
        tree.visit(&mut |_| count += 1);
        tree.visit(&mut |fields| {
            place += 1;
            if place == count - 2 {
                fields.pop();
            }
        });
        marks.insert("a commit index is missing");
    }
    let read = wire::decode::<Vec<Envelope>>(&tree.spelt());
    assert_eq!(read.as_deref(), Ok(&*envelopes), "a commit index that is not told is zero");
}
