//! Chance for workloads: all of it comes from the seed. Must never be made from anything else.

use rand::RngExt;
use states::random::SplitMix64;

/// A source of chance that repeats itself with its seed.
#[derive(Debug)]
pub struct Chance<'a>(pub(crate) &'a mut SplitMix64);

impl Chance<'_> {
    /// A number from zero to one less than `end`, each as likely.
    ///
    /// # Panics
    /// If `end` is zero.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    /// One of these, each as likely.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<'t, T>(&mut self, things: &'t [T]) -> &'t T {
        &things[self.below(things.len() as u64) as usize]
    }

    /// Yes in so many of a hundred cases.
    pub fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }
}
