//! The keys by which this worker knows tickets of the control plane: the host's own, and for a while the one before.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use protocol::identity::SigningKey;

/// As long as the control plane takes the key before.
const OVERLAP: Duration = Duration::from_mins(10);

/// Cheap to clone; all clones are the same keys.
#[derive(Clone)]
pub struct TicketKeys(Arc<RwLock<Keys>>);

struct Keys {
    own: SigningKey,
    former: Option<(SigningKey, Instant)>,
}

impl TicketKeys {
    pub fn new(own: SigningKey) -> Self {
        Self(Arc::new(RwLock::new(Keys { own, former: None })))
    }

    /// The host has another key.
    pub fn change(&self, own: SigningKey) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut keys.own, own);
        keys.former = Some((former, Instant::now() + OVERLAP));
    }

    /// Whether a ticket is good with one of the keys.
    pub fn admit(&self, is_good: impl Fn(&SigningKey) -> bool) -> bool {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let former = keys.former.as_ref().filter(|(_, until)| Instant::now() < *until);
        is_good(&keys.own) || former.is_some_and(|(key, _)| is_good(key))
    }
}

#[cfg(test)]
mod tests {
    use protocol::identity::ApiKey;

    use super::*;

    #[test]
    fn tickets_of_the_key_before_are_good_and_of_the_one_before_that_are_not() {
        let [first, second, third] = [(); 3].map(|()| ApiKey::generate().signing_key());
        let keys = TicketKeys::new(first.clone());
        let other = keys.clone();
        let good = |key: &SigningKey| other.admit(|known| known == key);
        assert_eq!([&first, &second].map(good), [true, false]);
        keys.change(second.clone());
        assert_eq!([&first, &second].map(good), [true, true]);
        keys.change(third.clone());
        assert_eq!([&first, &second, &third].map(good), [false, true, true]);
    }
}
