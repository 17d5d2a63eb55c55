//! Sets of small numbers, cheap to copy while most of their lower numbers are in them.

/// A set of numbers. Equal sets are equal bytes: whole words of members at the front are only
/// counted, and empty words at the back left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bits {
    full: u32,
    words: Vec<u64>,
}

impl Bits {
    pub fn contains(&self, number: usize) -> bool {
        let Some(word) = (number / 64).checked_sub(self.full as usize) else { return true };
        self.words.get(word).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// The same set with one number more.
    pub fn with(&self, number: usize) -> Bits {
        let mut bits = self.clone();
        bits.insert(number);
        bits
    }

    /// Whether the number was not in the set before.
    pub fn insert(&mut self, number: usize) -> bool {
        if self.contains(number) {
            return false;
        }
        let word = number / 64 - self.full as usize;
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        self.words[word] |= 1 << (number % 64);
        let full = self.words.iter().take_while(|word| **word == u64::MAX).count();
        self.words.drain(..full);
        self.full += full as u32;
        true
    }

    /// The numbers of the set, rising.
    pub fn members(&self) -> impl Iterator<Item = usize> + '_ {
        (0..(self.full as usize + self.words.len()) * 64).filter(|number| self.contains(*number))
    }

    /// The numbers below `end` that are missing, rising.
    pub fn missing(&self, end: usize) -> impl Iterator<Item = usize> + '_ {
        let front = self.full as usize;
        (front..end.div_ceil(64)).flat_map(move |word| {
            let mut absent = !self.words.get(word - front).copied().unwrap_or(0);
            std::iter::from_fn(move || {
                let bit = (absent != 0).then(|| absent.trailing_zeros() as usize)?;
                absent &= absent - 1;
                Some(word * 64 + bit)
            })
            .take_while(move |number| *number < end)
        })
    }

    /// Whether all of this set's numbers are in the other.
    pub fn is_subset(&self, other: &Bits) -> bool {
        let end = self.full as usize + self.words.len();
        (0..end).all(|word| self.word(word) & !other.word(word) == 0)
    }

    fn word(&self, word: usize) -> u64 {
        match word.checked_sub(self.full as usize) {
            None => u64::MAX,
            Some(word) => self.words.get(word).copied().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bits;

    #[test]
    fn sets_are_what_was_put_in_whatever_the_order() {
        let numbers: Vec<usize> = (0..200).collect();
        let up = numbers.iter().fold(Bits::default(), |bits, number| bits.with(*number));
        let down = numbers.iter().rev().fold(Bits::default(), |bits, number| bits.with(*number));
        assert_eq!(up, down);
        assert_eq!(up.missing(203).collect::<Vec<_>>(), [200, 201, 202]);
        assert!(up.contains(199) && !up.contains(200));
        let holes = [0, 3, 64, 130].iter().fold(Bits::default(), |bits, n| bits.with(*n));
        assert_eq!(holes.missing(6).collect::<Vec<_>>(), [1, 2, 4, 5]);
        assert!(holes.is_subset(&up) && !up.is_subset(&holes));
        assert!(Bits::default().is_subset(&holes) && !holes.is_subset(&Bits::default()));
    }
}
