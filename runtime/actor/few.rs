//! A map of what most actors have none or one of, and some very many: links, monitors.

use std::collections::BTreeMap;

/// Up to one entry takes no allocation.
pub(super) enum Few<K, T> {
    One(Option<(K, T)>),
    Many(BTreeMap<K, T>),
}

impl<K: Ord, T> Few<K, T> {
    pub(super) const fn new() -> Self {
        Self::One(None)
    }

    /// Does nothing if the key is there.
    pub(super) fn insert(&mut self, key: K, value: T) {
        match self {
            Self::One(one @ None) => *one = Some((key, value)),
            Self::One(Some((present, _))) if *present == key => {}
            Self::One(one) => {
                let many = one.take().into_iter().chain([(key, value)]).collect();
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.entry(key).or_insert(value);
            }
        }
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<T> {
        match self {
            Self::One(one) => one.take_if(|(present, _)| present == key).map(|(_, value)| value),
            Self::Many(many) => many.remove(key),
        }
    }

    /// All of them, in the order of their keys.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (K, T)> {
        let (one, many) = match self {
            Self::One(one) => (one, BTreeMap::new()),
            Self::Many(many) => (None, many),
        };
        one.into_iter().chain(many)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_there_once_and_leaves_once() {
        for count in 0..5_u64 {
            let mut few = Few::new();
            for number in (0..count).chain(0..count) {
                few.insert(number, number);
            }
            assert_eq!(few.remove(&count), None);
            if count > 0 {
                assert_eq!((few.remove(&(count - 1)), few.remove(&(count - 1))), (Some(count - 1), None));
            }
            let left: Vec<_> = few.into_iter().map(|(key, _)| key).collect();
            assert_eq!(left, (0..count.saturating_sub(1)).collect::<Vec<_>>());
        }
    }
}
