//! A few elements whose hashes agree in their lowest bits. Must never change elements that a frozen
//! copy shares: it copies them first.

use std::sync::Arc;

/// Words of tags in a bucket.
const WORDS: usize = 3;

/// Elements of a bucket that have a tag. Further ones, of which good hashes leave hardly any, are
/// compared one by one.
const LANES: usize = 8 * WORDS;

/// Room for elements grows by so much.
const STEP: usize = 4;

const LOWEST: u64 = u64::from_ne_bytes([1; 8]);
const HIGHEST: u64 = LOWEST << 7;

/// One byte for each of the first elements: zero where there is none, else the highest bit and seven
/// bits of the hash. Lane `i` is byte `i / WORDS` of word `i % WORDS`: so one word holds a bit for
/// each lane.
#[derive(Clone, Debug, Default)]
struct Tags([u64; WORDS]);

impl Tags {
    fn of(hash: u64) -> u8 {
        (hash >> 57) as u8 | 0x80
    }

    fn set(&mut self, lane: usize, tag: u8) {
        let (word, shift) = (lane % WORDS, lane / WORDS * 8);
        self.0[word] = self.0[word] & !(0xff << shift) | u64::from(tag) << shift;
    }

    /// Lanes that hold this tag, the first one first, and perhaps further ones that do not.
    #[inline]
    fn lanes_with(&self, tag: u8) -> Lanes {
        let wanted = LOWEST * u64::from(tag);
        self.lanes(|word| {
            let zero_where_equal = word ^ wanted;
            zero_where_equal.wrapping_sub(LOWEST) & !zero_where_equal
        })
    }

    /// Lanes without an element.
    fn free(&self) -> Lanes {
        self.lanes(|word| !word)
    }

    #[inline]
    fn lanes(&self, mark: impl Fn(u64) -> u64) -> Lanes {
        let mark = |at: usize| (mark(self.0[at]) & HIGHEST) >> (7 - at);
        Lanes((0..WORDS).fold(0, |lanes, at| lanes | mark(at)))
    }
}

/// Lanes: bit `w` of byte `b` stands for byte `b` of word `w`.
struct Lanes(u64);

impl Iterator for Lanes {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros() as usize;
        self.0 &= self.0.checked_sub(1)?;
        Some(bit / 8 * WORDS + bit % 8)
    }
}

/// Elements with their tags. The tags lie in the table's own memory, the elements behind a pointer:
/// a search reads the former, and of the latter the one that it finds.
#[derive(Clone, Debug)]
pub struct Bucket<T> {
    tags: Tags,
    elements: Arc<[Option<T>]>,
}

impl<T> Bucket<T> {
    /// One with these elements, each with its hash.
    pub fn new(hashed: Vec<(u64, T)>) -> Bucket<T> {
        let mut tags = Tags::default();
        let room = hashed.len().next_multiple_of(STEP);
        let mut hashed = hashed.into_iter();
        let mut next = |lane| {
            let (hash, element) = hashed.next()?;
            if lane < LANES {
                tags.set(lane, Tags::of(hash));
            }
            Some(element)
        };
        let elements = (0..room).map(&mut next).collect();
        Bucket { tags, elements }
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.elements.iter().flatten()
    }

    /// Where the element is that `is_it` says yes to.
    #[inline]
    pub fn position(&self, hash: u64, mut is_it: impl FnMut(&T) -> bool) -> Option<usize> {
        for lane in self.tags.lanes_with(Tags::of(hash)) {
            if let Some(Some(element)) = self.elements.get(lane)
                && is_it(element)
            {
                return Some(lane);
            }
        }
        let without_tag = self.elements.get(LANES..)?;
        let place = without_tag.iter().position(|place| place.as_ref().is_some_and(&mut is_it))?;
        Some(LANES + place)
    }

    #[inline]
    pub fn get(&self, at: usize) -> Option<&T> {
        self.elements.get(at)?.as_ref()
    }

    /// Where an element of this hash is likely to be, if it has a tag.
    #[inline]
    pub fn likely_position(&self, hash: u64) -> Option<usize> {
        self.tags.lanes_with(Tags::of(hash)).next()
    }

    /// How many share the elements, which whoever changes one has to know.
    #[inline]
    pub fn sharers(&self) -> usize {
        Arc::strong_count(&self.elements)
    }

    /// The first place without an element, perhaps one behind all that there are.
    fn free(&self) -> usize {
        if let Some(lane) = self.tags.free().next() {
            return lane;
        }
        let without_tag = self.elements.get(LANES..).unwrap_or_default();
        LANES + without_tag.iter().position(Option::is_none).unwrap_or(without_tag.len())
    }
}

impl<T: Clone> Bucket<T> {
    #[inline]
    pub fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        Arc::make_mut(&mut self.elements).get_mut(at)?.as_mut()
    }

    /// Adds an element that is not there.
    pub fn insert(&mut self, hash: u64, element: T) -> &mut T {
        let at = self.free();
        if at >= self.elements.len() {
            let mut old = self.take().into_iter();
            self.elements = (0..(at + 1).next_multiple_of(STEP)).map(|_| old.next()?).collect();
        }
        if at < LANES {
            self.tags.set(at, Tags::of(hash));
        }
        Arc::make_mut(&mut self.elements)[at].insert(element)
    }

    pub fn remove(&mut self, at: usize) -> Option<T> {
        let element = Arc::make_mut(&mut self.elements).get_mut(at)?.take();
        if at < LANES {
            self.tags.set(at, 0);
        }
        element
    }

    /// Whether half of the room that it takes would do.
    pub fn is_roomy(&self) -> bool {
        self.elements.len() > 2 * STEP && self.iter().count() * 2 <= self.elements.len()
    }

    /// All elements; none that is shared is changed.
    pub fn take_all(&mut self) -> Vec<T> {
        self.tags = Tags::default();
        self.take().into_iter().flatten().collect()
    }

    /// All elements, each with its hash.
    pub fn take_hashed(&mut self, hash: impl Fn(&T) -> u64) -> impl Iterator<Item = (u64, T)> {
        self.take_all().into_iter().map(move |element| (hash(&element), element))
    }

    fn take(&mut self) -> Vec<Option<T>> {
        let mut elements = std::mem::take(&mut self.elements);
        match Arc::get_mut(&mut elements) {
            Some(own) => own.iter_mut().map(Option::take).collect(),
            None => elements.to_vec(),
        }
    }
}
