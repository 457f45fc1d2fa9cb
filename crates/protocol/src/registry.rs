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

/// A name in a registry that is to have an image, or to have it no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOrder {
    pub image_id: String,
    /// `registry.example.com/images/hello:v3`
    pub reference: String,
    pub action: CopyAction,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyAction {
    /// The worker has the image.
    Push,
    /// Unless the name is of another image by now.
    Remove,
}

/// What became of a [`CopyOrder`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyReport {
    pub image_id: String,
    pub reference: String,
    pub action: CopyAction,
    /// Why it could not be done yet; absent when it is done.
    pub problem: Option<String>,
}
