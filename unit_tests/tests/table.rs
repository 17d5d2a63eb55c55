//! The store's table against the standard library's map: what it holds after any changes, and what
//! each frozen copy holds however the table went on.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::{iter, mem, thread};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed};
use raft::store::table::{Frozen, Table};

/// A key with its value.
type Element = (u32, Box<u32>);
type Hash = fn(u32) -> u64;

/// Spreads its bits over the whole hash.
fn good(key: u32) -> u64 {
    u64::from(key).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// Hashes of every quality: all tags equal, all buckets equal, a few values, one.
const HASHES: [Hash; 5] =
    [good, |key| good(key) >> 32, |key| good(key) << 32, |key| good(key % 3), |_| 7];

/// A table, and a map that must hold the same.
struct Both {
    table: Table<Element>,
    map: HashMap<u32, u32>,
    hash: Hash,
}

impl Both {
    fn new(hash: Hash) -> Both {
        Both { table: Table::new(), map: HashMap::new(), hash }
    }

    fn put(&mut self, key: u32, value: u32) {
        let hash = self.hash;
        let before = match self.table.find_mut(hash(key), |e| e.0 == key) {
            // In place: this is what a frozen copy must not see.
            Some(element) => Some(mem::replace(element.1.as_mut(), value)),
            None => {
                let element = (key, Box::new(value));
                let inserted = self.table.insert(hash(key), element.clone(), |e| hash(e.0));
                assert_eq!(*inserted, element);
                None
            }
        };
        assert_eq!(before, self.map.insert(key, value), "of {key}");
    }

    fn add(&mut self, key: u32, more: u32) {
        let found = self.table.find_mut((self.hash)(key), |e| e.0 == key);
        assert_eq!(found.is_some(), self.map.contains_key(&key));
        if let Some((_, value)) = found {
            **value = value.wrapping_add(more);
            self.map.insert(key, **value);
        }
    }

    fn remove(&mut self, key: u32) {
        let hash = self.hash;
        let removed = self.table.remove(hash(key), |e| e.0 == key, |e| hash(e.0));
        assert_eq!(removed.map(|(key, value)| (key, *value)), self.map.remove_entry(&key));
    }

    fn clear(&mut self) {
        self.table.clear();
        self.map.clear();
    }

    fn freeze(&mut self) -> (Frozen<Element>, BTreeMap<u32, u32>) {
        (self.table.freeze(), self.sorted())
    }

    fn sorted(&self) -> BTreeMap<u32, u32> {
        self.map.iter().map(|(key, value)| (*key, *value)).collect()
    }

    /// Each element is found, each once, and no other.
    fn check(&self) {
        assert_eq!(self.table.len(), self.map.len());
        assert_eq!(self.table.is_empty(), self.map.is_empty());
        assert_holds(self.table.iter().cloned(), &self.sorted());
        for (key, value) in &self.map {
            self.find(*key, Some(*value));
        }
    }

    fn find(&self, key: u32, value: Option<u32>) {
        let found = self.table.find((self.hash)(key), |e| e.0 == key);
        assert_eq!(found.map(|e| *e.1), value, "of {key}");
    }
}

fn assert_holds(elements: impl Iterator<Item = Element>, expected: &BTreeMap<u32, u32>) {
    let mut elements: Vec<(u32, u32)> = elements.map(|(key, value)| (key, *value)).collect();
    elements.sort_unstable();
    assert!(elements.iter().copied().eq(expected.iter().map(|(key, value)| (*key, *value))));
}

#[derive(Clone, Debug)]
enum Step {
    Put(u32, u32),
    /// Many keys at once, so that buckets are split and merged.
    PutAll(u32, u32),
    Add(u32, u32),
    Remove(u32),
    RemoveAll(u32, u32),
    Clear,
    Freeze,
    /// Reads so many elements of one of the frozen copies.
    Read(Index, usize),
    /// Reads the rest of one of the frozen copies.
    Finish(Index),
}

fn step(keys: u32) -> impl Strategy<Value = Step> {
    let key = move || 0..keys;
    prop_oneof![
        12 => (key(), any::<u32>()).prop_map(|(key, value)| Step::Put(key, value)),
        3 => (key(), 0..keys / 2).prop_map(|(key, count)| Step::PutAll(key, count)),
        8 => (key(), any::<u32>()).prop_map(|(key, more)| Step::Add(key, more)),
        8 => key().prop_map(Step::Remove),
        3 => (key(), 0..keys / 2).prop_map(|(key, count)| Step::RemoveAll(key, count)),
        1 => Just(Step::Clear),
        4 => Just(Step::Freeze),
        4 => (any::<Index>(), 0..200_usize).prop_map(|(at, count)| Step::Read(at, count)),
        2 => any::<Index>().prop_map(Step::Finish),
    ]
}

/// A frozen copy, what was read of it, and what it must hold.
struct Copied {
    frozen: Frozen<Element>,
    read: Vec<Element>,
    expected: BTreeMap<u32, u32>,
}

impl Copied {
    fn finish(self) {
        assert_holds(self.read.into_iter().chain(self.frozen), &self.expected);
    }
}

fn run(hash: Hash, steps: Vec<Step>) {
    let mut both = Both::new(hash);
    let mut copies: Vec<Copied> = Vec::new();
    for step in steps {
        match step {
            Step::Put(key, value) => both.put(key, value),
            Step::PutAll(first, count) => (first..first + count).for_each(|key| both.put(key, key)),
            Step::Add(key, more) => both.add(key, more),
            Step::Remove(key) => both.remove(key),
            Step::RemoveAll(first, count) => {
                (first..first + count).for_each(|key| both.remove(key));
            }
            Step::Clear => both.clear(),
            Step::Freeze => {
                let (frozen, expected) = both.freeze();
                copies.push(Copied { frozen, read: Vec::new(), expected });
            }
            Step::Read(at, count) if !copies.is_empty() => {
                let copied = at.index(copies.len());
                let Copied { frozen, read, .. } = &mut copies[copied];
                read.extend(iter::from_fn(|| frozen.next()).take(count));
            }
            Step::Finish(at) if !copies.is_empty() => {
                copies.swap_remove(at.index(copies.len())).finish();
            }
            Step::Read(..) | Step::Finish(_) => {}
        }
        assert_eq!(both.table.len(), both.map.len());
    }
    both.check();
    copies.into_iter().for_each(Copied::finish);
    both.check();
}

fn config(cases: u32) -> Config {
    let rng_seed = RngSeed::Fixed(1);
    Config { cases, rng_seed, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn a_frozen_copy_stays_what_the_table_was(steps in vec(step(3000), 1..60)) {
        run(good, steps);
    }

    #[test]
    fn hashes_that_collide_lose_nothing(which in 0..HASHES.len(), steps in vec(step(120), 1..150)) {
        run(HASHES[which], steps);
    }
}

#[test]
fn grows_and_shrinks_element_by_element() {
    let mut both = Both::new(good);
    both.find(0, None);
    for key in 0..20_000 {
        both.put(key, key);
        both.find(key, Some(key));
        both.find(key / 2, Some(key / 2));
        both.find(key + 1, None);
    }
    both.check();
    for key in 0..20_000 {
        both.remove(key);
        both.find(key, None);
        if key % 1000 == 0 {
            both.check();
        }
    }
    both.check();
    both.put(1, 1);
    both.check();
}

/// Elements that share a bucket beyond the number of those that it finds quickly.
#[test]
fn a_crowd_of_one_hash_is_found_changed_and_removed() {
    let mut both = Both::new(|_| u64::MAX);
    (0..500).for_each(|key| both.put(key, key));
    let (frozen, expected) = both.freeze();
    (0..500).step_by(3).for_each(|key| both.remove(key));
    (0..500).for_each(|key| both.add(key, 7));
    both.check();
    (0..500).for_each(|key| both.put(key, 2 * key));
    both.check();
    assert_holds(frozen, &expected);
}

#[test]
fn a_frozen_copy_is_read_on_another_thread_while_the_table_changes() {
    let mut both = Both::new(good);
    (0..30_000).for_each(|key| both.put(key, key));
    for round in 1..4 {
        let (frozen, expected) = both.freeze();
        let reader = thread::spawn(move || assert_holds(frozen, &expected));
        (0..30_000).filter(|key| key % round == 0).for_each(|key| both.add(key, round));
        (0..30_000).filter(|key| key % 7 == round).for_each(|key| both.remove(key));
        reader.join().expect("the copy as it was");
        both.check();
    }
}

/// An element that can be counted: how many there are tells what was copied and what was given back.
#[derive(Clone)]
struct Counted(u32, #[expect(dead_code, reason = "counts by living")] Arc<()>);

#[test]
fn only_what_is_changed_is_copied_and_all_is_given_back() {
    let one = Arc::new(());
    let living = || Arc::strong_count(&one) - 1;
    let hash = |element: &Counted| good(element.0);
    let mut table = Table::new();
    for key in 0..10_000 {
        table.insert(good(key), Counted(key, one.clone()), hash);
    }
    let touch = |table: &mut Table<Counted>, key| {
        table.find_mut(good(key), |e| e.0 == key).expect("an element that was put there");
    };
    (0..10_000).for_each(|key| touch(&mut table, key));
    assert_eq!(living(), 10_000, "nothing is copied while nothing is frozen");

    let frozen = table.freeze();
    assert_eq!(living(), 10_000, "freezing copies no element");
    touch(&mut table, 5);
    let few = living() - 10_000;
    assert!((1..100).contains(&few), "{few} copies for one change");
    touch(&mut table, 5);
    assert_eq!(living(), 10_000 + few, "a bucket is copied once");

    drop(frozen);
    assert_eq!(living(), 10_000);
    let mut frozen = table.freeze();
    (0..10_000).for_each(|key| touch(&mut table, key));
    assert_eq!(living(), 20_000);
    frozen.by_ref().take(9_000).for_each(drop);
    assert!(living() < 12_000, "what was read is given back, {} live", living());
    drop(frozen);
    assert_eq!(living(), 10_000);
    table.clear();
    assert_eq!(living(), 0);
}

#[test]
fn a_frozen_copy_may_go_to_another_thread() {
    fn is_send<T: Send>() {}
    is_send::<Frozen<Element>>();
    is_send::<Table<Element>>();
}
