//! What a build may use and nobody else may know. It lies in files of the job's folder, which only root reads and no
//! build step sees, and is gone when the work is over.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use protocol::job::{BuildSecrets, GitSecret, RegistryLogin};
use serde_json::{Map, Value, json};

use super::folder::Folder;
use super::git;

const AUTH: &str = "auth.json";
/// How the files of mounted variables begin.
const MOUNT: &str = "secret-";

/// What the log must not show, by names.
pub(super) fn known(secrets: &BuildSecrets) -> BTreeMap<String, String> {
    let password = |login: &RegistryLogin| (format!("password of {}", login.host), login.password.clone());
    let git = secrets.git.iter().map(|access| match &access.secret {
        GitSecret::Token { token, .. } => (format!("token of {}", access.host), token.clone()),
        GitSecret::Key { private_key, .. } => (format!("key of {}", access.host), private_key.clone()),
    });
    let variables = secrets.variables.clone();
    variables.into_iter().chain(secrets.registries.iter().map(password)).chain(git).collect()
}

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

/// Options that let build steps mount the variables that are meant for them: `RUN --mount=type=secret,id=NAME`.
pub(super) fn mounts(folder: &Folder, secrets: &BuildSecrets) -> io::Result<Vec<OsString>> {
    // A comma or an equals sign would begin another field of the option.
    let plain = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let mounted = secrets.variables.iter().filter(|(name, _)| secrets.mounted.contains(name) && plain(name));
    let mut options = Vec::new();
    for (name, value) in mounted {
        let path = folder.path(&format!("{MOUNT}{name}"));
        daemon::file::replace(&path, value.as_bytes(), 0o600)?;
        let mut option = OsString::from(format!("--secret=id={name},src="));
        option.push(path);
        options.push(option);
    }
    Ok(options)
}

/// Takes them off the disk.
pub(super) fn forget(folder: &Folder) -> io::Result<()> {
    for entry in std::fs::read_dir(folder.root())? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(MOUNT) {
            std::fs::remove_file(entry.path())?;
        }
    }
    let files = [Folder::SECRETS, AUTH].into_iter().chain(git::access::FILES);
    files.into_iter().try_for_each(|name| match std::fs::remove_file(folder.path(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use protocol::job::GitAccess;

    use super::*;

    fn secrets() -> BuildSecrets {
        let login = |host: &str| RegistryLogin {
            host: host.to_owned(),
            username: "ann".to_owned(),
            password: "p:ss".to_owned(),
        };
        BuildSecrets {
            registries: vec![login("docker.io"), login("r.example.com:5000")],
            variables: ["SEEN", "UNSEEN"].map(|name| (name.to_owned(), name.to_lowercase())).into(),
            mounted: vec!["SEEN".to_owned(), "GONE".to_owned()],
            git: Some(GitAccess {
                host: "git.example.com".to_owned(),
                secret: GitSecret::Token { username: "ci".to_owned(), token: "t0ken".to_owned() },
            }),
        }
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
    fn variables_and_passwords_are_known() {
        let known = known(&secrets());
        let names: Vec<&str> = known.keys().map(String::as_str).collect();
        let logins = ["password of docker.io", "password of r.example.com:5000", "token of git.example.com"];
        assert_eq!(names, [&["SEEN", "UNSEEN"][..], &logins].concat());
        assert_eq!(known["password of docker.io"], "p:ss");
    }

    #[test]
    fn only_variables_that_are_meant_for_builds_are_mounted() {
        let root = tempfile::tempdir().expect("temp dir");
        let folder = Folder::at(root.path().to_owned());
        let path = folder.path("secret-SEEN");
        let options = mounts(&folder, &secrets()).expect("written");
        assert_eq!(options, [OsString::from(format!("--secret=id=SEEN,src={}", path.display()))]);
        assert_eq!(std::fs::read_to_string(&path).expect("read"), "seen");
        assert_eq!(path.metadata().expect("file").permissions().mode() & 0o777, 0o600);
        forget(&folder).expect("forgotten");
        assert_eq!(std::fs::read_dir(root.path()).expect("folder").count(), 0);
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
