//! What routes have in common, for as long as one of them uses it.

use std::borrow::Borrow;
use std::hash::Hash;

use super::parts::Parts;

/// Values by key, each with the number of its users.
#[derive(Debug, Clone)]
pub(super) struct Uses<K, V>(Parts<K, (V, usize)>);

impl<K, V> Default for Uses<K, V> {
    fn default() -> Self {
        Self(Parts::default())
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Uses<K, V> {
    /// The value of `key` for one more user; the first one makes it.
    pub(super) fn take(&mut self, key: K, make: impl FnOnce() -> V) -> V {
        if let Some((value, users)) = self.0.get_mut(&key) {
            *users += 1;
            return value.clone();
        }
        let value = make();
        self.0.insert(key, (value.clone(), 1));
        value
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
