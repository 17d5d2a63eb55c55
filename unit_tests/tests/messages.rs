//! The spelling of everything that nodes say, against bytes that another implementation of
//! MessagePack made (`frozen/make.py`), and against bytes that are wrong.

mod frozen;
#[path = "frozen/values.rs"]
mod values;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use messages::wire::{self, Decode, Encode};
use messages::{
    AppendEntries, AppendOutcome, Boot, ClusterId, Content, DecodeError, Entry, Envelope, Forward,
    ForwardOutcome, ForwardReply, GroupId, Heartbeat, Item, LogIndex, LogPosition, LogTime,
    Message, NodeId, NotAppended, Operation, Payload, Round, Term, frame,
};
use values::{cases, entry_blank, entry_command, envelope, frames, older_cases};

#[test]
fn all_is_spelt_and_read_as_frozen() {
    let frozen = frozen::read(include_str!("frozen/values.txt"));
    let cases = cases();
    let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names, frozen.keys().copied().collect(), "each frozen value is tested");
    for case in cases {
        assert_eq!(case.spelt, frozen[case.name], "spelling {}", case.name);
        assert_eq!((case.reads)(&frozen[case.name]), Ok(true), "reading {}", case.name);
    }
}

#[test]
fn what_has_grown_is_read_as_it_was_spelt_before() {
    let frozen = frozen::read(include_str!("frozen/older.txt"));
    assert_eq!(older_cases().len(), frozen.len(), "each older spelling is tested");
    for case in older_cases() {
        assert_eq!((case.reads)(&frozen[case.name]), Ok(true), "reading {}", case.name);
    }
}

#[test]
fn frames_are_spelt_and_read_as_frozen() {
    let frozen = frozen::read(include_str!("frozen/frames.txt"));
    assert_eq!(frames().len(), frozen.len(), "each frozen frame is tested");
    for (name, header, envelopes) in frames() {
        assert_eq!(frame::encode(&header, &envelopes), frozen[name], "spelling {name}");
        assert_eq!(frame::header(&frozen[name]), Ok(header), "the header of {name}");
        assert_eq!(frame::decode(&frozen[name]), Ok((header, envelopes)), "reading {name}");
    }
}

/// On both sides of each border between two forms (MessagePack's specification, "Formats").
#[test]
fn everything_is_spelt_in_the_shortest_form() {
    fn begins<T: Encode>(value: T, head: &[u8]) {
        let mut bytes = Vec::new();
        wire::encode(&value, &mut bytes);
        assert_eq!(bytes[..head.len()], *head, "{head:x?}");
    }
    for (number, spelt) in [
        (0, &b"\x00"[..]),
        (0x7f, b"\x7f"),
        (0x80, b"\xcc\x80"),
        (0xff, b"\xcc\xff"),
        (0x100, b"\xcd\x01\x00"),
        (0xffff, b"\xcd\xff\xff"),
        (0x1_0000, b"\xce\x00\x01\x00\x00"),
        (0xffff_ffff, b"\xce\xff\xff\xff\xff"),
        (0x1_0000_0000, b"\xcf\x00\x00\x00\x01\x00\x00\x00\x00"),
        (u64::MAX, b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
    ] {
        let mut bytes = Vec::new();
        wire::encode(&Term(number), &mut bytes);
        assert_eq!((&bytes[..], wire::decode(&bytes)), (spelt, Ok(Term(number))));
    }
    for (length, head) in [
        (0, &b"\x90"[..]),
        (0xf, b"\x9f"),
        (0x10, b"\xdc\x00\x10"),
        (0xffff, b"\xdc\xff\xff"),
        (0x1_0000, b"\xdd\x00\x01\x00\x00"),
    ] {
        begins(vec![Term(5); length], head);
    }
    for (length, head) in [
        (0, &b"\xc4\x00"[..]),
        (0xff, b"\xc4\xff"),
        (0x100, b"\xc5\x01\x00"),
        (0xffff, b"\xc5\xff\xff"),
        (0x1_0000, b"\xc6\x00\x01\x00\x00"),
    ] {
        begins(Bytes::from(vec![5; length]), head);
    }
}

#[test]
fn an_entry_on_disk_is_the_entry_alone() {
    let frozen = frozen::read(include_str!("frozen/values.txt"));
    for (name, entry) in [("entry/blank", entry_blank()), ("entry/command", entry_command())] {
        let mut bytes = vec![1, 2, 3];
        wire::encode_entry(&entry, &mut bytes);
        assert_eq!((&bytes[..3], &bytes[3..]), (&[1, 2, 3][..], &frozen[name][..]), "appended");
        assert_eq!(wire::decode_entry(&frozen[name]), Ok(entry));
    }
}

#[test]
fn fields_of_tomorrow_are_skipped() {
    let grown = frozen::read(include_str!("frozen/grown.txt"));
    let mut read = 0;
    for case in cases() {
        if let Some(bytes) = grown.get(case.name) {
            assert_eq!((case.reads)(bytes), Ok(true), "reading {} of tomorrow", case.name);
            read += 1;
        }
    }
    for (name, header, envelopes) in frames() {
        assert_eq!(frame::decode(&grown[name]), Ok((header, envelopes)), "{name} of tomorrow");
        read += 1;
    }
    assert_eq!(read, grown.len(), "each grown value is tested");
}

#[test]
fn optional_fields_of_yesterday_are_defaulted_and_others_missed() {
    let probe =
        AppendEntries { previous: LogPosition::new(4, 2), entries: vec![], commit: LogIndex(0) };
    let beat = Heartbeat { round: Round(99), commit: LogIndex(0) };
    let read = wire::decode(b"\x93\x05\x92\x02\x04\x90");
    assert_eq!(read, Ok(Message::AppendEntries(probe)), "without its commit");
    assert_eq!(wire::decode(b"\x92\x07\x63"), Ok(Message::Heartbeat(beat)), "without its commit");

    fn missed<T: Decode + Debug>(bytes: &[u8], what: &str) {
        let error = wire::decode::<T>(bytes).unwrap_err();
        assert_eq!(error, DecodeError::Body(what.into()));
    }
    missed::<LogPosition>(b"\x91\x03", "LogPosition without index");
    missed::<LogPosition>(b"\x90", "LogPosition without term");
    missed::<Payload>(b"\x90", "Payload without kind");
    missed::<Payload>(b"\x91\x02", "Payload without items");
    missed::<Entry>(b"\x92\x92\x01\x01\x00", "Entry without payload");
    missed::<Message>(b"\x91\x07", "Message without round");
    missed::<Message>(b"\x93\x04\x08\xc2", "Message without wall");
    missed::<Content>(b"\x93\x02\x0c\x07", "Content without operations");
    missed::<Envelope>(b"\x91\x00", "Envelope without content");
}

#[test]
fn unknown_kinds_are_told_from_other_errors() {
    fn unknown<T: Decode + Debug>(name: &str) {
        for (kind, bytes) in [
            ("0", &b"\x91\x00"[..]),
            ("100", b"\x92\x64\x92\x01\x01"),
            ("18446744073709551615", b"\x91\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        ] {
            let error = DecodeError::UnknownKind(format!("unknown kind {kind} of {name}"));
            assert_eq!(wire::decode::<T>(bytes).unwrap_err(), error);
        }
    }
    unknown::<Payload>("Payload");
    unknown::<Item>("Item");
    unknown::<Content>("Content");
    unknown::<Operation>("Operation");
    unknown::<ForwardOutcome>("ForwardOutcome");
    unknown::<NotAppended>("NotAppended");
    unknown::<Message>("Message");
    unknown::<AppendOutcome>("AppendOutcome");

    let payload = || DecodeError::UnknownKind("unknown kind 100 of Payload".into());
    assert_eq!(wire::decode_entry(b"\x93\x92\x01\x01\x00\x91\x64"), Err(payload()));
    // What is claimed inside of text is no unknown kind.
    let text = b"\x93\x92\x01\x01\x00\xacunknown kind";
    assert!(matches!(wire::decode_entry(text), Err(DecodeError::Body(_))));
}

#[test]
fn frames_with_a_wrong_body_are_refused_for_the_right_reason() {
    let refused = frozen::read(include_str!("frozen/refused.txt"));
    for (name, bytes) in refused {
        frame::open(&bytes).expect("header and checksum are right");
        let error = frame::decode(&bytes).unwrap_err();
        let expected = match name {
            "trailing" => error == DecodeError::Trailing,
            name if name.starts_with("unknown") => matches!(error, DecodeError::UnknownKind(_)),
            _ => matches!(error, DecodeError::Body(_)),
        };
        assert!(expected, "{name}: {error:?}");
    }
}

/// What a log keeps of a frame keeps the frame: so that must not be much larger.
#[test]
fn commands_are_parts_of_their_frame_unless_that_is_much_larger() {
    let command = Bytes::from(vec![b'x'; 1_000]);
    let items = Arc::new([Item::Plain(command.clone()), Item::Plain(command)]);
    let entry = Entry {
        position: LogPosition::new(1, 1),
        time: LogTime(5),
        payload: Payload::Command(items),
    };
    let append =
        AppendEntries { previous: LogPosition::ZERO, entries: vec![entry], commit: LogIndex(0) };
    let content = Content::Raft { term: Term(1), message: Message::AppendEntries(append) };
    let header = frame::Header {
        lane: 1,
        cluster: ClusterId(1),
        from: NodeId(1),
        boot: Boot(1),
        to: NodeId(2),
    };
    for (reply, shared) in [(0, true), (5_000, true), (50_000, false)] {
        let outcome = ForwardOutcome::Done(vec![Bytes::from(vec![b'y'; reply])]);
        let reply = Content::ForwardReply(ForwardReply { number: 1, outcome });
        let envelopes =
            [content.clone(), reply].map(|content| Envelope { group: GroupId(0), content });
        let frame = Bytes::from(frame::encode(&header, &envelopes));
        let read = frame::envelopes(&frame).unwrap();
        assert_eq!(read, envelopes);
        let Content::Raft { message: Message::AppendEntries(append), .. } = &read[0].content else {
            panic!("{read:?}")
        };
        let Payload::Command(items) = &append.entries[0].payload else { panic!("{append:?}") };
        for command in items.iter().filter_map(Item::command) {
            assert_eq!(frame.as_ptr_range().contains(&command.as_ptr()), shared);
        }
    }
}

#[test]
fn every_truncation_is_an_error() {
    for case in cases() {
        for length in 0..case.spelt.len() {
            let error = (case.reads)(&case.spelt[..length]).expect_err(case.name);
            assert!(matches!(error, DecodeError::Body(_)), "{} of {length}: {error:?}", case.name);
        }
    }
    for (name, header, envelopes) in frames() {
        let bytes = frame::encode(&header, &envelopes);
        for length in 0..bytes.len() {
            let error = frame::decode(&bytes[..length]).expect_err(name);
            let short = matches!(error, DecodeError::Short { .. });
            assert_eq!(short, length < frame::HEADER, "{name} of {length}: {error:?}");
            assert!(short || matches!(error, DecodeError::Length { .. }), "{error:?}");
        }
    }
}

#[test]
fn trailing_bytes_are_an_error() {
    // Among them a marker that is none, and markers whose own bytes are missing.
    for trailing in [&b"\x00"[..], b"\xc1", b"\x90", b"\x91", b"\xc0", b"\xcc", b"\xdf", b"abc"] {
        for case in cases() {
            let bytes = [&case.spelt[..], trailing].concat();
            assert_eq!((case.reads)(&bytes), Err(DecodeError::Trailing), "{}", case.name);
        }
        for (name, header, envelopes) in frames() {
            let bytes = [&frame::encode(&header, &envelopes)[..], trailing].concat();
            let refused = frame::decode(&bytes);
            assert!(matches!(refused, Err(DecodeError::Length { .. })), "{name}: {refused:?}");
        }
    }
}

#[test]
fn every_single_bit_flip_in_a_frame_is_refused() {
    for (name, header, envelopes) in frames() {
        let bytes = frame::encode(&header, &envelopes);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = frame::decode(&flipped).expect_err(name);
            let expected = match bit / 8 {
                0..4 => error == DecodeError::Magic,
                4 => matches!(error, DecodeError::Version(_)),
                40..44 => matches!(error, DecodeError::Length { .. }),
                _ => error == DecodeError::Checksum,
            };
            assert!(expected, "bit {bit} of {name}: {error:?}");
        }
    }
}

#[test]
fn a_longer_frame_than_allowed_is_refused() {
    let frame_of = |bytes: usize| {
        // In MessagePack 32 bits of length are needed: five bytes of marker and length.
        let around = frame::encode(&frames()[0].1, &[forward_of(70_000)]).len() - 70_000;
        frame::encode(&frames()[0].1, &[forward_of(bytes - around)])
    };
    let longest = frame_of(frame::MAX_FRAME);
    assert_eq!(longest.len(), 8 * 1024 * 1024);
    frame::decode(&longest).expect("as long as allowed");
    let length = frame::MAX_FRAME + 1;
    assert_eq!(frame::decode(&frame_of(length)), Err(DecodeError::Long { length }));
}

fn forward_of(bytes: usize) -> Envelope {
    let operations = vec![Operation::Command(vec![7; bytes].into())];
    envelope(0, Content::Forward(Forward { number: 1, only_in: Term(1), operations }))
}

#[test]
fn other_types_than_ours_are_errors() {
    fn wrong<T: Decode + Debug>(bytes: &[u8]) {
        let read = wire::decode::<T>(bytes);
        assert!(matches!(read, Err(DecodeError::Body(_))), "{bytes:x?}: {read:?}");
    }
    for no_number in [&b"\xff"[..], b"\xc0", b"\xc2", b"\xa15", b"\xc4\x015", b"\x91\x05", b"\x80"]
    {
        wrong::<Term>(no_number);
    }
    wrong::<Term>(b"\xca\x40\xa0\x00\x00"); // 5.0
    wrong::<LogPosition>(b"\xc4\x02\x03\x05"); // bytes
    wrong::<LogPosition>(b"\xd5\x03\x05\x06"); // an extension
    wrong::<LogPosition>(b"\x81\x03\x05"); // a map
    wrong::<Payload>(b"\x01"); // the bare kind
    wrong::<Payload>(b"\x92\x02\xc4\x00"); // a list that is bytes
    wrong::<Payload>(b"\x91\xa5Blank"); // a name
    wrong::<Item>(b"\x92\x01\xa3GET"); // text
    wrong::<Item>(b"\x92\x01\x93\x01\x02\x03"); // a list of numbers
    wrong::<Message>(b"\x93\x02\x08\x01"); // 1 for true
}

#[test]
fn numbers_are_read_in_any_form() {
    for five in [
        &b"\x05"[..],
        b"\xcc\x05",
        b"\xcd\x00\x05",
        b"\xce\x00\x00\x00\x05",
        b"\xcf\x00\x00\x00\x00\x00\x00\x00\x05",
        b"\xd0\x05",
        b"\xd1\x00\x05",
        b"\xd2\x00\x00\x00\x05",
        b"\xd3\x00\x00\x00\x00\x00\x00\x00\x05",
    ] {
        assert_eq!(wire::decode(five), Ok(Term(5)), "{five:x?}");
        let kind = [b"\x92", five, b"\x90"].concat();
        let error = DecodeError::UnknownKind("unknown kind 5 of Payload".into());
        assert_eq!(wire::decode::<Payload>(&kind), Err(error));
    }
}

/// The most virtual memory that this process ever had, bytes.
#[cfg(target_os = "linux")]
fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
#[cfg(target_os = "linux")]
fn a_claimed_length_allocates_nothing_much() {
    fn claims<T: Decode + Debug>(before: &[u8], claim: &[u8]) {
        let bytes = [before, claim, b"\x91\x01"].concat();
        let read = wire::decode::<T>(&bytes);
        assert!(matches!(read, Err(DecodeError::Body(_))), "{bytes:x?}: {read:?}");
    }
    let (array, bin) = (b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff");
    claims::<Vec<Envelope>>(b"", array);
    claims::<LogPosition>(b"", array);
    claims::<Payload>(b"\x92\x02", array);
    claims::<Item>(b"\x92\x01", bin);
    claims::<ForwardOutcome>(b"\x92\x01", array);
    claims::<ForwardOutcome>(b"\x92\x01\x91", bin);
    claims::<Message>(b"\x94\x05\x92\x01\x01", array);
    claims::<Content>(b"\x94\x02\x01\x01", array);
    claims::<LogPosition>(b"\x93\x01\x01", array); // in what is skipped
    claims::<LogPosition>(b"\x93\x01\x01", bin);
    claims::<LogPosition>(b"\x93\x01\x01", b"\xdb\xff\xff\xff\xff");
    claims::<LogPosition>(b"\x93\x01\x01", b"\xdf\xff\xff\xff\xff");
    claims::<LogPosition>(b"\x93\x01\x01", b"\xc9\xff\xff\xff\xff\x05");
    assert!(peak_memory() < 2 << 30, "{} bytes were reserved", peak_memory());
}

#[test]
fn nesting_has_an_end() {
    fn too_deep<T: Decode + Debug>(before: &[u8], marker: u8, depth: usize) {
        let bytes = [before, &vec![marker; depth], b"\xc0"].concat();
        let read = wire::decode::<T>(&bytes);
        assert!(matches!(read, Err(DecodeError::Body(_))), "{marker:x} {depth}: {read:?}");
    }
    for marker in [0x91, 0x81] {
        too_deep::<Vec<Envelope>>(b"", marker, 200_000);
        too_deep::<Entry>(b"\x93", marker, 200_000);
        too_deep::<Payload>(b"\x92", marker, 200_000);
        // In a field that is skipped.
        too_deep::<LogPosition>(b"\x93\x03\x05", marker, 200_000);
        too_deep::<Payload>(b"\x92\x01", marker, 200_000);
    }
    // 31 levels are read, the position's own among them; 32 are not (docs/wire.md).
    let nested = |depth: usize| [b"\x93\x03\x05", &vec![0x91; depth][..], b"\xc0"].concat();
    assert_eq!(wire::decode(&nested(30)), Ok(LogPosition::new(5, 3)));
    too_deep::<LogPosition>(b"\x93\x03\x05", 0x91, 31);
}

#[test]
fn no_changed_byte_makes_a_panic_or_a_value_that_does_not_survive() {
    let mut read = 0;
    for case in cases() {
        for at in 0..case.spelt.len() {
            let mut changed = case.spelt.clone();
            for byte in 0..=255 {
                changed[at] = byte;
                if (case.reads)(&changed).is_ok() {
                    assert!((case.survives)(&changed), "{}: {changed:x?}", case.name);
                    read += 1;
                }
            }
        }
    }
    assert!(read > 10_000, "changed numbers and bytes are still values: {read}");
}
