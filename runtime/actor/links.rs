//! The links of an actor: none or one for most, very many for some.

use std::collections::BTreeMap;

/// Others by their numbers. Up to one takes no allocation.
pub(super) enum Links<P> {
    Few(Option<(u64, P)>),
    Many(BTreeMap<u64, P>),
}

impl<P> Links<P> {
    pub(super) const fn new() -> Self {
        Self::Few(None)
    }

    /// Does nothing if the number is there.
    pub(super) fn insert(&mut self, number: u64, other: P) {
        match self {
            Self::Few(one @ None) => *one = Some((number, other)),
            Self::Few(Some((present, _))) if *present == number => {}
            Self::Few(one) => {
                let many = one.take().into_iter().chain([(number, other)]).collect();
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.entry(number).or_insert(other);
            }
        }
    }

    pub(super) fn remove(&mut self, number: u64) -> Option<P> {
        match self {
            Self::Few(one) => one.take_if(|(present, _)| *present == number).map(|(_, other)| other),
            Self::Many(many) => many.remove(&number),
        }
    }

    /// All of them, in the order of their numbers.
    pub(super) fn into_iter(self) -> impl Iterator<Item = P> {
        let (few, many) = match self {
            Self::Few(one) => (one, BTreeMap::new()),
            Self::Many(many) => (None, many),
        };
        few.map(|(_, other)| other).into_iter().chain(many.into_values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_is_there_once_and_leaves_once() {
        for count in 0..5 {
            let mut links = Links::new();
            for number in (0..count).chain(0..count) {
                links.insert(number, number);
            }
            assert_eq!(links.remove(count), None);
            if count > 0 {
                assert_eq!((links.remove(count - 1), links.remove(count - 1)), (Some(count - 1), None));
            }
            let left: Vec<_> = links.into_iter().collect();
            assert_eq!(left, (0..count.saturating_sub(1)).collect::<Vec<_>>());
        }
    }
}
