//! Counting by kind: faults that happened, situations that came up. Must never cost more than an
//! addition.

use std::marker::PhantomData;

/// An enum whose values can be listed and have names.
pub trait Named: Copy + 'static {
    /// All values, in the order of their numbers.
    const ALL: &'static [Self];
    /// The value's place in `ALL`.
    fn place(self) -> usize;
    /// What people call it.
    fn name(self) -> &'static str;
    /// The value of that name.
    fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.name() == name)
    }
}

/// Declares an enum with documentation, and a name for each value.
macro_rules! named {
    ($(#[$outer:meta])* $type:ident { $($(#[$inner:meta])* $value:ident = $name:literal,)* }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $type { $($(#[$inner])* $value,)* }

        impl $crate::tally::Named for $type {
            const ALL: &'static [$type] = &[$($type::$value,)*];
            fn place(self) -> usize {
                self as usize
            }
            fn name(self) -> &'static str {
                match self { $($type::$value => $name,)* }
            }
        }
    };
}
pub(crate) use named;

/// A count for each value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally<K> {
    counts: Vec<u64>,
    kind: PhantomData<K>,
}

impl<K: Named> Default for Tally<K> {
    fn default() -> Tally<K> {
        Tally { counts: vec![0; K::ALL.len()], kind: PhantomData }
    }
}

impl<K: Named> Tally<K> {
    /// One more.
    pub fn add(&mut self, value: K) {
        self.counts[value.place()] += 1;
    }

    /// How many.
    pub fn of(&self, value: K) -> u64 {
        self.counts[value.place()]
    }

    /// Adds what another counted.
    pub fn merge(&mut self, other: &Tally<K>) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// Each value with its count.
    pub fn iter(&self) -> impl Iterator<Item = (K, u64)> {
        K::ALL.iter().copied().map(|value| (value, self.of(value)))
    }

    /// The names of those that never came up.
    pub fn missed(&self) -> impl Iterator<Item = &'static str> {
        self.iter().filter(|(_, count)| *count == 0).map(|(value, _)| value.name())
    }
}
