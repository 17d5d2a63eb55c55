//! Faults of the medium under a log: one in what was promised is always damage, never a cut, never a
//! wrong entry. What a crash leaves is in `recovery.rs`.

#[path = "support/log.rs"]
mod log;

use std::collections::BTreeMap;

use log::{Fixture, Random, TINY, flight_within_a_segment};
use messages::{ClusterId, NodeId};
use servers::storage::{self, Damage, Disk, OpenError, Owner, Verdict, Wal};
use simulation::{Fate, SimulatedDisk};

/// Three segments, all of it promised, the last batch proven by a marker.
fn proven_log() -> Fixture {
    let mut fixture = Fixture::new(TINY);
    for bytes in [5, 700, 64, 900, 1, 300, 0, 1000, 33] {
        fixture.append(bytes);
        if bytes % 2 == 0 {
            fixture.sync().expect("a healthy disk");
        }
    }
    fixture.wal().mark().expect("a healthy disk");
    fixture.promised = fixture.contents.len() - 1;
    assert_eq!(fixture.disk.contents().len(), 3);
    fixture
}

/// Where in each file bytes are that a later header says were synced: up to the marker at the end,
/// which nothing proves. The length of a marker is that of a header.
fn proven_ranges(disk: &SimulatedDisk) -> BTreeMap<String, usize> {
    let report = storage::inspect(disk).expect("a log");
    assert_eq!(report.verdict, Verdict::Whole);
    let last = report.segments.len() - 1;
    let segments = report.segments.iter().enumerate();
    let used = |used: u64, place: usize| used as usize - if place == last { 72 } else { 0 };
    segments.map(|(place, segment)| (segment.file.clone(), used(segment.used, place))).collect()
}

fn expect_damage(fixture: &mut Fixture, what: &str) -> Damage {
    let before = fixture.disk.contents();
    let operations = fixture.disk.operations();
    match fixture.open() {
        Err(OpenError::Damaged(damage)) => {
            assert_eq!(fixture.disk.operations(), operations, "{what}: the disk is not touched");
            assert_eq!(fixture.disk.contents(), before);
            damage
        }
        Err(error) => panic!("{what}: {error}"),
        Ok(recovered) => panic!("{what}: opened with {:?}", recovered.cut),
    }
}

#[test]
fn a_flip_of_any_promised_byte_is_damage_and_names_the_place() {
    let fixture = proven_log();
    for (file, proven) in proven_ranges(&fixture.disk) {
        for offset in 0..proven {
            for flip in [1_u8 << (offset % 8), 0xFF] {
                let mut flipped = fixture.fork();
                flipped.disk.corrupt(&file, offset, |bytes| bytes[0] ^= flip);
                let what = format!("{file} at {offset}");
                let damage = expect_damage(&mut flipped, &what);
                assert_eq!(damage.file, file, "{what}");
                assert!(damage.offset <= offset as u64, "{what}: {damage}");
                assert!(damage.offset + 1200 > offset as u64, "{what}: {damage}");
            }
        }
    }
}

#[test]
fn a_flip_of_any_other_byte_never_makes_a_wrong_entry() {
    let fixture = proven_log();
    for (file, proven) in proven_ranges(&fixture.disk) {
        for offset in proven..2048 {
            let mut flipped = fixture.fork();
            flipped.disk.corrupt(&file, offset, |bytes| bytes[0] ^= 1 << (offset % 8));
            flipped.reopen();
        }
    }
}

#[test]
fn a_lost_sector_or_a_zeroed_rest_is_damage() {
    let fixture = proven_log();
    for (file, proven) in proven_ranges(&fixture.disk) {
        for start in (0..proven).step_by(512) {
            let mut lost = fixture.fork();
            let end = 512.min(proven - start);
            lost.disk.corrupt(&file, start, |bytes| bytes[..end].fill(0));
            expect_damage(&mut lost, &format!("{file} sector at {start}"));
        }
    }
}

/// A file has its whole length before it has a name: a shorter one is never a crash's doing.
#[test]
fn a_file_that_is_cut_short_at_any_byte_is_damage() {
    for fixture in [proven_log(), flight_within_a_segment()] {
        for (file, bytes) in fixture.disk.contents() {
            for length in 0..bytes.len() {
                let mut short = fixture.fork();
                short.disk.truncate(&file, length);
                let damage = expect_damage(&mut short, &format!("{file} of {length} bytes"));
                assert_eq!(damage.file, file);
            }
        }
    }
}

#[test]
fn a_missing_exchanged_or_foreign_segment_is_damage() {
    let fixture = proven_log();
    let files: Vec<String> = fixture.disk.contents().into_keys().collect();
    for file in &files[..2] {
        let mut missing = fixture.fork();
        missing.disk.remove(file).expect("a file");
        expect_damage(&mut missing, &format!("{file} missing"));
    }
    for (one, two) in [(0, 1), (1, 2), (0, 2)] {
        let mut exchanged = fixture.fork();
        exchanged.disk.rename(&files[one], "aside").expect("a file");
        exchanged.disk.rename(&files[two], &files[one]).expect("a file");
        exchanged.disk.rename("aside", &files[two]).expect("a file");
        let damage = expect_damage(&mut exchanged, &format!("{one} and {two} exchanged"));
        assert_eq!(damage.file, files[one]);
    }

    let mut twice = fixture.fork();
    let other = format!("0000000002-{:016x}.log", 0);
    twice.disk.create(&other, 2048).expect("a new file");
    expect_damage(&mut twice, "two segments of one number");

    let other = Owner { cluster: ClusterId(7), node: NodeId(2) };
    let opened = Wal::open(fixture.fork().disk, other, &TINY, 5);
    assert!(matches!(opened, Err(OpenError::Damaged(_))));
}

#[test]
fn two_bad_places_are_damage_too() {
    let fixture = proven_log();
    let ranges = proven_ranges(&fixture.disk);
    let files: Vec<&String> = ranges.keys().collect();
    for seed in 0..500 {
        let mut random = Random(seed);
        let mut flipped = fixture.fork();
        for file in &files[..2] {
            let offset = random.below(ranges[*file]);
            flipped.disk.corrupt(file, offset, |bytes| bytes[0] ^= 0x10);
        }
        // The last segment is whole: its headers are heard though nothing leads to them.
        let damage = expect_damage(&mut flipped, &format!("seed {seed}"));
        assert_eq!(&damage.file, files[0]);
    }
}

/// A bad byte in the last flight, which nothing proves, is a torn tail.
#[test]
fn a_flip_in_the_last_flight_is_cut() {
    let mut fixture = Fixture::new(TINY);
    fixture.append(300);
    fixture.sync().expect("a healthy disk");
    let proven = storage::inspect(&fixture.disk).expect("a log").segments[0].used as usize;
    fixture.append(50);
    fixture.disk.crash(|| Fate::Kept);
    let file = fixture.disk.list().expect("names").remove(0);
    for offset in proven..proven + 72 + 8 + 50 {
        let mut flipped = fixture.fork();
        flipped.disk.corrupt(&file, offset, |bytes| bytes[0] ^= 2);
        let cut = flipped.reopen().cut.expect("a cut");
        assert_eq!((cut.file, cut.offset), (file.clone(), proven as u64));
    }
}
