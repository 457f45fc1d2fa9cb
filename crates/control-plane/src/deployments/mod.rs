//! Deployments: attempts to make a release live.

pub mod api;
pub mod cause;
pub mod create;
pub mod follow;
pub mod preview;
pub mod repeat;
pub mod source;
pub mod store;
#[cfg(test)]
pub(crate) mod tests;

use chrono::{DateTime, Utc};
use protocol::ids::{AppId, DeploymentId};
use protocol::job::{Recipe, Source, Stage};
use serde::{Deserialize, Serialize};

pub use cause::FailureCard;

macro_rules! words {
    ($($(#[$doc:meta])* $schema:ident $name:ident { $($(#[$vdoc:meta])* $variant:ident,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type, utoipa::ToSchema)]
        #[serde(rename_all = "kebab-case")]
        #[sqlx(type_name = "text", rename_all = "kebab-case")]
        #[schema(as = $schema)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
    )*};
}

words! {
    /// What a deployment begins with.
    DeploymentKind Kind {
        /// Source to build.
        Build,
        /// An image of a registry.
        Image,
        /// New settings or variables for the image that runs.
        Settings,
        /// An older release.
        Rollback,
        /// The live release, after a stop.
        Start,
        /// The live release, with new instances.
        Restart,
        /// The live release, with more or fewer instances.
        Scale,
    }

    /// How far it is.
    DeploymentState State {
        Queued,
        Building,
        RollingOut,
        /// Its release serves.
        Live,
        /// It was live; a later one took over.
        Superseded,
        Failed,
        Cancelled,
    }

    /// How far one stage is.
    StageState StageState { Waiting, Running, Done, Failed, Skipped, }
}

impl State {
    /// Whether nothing will happen to it any more, but for being superseded.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Building | Self::RollingOut)
    }
}

/// One deployment as clients see it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Deployment {
    pub id: DeploymentId,
    pub app: AppRef,
    pub number: i32,
    pub kind: Kind,
    pub source: Option<Source>,
    /// How a source without a Containerfile is built; known when its build begins.
    pub recipe: Option<Recipe>,
    pub state: State,
    /// What has to happen before it goes on, in words.
    pub waiting_for: Option<String>,
    /// Its build's place in the queue of all, while that waits; 1 is next.
    pub queue_position: Option<i64>,
    pub stages: Vec<StageProgress>,
    pub failure: Option<FailureCard>,
    /// Number of its release, once there is one.
    pub release: Option<i32>,
    /// Number of the release that served when it was asked for: what a rollback leads away from.
    pub from_release: Option<i32>,
    /// Commit of its release, for git sources.
    pub commit: Option<String>,
    /// Size of its release's image.
    pub image_size_bytes: Option<i64>,
    pub url: String,
    /// Why it was asked for, in the words of who asked; else what it does.
    pub message: String,
    pub created_by: String,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Milliseconds from its beginning to its end.
    pub duration_ms: Option<i64>,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct AppRef {
    pub id: AppId,
    pub slug: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct StageProgress {
    pub stage: Stage,
    pub state: StageState,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl Kind {
    /// Whether a job has to make an image first.
    pub fn has_job(self) -> bool {
        matches!(self, Self::Build | Self::Image)
    }

    /// Whether it makes a release; its commands run for a new one only.
    pub fn makes_release(self) -> bool {
        matches!(self, Self::Build | Self::Image | Self::Settings)
    }

    /// Whether instances that run the same release stay.
    pub fn keeps_instances(self) -> bool {
        self == Self::Scale
    }

    /// How `stage` begins in a deployment of this kind.
    pub fn first_state_of(self, stage: Stage) -> StageState {
        match stage {
            Stage::Queue => StageState::Running,
            Stage::Fetch | Stage::Build if !self.has_job() => StageState::Skipped,
            _ => StageState::Waiting,
        }
    }
}
