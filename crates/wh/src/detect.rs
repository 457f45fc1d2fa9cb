//! How a folder will be built: by its own Containerfile, or by the preset that a worker would choose.

use presets::{Files, Recipe, Unknown};

use crate::archive::Manifest;
use crate::project::Build;

/// What builds the folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Builder {
    /// The folder's own file; with the port that it exposes.
    Containerfile {
        name: String,
        port: Option<u16>,
    },
    Preset(Recipe),
    Nothing(Unknown),
}

/// Looks at what would be sent, with the settings of the project file.
pub(crate) fn detect(manifest: &Manifest, build: &Build) -> Builder {
    let read = |path: &str| manifest.text(path);
    let files = Files::new(manifest.names(), &read).below(build.folder.as_deref().unwrap_or("."));
    let own = build.containerfile.as_deref().map(|name| name.trim_start_matches("./"));
    let own = own.into_iter().chain(["Containerfile", "Dockerfile"]).find(|name| files.has(name));
    if let (Some(name), None) = (own, build.preset) {
        let port = files.text(name).and_then(|text| exposed_port(&text));
        return Builder::Containerfile { name: name.to_owned(), port };
    }
    let files = files.below(build.context.as_deref().unwrap_or("."));
    let recipe = match build.preset {
        Some(preset) => presets::with(preset, &files, &build.site()),
        None => presets::detect(&files, &build.site()),
    };
    recipe.map_or_else(Builder::Nothing, Builder::Preset)
}

impl Builder {
    pub(crate) fn port(&self) -> Option<u16> {
        match self {
            Self::Containerfile { port, .. } => *port,
            Self::Preset(recipe) => Some(recipe.port),
            Self::Nothing(_) => None,
        }
    }

    /// What was found, one line each, for the user.
    pub(crate) fn because(&self) -> Vec<String> {
        match self {
            Self::Containerfile { name, port } => {
                let port = port.map_or("without EXPOSE".to_owned(), |port| format!("EXPOSE {port}"));
                vec![format!("{name} ({port})")]
            }
            Self::Preset(recipe) => recipe.because.clone(),
            Self::Nothing(_) => Vec::new(),
        }
    }
}

/// The first port of the last stage that has an `EXPOSE` for TCP.
fn exposed_port(containerfile: &str) -> Option<u16> {
    let joined = containerfile.replace("\\\r\n", " ").replace("\\\n", " ");
    let mut port = None;
    let mut found_in_stage = false;
    for line in joined.lines() {
        let mut words = line.split_whitespace();
        match words.next().map(str::to_ascii_uppercase).as_deref() {
            Some("FROM") => found_in_stage = false,
            Some("EXPOSE") if !found_in_stage => {
                let tcp = |word: &str| word.strip_suffix("/tcp").unwrap_or(word).parse().ok();
                if let Some(found) = words.find_map(tcp) {
                    port = Some(found);
                    found_in_stage = true;
                }
            }
            _ => {}
        }
    }
    port
}

/// A name that the API takes, from any text: 1 to 40 of `a-z0-9-`, a letter first.
pub(crate) fn slug(text: &str) -> String {
    let mut slug = String::new();
    for c in text.to_lowercase().chars() {
        match c {
            'a'..='z' => slug.push(c),
            '0'..='9' if !slug.is_empty() => slug.push(c),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    slug.truncate(40);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() { "app".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests {
    use presets::Preset;

    use super::*;

    fn found(files: &[(&str, &str)], build: Build) -> Builder {
        let folder = tempfile::tempdir().expect("temp dir");
        for (name, text) in files {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("folder");
            std::fs::write(path, text).expect("write");
        }
        detect(&Manifest::scan(folder.path(), None).expect("readable"), &build)
    }

    fn preset(builder: Builder) -> Preset {
        match builder {
            Builder::Preset(recipe) => recipe.preset,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_containerfile_beats_a_dockerfile_and_every_preset_but_a_chosen_one() {
        let files =
            [("Containerfile", "FROM x\nEXPOSE 80"), ("Dockerfile", "EXPOSE 90"), ("index.html", "<p>")];
        let builder = found(&files, Build::default());
        assert_eq!(builder, Builder::Containerfile { name: "Containerfile".to_owned(), port: Some(80) });
        assert_eq!(builder.because(), ["Containerfile (EXPOSE 80)"]);
        let chosen = Build { preset: Some(Preset::Static), ..Build::default() };
        assert_eq!(preset(found(&files, chosen)), Preset::Static);
    }

    #[test]
    fn only_what_is_sent_counts() {
        let files = [(".gitignore", "package.json\n"), ("package.json", "{}"), ("index.html", "<p>")];
        assert_eq!(preset(found(&files, Build::default())), Preset::Static);
        assert!(matches!(found(&[("notes.txt", "")], Build::default()), Builder::Nothing(_)));
    }

    #[test]
    fn the_folder_of_the_project_file_is_looked_at() {
        let files = [("index.html", "<p>"), ("api/go.mod", "module x"), ("api/main.go", "")];
        let build = Build { folder: Some("api".to_owned()), ..Build::default() };
        assert_eq!(preset(found(&files, build)), Preset::Go);
    }

    #[test]
    fn expose_is_read_like_podman_reads_it() {
        assert_eq!(exposed_port("FROM a\nEXPOSE 1\nFROM b\nexpose 53/udp \\\n 8080/tcp 9090"), Some(8080));
        assert_eq!(exposed_port("FROM a\nEXPOSE 80\nEXPOSE 81"), Some(80));
        assert_eq!(exposed_port("FROM a\n# EXPOSE 80\nEXPOSE $PORT"), None);
    }

    #[test]
    fn any_folder_name_becomes_a_slug() {
        for (text, expected) in [
            ("My App_2", "my-app-2"),
            ("42-hello--x-", "hello-x"),
            ("日本", "app"),
            ("", "app"),
            ("Ünï", "n"),
        ] {
            assert_eq!(slug(text), expected, "{text}");
        }
        assert_eq!(slug(&"ab-".repeat(30)).len(), 40);
    }
}
