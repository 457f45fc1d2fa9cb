//! Makes containers, each with users of its own where the host can.

use tracing::warn;

use crate::means::{Means, Root};
use crate::podman::{Error, NewContainer, Podman};

/// Whether this host may make containers at all; else why not.
pub(crate) fn admit(means: &Means) -> Result<(), String> {
    match &means.root {
        Root::Refused(why) => {
            Err(format!("this host starts nothing without a user namespace, and cannot make one: {why}"))
        }
        Root::Nobody { .. } | Root::OfHost(_) => Ok(()),
    }
}

/// The new container's id. A host that has no numbers of users left makes one without, unless it must not.
pub(crate) async fn create(podman: &Podman, means: &Means, mut new: NewContainer) -> Result<String, Error> {
    match podman.create(&new).await {
        Err(error) if new.users.is_some() && may_go_without(means) && no_numbers(&error) => {
            warn!(container = new.name, %error, "no user namespace: add numbers for `containers` to /etc/subuid and /etc/subgid");
            new.users = None;
            podman.create(&new).await
        }
        made => made,
    }
}

fn may_go_without(means: &Means) -> bool {
    means.root == Root::Nobody { must: false }
}

/// In Podman's words: `could not find enough available IDs`.
fn no_numbers(error: &Error) -> bool {
    error.to_string().contains("available IDs")
}
