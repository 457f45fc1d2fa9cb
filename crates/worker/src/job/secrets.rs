//! What a build may use and nobody else may know. It lies in files of the job's folder, which only root reads and no
//! build step sees, and is gone when the work is over.

use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::job::{BuildSecrets, RegistryLogin};
use serde_json::{Map, Value, json};

use super::folder::Folder;

const AUTH: &str = "auth.json";

/// The logins as Podman reads them, for `--authfile`. `None` without any, so that a login of the worker itself holds.
pub(super) fn auth_file(folder: &Folder, secrets: &BuildSecrets) -> io::Result<Option<PathBuf>> {
    if secrets.registries.is_empty() {
        return Ok(None);
    }
    folder.write(AUTH, &auths(&secrets.registries))?;
    Ok(Some(folder.path(AUTH)))
}

fn auths(logins: &[RegistryLogin]) -> Value {
    let entry = |RegistryLogin { host, username, password }: &RegistryLogin| {
        (host.clone(), json!({ "auth": STANDARD.encode(format!("{username}:{password}")) }))
    };
    json!({ "auths": logins.iter().map(entry).collect::<Map<_, _>>() })
}

/// The login for an image whose name begins with its registry.
pub(super) fn login_for<'a>(secrets: &'a BuildSecrets, reference: &str) -> Option<&'a RegistryLogin> {
    let (host, _) = reference.split_once('/')?;
    secrets.registries.iter().find(|login| login.host == host)
}

/// Takes them off the disk.
pub(super) fn forget(folder: &Folder) -> io::Result<()> {
    [Folder::SECRETS, AUTH].into_iter().try_for_each(|name| match std::fs::remove_file(folder.path(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn secrets() -> BuildSecrets {
        let login = |host: &str| RegistryLogin {
            host: host.to_owned(),
            username: "ann".to_owned(),
            password: "p:ss".to_owned(),
        };
        BuildSecrets { registries: vec![login("docker.io"), login("r.example.com:5000")] }
    }

    #[test]
    fn logins_are_in_a_file_for_root_alone_until_they_are_forgotten() {
        let root = tempfile::tempdir().expect("temp dir");
        let folder = Folder::at(root.path().to_owned());
        let file = auth_file(&folder, &secrets()).expect("written").expect("some");
        assert_eq!(file.metadata().expect("file").permissions().mode() & 0o777, 0o600);
        let text: Value = serde_json::from_slice(&std::fs::read(&file).expect("read")).expect("JSON");
        assert_eq!(text["auths"]["r.example.com:5000"]["auth"], "YW5uOnA6c3M=");
        forget(&folder).expect("forgotten");
        forget(&folder).expect("again");
        assert!(!file.exists());
        assert_eq!(auth_file(&folder, &BuildSecrets::default()).expect("nothing to write"), None);
    }

    #[test]
    fn an_image_is_pulled_with_the_login_of_its_registry_and_no_other() {
        let secrets = secrets();
        let host = |reference| login_for(&secrets, reference).map(|login| login.host.as_str());
        assert_eq!(host("r.example.com:5000/team/app:1"), Some("r.example.com:5000"));
        assert_eq!(host("docker.io/library/busybox"), Some("docker.io"));
        assert_eq!((host("r.example.com/team/app"), host("busybox")), (None, None));
    }
}
