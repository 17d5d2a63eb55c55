//! The log on disk: one row of batches, synchronous. Whoever uses it decides when to sync; nothing
//! that was staged may be promised before `sync` has returned. Must never go on after a write or
//! sync failed.
//!
//! What is staged waits in memory, and one write takes all of it: a write past the page cache takes a
//! trip to the device, however little it brings.
//!
//! `proven ≤ synced ≤ end`, all offsets in the log as a whole, heads of segments included.

use std::collections::VecDeque;

use messages::{ClusterId, Entry, LogIndex, LogPosition, NodeId, SnapshotMeta};
use states::{HardState, Space, Write, WriteId};

use super::disk::is_no_space;
use super::keeper::{Keeper, Kept, Whole};
use super::record::{self, ALIGNMENT, HEADER, Header};
use super::recovery::{self, Examined, Segment};
use super::segment::{HEAD, Head, SegmentId, mix};
use super::{Cut, Disk, OpenError, WalError, snapshot};

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

/// How a log is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of the first segment: small, so that a new node starts at once.
    pub first_segment: u64,
    /// Bytes of each later segment. A batch that does not fit gets one of its own size.
    pub segment: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { first_segment: 1 << 20, segment: 64 << 20 }
    }
}

/// What a log held when it was opened; all of it is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Term and vote.
    pub hard_state: HardState,
    /// The snapshot before the log.
    pub snapshot: Option<SnapshotMeta>,
    /// The log, behind the snapshot.
    pub entries: Vec<Entry>,
    /// What of snapshots cannot be used; older ones stand in.
    pub lost: Vec<String>,
    /// What was not promised, and is gone.
    pub cut: Option<Cut>,
}

/// An open log.
#[derive(Debug)]
pub struct Wal<D: Disk> {
    disk: D,
    owner: Owner,
    options: Options,
    /// Random; tells batches of this opening from all others.
    run: u64,
    /// The segment that is written to.
    segment: Segment,
    /// Stands for all batches staged.
    chain: u64,
    hard_state: HardState,
    last: LogPosition,
    /// The segments, oldest first, each with the highest index of an entry in it.
    row: VecDeque<(SegmentId, LogIndex)>,
    /// Up to where a sync has returned.
    synced: u64,
    /// Whether a batch on disk may be one that no later batch proves.
    unproven: bool,
    /// Segments left behind since the last sync, which is theirs too.
    left: Vec<SegmentId>,
    /// The last bytes of the segment, staged and not yet written.
    staged: Vec<u8>,
    failed: Option<WalError>,
}

/// What the system's cache of files is made of, bytes.
const PAGE: u64 = 4096;
/// The newest snapshot, and one to fall back on.
const KEPT_SNAPSHOTS: usize = 2;
/// What is staged is written at this size at the latest, bytes; a buffer that grew beyond it is given
/// back.
const STAGED: usize = 4 << 20;

impl<D: Disk> Wal<D> {
    /// Makes an empty log in a folder without one; it is durable when this returns. `seed` must be
    /// random, and another at each call.
    pub fn create(
        disk: &mut D,
        owner: Owner,
        options: &Options,
        seed: u64,
    ) -> Result<(), OpenError> {
        let id = SegmentId { sequence: 1, salt: mix(seed) };
        let head = Head {
            owner,
            base: 0,
            synced: 0,
            chain: 0,
            length: segment_length(options.first_segment, 0),
            hard_state: HardState::default(),
            last: LogPosition::ZERO,
        };
        let name = id.name();
        let made = disk
            .create(&name, head.length)
            .and_then(|()| disk.write_at(&name, 0, &head.encode(id)))
            .and_then(|()| disk.sync(&name))
            .and_then(|()| disk.sync_dir());
        made.map_err(|error| WalError::new(disk.describe(&name), "create", error).into())
    }

    /// Opens a log and makes what it holds durable. What was never promised is cut off; on an error
    /// nothing was changed, but for one of writing. `seed` must be random, and another at each call.
    pub fn open(
        disk: D,
        owner: Owner,
        options: &Options,
        seed: u64,
    ) -> Result<(Wal<D>, Recovered), OpenError> {
        let mut examined = recovery::examine(&disk, Some(owner.cluster))?;
        if let Some(damage) = examined.damage {
            return Err(damage.into());
        }
        let segment = examined.segments.last().expect("a log without damage has a segment").clone();
        if examined.owner != Some(owner) {
            let file = disk.describe(&segment.id.name());
            let what = "the log belongs to another node than the superblock";
            return Err(super::Damage { file, offset: 0, what }.into());
        }
        let mut wal = Wal {
            disk,
            owner,
            options: *options,
            run: mix(seed ^ examined.chain),
            segment,
            chain: examined.chain,
            hard_state: examined.hard_state,
            last: examined.last,
            row: std::mem::take(&mut examined.row),
            synced: examined.proven,
            unproven: true,
            left: Vec::new(),
            staged: Vec::new(),
            failed: None,
        };
        let cut = wal.settle(&examined)?;
        let Examined { hard_state, snapshot, entries, contradicted, lost, .. } = examined;
        if let Some(meta) = snapshot.as_ref().filter(|_| contradicted) {
            // What comes next follows the snapshot, not what the log held.
            let reset = Some(meta.position);
            wal.stage(&Write { id: WriteId(0), hard_state, reset, entries: Vec::new() })?;
            wal.sync()?;
        }
        Ok((wal, Recovered { hard_state, snapshot, entries, lost, cut }))
    }

    /// Makes the disk hold what was recovered, and nothing else. A crash in here changes nothing:
    /// the next recovery finds the same, or less of what was never promised.
    fn settle(&mut self, examined: &Examined) -> Result<Option<Cut>, WalError> {
        for name in &examined.superfluous {
            self.disk.remove(name).map_err(|error| self.error(name, "remove", error))?;
        }
        let name = self.segment.id.name();
        // If a sync of zeros failed before, old bytes may lie beneath zeros that can be read; should
        // they ever show again, the chain, which names this run, does not lead to them.
        self.zero(&name, self.segment.end, examined.trailing)?;
        for segment in &examined.segments {
            self.write_again(segment)?;
        }
        self.disk.sync_dir().map_err(|error| self.error("", "sync", error))?;
        self.synced = examined.end;
        Ok(examined.cut(&self.disk))
    }

    fn zero(&mut self, name: &str, mut offset: u64, mut bytes: u64) -> Result<(), WalError> {
        let zeros = vec![0; bytes.min(1 << 20) as usize];
        while bytes > 0 {
            let chunk = bytes.min(zeros.len() as u64);
            self.disk
                .write_at(name, offset, &zeros[..chunk as usize])
                .map_err(|error| self.error(name, "write", error))?;
            offset += chunk;
            bytes -= chunk;
        }
        Ok(())
    }

    /// Writes and syncs again what no header proves: a sync may have failed or never been called,
    /// and then that it can be read proves nothing.
    fn write_again(&mut self, segment: &Segment) -> Result<(), WalError> {
        let current = segment.id == self.segment.id;
        if segment.base + segment.end <= self.synced && !current {
            return Ok(());
        }
        let name = segment.id.name();
        let from = self.synced.saturating_sub(segment.base).min(segment.end);
        if from < segment.end {
            let bytes = self.disk.read(&name).map_err(|error| self.error(&name, "read", error))?;
            self.disk
                .write_at(&name, from, &bytes[from as usize..segment.end as usize])
                .map_err(|error| self.error(&name, "write", error))?;
        }
        self.disk.sync(&name).map_err(|error| self.error(&name, "sync", error))
    }

    /// Where the log ends: staged, not necessarily durable.
    pub fn end(&self) -> u64 {
        self.segment.base + self.segment.end
    }

    /// Up to where the log is durable.
    pub fn synced(&self) -> u64 {
        self.synced
    }

    pub(super) fn disk(&mut self) -> &mut D {
        &mut self.disk
    }

    /// The snapshot in place up to here, piece by piece.
    ///
    /// # Errors
    /// If it is not there, or not what was written.
    pub fn snapshot(&self, position: LogPosition) -> Result<snapshot::Reader<'_, D>, OpenError> {
        snapshot::Reader::open(&self.disk, &snapshot::name(position), self.owner.cluster)
    }

    /// Who keeps this folder's snapshots beside the log.
    pub fn keeper(&self) -> Keeper<D> {
        Keeper::new(self.disk.another(), self.owner.cluster)
    }

    /// Takes in one batch. It is durable when a later `sync` has returned, and until then may be
    /// found whole or not at all.
    ///
    /// # Errors
    /// Where there is no room to be claimed for the batch, it was not taken in, the log is usable, and
    /// the same may be tried again. Any other is final.
    pub fn stage(&mut self, write: &Write) -> Result<(), WalError> {
        assert!(write.hard_state.term >= self.hard_state.term, "the term never falls");
        let last = write.reset.unwrap_or(self.last);
        if let Some(first) = write.entries.first() {
            assert!(first.position.index <= last.index.next(), "no gap in the log");
        }
        self.unproven = true;
        self.stage_batch(write.hard_state, write.reset, &write.entries)?;
        self.last = write.entries.last().map_or(last, |entry| entry.position);
        if let Some((_, highest)) = self.row.back_mut() {
            *highest = self.last.index.max(*highest);
        }
        Ok(())
    }

    /// Puts a snapshot in place, which is durable when this returns, and so is the log as far as it was
    /// staged. Not needed any more are all but the two newest, and the segments that the older one of
    /// these covers; to remove large files takes longer than the log's users may wait.
    pub fn keep(&mut self, whole: Whole) -> Result<Kept, WalError> {
        self.sync()?;
        let name = snapshot::name(whole.meta.position);
        self.disk
            .rename(&whole.name, &name)
            .map_err(|error| self.fail(&whole.name, "rename", error))?;
        self.disk.sync_dir().map_err(|error| self.fail("", "sync", error))?;
        let mut kept = snapshot::all(&self.disk)?;
        let newest = kept.split_off(kept.len().saturating_sub(KEPT_SNAPSHOTS));
        let mut obsolete: Vec<String> = kept.into_iter().map(snapshot::name).collect();
        if let [older, _] = newest[..] {
            obsolete.extend(self.drop_segments(older.index));
        }
        Ok(Kept { whole, obsolete })
    }

    /// Drops segments from the front of the row; their names.
    fn drop_segments(&mut self, covered: LogIndex) -> Vec<String> {
        let mut names = Vec::new();
        while self.row.len() > 1 && self.row[0].1 <= covered {
            let (id, _) = self.row.pop_front().expect("one of several");
            self.disk.close(&id.name());
            names.push(id.name());
        }
        names
    }

    /// Makes all that was staged durable, with one write and one sync unless the segment changed.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.check_usable()?;
        if self.synced == self.end() {
            return Ok(());
        }
        self.write()?;
        let begun = !self.left.is_empty();
        for id in std::mem::take(&mut self.left) {
            self.sync_segment(id)?;
        }
        self.sync_segment(self.segment.id)?;
        if begun {
            // A batch in a segment whose name may be lost is not durable.
            self.disk.sync_dir().map_err(|error| self.fail("", "sync", error))?;
        }
        self.synced = self.end();
        Ok(())
    }

    /// Writes and syncs an empty batch that proves the last one: from now on bad bytes in that are
    /// damage, not the tail of a flight. Nothing if that is so already; to be called when there was
    /// no work for a while. Whether it wrote.
    pub fn mark(&mut self) -> Result<bool, WalError> {
        self.sync()?;
        if !self.unproven {
            return Ok(false);
        }
        self.stage_batch(self.hard_state, None, &[])?;
        self.sync()?;
        self.unproven = false;
        Ok(true)
    }

    fn stage_batch(
        &mut self,
        hard_state: HardState,
        reset: Option<LogPosition>,
        entries: &[Entry],
    ) -> Result<(), WalError> {
        self.check_usable()?;
        let begin = self.staged.len();
        self.staged.resize(begin + HEADER, 0);
        let records = record::encode_records(&mut self.staged, reset, entries);
        let length = (self.staged.len() - begin) as u64;
        if self.segment.end + length > self.segment.length {
            let batch = self.staged.split_off(begin);
            self.begin_segment(length)?;
            self.staged.extend_from_slice(&batch);
        }
        let begin = self.staged.len() - length as usize;
        let header = Header {
            offset: self.end(),
            synced: self.synced,
            chain: self.chain,
            run: self.run,
            hard_state,
            records,
        };
        let (header, chain) = header.encode(self.segment.id.salt);
        self.staged[begin..][..HEADER].copy_from_slice(&header);
        self.chain = chain;
        self.hard_state = hard_state;
        self.segment.end += length;
        if self.staged.len() >= STAGED {
            self.write()?;
        }
        self.space(); // which has the next segment made in time
        Ok(())
    }

    /// Writes what is staged, and zeros over zeros up to a page's end: a page that is written whole is
    /// not read first. `sync` does this too.
    ///
    /// # Errors
    /// Any is final.
    pub fn write(&mut self) -> Result<(), WalError> {
        self.check_usable()?;
        let mut staged = std::mem::take(&mut self.staged);
        if staged.is_empty() {
            return Ok(());
        }
        let Segment { id, end, length, .. } = self.segment;
        let begin = end - staged.len() as u64;
        let padded = end.next_multiple_of(PAGE).min(length);
        staged.resize((padded - begin) as usize, 0);
        let name = id.name();
        self.disk
            .write_at(&name, begin, &staged)
            .map_err(|error| self.fail(&name, "write", error))?;
        if staged.capacity() <= STAGED {
            staged.clear();
            self.staged = staged;
        }
        Ok(())
    }

    /// Begins the next segment, with room for a batch of `length`; its head is staged.
    fn begin_segment(&mut self, length: u64) -> Result<(), WalError> {
        let sequence = self.segment.id.sequence + 1;
        let id = SegmentId { sequence, salt: mix(self.run ^ mix(self.chain ^ sequence)) };
        let head = Head {
            owner: self.owner,
            base: self.end(),
            synced: self.synced,
            chain: self.chain,
            length: segment_length(self.options.segment, length),
            hard_state: self.hard_state,
            last: self.last,
        };
        let name = id.name();
        self.disk.create(&name, head.length).map_err(|error| match is_no_space(&error) {
            true => self.error(&name, "claim room for", error),
            false => self.fail(&name, "create", error),
        })?;
        self.write()?;
        self.left.push(self.segment.id);
        self.row.push_back((id, LogIndex(0)));
        self.segment = Segment { id, base: head.base, length: head.length, end: HEAD as u64 };
        self.staged.extend_from_slice(&head.encode(id));
        Ok(())
    }

    /// What room there is for the log. The next segment is made ahead of need, once half of this one is
    /// used; if it cannot be, the other half is what is left.
    pub fn space(&mut self) -> Space {
        let Segment { length, end, .. } = self.segment;
        let left = length - end;
        if left >= length / 2 || self.disk.prepare(segment_length(self.options.segment, 0)) {
            Space::Enough
        } else if left >= length / 8 {
            Space::Full
        } else {
            Space::Exhausted
        }
    }

    fn sync_segment(&mut self, id: SegmentId) -> Result<(), WalError> {
        let name = id.name();
        self.disk.sync(&name).map_err(|error| self.fail(&name, "sync", error))
    }

    /// Whether nothing but room was missing so far.
    pub fn is_usable(&self) -> bool {
        self.failed.is_none()
    }

    fn check_usable(&self) -> Result<(), WalError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    fn error(&self, name: &str, operation: &'static str, error: std::io::Error) -> WalError {
        WalError::new(self.disk.describe(name), operation, error)
    }

    /// The end of this log: what the disk holds is no longer known.
    fn fail(&mut self, name: &str, operation: &'static str, error: std::io::Error) -> WalError {
        let error = self.error(name, operation, error);
        self.failed = Some(error.clone());
        error
    }
}

/// Bytes of a segment that has room for a batch of `batch`.
fn segment_length(wished: u64, batch: u64) -> u64 {
    let needed = HEAD as u64 + batch.max(HEADER as u64);
    wished.max(needed).next_multiple_of(ALIGNMENT as u64)
}
