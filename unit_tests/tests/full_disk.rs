//! A disk without room for another segment, or for a snapshot (rule 12): what finds no room waits, in
//! order, and nothing of it is promised; what lies in claimed room is written as ever.

#[path = "support/keeping.rs"]
mod keeping;

use keeping::{Folder, Given, OWNER, TINY, at, entries, meta, open, take, write};
use messages::{
    AppendEntriesReply, AppendOutcome, Content, Envelope, GroupId, LogIndex, Message, NodeId, Term,
};
use servers::storage::keeper::Taken;
use servers::storage::{Disk, Done, Job, Rounds, Wal};
use servers::transport::Lane;
use simulation::{Fate, Room, SimulatedDisk};
use states::{HardState, Space, Write, WriteId};

/// A job that promises a match up to its last entry.
fn job(id: u64, entries: Write) -> Job {
    let index = entries.entries.last().map_or(LogIndex(0), |entry| entry.position.index);
    let outcome = AppendOutcome::Matched(index);
    let message = Message::AppendEntriesReply(AppendEntriesReply { outcome });
    let content = Content::Raft { term: Term(1), message };
    let promise = Envelope { group: GroupId(0), content };
    Job {
        keep: None,
        write: Some(Write { id: WriteId(id), ..entries }),
        promises: vec![(NodeId(2), Lane::Log, vec![promise])],
    }
}

fn vote(id: u64, term: u64) -> Job {
    let hard_state = HardState { term: Term(term), voted_for: Some(NodeId(3)) };
    job(id, write(hard_state, None, Vec::new()))
}

/// An empty log whose disk has so much room left.
fn filled(room: Room) -> (SimulatedDisk, Rounds<SimulatedDisk>) {
    let Folder { disk, wal } = Folder::new();
    disk.fill(room);
    (disk, Rounds::new(wal))
}

fn staged(rounds: &mut Rounds<SimulatedDisk>, job: Job) -> Option<Job> {
    rounds.stage(job).expect("no room is no failure")
}

fn sync(rounds: &mut Rounds<SimulatedDisk>) -> Done {
    rounds.sync().expect("no room is no failure")
}

/// The entries that a start would find.
fn recovered(disk: &SimulatedDisk) -> (u64, Term) {
    disk.crash(|| Fate::Lost);
    let (_, recovered) = open(disk, 99).expect("a whole log");
    (recovered.entries.len() as u64, recovered.hard_state.term)
}

/// "Only claiming space may fail", and that ahead of need: a segment of 2 KiB is half full, the next
/// cannot be had.
#[test]
fn a_full_disk_is_told_while_half_a_segment_is_left() {
    let (_disk, mut rounds) = filled(Room::Bytes(0));
    assert_eq!(staged(&mut rounds, job(1, entries(1, 1, 1))), None);
    assert_eq!(sync(&mut rounds).space, None, "most of the segment is left");
    assert_eq!(staged(&mut rounds, job(2, entries(2, 1, 2))), None);
    let done = sync(&mut rounds);
    assert_eq!((done.space, done.written), (Some(Space::Full), Some(WriteId(2))));
    assert_eq!(sync(&mut rounds).space, None, "told once");
    assert!(rounds.awaits_room());
}

/// "A reserve for votes is always kept": many elections fit into what is left.
#[test]
fn votes_are_written_though_the_disk_is_full() {
    let (disk, mut rounds) = filled(Room::Bytes(0));
    staged(&mut rounds, job(1, entries(1, 1, 3)));
    assert_eq!(sync(&mut rounds).space, Some(Space::Full));
    for id in 2..8 {
        assert_eq!(staged(&mut rounds, vote(id, id)), None);
        let done = sync(&mut rounds);
        assert_eq!((done.written, done.promises.len()), (Some(WriteId(id)), 1));
    }
    assert_eq!(recovered(&disk), (3, Term(7)));
}

/// What was on its way when the disk was found full waits, and so does what comes after it. Nothing of
/// it is promised, a crash leaves nothing of it, and where there is room again it is written in order.
#[test]
fn what_finds_no_room_waits_in_order() {
    let (disk, mut rounds) = filled(Room::Bytes(0));
    staged(&mut rounds, job(1, entries(1, 1, 3)));
    let back = staged(&mut rounds, job(2, entries(4, 1, 8))).expect("2 KiB do not hold 11 entries");
    let done = sync(&mut rounds);
    assert_eq!((done.written, done.promises.len()), (Some(WriteId(1)), 1));
    assert_eq!(done.space, Some(Space::Exhausted), "something waits");
    let back = staged(&mut rounds, back).expect("there is no room yet");
    assert_eq!(recovered(&disk.fork()), (3, Term(1)));

    disk.free();
    assert_eq!(staged(&mut rounds, back), None);
    assert_eq!(staged(&mut rounds, job(3, entries(12, 1, 1))), None);
    let done = sync(&mut rounds);
    assert_eq!((done.written, done.promises.len()), (Some(WriteId(3)), 2));
    assert_eq!(done.space, Some(Space::Enough));
    assert!(!rounds.awaits_room());
    assert_eq!(recovered(&disk), (12, Term(1)));
}

/// "A failed write ... inside claimed space stops the node": it is no matter of room.
#[test]
fn a_write_into_claimed_room_that_fails_is_final() {
    let (disk, mut rounds) = filled(Room::Operations(0));
    assert_eq!(staged(&mut rounds, job(1, entries(1, 1, 1))), None, "there is room");
    rounds.write().expect_err("a write failed");
    disk.free();
    rounds.stage(job(2, entries(1, 1, 1))).expect_err("nothing is tried again");
    rounds.sync().expect_err("nothing is known any more");
}

/// What proves the last batch is not worth a segment.
#[test]
fn the_last_batch_goes_unproven_where_there_is_no_room() {
    let (disk, mut rounds) = filled(Room::Bytes(0));
    let mut id = 1;
    while staged(&mut rounds, vote(id, id)).is_none() {
        id += 1;
    }
    sync(&mut rounds);
    rounds.mark().expect("no room is no failure");
    assert_eq!(recovered(&disk), (0, Term(id - 1)));
}

/// A snapshot that finds no room, at whichever of its writes, is given up: nothing of it stays, and
/// neither log nor the snapshot before it has changed.
#[test]
fn a_snapshot_that_finds_no_room_is_given_up() {
    let pieces = || vec![vec![b'x'; 300]; 20];
    let mut given_up = 0;
    for room in (0..7_000).step_by(100) {
        let Folder { disk, wal } = Folder::with_snapshot(vec![b"old".to_vec()]);
        let before = disk.contents();
        disk.fill(Room::Bytes(room));
        let mut keeper = wal.keeper();
        let begun = keeper.take(&meta(at(8, 1)), Box::new(Given(pieces().into())));
        let mut taken = begun.expect("no room is no failure");
        while taken.is_none() {
            taken = keeper.go_on().expect("no room is no failure");
        }
        if let Some(Taken::NoSpace { .. }) = taken {
            given_up += 1;
            assert!(!keeper.is_taking());
            assert_eq!(disk.contents(), before);
            disk.free();
            take(&mut keeper, &meta(at(8, 1)), pieces());
        }
    }
    assert!((50..70).contains(&given_up), "a snapshot of 6 kB and a little: {given_up}");
}

/// A node may be started with its disk full: all that it wrote is there.
#[test]
fn a_log_is_opened_though_the_disk_is_full() {
    let (disk, mut rounds) = filled(Room::Bytes(0));
    staged(&mut rounds, job(1, entries(1, 1, 3)));
    sync(&mut rounds);
    drop(rounds);
    disk.crash(|| Fate::Lost);
    let (wal, recovered) = Wal::open(disk.another(), OWNER, &TINY, 5).expect("a whole log");
    assert_eq!(recovered.entries.len(), 3);
    let mut rounds = Rounds::new(wal);
    assert_eq!(sync(&mut rounds).space, Some(Space::Full), "told before the first write");
}
