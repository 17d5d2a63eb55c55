//! Which write a read must have seen: by its value, by time, and by what order is known.

use std::collections::HashMap;

use super::flow::{Leaves, Needs, leaves, needs};
use super::meaning::Value;
use super::order::Order;
use super::partition::{Component, Entry};

/// A read of a value, or a write that tells what it found.
pub struct Read {
    pub entry: usize,
    values: Vec<Value>,
}

struct Write {
    entry: usize,
    leaves: Leaves,
}

/// What one key's operations need and leave.
pub struct Flow {
    reads: Vec<Read>,
    /// By `invoked`.
    writes: Vec<Write>,
    /// For each write, the latest deadline of it and those before it.
    ended: Vec<u64>,
    by_value: HashMap<Value, Vec<usize>>,
    others: Vec<usize>,
}

/// Where a value read came from.
#[derive(Clone, Copy)]
pub enum Origin {
    Beginning,
    Write(usize),
    Open,
}

impl Flow {
    /// The key's reads and writes.
    pub fn new(component: &Component, key: usize) -> Flow {
        let name = &component.keys[key];
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (index, entry) in component.entries.iter().enumerate() {
            if !entry.keys.contains(&key) {
                continue;
            }
            let part = entry.ways[0].part(name);
            if let Needs::OneOf(values) = needs(&part)
                && entry.span.deadline.is_some()
            {
                reads.push(Read { entry: index, values });
            }
            let leaves = if entry.ways.len() == 1 { leaves(&part) } else { Leaves::Unclear };
            if leaves != Leaves::Same {
                writes.push(Write { entry: index, leaves });
            }
        }
        writes.sort_by_key(|write| component.entries[write.entry].span.invoked);
        let mut latest = 0;
        let ended = writes.iter().map(|write| {
            latest = latest.max(component.entries[write.entry].span.deadline.unwrap_or(0));
            latest
        });
        let ended = ended.collect();
        let mut by_value: HashMap<Value, Vec<usize>> = HashMap::new();
        let mut others = Vec::new();
        for (place, write) in writes.iter().enumerate() {
            match &write.leaves {
                Leaves::Value(value) => by_value.entry(value.clone()).or_default().push(place),
                _ => others.push(place),
            }
        }
        Flow { reads, writes, ended, by_value, others }
    }

    /// What can have been written here.
    pub fn writes(&self) -> impl Iterator<Item = usize> + '_ {
        self.writes.iter().map(|write| write.entry)
    }

    /// The reads whose origin is not known yet.
    pub fn take_reads(&mut self) -> Vec<Read> {
        std::mem::take(&mut self.reads)
    }

    /// Leaves a read for later.
    pub fn leave(&mut self, read: Read) {
        self.reads.push(read);
    }

    /// The other writes whose order to the read and its origin is not told by time alone.
    pub fn around(&self, read: &Read, origin: &Origin, component: &Component) -> Vec<usize> {
        let write = match origin {
            Origin::Write(write) => Some(*write),
            Origin::Beginning | Origin::Open => None,
        };
        self.since(write, read.entry, &component.entries).collect()
    }

    /// The only write that the read can have seen, if there is only one.
    pub fn origin(&self, read: &Read, entries: &[Entry], order: &Order) -> Origin {
        let mut origin = None;
        let mut add = |new: Origin| {
            let is_second = origin.is_some();
            origin = Some(if is_second { Origin::Open } else { new });
            is_second
        };
        let deadline = entries[read.entry].span.deadline.unwrap_or(u64::MAX);
        for value in &read.values {
            if value.is_none()
                && !self.writes.iter().any(|one| order.is_before(one.entry, read.entry))
            {
                add(Origin::Beginning);
            }
            let known = self.by_value.get(value).into_iter().flatten();
            let others = self.others.iter().filter(|one| self.writes[**one].leaves.may_be(value));
            for &place in known.chain(others) {
                let write = self.writes[place].entry;
                let is_late = write == read.entry
                    || order.is_before(read.entry, write)
                    || entries[write].span.invoked > deadline;
                if !is_late
                    && !self.is_overwritten(write, read.entry, entries, order)
                    && add(Origin::Write(write))
                {
                    return Origin::Open;
                }
            }
        }
        origin.unwrap_or(Origin::Open)
    }

    /// Whether another write certainly came after this one and before the read.
    fn is_overwritten(&self, write: usize, read: usize, entries: &[Entry], order: &Order) -> bool {
        self.since(Some(write), read, entries)
            .any(|other| order.is_before(write, other) && order.is_before(other, read))
    }

    /// The writes that may lie after a write, or after the beginning, and before a read.
    fn since<'a>(
        &'a self,
        write: Option<usize>,
        read: usize,
        entries: &'a [Entry],
    ) -> impl Iterator<Item = usize> + 'a {
        let begun = write.map_or(0, |write| entries[write].span.invoked);
        let first = self.ended.partition_point(|ended| *ended < begun);
        let deadline = entries[read].span.deadline.unwrap_or(u64::MAX);
        let end = self.writes.partition_point(|one| entries[one.entry].span.invoked <= deadline);
        let found = self.writes.get(first..end).unwrap_or(&[]).iter().map(|one| one.entry);
        found.filter(move |other| *other != read && Some(*other) != write)
    }
}
