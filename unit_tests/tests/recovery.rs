//! The log on disk in foul weather. A crash may keep, lose or tear each sector written since the
//! last sync that returned: what is found then is what was promised, or more, and never damage. A
//! fault of the medium in what was promised is always damage: never a cut, never a wrong entry.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use messages::{ClusterId, Entry, Item, LogPosition, LogTime, NodeId, Payload, Term};
use servers::storage::{
    self, Damage, Disk, OpenError, Options, Owner, Recovered, Verdict, Wal, WalError,
};
use simulation::{Fate, SimulatedDisk};
use states::{HardState, Write, WriteId};

const OWNER: Owner = Owner { cluster: ClusterId(7), node: NodeId(1) };
const TINY: Options = Options { first_segment: 2048, segment: 2048 };
const PAGES: Options = Options { first_segment: 16 << 10, segment: 16 << 10 };

/// What a log amounts to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    hard_state: HardState,
    entries: Vec<Entry>,
}

/// A log under test, beside what it must hold.
struct Fixture {
    disk: SimulatedDisk,
    options: Options,
    wal: Option<Wal<SimulatedDisk>>,
    /// What the log amounted to after each batch.
    contents: Vec<Content>,
    /// A sync has returned after this many batches.
    promised: usize,
    seeds: u64,
}

impl Fixture {
    fn new(options: Options) -> Fixture {
        let mut disk = SimulatedDisk::new();
        Wal::create(&mut disk, OWNER, &options, 1).expect("a healthy disk");
        let contents = vec![Content::default()];
        let mut fixture = Fixture { disk, options, wal: None, contents, promised: 0, seeds: 1 };
        fixture.reopen();
        fixture
    }

    fn open(&mut self) -> Result<Recovered, OpenError> {
        self.wal = None;
        self.seeds += 1;
        let (wal, recovered) = Wal::open(self.disk.clone(), OWNER, &self.options, self.seeds)?;
        self.wal = Some(wal);
        Ok(recovered)
    }

    /// Opens the log and checks that it holds what was promised, or more; from now on that is
    /// promised.
    fn reopen(&mut self) -> Recovered {
        let recovered = self.open().unwrap_or_else(|error| panic!("a crash is no damage: {error}"));
        self.accept(&recovered);
        recovered
    }

    fn accept(&mut self, recovered: &Recovered) {
        let found =
            Content { hard_state: recovered.hard_state, entries: recovered.entries.clone() };
        let place = self.contents[self.promised..].iter().rposition(|content| *content == found);
        let place = place.unwrap_or_else(|| {
            panic!(
                "found {found:?}, promised {:?} of {} batches",
                self.promised,
                self.contents.len() - 1
            )
        });
        self.contents.truncate(self.promised + place + 1);
        self.promised = self.contents.len() - 1;
    }

    fn last(&self) -> &Content {
        &self.contents[self.contents.len() - 1]
    }

    fn wal(&mut self) -> &mut Wal<SimulatedDisk> {
        self.wal.as_mut().expect("an open log")
    }

    fn stage(&mut self, hard_state: HardState, entries: Vec<Entry>) -> Result<(), WalError> {
        let mut after = self.last().clone();
        after.hard_state = hard_state;
        if let Some(first) = entries.first() {
            after.entries.truncate(first.position.index.0 as usize - 1);
            after.entries.extend(entries.iter().cloned());
        }
        // A write that fails may have been written all the same.
        self.contents.push(after);
        let id = WriteId(self.contents.len() as u64);
        self.wal().stage(&Write { id, hard_state, reset: None, entries })
    }

    /// Stages an entry of this many bytes at the end.
    fn append(&mut self, bytes: usize) {
        let last = self.last();
        let term = last.hard_state.term.max(Term(1));
        let hard_state = HardState { term, ..last.hard_state };
        let entry = entry(last.entries.len() as u64 + 1, term.0, bytes);
        self.stage(hard_state, vec![entry]).expect("a healthy disk");
    }

    fn sync(&mut self) -> Result<(), WalError> {
        self.wal().sync()?;
        self.promised = self.contents.len() - 1;
        Ok(())
    }

    /// A log whose promised part is copied, so that each test of a crash starts from the same.
    fn fork(&self) -> Fixture {
        Fixture {
            disk: self.disk.fork(),
            options: self.options,
            wal: None,
            contents: self.contents.clone(),
            promised: self.promised,
            seeds: self.seeds + 1000,
        }
    }

    /// A crash that does to each thing not synced yet what is said of its number, from 0.
    fn crash(&self, fate: impl Fn(usize) -> Fate) {
        let mut numbers = 0..;
        self.disk.crash(|| fate(numbers.next().expect("an endless range")));
    }

    /// After recovery all is durable, and the log goes on.
    fn check_usable(&mut self) {
        self.wal = None;
        self.disk.crash(|| Fate::Lost);
        self.reopen();
        self.append(100);
        self.sync().expect("a healthy disk");
        self.disk.crash(|| Fate::Lost);
        self.reopen();
    }
}

fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    let filler = (index * 31 + term * 7) as u8;
    let command = Bytes::from(vec![filler; bytes]);
    Entry {
        position: LogPosition::new(index, term),
        time: LogTime(index),
        payload: Payload::Command([Item::Plain(command)].into()),
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

// Crashes.

/// A synced batch, then several in one flight; each with a command of so many bytes.
fn flight(synced: usize, flight: &[usize]) -> Fixture {
    let mut fixture = Fixture::new(TINY);
    fixture.append(synced);
    fixture.sync().expect("a healthy disk");
    for bytes in flight {
        fixture.append(*bytes);
    }
    fixture
}

fn flight_within_a_segment() -> Fixture {
    flight(300, &[10, 300, 0, 250, 40])
}

/// A flight in which a segment is begun.
fn flight_over_a_segments_end() -> Fixture {
    flight(600, &[200, 30, 400, 300, 30])
}

/// A flight in which two segments are begun.
fn flight_over_three_segments() -> Fixture {
    flight(700, &[300, 1200, 1100])
}

#[test]
fn any_subset_of_the_last_flights_sectors_is_cut_and_never_damage() {
    for flight in [flight_within_a_segment, flight_over_a_segments_end, flight_over_three_segments]
    {
        let fixture = flight();
        let things = fixture.disk.unsynced();
        assert!((6..=14).contains(&things), "{things} things may be lost");
        let mut recovered = [0; 8];
        for subset in 0..1_u32 << things {
            let mut crashed = fixture.fork();
            crashed.crash(|number| if subset >> number & 1 == 1 { Fate::Kept } else { Fate::Lost });
            crashed.reopen();
            recovered[crashed.promised - fixture.promised] += 1;
            crashed.disk.crash(|| Fate::Lost);
            assert_eq!(crashed.reopen().cut, None, "what was cut is gone");
            crashed.check_usable();
        }
        assert_eq!(recovered.iter().sum::<u32>(), 1 << things);
        assert!(recovered[0] > 0, "the whole flight lost");
        assert!(recovered[1] > 0, "some of it");
        assert!(recovered[fixture.contents.len() - 1 - fixture.promised] > 0, "none of it");
    }
}

#[test]
fn a_sector_may_be_torn_at_any_byte() {
    for flight in [flight_within_a_segment, flight_over_a_segments_end] {
        let fixture = flight();
        for torn in 0..fixture.disk.unsynced() {
            for bytes in (0..512).step_by(3) {
                for others in [Fate::Kept, Fate::Lost] {
                    let mut crashed = fixture.fork();
                    crashed.crash(|number| if number == torn { Fate::Torn(bytes) } else { others });
                    crashed.reopen();
                }
            }
        }
    }
}

/// Recovery that is itself interrupted, at each of its steps and in many ways, changes nothing.
#[test]
fn a_crash_in_the_middle_of_recovery_is_no_worse_than_the_first() {
    for flight in [flight_within_a_segment, flight_over_a_segments_end, flight_over_three_segments]
    {
        for seed in 0..300 {
            let mut random = Random(seed);
            let mut crashed = flight();
            crashed.wal = None;
            if !random.one_in(4) {
                crash(&crashed.disk, &mut random); // else the process alone, the cache is kept
            }
            for _ in 0..random.below(4) {
                crashed.disk.fail_after(random.below(8), io::ErrorKind::Other);
                match crashed.open() {
                    Ok(recovered) => crashed.accept(&recovered),
                    Err(OpenError::Io(_)) => {}
                    Err(error) => panic!("seed {seed}: {error}"),
                }
                crashed.disk.heal();
                if !random.one_in(3) {
                    crash(&crashed.disk, &mut random);
                }
            }
            crashed.reopen();
            crashed.check_usable();
        }
    }
}

/// Loses power; how much survives is drawn too.
fn crash(disk: &SimulatedDisk, random: &mut Random) {
    let kind = random.below(5);
    disk.crash(|| match kind {
        0 => Fate::Lost,
        1 => Fate::Kept,
        2 if random.one_in(8) => Fate::Lost,
        2 => Fate::Kept,
        3 if random.one_in(2) => Fate::Lost,
        3 => Fate::Kept,
        _ if random.one_in(3) => Fate::Torn(random.below(513)),
        _ if random.one_in(2) => Fate::Lost,
        _ => Fate::Kept,
    });
}

/// After a sync that failed, what it should have written can still be read, and no later sync
/// writes it: it has to be written again before it counts.
#[test]
fn what_no_header_proves_is_written_again_before_it_counts() {
    for flight in [flight_within_a_segment, flight_over_a_segments_end, flight_over_three_segments]
    {
        let mut fixture = flight();
        let staged = fixture.contents.len();
        fixture.disk.fail_after(0, io::ErrorKind::Other);
        assert!(fixture.sync().is_err());
        fixture.disk.heal();
        fixture.reopen(); // the process alone died
        assert_eq!(fixture.contents.len(), staged, "all of it can be read");
        fixture.disk.crash(|| Fate::Lost);
        fixture.reopen();
        assert_eq!(fixture.contents.len(), staged, "and now all of it is durable");
    }
}

/// Bytes of a batch that was cut do not come back as the successor of its replacement, not even if
/// the replacement says the same and the zeros over them were lost.
#[test]
fn what_was_cut_never_comes_back() {
    for bytes in (3000..3600).step_by(8) {
        let mut fixture = Fixture::new(PAGES);
        fixture.append(100);
        fixture.sync().expect("a healthy disk");
        let promised = fixture.contents.len();
        fixture.append(bytes); // its first sector is lost; for some length it ends with a page
        fixture.append(20); // kept
        fixture.crash(|number| if number == 0 { Fate::Lost } else { Fate::Kept });
        // Recovery zeroes both, but its sync fails: zeros can be read, the old bytes are durable.
        fixture.disk.fail_sync();
        assert!(matches!(fixture.open(), Err(OpenError::Io(_))));
        fixture.reopen();
        assert_eq!(fixture.contents.len(), promised);
        fixture.append(bytes); // the same again
        fixture.sync().expect("a healthy disk");
        fixture.disk.crash(|| Fate::Lost);
        fixture.reopen();
        assert_eq!(fixture.contents.len(), promised + 1);
    }
}

/// Records of a batch that was cut are never taken for those of one of the same shape in its place,
/// though each of them is whole.
#[test]
fn records_of_a_lost_batch_are_not_mixed_into_a_later_one() {
    for padding in (0..512).step_by(8) {
        let mut fixture = Fixture::new(TINY);
        fixture.append(100);
        fixture.sync().expect("a healthy disk");
        let batch = |term: u64| -> Vec<Entry> {
            let sizes = [padding, 400, 400];
            (2..).zip(sizes).map(|(index, bytes)| entry(index, term, bytes)).collect()
        };
        let hard_state = HardState { term: Term(2), voted_for: None };
        fixture.stage(hard_state, batch(1)).expect("a healthy disk");
        fixture.crash(|number| if number == 0 { Fate::Lost } else { Fate::Kept });
        // The zeros over it can be read, but the old bytes are durable: the sync failed.
        fixture.disk.fail_sync();
        assert!(matches!(fixture.open(), Err(OpenError::Io(_))));
        fixture.reopen();
        fixture.stage(hard_state, batch(2)).expect("a healthy disk");
        for kept in 0..fixture.disk.unsynced() {
            let mut crashed = fixture.fork();
            crashed.crash(|number| if number == kept { Fate::Kept } else { Fate::Lost });
            crashed.reopen();
        }
    }
}

#[test]
fn what_follows_a_cut_is_zeroed_on_the_disk() {
    let mut fixture = Fixture::new(TINY);
    fixture.append(100);
    fixture.sync().expect("a healthy disk");
    for bytes in [700, 30, 1000] {
        fixture.append(bytes);
    }
    // Lost: the first batch's first sector.
    fixture.crash(|number| if number == 0 { Fate::Lost } else { Fate::Kept });
    let cut = fixture.reopen().cut.expect("a cut");
    assert!(cut.bytes > 0);
    assert_eq!(cut.removed.len(), 1, "the segment begun in the flight");
    fixture.disk.crash(|| Fate::Lost);
    let contents = fixture.disk.contents();
    assert_eq!(contents.keys().collect::<Vec<_>>(), [&cut.file]);
    let rest = &contents[&cut.file][cut.offset as usize..];
    assert!(rest.iter().all(|byte| *byte == 0));
}

/// Everything at once, drawn at random: writes, votes, truncations, markers, failing disks, crashes
/// of the process and of the machine, also in the middle of recovery.
#[test]
fn whatever_happens_promises_are_kept() {
    for seed in 0..1000 {
        let outcome = std::panic::catch_unwind(|| live_through(seed));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

fn live_through(seed: u64) {
    let mut random = Random(seed);
    let mut fixture = Fixture::new(TINY);
    let trouble = 2 + random.below(12);
    for _ in 0..60 {
        if random.one_in(trouble) {
            if random.one_in(2) {
                fixture.disk.fail_after(random.below(4), io::ErrorKind::Other);
                let healthy = act(&mut fixture, &mut random).is_ok();
                fixture.disk.heal();
                if healthy && random.one_in(2) {
                    continue;
                }
            }
            restart(&mut fixture, &mut random);
        }
        act(&mut fixture, &mut random).expect("a healthy disk");
    }
    fixture.reopen();
    fixture.check_usable();
}

fn act(fixture: &mut Fixture, random: &mut Random) -> Result<(), WalError> {
    match random.below(10) {
        0..=5 => {
            let last = fixture.last().clone();
            let mut hard_state = last.hard_state;
            if random.one_in(4) {
                let term = Term(hard_state.term.0 + 1);
                hard_state = HardState { term, voted_for: None };
            }
            if hard_state.voted_for.is_none() && random.one_in(2) {
                hard_state.voted_for = Some(NodeId(random.below(3) as u64));
            }
            let length = last.entries.len() as u64;
            let back = if random.one_in(4) { random.below(4) as u64 } else { 0 };
            let first = length.saturating_sub(back) + 1;
            let sizes: Vec<usize> = (0..random.below(4)).map(|_| random.below(700)).collect();
            let indexes = first..first + sizes.len() as u64;
            let term = hard_state.term.0;
            let entries = indexes.zip(sizes).map(|(index, size)| entry(index, term, size));
            fixture.stage(hard_state, entries.collect())
        }
        6..=8 => fixture.sync(),
        _ => {
            fixture.wal().mark()?;
            fixture.promised = fixture.contents.len() - 1;
            Ok(())
        }
    }
}

fn restart(fixture: &mut Fixture, random: &mut Random) {
    fixture.wal = None;
    loop {
        if !random.one_in(3) {
            crash(&fixture.disk, random);
        }
        if random.one_in(2) {
            fixture.reopen();
            return;
        }
        fixture.disk.fail_after(random.below(8), io::ErrorKind::Other);
        let opened = fixture.open();
        fixture.disk.heal();
        match opened {
            Ok(recovered) => fixture.accept(&recovered),
            Err(OpenError::Io(_)) => {}
            Err(error) => panic!("a crash is no damage: {error}"),
        }
        fixture.wal = None;
    }
}

// Faults of the medium.

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

// The bytes.

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
    fixture.wal().stage(&write).expect("a healthy disk");
    let (_, bytes) = fixture.disk.contents().pop_first().expect("a segment");
    let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four"));
    assert_eq!((u32_at(512 + 60), u32_at(512 + 68)), (2, 2), "two records, the first a reset");
    let spelt = [0x92, 3, 20]; // a position by docs/wire.md: term, index
    assert_eq!((u32_at(512 + 72), u32_at(512 + 76)), (3, crc32c(&spelt)));
    assert_eq!(bytes[512 + 80..512 + 83], spelt);
}
