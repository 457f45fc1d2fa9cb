//! Registries of images, as far as a worker is concerned with them outside of builds.

use serde::{Deserialize, Serialize};

use crate::job::RegistryLogin;

/// A name under which a registry has an image. `GET /v1/images/<id>/places` answers a worker that needs the image with a
/// list of them: passwords are asked for with each use and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePlace {
    pub reference: String,
    /// Absent for a registry that the app's organization is not logged in to.
    pub login: Option<RegistryLogin>,
}
