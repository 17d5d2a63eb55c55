//! The log on disk in fair weather, on a simulated disk and on real files: what is written is what
//! is read, promises wait for their sync. Foul weather is in `recovery.rs` and `damage.rs`, whose
//! folder it is in `founding.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use messages::{
    AppendEntriesReply, AppendOutcome, ClusterId, Content, Entry, Envelope, GroupId, Item,
    LogIndex, LogPosition, LogTime, Message, NodeId, Payload, Term,
};
use proptest::collection::vec;
use proptest::prelude::*;
use servers::founding::{demonstration, found};
use servers::storage::{
    self, Disk, Done, Expected, FolderDisk, Job, OpenError, Options, Owner, Rounds, Verdict, Wal,
    Writer,
};
use servers::transport::Lane;
use simulation::{Fate, SimulatedDisk};
use states::{HardState, Write, WriteId};

const OWNER: Owner = Owner { cluster: ClusterId(7), node: NodeId(1) };
const SMALL: Options = Options { first_segment: 4096, segment: 4096 };

fn entry(index: u64, term: u64, bytes: usize) -> Entry {
    let command = Bytes::from(vec![b'x'; bytes]);
    Entry {
        position: LogPosition::new(index, term),
        time: LogTime(index * 1000),
        payload: Payload::Command([Item::Plain(command)].into()),
    }
}

fn write(id: u64, term: u64, vote: Option<u64>, entries: Vec<Entry>) -> Write {
    let hard_state = HardState { term: Term(term), voted_for: vote.map(NodeId) };
    Write { id: WriteId(id), hard_state, reset: None, entries }
}

fn new_wal<D: Disk>(mut disk: D, options: &Options) -> Wal<D> {
    Wal::create(&mut disk, OWNER, options, 11).expect("a new log");
    let (wal, recovered) = Wal::open(disk, OWNER, options, 12).expect("an empty log");
    assert_eq!(recovered.entries, []);
    assert_eq!(recovered.hard_state, HardState::default());
    assert_eq!(recovered.cut, None);
    wal
}

fn positions(entries: &[Entry]) -> Vec<String> {
    entries.iter().map(|entry| entry.position.to_string()).collect()
}

#[test]
fn what_was_synced_is_read_back() {
    let disk = SimulatedDisk::new();
    let mut wal = new_wal(disk.clone(), &SMALL);
    let entries = vec![entry(1, 1, 0), entry(2, 1, 3), entry(3, 1, 100)];
    wal.stage(&write(1, 1, Some(2), entries.clone())).expect("staged");
    wal.sync().expect("synced");
    disk.crash(|| Fate::Lost);
    let (_, recovered) = Wal::open(disk, OWNER, &SMALL, 13).expect("a whole log");
    assert_eq!(recovered.entries, entries);
    assert_eq!(recovered.hard_state, HardState { term: Term(1), voted_for: Some(NodeId(2)) });
    assert_eq!(recovered.cut, None);
}

/// Paper, section 5.3: a follower deletes conflicting entries and all that follow them.
#[test]
fn entries_replace_everything_from_their_first_on() {
    let disk = SimulatedDisk::new();
    let mut wal = new_wal(disk.clone(), &SMALL);
    wal.stage(&write(1, 1, None, (1..=5).map(|index| entry(index, 1, 8)).collect())).unwrap();
    wal.stage(&write(2, 2, None, vec![entry(3, 2, 8)])).unwrap();
    wal.stage(&write(3, 3, None, vec![])).unwrap();
    wal.sync().unwrap();
    let (mut wal, recovered) = Wal::open(disk.clone(), OWNER, &SMALL, 13).unwrap();
    assert_eq!(positions(&recovered.entries), ["1@1", "2@1", "3@2"]);
    assert_eq!(recovered.hard_state.term, Term(3));
    wal.stage(&write(1, 4, None, vec![entry(1, 4, 8)])).unwrap();
    wal.sync().unwrap();
    let (_, recovered) = Wal::open(disk, OWNER, &SMALL, 14).unwrap();
    assert_eq!(positions(&recovered.entries), ["1@4"]);
}

#[test]
fn a_log_goes_on_over_many_segments_and_starts() {
    let disk = SimulatedDisk::new();
    let mut wal = new_wal(disk.clone(), &SMALL);
    let mut expected = Vec::new();
    for start in 0..10 {
        for step in 0..40 {
            let index = start * 40 + step + 1;
            let next = entry(index, start + 1, (index % 97) as usize);
            wal.stage(&write(index, start + 1, Some(start), vec![next.clone()])).unwrap();
            expected.push(next);
            if index % 3 == 0 {
                wal.sync().unwrap();
            }
        }
        wal.sync().unwrap();
        disk.crash(|| Fate::Lost);
        let (opened, recovered) = Wal::open(disk.clone(), OWNER, &SMALL, 100 + start).unwrap();
        assert_eq!(recovered.entries, expected);
        assert_eq!(recovered.cut, None);
        wal = opened;
    }
    assert!(disk.list().unwrap().len() > 10);
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own_size() {
    let disk = SimulatedDisk::new();
    let mut wal = new_wal(disk.clone(), &SMALL);
    let entries = vec![entry(1, 1, 10), entry(2, 1, 50_000), entry(3, 1, 10)];
    for (place, entry) in entries.iter().enumerate() {
        wal.stage(&write(place as u64 + 1, 1, None, vec![entry.clone()])).unwrap();
    }
    wal.sync().unwrap();
    disk.crash(|| Fate::Lost);
    let (_, recovered) = Wal::open(disk.clone(), OWNER, &SMALL, 13).unwrap();
    assert_eq!(recovered.entries, entries);
    let mut lengths: Vec<usize> = disk.contents().values().map(Vec::len).collect();
    lengths.sort_unstable();
    assert_eq!(lengths[..2], [4096, 4096]);
    assert!((50_000..52_000).contains(&lengths[2]));
}

/// One write and one sync cover all that was staged since the last.
#[test]
fn one_sync_for_all_that_was_staged() {
    let disk = SimulatedDisk::new();
    let mut wal = new_wal(disk.clone(), &Options::default());
    let (operations, syncs) = (disk.operations(), disk.syncs());
    for index in 1..=50 {
        wal.stage(&write(index, 1, None, vec![entry(index, 1, 64)])).unwrap();
    }
    assert_eq!(disk.syncs() - syncs, 0);
    assert!(wal.synced() < wal.end());
    wal.sync().unwrap();
    wal.sync().unwrap(); // nothing more to do
    assert_eq!(disk.syncs() - syncs, 1);
    assert_eq!(disk.operations() - operations, 2);
    assert_eq!(wal.synced(), wal.end());
}

#[test]
fn a_marker_is_written_once() {
    let disk = SimulatedDisk::new();
    let mut wal = new_wal(disk.clone(), &SMALL);
    wal.stage(&write(1, 1, None, vec![entry(1, 1, 64)])).unwrap();
    assert!(wal.mark().unwrap());
    assert!(!wal.mark().unwrap());
    wal.stage(&write(2, 1, None, vec![])).unwrap();
    assert!(wal.mark().unwrap());
    let (_, recovered) = Wal::open(disk, OWNER, &SMALL, 13).unwrap();
    assert_eq!(positions(&recovered.entries), ["1@1"]);
}

/// Contract, section 5: a failed write or sync is never retried.
#[test]
fn after_a_failure_the_log_refuses_everything() {
    for failing in 0..3 {
        let disk = SimulatedDisk::new();
        let mut wal = new_wal(disk.clone(), &SMALL);
        disk.fail_after(failing, io::ErrorKind::StorageFull);
        let mut failed = None;
        for id in 1..=2 {
            let staged = wal.stage(&write(id, 1, None, vec![entry(id, 1, 8)]));
            if let Err(error) = staged.and_then(|()| wal.sync()) {
                failed = Some(error);
                break;
            }
        }
        let failed = failed.expect("a failure");
        assert!(failed.file.ends_with(".log"), "{failed}");
        assert_eq!(failed.error.kind(), io::ErrorKind::StorageFull);
        disk.heal();
        let operations = disk.operations();
        assert!(wal.stage(&write(3, 1, None, vec![])).is_err());
        assert!(wal.write().is_err());
        assert!(wal.sync().is_err());
        assert!(wal.mark().is_err());
        assert_eq!(disk.operations(), operations, "the disk was not touched again");
    }
}

/// After a sync that failed, the next returns without having written what the failed one lost.
#[test]
fn a_failed_sync_is_not_tried_again() {
    let disk = SimulatedDisk::new();
    let mut wal = new_wal(disk.clone(), &SMALL);
    wal.stage(&write(1, 1, None, vec![entry(1, 1, 8)])).expect("staged");
    let syncs = disk.syncs();
    disk.fail_sync();
    assert!(wal.sync().is_err());
    assert!(wal.sync().is_err(), "the log is not to be used again");
    assert_eq!(disk.syncs(), syncs + 1);
}

// The writer.

fn promise(number: u64) -> (NodeId, Lane, Vec<Envelope>) {
    let outcome = AppendOutcome::Matched(LogIndex(number));
    let message = Message::AppendEntriesReply(AppendEntriesReply { outcome });
    let content = Content::Raft { term: Term(1), message };
    (NodeId(2), Lane::Control, vec![Envelope { group: GroupId(0), content }])
}

fn job(id: u64) -> Job {
    let write = Some(write(id, 1, None, vec![entry(id, 1, 8)]));
    Job { write, promises: vec![promise(id)], ..Job::default() }
}

/// How many entries the disk would still hold if it lost its power now.
fn durable_entries(disk: &SimulatedDisk) -> usize {
    let copy = disk.fork();
    copy.crash(|| Fate::Lost);
    let (_, recovered) = Wal::open(copy, OWNER, &SMALL, 99).expect("a whole log");
    recovered.entries.len()
}

#[test]
fn promises_wait_for_the_sync_of_their_write_and_of_all_earlier_ones() {
    let disk = SimulatedDisk::new();
    let mut rounds = Rounds::new(new_wal(disk.clone(), &SMALL));
    rounds.stage(job(1)).unwrap();
    rounds.stage(Job { promises: vec![promise(100)], ..Job::default() }).unwrap();
    rounds.stage(job(2)).unwrap();
    assert_eq!(durable_entries(&disk), 0);
    let done = rounds.sync().unwrap();
    assert_eq!(durable_entries(&disk), 2);
    assert_eq!(done.promises, [promise(1), promise(100), promise(2)]);
    assert_eq!(done.written, Some(WriteId(2)));
    assert!(rounds.sync().unwrap().is_empty());
    rounds.stage(job(3)).unwrap();
    disk.fail_after(0, io::ErrorKind::Other);
    assert!(rounds.sync().is_err());
    disk.heal();
    assert!(rounds.sync().is_err(), "what was staged before a failure is never released");
}

#[test]
fn the_thread_releases_promises_in_order_and_only_when_durable() {
    let disk = SimulatedDisk::new();
    let (wake, woken) = mpsc::channel();
    let wal = new_wal(disk.clone(), &SMALL);
    let writer = Writer::start(wal, move || wake.send(()).unwrap_or(()));
    for id in 1..=200 {
        writer.submit(job(id));
    }
    let mut taken = Done::default();
    while taken.written != Some(WriteId(200)) {
        woken.recv_timeout(Duration::from_secs(60)).expect("a wake-up");
        let done = writer.take().unwrap();
        taken.promises.extend(done.promises);
        taken.written = done.written.or(taken.written);
        assert_eq!(taken.written, Some(WriteId(taken.promises.len() as u64)));
        assert!(durable_entries(&disk) >= taken.promises.len());
    }
    assert_eq!(taken.promises, (1..=200).map(promise).collect::<Vec<_>>());
    writer.submit(Job { promises: vec![promise(1)], ..Job::default() });
    let rest = writer.stop().unwrap();
    assert_eq!(rest, Done { promises: vec![promise(1)], ..Done::default() });
    assert_eq!(durable_entries(&disk), 200);
}

/// Design, section 5, rule 13: after 50 ms without work a marker proves the last batch.
#[test]
fn the_thread_marks_when_it_is_idle() {
    let disk = SimulatedDisk::new();
    let writer = Writer::start(new_wal(disk.clone(), &SMALL), || {});
    writer.submit(job(1));
    let proven = |disk: &SimulatedDisk| {
        let copy = disk.fork();
        copy.crash(|| Fate::Lost);
        let Some(name) = copy.contents().into_keys().next() else { return false };
        copy.corrupt(&name, 512 + 72, |bytes| bytes[0] ^= 1); // the first record
        matches!(Wal::open(copy, OWNER, &SMALL, 99), Err(OpenError::Damaged(_)))
    };
    let deadline = Instant::now() + Duration::from_secs(60);
    while !proven(&disk) {
        assert!(Instant::now() < deadline, "no marker within a minute");
        std::thread::yield_now();
    }
    drop(writer);
}

#[test]
fn a_failed_sync_reaches_the_node_and_releases_nothing() {
    let disk = SimulatedDisk::new();
    let (wake, woken) = mpsc::channel();
    let wal = new_wal(disk.clone(), &SMALL);
    disk.fail_after(1, io::ErrorKind::Other); // the write succeeds
    let writer = Writer::start(wal, move || wake.send(()).unwrap_or(()));
    writer.submit(job(1));
    woken.recv_timeout(Duration::from_secs(60)).expect("a wake-up");
    let error = writer.take().expect_err("a failed sync");
    assert!(error.to_string().starts_with("cannot sync 0000000001-"), "{error}");
    assert!(writer.take().is_err());
    assert!(writer.stop().is_err());
}

// Real files.

#[test]
fn real_files_hold_what_was_synced() {
    let folder = tempfile::tempdir().unwrap();
    let disk = FolderDisk::create(&folder.path().join("a/b")).unwrap();
    let mut wal = new_wal(disk, &SMALL);
    let entries: Vec<Entry> = (1..=100).map(|index| entry(index, 1, 100)).collect();
    for entry in &entries {
        wal.stage(&write(entry.position.index.0, 1, None, vec![entry.clone()])).unwrap();
        wal.sync().unwrap();
    }
    drop(wal);
    let disk = FolderDisk::open(&folder.path().join("a/b")).unwrap();
    assert!(disk.list().unwrap().len() > 4);
    let (_, recovered) = Wal::open(disk, OWNER, &SMALL, 13).unwrap();
    assert_eq!(recovered.entries, entries);
    assert_eq!(recovered.cut, None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Wherever a write begins and ends, it changes its own bytes and no others; also where the
    /// file is not whole blocks, or grows.
    #[test]
    fn writes_change_their_own_bytes_and_no_others(
        length in prop_oneof![Just(4 * 4096_u64), 1..20_000_u64],
        writes in vec((0..18_000_u64, vec(any::<u8>(), 0..9_000)), 1..12),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = FolderDisk::open(folder.path()).unwrap();
        disk.create("file", length).unwrap();
        let mut expected = vec![0; length as usize];
        for (offset, bytes) in writes {
            disk.write_at("file", offset, &bytes).unwrap();
            let end = offset as usize + bytes.len();
            if !bytes.is_empty() {
                expected.resize(expected.len().max(end), 0);
                expected[offset as usize..end].copy_from_slice(&bytes);
            }
            prop_assert!(disk.read("file").unwrap() == expected);
        }
    }
}

#[test]
fn segments_prepared_ahead_are_whole_and_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = FolderDisk::open(folder.path()).unwrap();
    disk.prepare(10_000_000);
    disk.create("other", 5000).unwrap(); // of another length: made at once
    disk.create("prepared", 10_000_000).unwrap();
    for (name, length) in [("other", 5000), ("prepared", 10_000_000)] {
        let bytes = disk.read(name).unwrap();
        assert_eq!(bytes.len(), length);
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
    assert_eq!(
        disk.create("other", 1).map_err(|error| error.kind()),
        Err(io::ErrorKind::AlreadyExists)
    );
    disk.prepare(1 << 40); // never finishes
    drop(disk);
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["lock", "other", "prepared"]);
}

/// Of a large file the room is given back little by little. Its name is free at once, and no longer leads
/// to it, nor after a crash: it would be shorter than it was made.
#[test]
fn a_large_file_that_is_removed_has_lost_its_name_at_once_and_all_its_room_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = FolderDisk::open(folder.path()).unwrap();
    disk.create("large", 8 << 20).unwrap();
    disk.create("larger", 12 << 20).unwrap();
    let mut other = disk.another();
    disk.remove("large").unwrap();
    other.remove("larger").unwrap();
    let left = disk.list().unwrap().into_iter().filter(|name| name != "lock");
    let left: Vec<_> = left.collect();
    assert!(
        left.iter().all(|name| name.ends_with(".unfinished")),
        "the next start removes {left:?}"
    );
    disk.create("large", 5_000).unwrap();
    assert_eq!(disk.read("large").unwrap(), [0; 5_000]);
    assert_eq!(disk.remove("larger").map_err(|error| error.kind()), Err(io::ErrorKind::NotFound));
    drop(disk);
    drop(other);
    let names = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name());
    assert_eq!(names.collect::<BTreeSet<_>>(), BTreeSet::from(["large".into(), "lock".into()]));
}

#[test]
fn leftovers_of_a_crash_while_filling_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("next-4096.unfinished"), b"stale").unwrap();
    let mut disk = FolderDisk::open(folder.path()).unwrap();
    assert_eq!(disk.list().unwrap(), ["lock"]);
    disk.create("new", 4096).unwrap();
    assert_eq!(disk.read("new").unwrap(), [0; 4096]);
}

#[test]
fn a_second_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = FolderDisk::open(folder.path()).unwrap();
    assert!(matches!(FolderDisk::open(folder.path()), Err(OpenError::Locked { .. })));
    assert!(matches!(FolderDisk::open_read_only(folder.path()), Err(OpenError::Locked { .. })));
    drop(first);
    drop(FolderDisk::open(folder.path()).expect("the lock went with its holder"));
}

#[test]
fn a_folder_that_cannot_be_made_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = FolderDisk::create(&file.join("below")).expect_err("a file is no folder");
    assert!(matches!(error, OpenError::CannotCreate { .. }), "{error}");
    let error = FolderDisk::open(&folder.path().join("missing")).expect_err("no folder");
    assert!(matches!(error, OpenError::Empty { .. }), "{error}");
}

// Looking at a folder.

#[test]
fn inspecting_changes_nothing_and_tells_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n2");
    let mut disk = FolderDisk::create(&path).unwrap();
    let identity = demonstration(&[1, 2], 2);
    let expected = Expected { cluster: identity.cluster, name: "2".to_owned() };
    found(&mut disk, &identity, &SMALL, 1).unwrap();
    let mut wal = storage::open(disk, &expected, &SMALL, 2).unwrap().wal;
    for index in 1..=30 {
        wal.stage(&write(index, 3, Some(10), vec![entry(index, 3, 200)])).unwrap();
        wal.sync().unwrap();
    }
    drop(wal);
    let snapshot = || -> BTreeMap<_, _> {
        let files = fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
        files.map(|file| (file.clone(), fs::read(file).unwrap())).collect()
    };
    let before = snapshot();
    let seen = storage::inspect(&FolderDisk::open_read_only(&path).unwrap()).unwrap();
    assert_eq!(seen.superblock.unwrap().identity, identity);
    assert_eq!(seen.hard_state, HardState { term: Term(3), voted_for: Some(NodeId(10)) });
    assert_eq!(seen.entries.len(), 30);
    assert_eq!(seen.verdict, Verdict::Whole);
    assert_eq!(seen.segments.len(), before.len() - 2); // the lock and the superblock
    assert!(seen.segments[0].file.starts_with(path.to_str().unwrap()));
    assert_eq!(seen.segments[0].base, 0);
    assert_eq!(seen.segments[1].base, seen.segments[0].used);

    // Damage in the second segment: all before it is still shown.
    let mut bytes = fs::read(&seen.segments[1].file).unwrap();
    bytes[700] ^= 1;
    fs::write(&seen.segments[1].file, bytes).unwrap();
    let before = snapshot();
    let seen = storage::inspect(&FolderDisk::open_read_only(&path).unwrap()).unwrap();
    let Verdict::Damaged(damage) = &seen.verdict else { panic!("{:?}", seen.verdict) };
    assert!(damage.file.contains("0000000002-"), "{damage}");
    assert!(damage.offset >= 512 && damage.offset <= 700, "{damage}");
    assert!(!seen.entries.is_empty() && seen.entries.len() < 30);
    assert_eq!(snapshot(), before);
}
