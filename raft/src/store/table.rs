//! A hash table that can be frozen: a copy of what it holds at one moment costs no more than copying
//! some pointers, is read on another thread, and each change made meanwhile copies only the few
//! elements beside it. Must never stop for all its elements at once, and must never change what a
//! frozen copy shows.
//!
//! It grows by *linear hashing*: with each element that is one too many for the buckets that there
//! are, one bucket is split in two, whichever's turn it is, and back the same way. Buckets lie in
//! groups: while nobody else reads a group it is the table's own; a frozen table shares all groups,
//! and the first change of a group takes a copy of it, whose buckets still share their elements; the
//! first change of a bucket copies those.
//!
//! Hash and equality are the caller's, as in `hashbrown::HashTable`.

mod bucket;

use std::hint::black_box;
use std::sync::Arc;
use std::vec;

use bucket::Bucket;

/// Elements a bucket at most, on average: above it one is split. Just before its turn a bucket holds
/// up to twice as many.
const FULL: usize = 12;

/// Elements a bucket, on average, below which two are merged.
const SPARSE: usize = 4;

/// Buckets in a group.
const GROUP: usize = 64;

/// Elements that are found by their hash.
#[derive(Debug)]
pub struct Table<T> {
    groups: Vec<Group<T>>,
    /// Buckets in all groups, never zero. All groups but the last are full.
    buckets: usize,
    /// The bits that tell bucket from bucket: all ones, and no bucket's number is larger.
    mask: usize,
    len: usize,
}

#[derive(Debug)]
enum Group<T> {
    Own(Vec<Bucket<T>>),
    Shared(Arc<Vec<Bucket<T>>>),
}

impl<T> Group<T> {
    #[inline]
    fn buckets(&self) -> &[Bucket<T>] {
        match self {
            Group::Own(buckets) => buckets,
            Group::Shared(buckets) => buckets,
        }
    }

    fn share(&mut self) -> Arc<Vec<Bucket<T>>> {
        let shared = match self {
            Group::Own(buckets) => Arc::new(std::mem::take(buckets)),
            Group::Shared(buckets) => Arc::clone(buckets),
        };
        *self = Group::Shared(Arc::clone(&shared));
        shared
    }
}

impl<T: Clone> Group<T> {
    /// The buckets, to be changed: the table's own from now on.
    #[inline]
    fn own(&mut self) -> &mut Vec<Bucket<T>> {
        if let Group::Shared(buckets) = self {
            *self = Group::Own(Arc::unwrap_or_clone(std::mem::take(buckets)));
        }
        match self {
            Group::Own(buckets) => buckets,
            Group::Shared(_) => unreachable!("made its own above"),
        }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            groups: vec![Group::Own(vec![Bucket::new(Vec::new())])],
            buckets: 1,
            mask: 0,
            len: 0,
        }
    }
}

impl<T> Table<T> {
    /// A table without elements.
    pub fn new() -> Table<T> {
        Table::default()
    }

    /// Elements in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds no element.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All elements, in an order that means nothing.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.groups.iter().flat_map(Group::buckets).flat_map(Bucket::iter)
    }

    /// The element of this hash that `is_it` says yes to.
    #[inline]
    pub fn find(&self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&T> {
        let bucket = self.bucket(self.number(hash));
        bucket.get(bucket.position(hash, is_it)?)
    }

    /// The elements that these hashes are likely to find. No look waits for another one, so that what
    /// lies in no cache is waited for once for all: first tags, then what is read to change an element.
    pub fn likely<const N: usize>(&self, hashes: [u64; N]) -> [Option<&T>; N] {
        let buckets = hashes.map(|hash| (self.bucket(self.number(hash)), hash));
        let places = buckets.map(|(bucket, hash)| (bucket, bucket.likely_position(hash)));
        black_box(places.map(|(bucket, _)| bucket.sharers()));
        places.map(|(bucket, place)| bucket.get(place?))
    }

    /// What the table holds at this moment. Takes time for each group of buckets, not for each
    /// element: a millisecond for some millions of these.
    pub fn freeze(&mut self) -> Frozen<T> {
        let groups: Vec<_> = self.groups.iter_mut().map(Group::share).collect();
        Frozen {
            groups: groups.into_iter(),
            buckets: Vec::new().into_iter(),
            elements: Vec::new().into_iter(),
        }
    }

    /// The number of the bucket where the hash belongs.
    #[inline]
    fn number(&self, hash: u64) -> usize {
        let number = hash as usize & self.mask;
        if number < self.buckets { number } else { number & (self.mask >> 1) }
    }

    #[inline]
    fn bucket(&self, number: usize) -> &Bucket<T> {
        &self.groups[number / GROUP].buckets()[number % GROUP]
    }
}

impl<T: Clone> Table<T> {
    /// The element of this hash that `is_it` says yes to, to be changed; its hash must stay the same.
    #[inline]
    pub fn find_mut(&mut self, hash: u64, is_it: impl FnMut(&T) -> bool) -> Option<&mut T> {
        let bucket = self.bucket_mut(self.number(hash));
        bucket.get_mut(bucket.position(hash, is_it)?)
    }

    /// Adds an element, which must not be there and have this hash. `rehash` gives the hash of an
    /// element that is there.
    pub fn insert(&mut self, hash: u64, element: T, rehash: impl Fn(&T) -> u64) -> &mut T {
        self.len += 1;
        if self.len > self.buckets * FULL {
            self.split(rehash);
        }
        let number = self.number(hash);
        self.bucket_mut(number).insert(hash, element)
    }

    /// Removes the element of this hash that `is_it` says yes to. `rehash` gives the hash of an
    /// element that is there.
    pub fn remove(
        &mut self,
        hash: u64,
        is_it: impl FnMut(&T) -> bool,
        rehash: impl Fn(&T) -> u64,
    ) -> Option<T> {
        let bucket = self.bucket_mut(self.number(hash));
        let element = bucket.remove(bucket.position(hash, is_it)?)?;
        if bucket.is_roomy() {
            *bucket = Bucket::new(bucket.take_hashed(&rehash).collect());
        }
        self.len -= 1;
        if self.buckets > 1 && self.len < self.buckets * SPARSE {
            self.merge(rehash);
        }
        Some(element)
    }

    /// Removes all elements.
    pub fn clear(&mut self) {
        *self = Table::default();
    }

    #[inline]
    fn bucket_mut(&mut self, number: usize) -> &mut Bucket<T> {
        &mut self.groups[number / GROUP].own()[number % GROUP]
    }

    /// One bucket more: the bucket whose turn it is gives it the elements that belong there.
    fn split(&mut self, rehash: impl Fn(&T) -> u64) {
        self.mask = usize::MAX >> self.buckets.leading_zeros();
        let bit = self.mask / 2 + 1;
        let low = self.bucket_mut(self.buckets - bit);
        let (high, stay) = low.take_hashed(rehash).partition(|(hash, _)| *hash as usize & bit != 0);
        *low = Bucket::new(stay);
        if self.buckets.is_multiple_of(GROUP) {
            self.groups.push(Group::Own(Vec::with_capacity(GROUP)));
        }
        self.groups[self.buckets / GROUP].own().push(Bucket::new(high));
        self.buckets += 1;
    }

    /// One bucket less: the last one gives its elements back to the one that it was split from.
    fn merge(&mut self, rehash: impl Fn(&T) -> u64) {
        self.buckets -= 1;
        let mut high = self.groups[self.buckets / GROUP].own().pop().expect("the last bucket");
        if self.buckets.is_multiple_of(GROUP) {
            self.groups.pop();
        }
        let bit = self.mask / 2 + 1;
        let low = self.bucket_mut(self.buckets - bit);
        *low = Bucket::new(low.take_hashed(&rehash).chain(high.take_hashed(&rehash)).collect());
        self.mask = usize::MAX.checked_shr((self.buckets - 1).leading_zeros()).unwrap_or(0);
    }
}

/// What a table held at one moment: gives the elements, in an order that means nothing, on any
/// thread. Memory that nobody else needs any more is given back as it goes.
#[derive(Debug)]
pub struct Frozen<T> {
    groups: vec::IntoIter<Arc<Vec<Bucket<T>>>>,
    buckets: vec::IntoIter<Bucket<T>>,
    elements: vec::IntoIter<T>,
}

impl<T: Clone> Iterator for Frozen<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        loop {
            if let Some(element) = self.elements.next() {
                return Some(element);
            }
            while self.buckets.as_slice().is_empty() {
                self.buckets = Arc::unwrap_or_clone(self.groups.next()?).into_iter();
            }
            if let Some(mut bucket) = self.buckets.next() {
                self.elements = bucket.take_all().into_iter();
            }
        }
    }
}
