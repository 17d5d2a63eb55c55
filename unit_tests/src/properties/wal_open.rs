//! Opening a folder whose log was damaged: an error that names file and offset and changes nothing,
//! or a state that the log once had, not older than what the bytes that are left prove (design, rule
//! 13). Never a panic, never an entry that was not written; and what was opened once opens again.

use servers::storage::{self, Damage, OpenError, Verdict};
use simulation::{Fate, SimulatedDisk};
use states::{Config, Log, Replica};

use super::damage::damage;
use super::hostile;
use super::written_log::{self, Content, Files, WrittenLog, content, disk_of, identity};
use super::{Choices, Marks, Target, within};

/// The property of opening.
pub const TARGET: Target = Target {
    name: "wal_open",
    check,
    marks: &[
        "a log that was not damaged",
        "several segments",
        "a crash cut something",
        "damage refused",
        "damage beyond what is proven: cut",
        "damage that changes nothing",
        "an older state, as far as proven",
        "segments removed",
        "any bytes are refused",
        "any bytes are opened",
        "a forged batch is refused",
        "a forged batch is opened",
        // Kinds of damage.
        "a flipped bit",
        "a zeroed sector",
        "swapped sectors",
        "another length",
        "a stale sector",
        "a deleted segment",
        "swapped segments",
        "a foreign file",
        "other bytes",
        "a misdirected sector",
        "a stale segment",
        "another number",
        "nothing older",
        "nothing left",
    ],
    longest: 260,
};

fn check(bytes: &[u8]) -> Marks {
    let mut choices = Choices::new(bytes);
    let mut marks = Marks::new();
    match choices.below(8) {
        0 => any_bytes(&mut choices, &mut marks),
        1 => forged(&mut choices, &mut marks),
        _ => damaged(&mut choices, &mut marks),
    }
    marks
}

fn damaged(choices: &mut Choices, marks: &mut Marks) {
    let log = WrittenLog::drawn(choices, 1);
    let mut files = log.disk.contents();
    let whole = files.clone();
    let damages: Vec<&str> =
        (0..choices.below(4)).map(|_| damage(choices, &log, &mut files)).collect();
    let is_damaged = files != whole;
    marks.extend(&damages);
    // Undamaged, the disk itself is opened: it may hold what was never synced.
    let disk = if is_damaged { disk_of(&files) } else { log.disk.fork() };
    let newest_boot = log.boots.iter().max().expect("it was opened").0 >> 32;
    match open_twice(&disk) {
        Ok(opened) => {
            let proven = if is_damaged { log.proven(&files) } else { log.promised };
            let found = content(&opened);
            assert!(
                log.had(&found, proven),
                "after {damages:?}: found {found:?}\nproven {proven} of {:#?}\nin {:?}",
                log.line,
                log.cut,
            );
            assert!(opened.boot.0 >> 32 > newest_boot, "a boot is never used again");
            note_opened(&log, &opened, is_damaged, marks);
        }
        Err(error) => {
            assert!(is_damaged, "nothing was damaged: {error}");
            check_refusal(&error, &files);
            marks.insert("damage refused");
        }
    }
    if files.keys().filter(|name| name.ends_with(".log")).count() > 1 {
        marks.insert("several segments");
    }
}

fn note_opened(
    log: &WrittenLog,
    opened: &storage::Opened<SimulatedDisk>,
    is_damaged: bool,
    marks: &mut Marks,
) {
    let cut = opened.recovered.cut.as_ref();
    let is_newest = content(opened) == *log.last();
    marks.insert(match (is_damaged, cut.is_some(), is_newest) {
        (false, true, _) => "a crash cut something",
        (false, false, _) => "a log that was not damaged",
        (true, true, _) => "damage beyond what is proven: cut",
        (true, false, true) => "damage that changes nothing",
        (true, false, false) => "an older state, as far as proven",
    });
    if cut.is_some_and(|cut| !cut.removed.is_empty()) {
        marks.insert("segments removed");
    }
}

/// Opens a folder, and what that left again: both times the same, also after a crash. An error
/// changes nothing, and `inspect` knew before.
fn open_twice(disk: &SimulatedDisk) -> Result<storage::Opened<SimulatedDisk>, OpenError> {
    let before = disk.contents();
    let most = (1 << 18) + 64 * before.values().map(Vec::len).sum::<usize>();
    let inspection = within(most, || storage::inspect(disk));
    let opened = match within(most, || written_log::open(disk, 1001)) {
        Ok(opened) => opened,
        Err(error) => {
            assert_eq!(disk.contents(), before, "an error changes nothing");
            let again = written_log::open(disk, 1002).expect_err("an error stays");
            assert_eq!(again.to_string(), error.to_string());
            if let (OpenError::Damaged(damage), Ok(inspection)) = (&error, inspection) {
                let says = inspection.verdict;
                let is_foreign = damage.what.contains("belongs to another node");
                assert!(is_foreign || says == Verdict::Damaged(damage.clone()), "{says:?}");
            }
            return Err(error);
        }
    };
    let verdict = inspection.expect("what opens can be inspected").verdict;
    match &opened.recovered.cut {
        None => assert_eq!(verdict, Verdict::Whole),
        Some(cut) => assert_eq!(verdict, Verdict::Cut(cut.clone())),
    }
    // The rules take it.
    let (state, entries) = (opened.recovered.hard_state, opened.recovered.entries.clone());
    let own = identity(1);
    Replica::recovered(
        own.node,
        own.membership(),
        Config::default(),
        1,
        state,
        None,
        Log::recovered(entries),
    );
    for power_fails in [false, true] {
        let copy = disk.fork();
        if power_fails {
            copy.crash(|| Fate::Lost);
        }
        let again = written_log::open(&copy, 1003).expect("what was opened opens again");
        assert_eq!(content(&again), content(&opened), "opened again, power lost: {power_fails}");
        assert_eq!(again.recovered.cut, None, "what was cut is gone");
        assert!(again.boot > opened.boot, "boots rise");
    }
    Ok(opened)
}

/// An error names a file of the log, and a place in it.
fn check_refusal(error: &OpenError, files: &Files) {
    let OpenError::Damaged(Damage { file, offset, .. }) = error else {
        panic!("only damage was done: {error}")
    };
    let length = files.get(file).map(|bytes| bytes.len() as u64);
    match length {
        Some(length) => assert!(*offset <= length, "{error}"),
        None => assert_eq!(file, "0000000001-*.log", "{error}"),
    }
    assert!(error.to_string().contains(&**file) && error.to_string().contains("damaged at byte"));
}

/// A folder with the right superblock and head, and then any bytes.
fn any_bytes(choices: &mut Choices, marks: &mut Marks) {
    let mut files = WrittenLog::new(1).disk.contents();
    let name = files.keys().find(|name| name.ends_with(".log")).expect("a log").clone();
    let keep = choices.one_of(&[512, 0, 600, 4]);
    let mut bytes = files[&name][..keep].to_vec();
    bytes.extend_from_slice(choices.rest());
    if choices.one_in(2) {
        bytes.resize(2048, 0);
    }
    files.insert(name, bytes);
    marks.insert(match open_twice(&disk_of(&files)) {
        Ok(_) => "any bytes are opened",
        Err(error) => {
            check_refusal(&error, &files);
            "any bytes are refused"
        }
    });
}

/// A header or head with other numbers in it and a checksum that is right: no accident, but no
/// reason to panic, and no reason to hand the rules what they do not take.
fn forged(choices: &mut Choices, marks: &mut Marks) {
    let log = WrittenLog::drawn(choices, 1);
    let mut files = log.disk.contents();
    for _ in 0..=choices.below(3) {
        if log.witnesses.is_empty() {
            return;
        }
        let witness = &log.witnesses[choices.below(log.witnesses.len())];
        let length = witness.bytes.len();
        let place = witness.offset..witness.offset + length;
        let Some(header) = files.get_mut(&witness.file).and_then(|file| file.get_mut(place)) else {
            continue; // a crash took the file
        };
        let at = 8 + choices.below((length.min(96) - 8) / 4) * 4;
        let (old, rest) = header[at..].split_at_mut(4);
        let near = u32::from_le_bytes(old.try_into().expect("four bytes"));
        let number = hostile::number(choices, u64::from(near)).to_le_bytes();
        old.copy_from_slice(&number[..4]);
        if choices.one_in(2) && at.is_multiple_of(8) && rest.len() >= 4 {
            rest[..4].copy_from_slice(&number[4..]);
        }
        let salt = u64::from_str_radix(&witness.file[11..27], 16).expect("a segment's name");
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), &header[8..]);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
    marks.insert(match open_twice(&disk_of(&files)) {
        Ok(opened) => {
            let written: Vec<_> = log.line.iter().chain(log.cut.iter().map(|(_, c)| c)).collect();
            let Content { entries, .. } = content(&opened);
            let is_ours = |entry| written.iter().any(|state| state.entries.contains(entry));
            assert!(entries.iter().all(is_ours), "an entry that was not written");
            "a forged batch is opened"
        }
        Err(_) => "a forged batch is refused",
    });
}
