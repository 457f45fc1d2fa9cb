//! How a worker goes: what `WiseHosting` made on this host is taken away, piece by piece, and nothing else. What is ours
//! is known by its label. Volumes stay, because they hold data.

use std::path::Path;

use anyhow::{Context as _, bail};

use crate::config::Config;
use crate::guard;
use crate::instances::label;
use crate::podman::{Error, Podman};
use crate::private;
use crate::zones;

/// The agent's desired state: without it a next start brings nothing back.
pub const SPEC: &str = "spec.json";

/// `wisehosting-worker leave`. Each line of what was done goes to `say`. A piece that cannot be removed is said and does
/// not hold up the others; the command fails then, and can be given again.
pub async fn run(config: &Config, say: impl FnMut(&str)) -> anyhow::Result<()> {
    let folder = &config.state_dir;
    let Some(_lock) =
        daemon::lock::take(folder).with_context(|| format!("cannot use {}", folder.display()))?
    else {
        bail!(
            "wisehosting-worker runs on this host and would bring everything back: stop it first with `systemctl stop wisehosting-worker`"
        );
    };
    let mut leaving = Leaving { podman: Podman::new(&config.podman.socket)?, say, removed: 0, left: 0 };
    leaving.spec(&folder.join(SPEC));
    leaving.spec(&folder.join(zones::FILE));
    for label in [label::INSTANCE, label::RUN] {
        leaving.containers(label).await;
    }
    let stopped = private::stop(&config.names_dir()).await.map(|ran| ran.then_some(()));
    leaving.note("process", "that answers names", stopped);
    leaving.networks().await;
    leaving.images().await;
    // What could not be removed stays behind the firewall.
    if leaving.left == 0 {
        let table = guard::unload().await.map(|was_there| was_there.then_some(()));
        leaving.note("firewall table", guard::TABLE, table);
    }
    let Leaving { removed, left, mut say, .. } = leaving;
    if left > 0 {
        bail!("{removed} removed, {left} could not be: see above, and leave again");
    }
    say(&match removed {
        0 => "nothing of WiseHosting was left on this host".to_owned(),
        count => format!("{count} removed; volumes and what has no label of ours were not touched"),
    });
    Ok(())
}

struct Leaving<S> {
    podman: Podman,
    say: S,
    removed: usize,
    left: usize,
}

impl<S: FnMut(&str)> Leaving<S> {
    /// Says what became of one piece. `Ok(None)`: it was not there.
    fn note<T, E: std::fmt::Display>(&mut self, kind: &str, name: &str, result: Result<Option<T>, E>) {
        match result {
            Ok(Some(_)) => {
                self.removed += 1;
                (self.say)(&format!("{kind} {name}: removed"));
            }
            Ok(None) => {}
            Err(error) => {
                self.left += 1;
                (self.say)(&format!("{kind} {name}: left ({error})"));
            }
        }
    }

    fn spec(&mut self, path: &Path) {
        let result = match std::fs::remove_file(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        };
        self.note("desired state", &path.display().to_string(), result);
    }

    async fn containers(&mut self, label: &str) {
        let all = match self.podman.containers(label).await {
            Ok(all) => all,
            Err(error) => return self.note("containers", "with our label", Err::<Option<()>, _>(error)),
        };
        for container in all {
            let result = async {
                self.podman.stop(&container.id).await?;
                self.podman.remove_but_volumes(&container.id).await
            };
            let result = result.await;
            let name = container.names.first().unwrap_or(&container.id);
            self.note("container", name, result.map(Some));
        }
    }

    /// A network that another container uses is refused by Podman, and stays.
    async fn networks(&mut self) {
        match self.podman.networks(label::NETWORK).await {
            Err(error) => self.note("networks", "with our label", Err::<Option<()>, _>(error)),
            Ok(all) => {
                for network in all {
                    let result = self.podman.remove_network(&network).await;
                    self.note("network", &network, result.map(Some));
                }
            }
        }
    }

    /// An image that another container uses is refused by Podman, and stays.
    async fn images(&mut self) {
        let all = match self.podman.images(label::IMAGE).await {
            Ok(all) => all,
            Err(error) => return self.note("images", "with our label", Err::<Option<()>, _>(error)),
        };
        for image in all {
            // One name after the other: with several, Podman removes an image by its id only when forced, and then
            // takes the containers of others along.
            let names = if image.names.is_empty() { vec![image.id.clone()] } else { image.names };
            for name in names {
                let result = match self.podman.remove_image(&name).await {
                    Err(Error::NotFound(_)) => Ok(None),
                    other => other.map(Some),
                };
                self.note("image", &name, result);
            }
        }
    }
}
