//! Snapshots as files beside the log: what is written is what is read, nothing else passes for it, and
//! what a start makes of snapshot and log together (paper, section 7 and Figure 13). Crashes are in
//! `snapshot_crashes.rs`.

#[path = "support/keeping.rs"]
mod keeping;

use std::io;

use crc32c::crc32c;
use keeping::{
    Folder, Given, OWNER, TINY, at, disk_of, entries, keep, meta, name, open, part, pieces_of,
    snapshot_of, take,
};
use messages::{ClusterId, LogPosition, NodeId, SnapshotPart, Term};
use servers::storage::keeper::{Keeper, Stored, Taken};
use servers::storage::{FolderDisk, OpenError, Recovered, Wal};
use simulation::{Room, SimulatedDisk};
use states::{HardState, Write};

/// A folder with a log of eight entries of term 1, and a snapshot up to each of these positions.
fn folder(snapshots: &[u64]) -> Folder {
    let mut folder = Folder::new();
    folder.append(1, 1, 8);
    for index in snapshots {
        folder.snapshot(at(*index, 1));
    }
    folder
}

/// Opens what a folder's files amount to.
fn reopened(disk: &SimulatedDisk) -> Result<Recovered, OpenError> {
    open(&disk.fork(), 99).map(|(_, recovered)| recovered)
}

fn positions(recovered: &Recovered) -> Vec<LogPosition> {
    recovered.entries.iter().map(|entry| entry.position).collect()
}

/// What a start finds: the snapshot's index, and the entries behind it.
fn found(recovered: &Recovered) -> (u64, Vec<LogPosition>) {
    let covered = recovered.snapshot.as_ref().map_or(0, |meta| meta.position.index.0);
    (covered, positions(recovered))
}

fn log(range: impl IntoIterator<Item = u64>, term: u64) -> Vec<LogPosition> {
    range.into_iter().map(|index| at(index, term)).collect()
}

#[test]
fn what_was_taken_is_read_back_piece_by_piece() {
    for sizes in [&[][..], &[0], &[1], &[3, 0, 70_000, 5], &[300_000, 300_000]] {
        let mut folder = folder(&[]);
        let pieces: Vec<Vec<u8>> =
            (1..).zip(sizes).map(|(filling, size)| vec![filling; *size]).collect();
        let whole = take(&mut folder.wal.keeper(), &meta(at(3, 1)), pieces.clone());
        keep(&mut folder.wal, whole.clone());
        let mut reader = folder.wal.snapshot(at(3, 1)).expect("a snapshot");
        assert_eq!(*reader.meta(), meta(at(3, 1)));
        let mut read = Vec::new();
        while let Some(piece) = reader.next_piece().expect("as it was written") {
            read.push(piece);
        }
        assert_eq!(read, pieces);
        let file = &folder.disk.contents()[&name(at(3, 1))];
        assert_eq!((reader.size(), whole.size), (file.len() as u64, file.len() as u64));
    }
}

#[test]
fn the_same_on_real_files() {
    let place = tempfile::tempdir().expect("a folder");
    let mut disk = FolderDisk::create(place.path()).expect("a folder");
    Wal::create(&mut disk, OWNER, &TINY, 1).expect("a log");
    let (mut wal, _) = Wal::open(disk, OWNER, &TINY, 2).expect("a log");
    wal.stage(&entries(1, 1, 8)).expect("a healthy disk");
    let pieces = vec![vec![7; 3 << 20], vec![8; 100]];
    let whole = take(&mut wal.keeper(), &meta(at(4, 1)), pieces.clone());
    keep(&mut wal, whole);
    assert_eq!(pieces_of(&wal, at(4, 1)), pieces);
    let left: Vec<String> = std::fs::read_dir(place.path())
        .expect("a folder")
        .map(|file| file.expect("a name").file_name().into_string().expect("UTF-8"))
        .filter(|name| name.contains("snapshot"))
        .collect();
    assert_eq!(left, [name(at(4, 1))], "what was written aside got its name");
}

/// The layout by the words of the module alone.
#[test]
fn the_file_is_laid_out_as_is_written_down() {
    let folder = Folder::with_snapshot(vec![b"abc".to_vec(), Vec::new()]);
    let file = &folder.disk.contents()[&name(at(3, 1))];
    let mut spelt_meta = Vec::new();
    messages::wire::encode(&meta(at(3, 1)), &mut spelt_meta);
    let mut vouched = Vec::new();
    vouched.extend_from_slice(&1u32.to_le_bytes());
    vouched.extend_from_slice(&(spelt_meta.len() as u32).to_le_bytes());
    vouched.extend_from_slice(&OWNER.cluster.0.to_le_bytes());
    vouched.extend_from_slice(&spelt_meta);
    let mut heads = Vec::new();
    let mut pieces = Vec::new();
    for piece in [&b"abc"[..], b""] {
        let head = [(piece.len() as u32).to_le_bytes(), crc32c(piece).to_le_bytes()].concat();
        pieces.extend_from_slice(&[&head, piece].concat());
        heads.extend_from_slice(&head);
    }
    let end = [&u32::MAX.to_le_bytes()[..], &crc32c(&heads).to_le_bytes(), &2u64.to_le_bytes()];
    let head = [&b"RSNP"[..], &crc32c(&vouched).to_le_bytes(), &vouched].concat();
    assert_eq!(*file, [head, pieces, end.concat()].concat());
}

/// Refused by reading it, and by a start, which says so and does without.
fn assert_refused(folder: &Folder, name: &str, bytes: Vec<u8>, what: &str) {
    let mut files = folder.disk.contents();
    files.remove(&self::name(at(3, 1)));
    files.insert(name.to_owned(), bytes);
    let recovered = reopened(&disk_of(&files)).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(recovered.snapshot, None, "{what}");
    assert_eq!(recovered.lost.len(), 1, "{what}");
    assert!(recovered.lost[0].contains(name), "{what}: {:?} names the file", recovered.lost);
    assert_eq!(positions(&recovered), log(1..=8, 1), "the log alone has all");
}

#[test]
fn no_byte_of_it_can_change() {
    let folder = Folder::with_snapshot(vec![b"all that was applied".to_vec(), vec![0; 40]]);
    let file = folder.disk.contents()[&name(at(3, 1))].clone();
    for place in 0..file.len() {
        for flip in [1, 0x80, 0xff] {
            let mut changed = file.clone();
            changed[place] ^= flip;
            assert_refused(&folder, &name(at(3, 1)), changed, &format!("byte {place} ^ {flip}"));
        }
    }
}

#[test]
fn it_is_whole_or_nothing() {
    let folder = Folder::with_snapshot(vec![b"all that was applied".to_vec(), vec![0; 40]]);
    let file = folder.disk.contents()[&name(at(3, 1))].clone();
    for length in 0..file.len() {
        let cut = file[..length].to_vec();
        assert_refused(&folder, &name(at(3, 1)), cut, &format!("cut after {length}"));
    }
    for more in [&[0][..], &[0; 16], &file] {
        let longer = [&file, more].concat();
        assert_refused(&folder, &name(at(3, 1)), longer, &format!("{} more", more.len()));
    }
}

#[test]
fn another_clusters_and_a_renamed_file_are_nobodys() {
    let folder = Folder::with_snapshot(vec![b"ours".to_vec()]);
    let foreign = snapshot_of(ClusterId(8), at(3, 1), vec![b"theirs".to_vec()]);
    let error = {
        let mut files = folder.disk.contents();
        files.insert(name(at(3, 1)), foreign.clone());
        let disk = disk_of(&files);
        let (wal, _) = open(&disk, 5).expect("a log");
        wal.snapshot(at(3, 1)).map(drop).expect_err("another cluster's").to_string()
    };
    assert!(error.contains("belongs to another cluster"), "{error}");
    assert_refused(&folder, &name(at(3, 1)), foreign, "another cluster's");
    let file = folder.disk.contents()[&name(at(3, 1))].clone();
    for other in [at(4, 1), at(3, 2)] {
        assert_refused(&folder, &name(other), file.clone(), "renamed");
    }
}

/// A version that is not there yet is told by its number, and stops the start: its snapshot may stand
/// for what the log holds no more.
#[test]
fn another_version_stops_the_start() {
    let folder = Folder::with_snapshot(vec![b"of tomorrow".to_vec()]);
    let mut files = folder.disk.contents();
    let file = files.get_mut(&name(at(3, 1))).expect("a snapshot");
    file[8] = 2;
    let length = u32::from_le_bytes(file[12..16].try_into().expect("four bytes")) as usize;
    let checksum = crc32c(&file[8..24 + length]);
    file[4..8].copy_from_slice(&checksum.to_le_bytes());
    let error = reopened(&disk_of(&files)).expect_err("a version to come");
    assert!(matches!(error, OpenError::Unsupported { version: 2, known: 1, .. }), "{error}");
}

// What a start makes of snapshot and log.

#[test]
fn the_suffix_of_a_log_that_leads_up_to_the_snapshot_is_kept() {
    for (snapshots, covered) in [(&[3][..], 3), (&[3, 5], 5), (&[8], 8), (&[1, 2, 3], 3)] {
        let recovered = reopened(&folder(snapshots).disk).expect("a healthy folder");
        assert_eq!(found(&recovered), (covered, log(covered + 1..=8, 1)), "{snapshots:?}");
        assert_eq!(recovered.lost, [""; 0]);
    }
}

/// "If the snapshot lies beyond the log, or the log's entry there has another term, the whole log is
/// dropped (its entries: hard state is never dropped)": also its entries behind the snapshot.
#[test]
fn a_log_that_does_not_lead_up_to_the_snapshot_goes_and_the_vote_stays() {
    for position in [at(5, 2), at(8, 2), at(9, 2), at(30, 3), at(30, 1)] {
        let mut folder = folder(&[]);
        let vote = HardState { term: Term(4), voted_for: Some(NodeId(2)) };
        folder.set(vote);
        folder.snapshot(position);
        let (mut wal, recovered) = open(&folder.disk, 5).expect("a healthy folder");
        assert_eq!(found(&recovered), (position.index.0, vec![]), "{position}");
        assert_eq!(recovered.hard_state, vote);
        // From then on the log begins there, whether or not anything came behind.
        let again = reopened(&folder.disk).expect("a healthy folder");
        assert_eq!(found(&again), (position.index.0, vec![]), "{position}");
        let next = Write { hard_state: vote, ..entries(position.index.0 + 1, 4, 2) };
        wal.stage(&next).expect("it goes on behind the snapshot");
        wal.sync().expect("a healthy disk");
        let grown = reopened(&folder.disk).expect("a healthy folder");
        let next = position.index.0 + 1;
        assert_eq!(found(&grown), (position.index.0, log(next..=next + 1, 4)), "{position}");
    }
}

/// A node that holds a snapshot of a term has made that term durable before: no crash leaves this.
#[test]
fn a_snapshot_of_a_term_above_the_nodes_is_damage_at_the_first_start() {
    for position in [at(3, 2), at(8, 2), at(20, 2)] {
        let mut folder = folder(&[1]);
        folder.snapshot(position);
        let before = folder.disk.contents();
        for _ in 0..2 {
            let error = reopened(&folder.disk).expect_err("a snapshot that cannot be this node's");
            assert!(
                error.to_string().contains("of a term above the node's"),
                "{position}: {error}"
            );
        }
        assert_eq!(folder.disk.contents(), before, "{position}: nothing was changed");
    }
}

#[test]
fn a_reset_drops_the_log_and_what_follows_it_stays() {
    let mut folder = folder(&[2]);
    folder.set(HardState { term: Term(3), voted_for: None }); // its sender's, before it was received
    let whole = folder.received(at(20, 3));
    keep(&mut folder.wal, whole);
    folder.reset(at(20, 3), 3);
    let recovered = reopened(&folder.disk).expect("a healthy folder");
    assert_eq!(found(&recovered), (20, vec![]));
    folder.append(21, 3, 3);
    let recovered = reopened(&folder.disk).expect("a healthy folder");
    assert_eq!(found(&recovered), (20, log(21..=23, 3)));
    assert_eq!(recovered.hard_state.term, Term(3));
}

#[test]
fn segments_that_the_older_snapshot_covers_go_and_the_vote_stays() {
    let mut folder = Folder::new();
    let vote = HardState { term: Term(1), voted_for: Some(NodeId(3)) };
    folder.set(vote);
    for index in 1..=40 {
        folder.append(index, 1, 1);
    }
    let all = folder.segments().len();
    folder.snapshot(at(30, 1));
    assert_eq!(folder.segments().len(), all, "one snapshot alone covers nothing");
    folder.snapshot(at(35, 1));
    let left = folder.segments();
    assert!(left.len() < all - 3 && !left[0].starts_with("0000000001-"), "{left:?} of {all}");
    let recovered = reopened(&folder.disk).expect("a healthy folder");
    assert_eq!(found(&recovered), (35, log(36..=40, 1)));
    assert_eq!(recovered.hard_state, vote, "no segment takes the vote with it");
    folder.snapshot(at(39, 1));
    let names: Vec<String> =
        folder.disk.contents().into_keys().filter(|name| name.ends_with(".snap")).collect();
    assert_eq!(names, [name(at(35, 1)), name(at(39, 1))], "the two newest are kept");
    folder.append(41, 1, 2);
    let recovered = reopened(&folder.disk).expect("a healthy folder");
    assert_eq!(found(&recovered), (39, log(40..=42, 1)));
}

/// The folder with these snapshots damaged, in the middle.
fn damaged(folder: &Folder, snapshots: &[LogPosition]) -> SimulatedDisk {
    let mut files = folder.disk.contents();
    for position in snapshots {
        let file = files.get_mut(&name(*position)).expect("a snapshot");
        let middle = file.len() / 2;
        file[middle] ^= 1;
    }
    disk_of(&files)
}

#[test]
fn the_older_snapshot_stands_in_for_a_damaged_one() {
    let mut folder = Folder::new();
    (1..=40).for_each(|index| folder.append(index, 1, 1));
    folder.snapshot(at(30, 1));
    folder.snapshot(at(35, 1));
    let recovered = reopened(&damaged(&folder, &[at(35, 1)])).expect("the older one stands in");
    assert_eq!(found(&recovered), (30, log(31..=40, 1)), "and the log still leads on from it");
    assert!(recovered.lost[0].contains(&name(at(35, 1))), "{:?}", recovered.lost);

    let error = reopened(&damaged(&folder, &[at(30, 1), at(35, 1)])).expect_err("nothing is left");
    let OpenError::Damaged(damage) = &error else { panic!("{error}") };
    assert!(damage.what.contains("a snapshot that is not there"), "{error}");
}

/// While the first segment is there the log alone has all; without it and without a snapshot there is
/// nothing that it could follow.
#[test]
fn without_any_snapshot_a_log_needs_its_first_segment() {
    let damaged_both = damaged(&folder(&[3, 5]), &[at(3, 1), at(5, 1)]);
    let recovered = reopened(&damaged_both).expect("the log has all");
    assert_eq!((found(&recovered), recovered.lost.len()), ((0, log(1..=8, 1)), 2));

    let mut folder = Folder::new();
    (1..=40).for_each(|index| folder.append(index, 1, 1));
    folder.snapshot(at(30, 1));
    folder.snapshot(at(35, 1));
    let mut files = folder.disk.contents();
    files.retain(|name, _| !name.ends_with(".snap"));
    let error = reopened(&disk_of(&files)).expect_err("nothing leads up to the log");
    assert!(error.to_string().contains("first segment is missing"), "{error}");
}

/// A log that begins behind a snapshot that was received needs that very one.
#[test]
fn no_older_snapshot_stands_in_where_the_log_was_reset() {
    let mut folder = folder(&[2]);
    folder.set(HardState { term: Term(3), voted_for: None }); // its sender's, before it was received
    let whole = folder.received(at(20, 3));
    keep(&mut folder.wal, whole);
    folder.reset(at(20, 3), 3);
    let error = reopened(&damaged(&folder, &[at(20, 3)])).expect_err("a gap");
    let OpenError::Damaged(damage) = &error else { panic!("{error}") };
    assert!(damage.file.contains(&name(at(20, 3))), "{error}");
}

// Parts that arrive.

const OTHER: NodeId = NodeId(2);

fn stored(wanted: usize) -> Stored {
    Stored { wanted: wanted as u64, whole: None, lost: None }
}

struct Arriving {
    disk: SimulatedDisk,
    keeper: Keeper<SimulatedDisk>,
    file: Vec<u8>,
}

impl Arriving {
    fn new() -> Arriving {
        let folder = folder(&[]);
        let file = snapshot_of(OWNER.cluster, at(20, 3), vec![vec![7; 100], vec![8; 900]]);
        Arriving { disk: folder.disk.clone(), keeper: folder.wal.keeper(), file }
    }

    fn part(&self, offset: usize, length: usize) -> SnapshotPart {
        part(&self.file, at(20, 3), offset, length)
    }

    fn store(&mut self, offset: usize, length: usize) -> Stored {
        let part = self.part(offset, length);
        self.keeper.store(OTHER, &part).expect("a healthy disk")
    }

    /// All that is missing from `offset` on; it must then be whole.
    fn finish(&mut self, offset: usize) {
        let rest = self.file.len() - offset;
        let done = self.store(offset, rest);
        assert_eq!((done.wanted, done.lost), (self.file.len() as u64, None));
        let whole = done.whole.expect("all is here");
        assert_eq!((whole.meta.clone(), whole.size), (meta(at(20, 3)), self.file.len() as u64));
        let mut reader = self.keeper.reader(&whole).expect("it can be read");
        assert_eq!(reader.next_piece().expect("a piece"), Some(vec![7; 100]));
        drop(reader);
        assert!(!self.disk.contents().contains_key(&name(at(20, 3))), "not in place: the log's");
        self.keeper.discard(&whole).expect("a healthy disk");
        assert_eq!(self.files(), 0);
    }

    /// Files of snapshots.
    fn files(&self) -> usize {
        self.disk.contents().keys().filter(|name| name.contains("snapshot")).count()
    }
}

#[test]
fn parts_in_order_make_the_file() {
    let mut arriving = Arriving::new();
    assert_eq!(arriving.store(0, 0), stored(0), "an empty part only asks");
    assert_eq!(arriving.store(0, 300), stored(300));
    assert_eq!(arriving.store(300, 300), stored(600));
    assert_eq!(arriving.store(0, 0), stored(600), "also over another connection");
    arriving.finish(600);
}

#[test]
fn parts_twice_or_out_of_order_change_nothing() {
    let mut arriving = Arriving::new();
    assert_eq!(arriving.store(300, 300), stored(0), "the first is missing");
    assert_eq!(arriving.store(0, 300), stored(300));
    assert_eq!(arriving.store(0, 300), stored(300), "twice");
    assert_eq!(arriving.store(600, 300), stored(300), "one is missing");
    assert_eq!(arriving.store(100, 400), stored(300), "it overlaps");
    assert_eq!(arriving.store(0, 0), stored(300));
    arriving.finish(300);
}

/// Two nodes' snapshots of the same position need not be the same bytes.
#[test]
fn parts_of_another_sender_or_snapshot_begin_anew() {
    let mut arriving = Arriving::new();
    assert_eq!(arriving.store(0, 300), stored(300));
    let theirs = arriving.part(300, 300);
    let from_another = arriving.keeper.store(NodeId(3), &theirs).expect("a healthy disk");
    assert_eq!(from_another, stored(0), "nothing of that sender's is here");
    assert_eq!(arriving.store(300, 300), stored(0), "nor any more of the first one's");
    assert_eq!(arriving.files(), 1);

    assert_eq!(arriving.store(0, 300), stored(300));
    let newer = snapshot_of(OWNER.cluster, at(25, 3), vec![vec![9; 500]]);
    let newer_part = part(&newer, at(25, 3), 0, 200);
    let begun = arriving.keeper.store(OTHER, &newer_part).expect("a healthy disk");
    assert_eq!((begun, arriving.files()), (stored(200), 1));
    assert_eq!(arriving.store(0, 400), stored(400));
    arriving.finish(400);
}

#[test]
fn what_is_not_what_it_says_is_thrown_away() {
    let whole = |file: &[u8], position| part(file, position, 0, file.len());
    let ours = Arriving::new().file;
    let mut changed = ours.clone();
    changed[200] ^= 1;
    let foreign = snapshot_of(ClusterId(8), at(20, 3), vec![b"theirs".to_vec()]);
    let longer = [&ours[..], b"?"].concat();
    let mut shorter = whole(&ours[..600], at(20, 3));
    shorter.size = 600;
    for (part, why) in [
        (whole(&changed, at(20, 3)), "not what was written"),
        (whole(&foreign, at(20, 3)), "another cluster"),
        (whole(&ours, at(21, 3)), "something else than was said"),
        (whole(&longer, at(20, 3)), "does not end as it was written"),
        (shorter, "cut off"),
        (SnapshotPart { size: 0, ..whole(b"", at(20, 3)) }, "head is not what was written"),
    ] {
        let mut arriving = Arriving::new();
        let done = arriving.keeper.store(OTHER, &part).expect("a healthy disk");
        assert_eq!((done.wanted, done.whole), (0, None), "{why}");
        assert!(
            done.lost.as_ref().is_some_and(|lost| lost.contains(why)),
            "{why}: {:?}",
            done.lost
        );
        // What is said of a damaged folder would frighten people: this one is as it was.
        assert!(!done.lost.is_some_and(|lost| lost.contains("must not vote")), "{why}");
        assert_eq!(arriving.files(), 0, "{why}");
        arriving.finish(0);
    }
}

/// A piece's head may claim any length: nothing of that is allocated.
#[test]
fn a_length_that_is_a_lie_is_no_harm() {
    let mut arriving = Arriving::new();
    let head = arriving.file.len() - 16 - 908 - 108;
    for length in [u32::MAX - 1, 1 << 31] {
        let mut lying = arriving.file.clone();
        lying[head..head + 4].copy_from_slice(&length.to_le_bytes());
        let part = part(&lying, at(20, 3), 0, lying.len());
        let done = arriving.keeper.store(OTHER, &part).expect("a healthy disk");
        assert!(done.lost.as_ref().is_some_and(|lost| lost.contains("cut off")), "{done:?}");
    }
}

#[test]
fn a_full_disk_only_loses_what_was_received() {
    let mut arriving = Arriving::new();
    assert_eq!(arriving.store(0, 300), stored(300));
    arriving.disk.fill(Room::Operations(0));
    let done = arriving.store(300, 300);
    assert_eq!((done.wanted, done.whole), (0, None));
    assert!(done.lost.is_some());
    assert_eq!(arriving.files(), 0, "its room is given back");
    let again = arriving.store(300, 300);
    assert!(again.lost.is_some() || again == stored(0), "{again:?}");
    arriving.disk.free();
    assert_eq!(arriving.store(0, 0), stored(0));
    arriving.finish(0);
}

#[test]
fn a_disk_that_fails_otherwise_is_an_error() {
    let mut arriving = Arriving::new();
    arriving.disk.fail_after(1, io::ErrorKind::Other);
    let part = arriving.part(0, 300);
    let error = arriving.keeper.store(OTHER, &part).expect_err("a broken disk");
    assert_eq!(error.error.kind(), io::ErrorKind::Other);
}

/// A snapshot is read for a follower as it lies there, and it may go meanwhile.
#[test]
fn what_is_sent_is_read_by_bytes() {
    let mut folder = folder(&[3]);
    let keeper = folder.wal.keeper();
    let file = folder.disk.contents()[&name(at(3, 1))].clone();
    let read = |offset, length| keeper.read(at(3, 1), offset, length).expect("a healthy disk");
    assert_eq!(read(0, 10), Some(file[..10].to_vec()));
    assert_eq!(read(10, 1 << 20), Some(file[10..].to_vec()));
    assert_eq!(read(1 << 40, 10), Some(Vec::new()));
    folder.snapshot(at(5, 1));
    folder.snapshot(at(6, 1));
    let gone = keeper.read(at(3, 1), 0, 10).expect("a healthy disk");
    assert_eq!(gone, None, "two newer ones are kept");
}

/// One that is being received does not disturb one that is being taken, nor the other way round.
#[test]
fn taking_and_receiving_go_on_side_by_side() {
    let mut arriving = Arriving::new();
    let pieces = vec![vec![1; 10], vec![2; 10]];
    let given = Box::new(Given(pieces.clone().into()));
    arriving.keeper.take(&meta(at(20, 3)), given).expect("a healthy disk");
    assert_eq!(arriving.store(0, 300), stored(300));
    assert_eq!(arriving.keeper.go_on().expect("a healthy disk"), None);
    assert_eq!(arriving.store(300, 300), stored(600));
    let mut taken = None;
    while taken.is_none() {
        assert!(arriving.keeper.is_taking());
        taken = arriving.keeper.go_on().expect("a healthy disk").and_then(Taken::whole);
    }
    assert!(!arriving.keeper.is_taking());
    let taken = taken.expect("it is whole");
    let mut reader = arriving.keeper.reader(&taken).expect("it can be read");
    assert_eq!(reader.next_piece().expect("a piece"), Some(pieces[0].clone()));
    drop(reader);
    arriving.keeper.discard(&taken).expect("a healthy disk");
    arriving.finish(600);
}
