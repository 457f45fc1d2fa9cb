//! What routes have in common, for as long as one of them uses it.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, each with the number of its users.
#[derive(Debug, Clone)]
pub(super) struct Uses<K, V>(HashMap<K, (V, usize)>);

impl<K, V> Default for Uses<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq, V: Clone> Uses<K, V> {
    /// The value of `key` for one more user; the first one makes it.
    pub(super) fn take(&mut self, key: K, make: impl FnOnce() -> V) -> V {
        let (value, users) = self.0.entry(key).or_insert_with(|| (make(), 0));
        *users += 1;
        value.clone()
    }

    /// One user less; the last one takes the value along.
    pub(super) fn release<Q: Hash + Eq + ?Sized>(&mut self, key: &Q)
    where
        K: Borrow<Q>,
    {
        if let Some((_, users)) = self.0.get_mut(key) {
            *users -= 1;
            if *users == 0 {
                self.0.remove(key);
            }
        }
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().map(|(value, _)| value)
    }
}
