//! The log on disk, byte by byte, as it is written down.

#[path = "support/log.rs"]
mod log;

use log::{Fixture, TINY, entry};
use messages::{NodeId, Term};
use states::{HardState, Write, WriteId};

/// CRC32C by its definition: the reflected polynomial 0x82F63B78, a bit at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82F6_3B78 } else { crc >> 1 };
        }
    }
    !crc
}

/// The format as `record.rs` and `segment.rs` describe it, read apart from their code: whoever
/// changes it has to change the version.
#[test]
fn the_bytes_are_the_documented_ones() {
    assert_eq!(crc32c(b"123456789"), 0xE306_9283); // the check value of CRC32C
    let mut fixture = Fixture::new(TINY);
    let entry = entry(1, 3, 5);
    let hard_state = HardState { term: Term(3), voted_for: Some(NodeId(9)) };
    fixture.stage(hard_state, vec![entry.clone()]).expect("a healthy disk");
    let (name, bytes) = fixture.disk.contents().pop_first().expect("a segment");
    let salt = u64::from_str_radix(&name[11..27], 16).expect("a salt in the name");
    assert_eq!(&name[..11], "0000000001-");
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight"));
    let salted = |bytes: &[u8]| crc32c(&[&salt.to_le_bytes(), bytes].concat());

    assert_eq!(&bytes[0..4], b"RSEG");
    assert_eq!(u32_at(4), salted(&bytes[8..512]));
    assert_eq!(u32_at(8), 2, "version");
    // number, owner, base, synced, chain, length, term, vote, term and index of the last entry
    let head = [1, 7, 1, 0, 0, 0, 2048, 0, 0, 0, 0];
    assert_eq!((0..11).map(|place| u64_at(16 + 8 * place)).collect::<Vec<_>>(), head);

    let batch = &bytes[512..];
    assert_eq!(&batch[0..4], b"RBCH");
    assert_eq!(u32_at(512 + 4), salted(&batch[8..72]));
    assert_eq!(u64_at(512 + 8), 512, "offset");
    assert_eq!(u64_at(512 + 16), 512, "synced");
    assert_eq!(u64_at(512 + 24), 0, "chain");
    assert_eq!(u64_at(512 + 40), 3, "term");
    assert_eq!(u64_at(512 + 48), 9, "vote");
    assert_eq!(u32_at(512 + 60), 1, "records");
    assert_eq!(u32_at(512 + 64), crc32c(&batch[72..80]));
    assert_eq!(u32_at(512 + 68), 1, "there is a vote");
    let length = u32_at(512 + 72) as usize;
    assert_eq!(u32_at(512 + 56) as usize, 8 + length.next_multiple_of(8));
    let spelt = &batch[80..80 + length];
    assert_eq!(u32_at(512 + 76), crc32c(spelt));
    assert_eq!(messages::wire::decode_entry(spelt), Ok(entry));
    assert!(batch[80 + length..].iter().all(|byte| *byte == 0));
}

/// "Start the newer program" would send people the wrong way when the file is older than this program.
#[test]
fn another_version_is_refused_and_said_to_be_older_or_newer() {
    for (version, whose, advice) in [
        (1_u32, "an older version", "found another cluster and write the keys into it"),
        (3, "a newer version", "Start the program that wrote it"),
    ] {
        let fixture = Fixture::new(TINY);
        let (name, bytes) = fixture.disk.contents().pop_first().expect("a segment");
        let salt = u64::from_str_radix(&name[11..27], 16).expect("a salt in the name");
        let said = version.to_le_bytes();
        let checksum = crc32c(&[&salt.to_le_bytes(), &said[..], &bytes[12..512]].concat());
        fixture.disk.corrupt(&name, 4, |bytes| {
            bytes[..4].copy_from_slice(&checksum.to_le_bytes());
            bytes[4..8].copy_from_slice(&said);
        });
        let before = fixture.disk.contents();
        let mut fixture = fixture.fork();
        let error = fixture.open().expect_err("a version that is not ours").to_string();
        let expected = format!("{name} has format version {version}, of {whose} of this program");
        assert!(error.starts_with(&expected) && error.contains("reads 2"), "{error}");
        assert!(error.contains(advice), "{error}");
        assert_eq!(fixture.disk.contents(), before, "nothing was changed");
    }
}

#[test]
fn a_reset_is_the_first_record_of_its_batch() {
    let mut fixture = Fixture::new(TINY);
    let position = messages::LogPosition::new(20, 3);
    let write = Write {
        id: WriteId(1),
        hard_state: HardState { term: Term(3), voted_for: None },
        reset: Some(position),
        entries: vec![entry(21, 3, 5)],
    };
    fixture.wal().stage(&write).expect("there is room");
    fixture.wal().write().expect("a healthy disk");
    let (_, bytes) = fixture.disk.contents().pop_first().expect("a segment");
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    assert_eq!((u32_at(512 + 60), u32_at(512 + 68)), (2, 2), "two records, the first a reset");
    let spelt = [0x92, 3, 20]; // a position by docs/wire.md: term, index
    assert_eq!((u32_at(512 + 72), u32_at(512 + 76)), (3, crc32c(&spelt)));
    assert_eq!(bytes[512 + 80..512 + 83], spelt);
}
