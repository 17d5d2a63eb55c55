//! The log in memory, and what of it is durable. Must never read a disk, and never decide *whether*
//! entries may be replaced: that is the roles' rule.
//!
//! Invariants: entry *i* stands at index *i*, no gap; terms and times never fall;
//! `durable ≤ handed_out ≤ last`.

use std::collections::VecDeque;

use messages::{Entry, LogIndex, LogPosition, LogTime, Term};

use crate::WriteId;

/// All entries, and how far they have come on their way to the disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Log {
    entries: Vec<Entry>,
    /// Entries up to here are in a write that was handed out.
    handed_out: LogIndex,
    /// Entries up to here are durable as they stand.
    durable: LogIndex,
    /// Writes under way, oldest first: how far each makes the *present* entries durable.
    writing: VecDeque<(WriteId, LogIndex)>,
}

impl Log {
    /// A log as recovered from disk: all of it durable.
    pub fn recovered(entries: Vec<Entry>) -> Log {
        let last = LogIndex(entries.len() as u64);
        for (place, entry) in entries.iter().enumerate() {
            assert_eq!(entry.position.index.0, place as u64 + 1, "no gap in the log");
        }
        for pair in entries.windows(2) {
            assert!(pair[0].position.term <= pair[1].position.term, "terms never fall in the log");
        }
        Log { entries, handed_out: last, durable: last, writing: VecDeque::new() }
    }

    /// The position of the last entry.
    pub fn last(&self) -> LogPosition {
        self.entries.last().map_or(LogPosition::ZERO, |entry| entry.position)
    }

    /// The log time of the last entry.
    pub fn last_time(&self) -> LogTime {
        self.entries.last().map_or(LogTime(0), |entry| entry.time)
    }

    /// How far the present entries are durable.
    pub fn durable(&self) -> LogIndex {
        self.durable
    }

    /// The entry at `index`.
    pub fn entry(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(usize::try_from(index.0.checked_sub(1)?).ok()?)
    }

    /// The term at `index`; zero's is zero, beyond the end there is none.
    pub fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == LogIndex(0) {
            return Some(Term(0));
        }
        self.entry(index).map(|entry| entry.position.term)
    }

    /// Whether the log holds an entry at this very position (paper, section 5.3: the consistency
    /// check).
    pub fn holds(&self, position: LogPosition) -> bool {
        self.term_at(position.index) == Some(position.term)
    }

    /// The last position at or before `at.index` whose term is not above `at.term`.
    pub fn last_not_above(&self, at: LogPosition) -> LogPosition {
        let end = at.index.min(self.last().index).0 as usize;
        let count = self.entries[..end].partition_point(|entry| entry.position.term <= at.term);
        count.checked_sub(1).map_or(LogPosition::ZERO, |place| self.entries[place].position)
    }

    /// Entries from `first` on, up to `bytes` of them but at least one.
    pub fn slice(&self, first: LogIndex, bytes: usize) -> &[Entry] {
        let start = (first.0 as usize).saturating_sub(1).min(self.entries.len());
        let mut size = 0;
        let mut end = start;
        while let Some(entry) = self.entries.get(end) {
            size += entry.size();
            if size > bytes && end > start {
                break;
            }
            end += 1;
        }
        &self.entries[start..end]
    }

    /// Adds an entry at the end.
    pub fn append(&mut self, entry: Entry) {
        let last = self.last();
        assert_eq!(entry.position.index, last.index.next(), "no gap in the log");
        assert!(entry.position.term >= last.term, "terms never fall along the log");
        assert!(entry.time >= self.last_time(), "log time never falls");
        self.entries.push(entry);
    }

    /// Removes the entries from `first` on. What was handed out or durable of them no longer
    /// counts, so that an acknowledgement of an overwritten entry never does.
    pub fn truncate(&mut self, first: LogIndex) {
        assert!(first > LogIndex(0), "entries are counted from one");
        let kept = LogIndex(first.0 - 1);
        self.entries.truncate(kept.0 as usize);
        self.handed_out = self.handed_out.min(kept);
        self.durable = self.durable.min(kept);
        for (_, last) in &mut self.writing {
            *last = (*last).min(kept);
        }
    }

    /// Whether some entries were never handed out.
    pub fn has_unwritten(&self) -> bool {
        self.handed_out < self.last().index
    }

    /// The entries that were never handed out; from now on they are, in the write `id`.
    pub fn hand_out(&mut self, id: WriteId) -> Vec<Entry> {
        let unwritten = self.entries[self.handed_out.0 as usize..].to_vec();
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
