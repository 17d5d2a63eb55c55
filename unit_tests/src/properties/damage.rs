//! What a medium, a file system or a person does to the files of a log: damage drawn from choices.
//! Must never touch the superblock, which has a property of its own.

use super::Choices;
use super::written_log::{Files, WrittenLog};

/// Bytes that a disk writes whole.
const SECTOR: usize = 512;

/// Damages the files; names what it did.
pub fn damage(choices: &mut Choices, log: &WrittenLog, files: &mut Files) -> &'static str {
    let names: Vec<String> = files.keys().filter(|name| name.ends_with(".log")).cloned().collect();
    if names.is_empty() {
        return "nothing left";
    }
    let name = choices.one_of(&names);
    let other = choices.one_of(&names);
    match choices.below(12) {
        0 => flip(choices, files, &name),
        1 => zero_sector(choices, files, &name),
        2 => swap_sectors(choices, files, &name, &other),
        3 => truncate(choices, files, &name),
        4 => stale_sector(choices, log, files, &name),
        5 => {
            files.remove(&name);
            "a deleted segment"
        }
        6 => {
            let one = files.get(&name).cloned().unwrap_or_default();
            let two = files.insert(other, one).unwrap_or_default();
            files.insert(name, two);
            "swapped segments"
        }
        7 => foreign_file(choices, files),
        8 => set_bytes(choices, files, &name),
        9 => misdirected_sector(choices, files, &name, &other),
        10 => stale_file(choices, log, files, &name),
        _ => set_field(choices, files, &name),
    }
}

/// A place in what the file holds, or just behind.
fn place(choices: &mut Choices, bytes: &[u8]) -> usize {
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    choices.below((used + 16).min(bytes.len()).max(1))
}

fn sector_of(at: usize, length: usize) -> std::ops::Range<usize> {
    let start = (at / SECTOR * SECTOR).min(length);
    start..(start + SECTOR).min(length)
}

fn flip(choices: &mut Choices, files: &mut Files, name: &str) -> &'static str {
    let Some(bytes) = files.get_mut(name) else { return "nothing left" };
    let at = place(choices, bytes);
    if let Some(byte) = bytes.get_mut(at) {
        *byte ^= 1 << choices.below(8);
    }
    "a flipped bit"
}

fn zero_sector(choices: &mut Choices, files: &mut Files, name: &str) -> &'static str {
    let Some(bytes) = files.get_mut(name) else { return "nothing left" };
    let range = sector_of(place(choices, bytes), bytes.len());
    bytes[range].fill(0);
    "a zeroed sector"
}

fn swap_sectors(choices: &mut Choices, files: &mut Files, name: &str, other: &str) -> &'static str {
    let sector = |files: &Files, name: &str, at: usize| {
        let bytes = &files[name];
        bytes[sector_of(at, bytes.len())].to_vec()
    };
    let (here, there) = (place(choices, &files[name]), place(choices, &files[other]));
    let (one, two) = (sector(files, name, here), sector(files, other, there));
    for (name, at, sector) in [(name, here, two), (other, there, one)] {
        let bytes = files.get_mut(name).expect("a file that was just read");
        let range = sector_of(at, bytes.len());
        let fits = range.len().min(sector.len());
        bytes[range][..fits].copy_from_slice(&sector[..fits]);
    }
    "swapped sectors"
}

/// What was meant for one place was written to another, too.
fn misdirected_sector(
    choices: &mut Choices,
    files: &mut Files,
    name: &str,
    other: &str,
) -> &'static str {
    let from = sector_of(place(choices, &files[name]), files[name].len());
    let sector = files[name][from].to_vec();
    let Some(bytes) = files.get_mut(other) else { return "nothing left" };
    let range = sector_of(place(choices, bytes), bytes.len());
    let fits = range.len().min(sector.len());
    bytes[range][..fits].copy_from_slice(&sector[..fits]);
    "a misdirected sector"
}

fn truncate(choices: &mut Choices, files: &mut Files, name: &str) -> &'static str {
    let Some(bytes) = files.get_mut(name) else { return "nothing left" };
    match choices.below(3) {
        0 => bytes.truncate(place(choices, bytes)),
        1 => bytes.truncate(bytes.len().saturating_sub(1 + choices.below(600))),
        _ => bytes.resize(bytes.len() + 1 + choices.below(600), 0),
    }
    "another length"
}

/// What the file held at one of the syncs before.
fn earlier<'a>(choices: &mut Choices, log: &'a WrittenLog, name: &str) -> Option<&'a Vec<u8>> {
    let old = choices.below(log.history.len().max(1));
    log.history.get(old)?.get(name)
}

/// A write to one sector was lost, though a sync had returned: an earlier version of it is there.
fn stale_sector(
    choices: &mut Choices,
    log: &WrittenLog,
    files: &mut Files,
    name: &str,
) -> &'static str {
    let (Some(old), Some(bytes)) = (earlier(choices, log, name), files.get_mut(name)) else {
        return "nothing older";
    };
    let range = sector_of(place(choices, bytes), bytes.len());
    if let Some(sector) = old.get(range.clone()) {
        bytes[range].copy_from_slice(sector);
    }
    "a stale sector"
}

fn stale_file(
    choices: &mut Choices,
    log: &WrittenLog,
    files: &mut Files,
    name: &str,
) -> &'static str {
    let Some(old) = earlier(choices, log, name) else { return "nothing older" };
    files.insert(name.to_owned(), old.clone());
    "a stale segment"
}

/// A file that this log never had: of another node, with a name that is nobody's, or of any bytes.
fn foreign_file(choices: &mut Choices, files: &mut Files) -> &'static str {
    let mut foreign = WrittenLog::drawn(choices, 2).disk.contents();
    foreign.retain(|name, _| name.ends_with(".log"));
    let Some((name, bytes)) = foreign.pop_last() else { return "nothing left" };
    let sequence = files.len() as u64 + choices.below(3) as u64;
    let (name, bytes) = match choices.below(5) {
        0 => (name, bytes),
        1 => (format!("{sequence:010}{}", &name[10..]), bytes),
        2 => (format!("{sequence:010}-00000000000000ff.log"), choices.bytes(600).to_vec()),
        3 => (choices.one_of(&["notes.txt", "1-1.log", "0000000002-1.log"]).to_owned(), bytes),
        _ => {
            let own = files.keys().filter(|name| name.ends_with(".log")).cloned();
            (choices.one_of(&own.collect::<Vec<_>>()), bytes)
        }
    };
    files.insert(name, bytes);
    "a foreign file"
}

fn set_bytes(choices: &mut Choices, files: &mut Files, name: &str) -> &'static str {
    let Some(bytes) = files.get_mut(name) else { return "nothing left" };
    let at = place(choices, bytes);
    for byte in bytes.iter_mut().skip(at).take(1 + choices.below(40)) {
        *byte = choices.byte();
    }
    "other bytes"
}

fn set_field(choices: &mut Choices, files: &mut Files, name: &str) -> &'static str {
    let Some(bytes) = files.get_mut(name) else { return "nothing left" };
    let at = place(choices, bytes) / 8 * 8;
    let number = super::hostile::number(choices, 1 << 9);
    if let Some(field) = bytes.get_mut(at..at + 8) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    "another number"
}
