//! The log on disk after a crash, which may keep, lose or tear each sector written since the last sync
//! that returned: what is found then is what was promised, or more, and never damage. Faults of the
//! medium are in `damage.rs`.

#[path = "support/log.rs"]
mod log;

use std::io;

use log::{
    Fixture, PAGES, Random, TINY, entry, flight_over_a_segments_end, flight_over_three_segments,
    flight_within_a_segment,
};
use messages::{Entry, NodeId, Term};
use servers::storage::{OpenError, WalError};
use simulation::{Fate, SimulatedDisk};
use states::HardState;

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
