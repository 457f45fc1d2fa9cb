//! Keeping an agent of this host running.

use std::path::PathBuf;
use std::time::Duration;

use protocol::identity::NodeIdentity;
use tokio_util::sync::CancellationToken;
use tracing::error;

use crate::identity::{self, KeyWatch};

/// How soon an agent is tried again that could not even be set up.
const RETRY: Duration = Duration::from_secs(30);

/// What serves from disk, and has a link to the control plane for changes.
pub trait Agent {
    /// What it means to people that it failed.
    const FAILED: &'static str;

    /// Works as the host with this identity until `stop`. Is dropped when the host joins anew; that its key changes is
    /// told by `keys`.
    fn run(
        &mut self,
        identity: NodeIdentity,
        keys: KeyWatch,
        stop: CancellationToken,
    ) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Runs `agent` once there is an identity in `node_dir`, and again with each new one, until `stop`. Whatever happens to
/// it, what is on disk is served, so the process goes on.
pub async fn keep<A: Agent>(node_dir: PathBuf, mut agent: A, stop: CancellationToken) -> anyhow::Result<()> {
    while let Some(identity) = identity::wait_for(&node_dir, &stop).await {
        let keys = KeyWatch::new(node_dir.clone(), identity.clone());
        let ended = tokio::select! {
            ended = agent.run(identity.clone(), keys, stop.clone()) => ended,
            true = identity::wait_for_another(&node_dir, &identity, &stop) => continue,
        };
        if stop.is_cancelled() {
            break;
        }
        if let Err(error) = ended {
            error!(error = format!("{error:#}"), "{}", A::FAILED);
        }
        stop.run_until_cancelled(tokio::time::sleep(RETRY)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use protocol::identity::ApiKey;
    use protocol::ids::NodeId;

    use super::*;

    fn join(folder: &Path, name: &str) {
        let joined = NodeIdentity {
            node_id: NodeId::new(),
            name: name.to_owned(),
            mesh_address: [10, 50, 0, 11].into(),
            api_key: ApiKey::generate(),
            control_planes: vec!["http://10.50.0.1:8081".to_owned()],
        };
        identity::write(folder, &joined).expect("write");
    }

    /// Works on while its host joins anew, and then is told to stop.
    struct Moving<'a> {
        folder: &'a Path,
        ran_as: &'a mut Vec<String>,
    }

    impl Agent for Moving<'_> {
        const FAILED: &'static str = "it did not end softly";

        async fn run(
            &mut self,
            identity: NodeIdentity,
            _keys: KeyWatch,
            stop: CancellationToken,
        ) -> anyhow::Result<()> {
            self.ran_as.push(identity.name);
            if self.ran_as.len() == 1 {
                join(self.folder, "anew");
                stop.cancelled().await;
            }
            stop.cancel();
            Ok(())
        }
    }

    #[tokio::test]
    async fn an_agent_runs_again_when_its_host_joined_anew_and_ends_with_the_process() {
        let folder = tempfile::tempdir().expect("temp dir");
        join(folder.path(), "first");
        let mut ran_as = Vec::new();
        let agent = Moving { folder: folder.path(), ran_as: &mut ran_as };
        keep(folder.path().to_owned(), agent, CancellationToken::new()).await.expect("a soft end");
        assert_eq!(ran_as, ["first", "anew"]);
    }
}
