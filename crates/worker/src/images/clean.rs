//! Clean-ups that a person asked for: first told what would go, then that goes, as far as nothing needs it still. The
//! images that the control plane keeps or removes by its rules are none of this.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use protocol::message::FromAgent;
use protocol::question::{
    Answer, AnswerKind, Ask, Cleanable, CleanableImage, Cleaned, LeftImage, MAX_CLEANED, Question,
};
use protocol::spec::WorkerSpec;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::plan::Tree;
use super::take_away;
use crate::job::Jobs;
use crate::podman::{Error, Podman};
use crate::uplink::Uplink;

/// What questions are answered with.
#[derive(Debug)]
pub struct Cleaner<U> {
    pub podman: Podman,
    /// Where builds keep their state: nothing is removed while one runs.
    pub jobs: PathBuf,
    pub spec: watch::Receiver<Arc<WorkerSpec>>,
    pub uplink: U,
}

impl<U: Uplink> Cleaner<U> {
    /// Answers questions, one after the other, until `stop`.
    pub async fn run(self, mut asked: mpsc::Receiver<Ask>, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            let ask = tokio::select! {
                ask = asked.recv() => ask,
                () = stop.cancelled() => return Ok(()),
            };
            let Some(ask) = ask else {
                // Those who ask end with the process.
                stop.cancelled().await;
                return Ok(());
            };
            let answer = match self.answer(&ask.question).await {
                Ok(answer) => answer,
                Err(error) => AnswerKind::Failed { message: error.to_string() },
            };
            self.uplink.say(FromAgent::Answer(Answer { id: ask.id, answer })).await;
        }
    }

    async fn answer(&self, question: &Question) -> Result<AnswerKind, Error> {
        Ok(match question {
            Question::Cleanable => {
                let listed = self.podman.image_tree().await?;
                let spec = self.spec.borrow().clone();
                let images = Tree::new(&listed).cleanable(&spec);
                AnswerKind::Cleanable(Cleanable { images })
            }
            Question::Clean { images } => AnswerKind::Cleaned(self.clean(images).await?),
            Question::Log(_) | Question::Private { .. } => {
                AnswerKind::Failed { message: "this is not about images".to_owned() }
            }
        })
    }

    async fn clean(&self, ids: &[String]) -> Result<Cleaned, Error> {
        let mut cleaned = Cleaned::default();
        let ids: BTreeSet<&String> = ids.iter().take(MAX_CLEANED).collect();
        for id in ids {
            match self.clean_one(id).await? {
                Ok(image) => {
                    info!(
                        image.id = id,
                        names = image.names.join(" "),
                        "removed the image: somebody cleaned up"
                    );
                    cleaned.removed.push(image);
                }
                Err(why) => cleaned.left.push(LeftImage { id: id.clone(), why }),
            }
        }
        Ok(cleaned)
    }

    /// Looked at anew for each: the one before may have been what the next was built on, and a container may have come.
    async fn clean_one(&self, id: &str) -> Result<Result<CleanableImage, String>, Error> {
        if !Jobs::<U>::known(&self.jobs).is_empty() {
            return Ok(Err("a build runs here, and may be about to use it".to_owned()));
        }
        let listed = self.podman.image_tree().await?;
        let spec = self.spec.borrow().clone();
        let tree = Tree::new(&listed);
        let image = match tree.cleaning(&spec, id) {
            None => return Ok(Err("it is not here any more".to_owned())),
            Some(Err(why)) => return Ok(Err(why)),
            Some(Ok((image, removal))) => match take_away(&self.podman, &removal).await {
                Ok(()) => image,
                Err(error) => return Ok(Err(error.to_string())),
            },
        };
        Ok(Ok(image))
    }
}
