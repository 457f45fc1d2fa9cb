//! A map whose clones share its parts until they differ: a table of thousands of routes in which one changes copies a
//! few dozen entries.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

/// One more than the largest byte, which chooses.
const PARTS: usize = 256;

type Part<K, V> = Arc<HashTable<(K, V)>>;

#[derive(Debug, Clone)]
pub(super) struct Parts<K, V> {
    parts: Box<[Part<K, V>]>,
    hasher: DefaultHashBuilder,
}

impl<K, V> Default for Parts<K, V> {
    fn default() -> Self {
        let empty = Arc::new(HashTable::new());
        Self { parts: vec![empty; PARTS].into(), hasher: DefaultHashBuilder::default() }
    }
}

impl<K, V> Parts<K, V> {
    pub(super) fn len(&self) -> usize {
        self.parts.iter().map(|part| part.len()).sum()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.parts.iter().flat_map(|part| part.iter()).map(|(_, value)| value)
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Parts<K, V> {
    pub(super) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let found = self.parts[part(hash)].find(hash, |(known, _)| known.borrow() == key);
        found.map(|(_, value)| value)
    }

    pub(super) fn get_mut<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        let found = self.own(hash).find_mut(hash, |(known, _)| known.borrow() == key);
        found.map(|(_, value)| value)
    }

    pub(super) fn insert(&mut self, key: K, value: V) {
        self.remove(&key);
        let hasher = self.hasher.clone();
        let hash = hasher.hash_one(&key);
        self.own(hash).insert_unique(hash, (key, value), |(key, _)| hasher.hash_one(key));
    }

    pub(super) fn remove<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let hash = self.hasher.hash_one(key);
        if let Ok(entry) = self.own(hash).find_entry(hash, |(known, _)| known.borrow() == key) {
            entry.remove();
        }
    }

    /// The part of `hash`, from now on shared with no clone.
    fn own(&mut self, hash: u64) -> &mut HashTable<(K, V)> {
        Arc::make_mut(&mut self.parts[part(hash)])
    }
}

/// By bits that a part does not look at for its own order.
fn part(hash: u64) -> usize {
    usize::from(hash.to_le_bytes()[4])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn clones_share_until_they_differ_and_then_hold_what_any_map_would(
            first in proptest::collection::vec((0..40_u8, any::<bool>(), any::<u8>()), 0..60),
            second in proptest::collection::vec((0..40_u8, any::<bool>(), any::<u8>()), 0..60),
        ) {
            let (mut parts, mut model) = (Parts::<u8, u8>::default(), HashMap::new());
            change(&mut parts, &mut model, &first);
            let (before, model_before) = (parts.clone(), model.clone());
            change(&mut parts, &mut model, &second);
            check(&before, &model_before)?;
            check(&parts, &model)?;
        }
    }

    fn change(parts: &mut Parts<u8, u8>, model: &mut HashMap<u8, u8>, changes: &[(u8, bool, u8)]) {
        for (key, inserts, value) in changes {
            if *inserts {
                parts.insert(*key, *value);
                model.insert(*key, *value);
            } else {
                parts.remove(key);
                model.remove(key);
            }
        }
    }

    fn check(parts: &Parts<u8, u8>, model: &HashMap<u8, u8>) -> Result<(), TestCaseError> {
        prop_assert_eq!(parts.len(), model.len());
        for key in 0..40 {
            prop_assert_eq!(parts.get(&key), model.get(&key));
        }
        let sum = |values: Vec<u8>| values.into_iter().map(u32::from).sum::<u32>();
        prop_assert_eq!(sum(parts.values().copied().collect()), sum(model.values().copied().collect()));
        Ok(())
    }

    #[test]
    fn one_change_copies_one_part() {
        let mut parts = Parts::<u32, u32>::default();
        for key in 0..10_000 {
            parts.insert(key, key);
        }
        let before = parts.clone();
        parts.insert(7, 0);
        let differ = before.parts.iter().zip(&parts.parts).filter(|(one, other)| !Arc::ptr_eq(one, other));
        assert_eq!(differ.count(), 1);
        assert_eq!((before.get(&7), parts.get(&7)), (Some(&7), Some(&0)));
        assert!(parts.parts.iter().all(|part| part.len() < 100), "they are spread");
    }
}
