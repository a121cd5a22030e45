//! A set of slot numbers of one arena: two levels of bits.
//!
//! ```text
//! summary   one bit a word: is any bit set in it?
//! words     one bit a slot
//! ```
//!
//! Lists of stacks were the other choice. A million free stacks would then keep 16 MB of lists alive, and finding
//! neighbours, which trimming wants to free in one call, would mean sorting them.

/// As many slots as an arena may have.
pub(super) const CAPACITY: usize = 64 * 64;

/// See the head of this file.
// Bit w of `summary` is set exactly if `words[w]` is not 0.
pub(super) struct SlotSet {
    summary: u64,
    words: [u64; 64],
}

impl SlotSet {
    pub(super) const fn new() -> Self {
        Self { summary: 0, words: [0; 64] }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.summary == 0
    }

    pub(super) fn insert(&mut self, slot: u16) {
        let (word, bit) = (usize::from(slot) / 64, slot % 64);
        debug_assert_eq!(self.words[word] >> bit & 1, 0, "slot {slot} is in the set already");
        self.words[word] |= 1 << bit;
        self.summary |= 1 << word;
    }

    pub(super) fn take_lowest(&mut self) -> Option<u16> {
        if self.summary == 0 {
            return None;
        }
        let word = self.summary.trailing_zeros();
        let bit = self.words[word as usize].trailing_zeros();
        Some(self.take(word, bit))
    }

    pub(super) fn take_highest(&mut self) -> Option<u16> {
        if self.summary == 0 {
            return None;
        }
        let word = 63 - self.summary.leading_zeros();
        let bit = 63 - self.words[word as usize].leading_zeros();
        Some(self.take(word, bit))
    }

    fn take(&mut self, word: u32, bit: u32) -> u16 {
        let bits = &mut self.words[word as usize];
        *bits &= !(1 << bit);
        if *bits == 0 {
            self.summary &= !(1 << word);
        }
        (word * 64 + bit) as u16
    }

    /// The 64 slots from `64 * word` on, as bits.
    pub(super) fn word(&self, word: usize) -> u64 {
        self.words[word]
    }

    /// Takes those 64 slots out, and says how many were there.
    pub(super) fn take_word(&mut self, word: usize) -> usize {
        self.summary &= !(1 << word);
        std::mem::take(&mut self.words[word]).count_ones() as usize
    }

    /// Puts the slots from `64 * word` on in whose bits are set.
    pub(super) fn insert_word(&mut self, word: usize, bits: u64) {
        debug_assert_eq!(self.words[word] & bits, 0);
        self.words[word] |= bits;
        self.summary |= u64::from(self.words[word] != 0) << word;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn smoke() {
        let mut set = SlotSet::new();
        assert_eq!((set.take_lowest(), set.take_highest()), (None, None));
        for slot in [5, 4095, 64, 63, 0, 1000] {
            set.insert(slot);
        }
        assert_eq!(set.take_lowest(), Some(0));
        assert_eq!(set.take_highest(), Some(4095));
        assert_eq!(set.take_highest(), Some(1000));
        assert_eq!(set.take_lowest(), Some(5));
        assert_eq!(set.take_lowest(), Some(63));
        assert_eq!(set.take_lowest(), Some(64));
        assert_eq!(set.take_lowest(), None);
    }

    #[test]
    fn whole_words() {
        let mut set = SlotSet::new();
        set.insert_word(63, 0b101);
        set.insert(64);
        assert_eq!(set.word(63), 0b101);
        assert_eq!(set.take_word(1), 1);
        assert_eq!(set.take_word(63), 2);
        assert_eq!(set.take_lowest(), None);
        set.insert_word(2, 0);
        assert_eq!(set.take_highest(), None);
    }
}
