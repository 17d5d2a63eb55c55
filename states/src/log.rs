//! The log since a snapshot, in memory, and what of it is durable. Must never read a disk, and never
//! decide *whether* entries may be replaced or forgotten: that is the roles' rule.
//!
//! Invariants: entry *i* stands at index *i*, no gap from the base on; terms and times never fall;
//! `base ≤ durable ≤ handed_out ≤ last`.

use std::collections::VecDeque;

use messages::{Entry, LogIndex, LogPosition, LogTime, SnapshotMeta, Term};

use crate::WriteId;

/// The entries after a position, and how far they have come on their way to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    /// What stands before the first entry: a snapshot covers it, and all before it.
    base: LogPosition,
    base_time: LogTime,
    entries: VecDeque<Entry>,
    /// Bytes of the entries.
    bytes: usize,
    /// Entries up to here are in a write that was handed out.
    handed_out: LogIndex,
    /// Entries up to here are durable as they stand.
    durable: LogIndex,
    /// Writes under way, oldest first: how far each makes the *present* entries durable.
    writing: VecDeque<(WriteId, LogIndex)>,
}

impl Log {
    /// A log as recovered from disk, from its first entry on: all of it durable.
    pub fn recovered(entries: Vec<Entry>) -> Log {
        Log::recovered_after(LogPosition::ZERO, LogTime(0), entries)
    }

    /// A log of which a snapshot covers what stands up to `base`: all of it durable.
    pub fn recovered_after(base: LogPosition, base_time: LogTime, entries: Vec<Entry>) -> Log {
        let mut log = Log { base, base_time, ..Log::default() };
        entries.into_iter().for_each(|entry| log.append(entry));
        (log.handed_out, log.durable) = (log.last().index, log.last().index);
        log
    }

    /// The position before the first entry; zero's if there is none before it.
    pub fn base(&self) -> LogPosition {
        self.base
    }

    /// Bytes of the entries in memory.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The position of the last entry, or the base.
    pub fn last(&self) -> LogPosition {
        self.entries.back().map_or(self.base, |entry| entry.position)
    }

    /// The log time of the last entry, or the base's.
    pub fn last_time(&self) -> LogTime {
        self.entries.back().map_or(self.base_time, |entry| entry.time)
    }

    /// How far the present entries are durable.
    pub fn durable(&self) -> LogIndex {
        self.durable
    }

    /// Where the entry at `index` stands among those in memory.
    fn place(&self, index: LogIndex) -> Option<usize> {
        usize::try_from(index.0.checked_sub(self.base.index.0)?.checked_sub(1)?).ok()
    }

    /// The entry at `index`, if it is in memory.
    pub fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(self.place(index)?)
    }

    /// The term at `index`; beyond the end and before the base it is not known.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.base.index {
            return Some(self.base.term);
        }
        self.entry(index).map(|entry| entry.position.term)
    }

    /// The log time at `index`; beyond the end and before the base it is not known.
    pub fn time_at(&self, index: LogIndex) -> Option<LogTime> {
        if index == self.base.index {
            return Some(self.base_time);
        }
        self.entry(index).map(|entry| entry.time)
    }

    /// Whether the log holds an entry at this very position (paper, section 5.3: the consistency
    /// check).
    pub fn holds(&self, position: LogPosition) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// The last position at or before `at.index` whose term is not above `at.term`; the base, which
    /// is committed, if there is none in memory.
    pub fn last_not_above(&self, at: LogPosition) -> LogPosition {
        let end = self.place(at.index.min(self.last().index)).map_or(0, |place| place + 1);
        let count = self.entries.partition_point(|entry| entry.position.term <= at.term).min(end);
        count.checked_sub(1).map_or(self.base, |place| self.entries[place].position)
    }

    /// Entries from `first` on, none if that is not in memory, up to `bytes` of them but at least one.
    pub fn slice(&self, first: LogIndex, bytes: usize) -> impl Iterator<Item = &Entry> {
        let start = self.place(first).unwrap_or(self.entries.len()).min(self.entries.len());
        let mut size = 0;
        self.entries
            .range(start..)
            .enumerate()
            .take_while(move |(place, entry)| {
                size += entry.size();
                *place == 0 || size <= bytes
            })
            .map(|(_, entry)| entry)
    }

    /// How far entries may go so that of those up to `index` at most so many bytes stay.
    pub fn before(&self, index: LogIndex, bytes: usize) -> LogIndex {
        let end = self.place(index).map_or(0, |place| (place + 1).min(self.entries.len()));
        let mut size = 0;
        let stays = |entry: &&Entry| {
            size += entry.size();
            size <= bytes
        };
        let stay = self.entries.range(..end).rev().take_while(stays).count();
        LogIndex(self.base.index.0 + (end - stay) as u64)
    }

    /// Adds an entry at the end.
    pub fn append(&mut self, entry: Entry) {
        let last = self.last();
        assert_eq!(entry.position.index, last.index.next(), "no gap in the log");
        assert!(entry.position.term >= last.term, "terms never fall along the log");
        assert!(entry.time >= self.last_time(), "log time never falls");
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Removes the entries from `first` on. What was handed out or durable of them no longer
    /// counts, so that an acknowledgement of an overwritten entry never does.
    pub fn truncate(&mut self, first: LogIndex) {
        assert!(first > self.base.index, "what a snapshot covers is committed");
        let kept = LogIndex(first.0 - 1);
        while self.entries.back().is_some_and(|entry| entry.position.index > kept) {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.size());
        }
        self.handed_out = self.handed_out.min(kept);
        self.durable = self.durable.min(kept);
        for (_, last) in &mut self.writing {
            *last = (*last).min(kept);
        }
    }

    /// Forgets entries up to `index`, until they had so many bytes: what they take in memory goes with
    /// them. All of them must be durable.
    pub fn forget(&mut self, index: LogIndex, bytes: usize) {
        assert!(index <= self.durable, "base ≤ durable");
        let most = self.bytes.saturating_sub(bytes);
        while let Some(first) = self.entries.pop_front_if(|entry| entry.position.index <= index) {
            self.bytes -= first.size();
            (self.base, self.base_time) = (first.position, first.time);
            if self.bytes <= most {
                return;
            }
        }
    }

    /// A snapshot that was received takes the place of all entries, which do not lead up to it.
    pub fn reset(&mut self, meta: &SnapshotMeta) {
        let index = meta.position.index;
        *self = Log { base: meta.position, base_time: meta.time, ..Log::default() };
        (self.handed_out, self.durable) = (index, index);
    }

    /// Whether some entries were never handed out.
    pub fn has_unwritten(&self) -> bool {
        self.handed_out < self.last().index
    }

    /// The entries that were never handed out; from now on they are, in the write `id`.
    pub fn hand_out(&mut self, id: WriteId) -> Vec<Entry> {
        let unwritten = self.slice(self.handed_out.next(), usize::MAX).cloned().collect();
        self.handed_out = self.last().index;
        self.writing.push_back((id, self.handed_out));
        unwritten
    }

    /// The write `id` and all before it are durable.
    pub fn written(&mut self, id: WriteId) {
        while let Some((_, last)) = self.writing.pop_front_if(|(write, _)| *write <= id) {
            self.durable = self.durable.max(last);
        }
        assert!(self.durable <= self.handed_out, "durable ≤ handed out");
    }
}
