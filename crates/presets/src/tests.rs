use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;

const PLAIN: Site = Site { publish: None, spa: None };

pub(crate) fn over<T>(files: &[(&str, &str)], test: impl FnOnce(&Files<'_>) -> T) -> T {
    let texts: BTreeMap<&str, &str> = files.iter().copied().collect();
    let read = |name: &str| texts.get(name).map(|text| (*text).to_owned());
    test(&Files::new(files.iter().map(|(name, _)| (*name).to_owned()), &read))
}

/// A recipe, or why there is none, as one text.
fn shown(files: &[(&str, &str)], site: &Site) -> String {
    match over(files, |files| detect(files, site)) {
        Ok(recipe) => {
            let others: Vec<&str> = recipe.others.iter().map(|preset| preset.name()).collect();
            let mut text = format!("preset {} on port {}\n", recipe.preset, recipe.port);
            for line in &recipe.because {
                _ = writeln!(text, "  found {line}");
            }
            if !others.is_empty() {
                _ = writeln!(text, "  also fits {}", others.join(", "));
            }
            text + "---\n" + &recipe.containerfile
        }
        Err(unknown) => format!("{}\n{}\n", unknown.message, unknown.hint),
    }
}

macro_rules! golden {
    ($($name:ident: [$($file:expr => $text:expr),* $(,)?];)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(shown(&[$(($file, $text)),*], &PLAIN));
        }
    )*};
}

golden! {
    node_with_a_start_script: [
        "package.json" => r#"{"scripts":{"start":"node server.js"}}"#, "package-lock.json" => "{}", "server.js" => "",
    ];
    node_that_is_built_first: [
        "package.json" => r#"{"scripts":{"build":"tsc","start":"node dist/index.js"},"engines":{"node":"22.x"}}"#,
        "pnpm-lock.yaml" => "",
    ];
    node_whose_start_needs_a_development_tool: [
        "package.json" => r#"{"scripts":{"start":"tsx src/main.ts","postinstall":"prisma generate"},"devDependencies":{"tsx":"4"}}"#,
        "yarn.lock" => "", ".nvmrc" => "v20.11.0\n",
    ];
    nextjs: [
        "package.json" => r#"{"scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#, "package-lock.json" => "{}",
    ];
    nextjs_standalone: [
        "package.json" => r#"{"dependencies":{"next":"15"}}"#, "package-lock.json" => "{}",
        "next.config.mjs" => "export default { output: 'standalone' }", "public/favicon.ico" => "",
    ];
    nextjs_export: [
        "package.json" => r#"{"scripts":{"build":"next build"},"dependencies":{"next":"15"}}"#, "package-lock.json" => "{}",
        "next.config.js" => "module.exports = {\n  output: \"export\",\n}",
    ];
    vite: [
        "package.json" => r#"{"scripts":{"build":"vite build","preview":"vite preview"},"devDependencies":{"vite":"7"}}"#,
        "package-lock.json" => "{}", "index.html" => "<div id=app>",
        "vite.config.ts" => "export default defineConfig({ build: { outDir: './web' } })",
    ];
    go_at_the_root: [ "go.mod" => "module example.com/hello\n\ngo 1.24.1\n", "go.sum" => "", "main.go" => "package main", "templates/a.html" => "" ];
    go_with_several_programs: [
        "go.mod" => "module example.com/shop\n", "cmd/cron/main.go" => "", "cmd/shop/main.go" => "",
    ];
    python_flask: [ "requirements.txt" => "Flask==3.1\n", "app.py" => "from flask import Flask\napp = Flask(__name__)\n" ];
    python_fastapi_with_uv: [
        "pyproject.toml" => "[project]\ndependencies = [\"fastapi\"]", "uv.lock" => "", ".python-version" => "3.12\n",
        "app/main.py" => "api: FastAPI = FastAPI()\n",
    ];
    python_django: [ "requirements.txt" => "django\ngunicorn\n", "manage.py" => "", "shop/wsgi.py" => "", "shop/settings.py" => "" ];
    python_with_a_procfile: [ "requirements.txt" => "-r base.txt", "Procfile" => "release: x\nweb: python -m shop --port $PORT\n" ];
    rust_program: [ "Cargo.toml" => "[package]\nname = \"hello\"\n", "Cargo.lock" => "", "src/main.rs" => "fn main() {}" ];
    rust_workspace: [
        "Cargo.toml" => "[workspace]\nmembers = [\"crates/*\"]\n", "crates/core/Cargo.toml" => "[package]\nname = \"core\"\n",
        "crates/core/src/lib.rs" => "", "crates/web/Cargo.toml" => "[package]\nname = \"web\"\n", "crates/web/src/main.rs" => "",
    ];
    static_files: [ "index.html" => "<h1>", "404.html" => "", "style.css" => "" ];
    static_files_in_public: [ "public/index.html" => "<h1>", "README.md" => "" ];
    ambiguous_go_beside_a_front_end: [
        "go.mod" => "module x\ngo 1.25\n", "main.go" => "", "package.json" => r#"{"scripts":{"start":"vite"}}"#, "index.html" => "",
    ];
    ambiguous_python_with_tooling_in_package_json: [
        "requirements.txt" => "flask", "main.py" => "print(1)", "package.json" => r#"{"devDependencies":{"tailwindcss":"4"}}"#,
    ];
    ambiguous_vite_behind_a_server_of_its_own: [
        "package.json" => r#"{"scripts":{"build":"vite build","start":"node server.js"},"dependencies":{"vite":"7"}}"#,
        "index.html" => "", "server.js" => "",
    ];
    nothing_at_all: [ "README.md" => "", "src/lib.c" => "" ];
    nothing_that_starts: [ "package.json" => "{}", "requirements.txt" => "" ];
    nothing_at_the_root_but_in_folders: [
        "api/go.mod" => "module x", "api/main.go" => "", "web/index.html" => "", "README.md" => "",
    ];
    a_package_json_that_cannot_be_read: [ "package.json" => "{,}" ];
}

#[test]
fn every_recipe_exposes_its_port_runs_as_somebody_and_keeps_history_out() {
    for preset in Preset::ALL {
        let files: &[(&str, &str)] = match preset {
            Preset::Rust => &[("Cargo.toml", "[package]\nname = \"a\""), ("src/main.rs", "")],
            Preset::Go => &[("go.mod", "module a"), ("main.go", "")],
            Preset::Nextjs => &[("package.json", r#"{"dependencies":{"next":"1"}}"#)],
            Preset::Vite => &[("package.json", r#"{"dependencies":{"vite":"1"}}"#), ("index.html", "")],
            Preset::Node => &[("package.json", r#"{"scripts":{"start":"node ."}}"#)],
            Preset::Python => &[("requirements.txt", ""), ("main.py", "")],
            Preset::Static => &[("index.html", "")],
        };
        let recipe = over(files, |files| with(preset, files, &PLAIN)).expect("fits");
        assert_eq!(over(files, |files| detect(files, &PLAIN)).expect("fits").preset, preset);
        let last = recipe.containerfile.rsplit("FROM ").next().expect("a stage");
        assert!(last.contains(&format!("\nEXPOSE {}\n", recipe.port)), "{preset}: {last}");
        let user = last.lines().find_map(|line| line.strip_prefix("USER ")).expect("a user");
        assert!(user != "root" && !user.starts_with('0'), "{preset}: {user}");
        assert!(recipe.ignore.lines().any(|line| line == ".git"), "{preset}");
    }
}

#[test]
fn a_chosen_preset_wins_over_what_would_be_detected() {
    let files = [("package.json", r#"{"scripts":{"start":"node ."}}"#), ("index.html", "<h1>")];
    assert_eq!(over(&files, |files| detect(files, &PLAIN)).expect("fits").preset, Preset::Node);
    assert_eq!(
        over(&files, |files| with(Preset::Static, files, &PLAIN)).expect("fits").preset,
        Preset::Static
    );
    let unknown = over(&files, |files| with(Preset::Go, files, &PLAIN)).expect_err("no go.mod");
    assert_eq!(unknown.message, "the preset `go` needs go.mod, which the source does not have");
}

#[test]
fn names_from_the_source_cannot_add_instructions() {
    let program = "x\nRUN evil";
    let files = [("go.mod", "module a"), ("cmd/x\nRUN evil/main.go", "")];
    assert!(over(&files, |files| detect(files, &PLAIN)).is_err());
    let package =
        serde_json::json!({ "main": program, "scripts": { "start": "node a.js\nRUN evil" } }).to_string();
    let recipe = over(&[("package.json", &package), ("x\nRUN evil", "")], |files| detect(files, &PLAIN))
        .expect("fits");
    assert!(!recipe.containerfile.contains("\nRUN evil"), "{}", recipe.containerfile);
    let manifest = "[package]\nname = \"a\\nRUN evil\"";
    assert!(over(&[("Cargo.toml", manifest), ("src/main.rs", "")], |files| detect(files, &PLAIN)).is_err());
}

#[test]
fn a_folder_of_the_source_is_looked_at_like_a_source() {
    let files = [("api/go.mod", "module x"), ("api/main.go", ""), ("index.html", "")];
    assert_eq!(
        over(&files, |files| detect(&files.below("./api/"), &PLAIN)).expect("fits").preset,
        Preset::Go
    );
    assert_eq!(over(&files, |files| detect(&files.below("."), &PLAIN)).expect("fits").preset, Preset::Static);
}

macro_rules! golden_sites {
    ($($name:ident: ($publish:expr, $spa:expr) [$($file:expr => $text:expr),* $(,)?];)*) => {$(
        #[test]
        fn $name() {
            let publish: Option<&str> = $publish;
            let site = Site { publish: publish.map(str::to_owned), spa: $spa };
            insta::assert_snapshot!(shown(&[$(($file, $text)),*], &site));
        }
    )*};
}

golden_sites! {
    site_with_a_folder_to_publish: (Some("./docs/html/"), None) [ "docs/html/a.html" => "", "index.html" => "" ];
    site_with_one_page_for_all_paths: (None, Some(true)) [ "public/index.html" => "" ];
    site_with_rules: (Some("."), None) [
        "index.html" => "", "404.html" => "", "_redirects" => "/old /new\n", "_headers" => "/*\n  X-Frame-Options: DENY\n",
    ];
    site_with_a_rule_that_cannot_be_kept: (Some("pages"), None) [ "pages/_redirects" => "\n/a /b 999\n" ];
    site_without_its_folder: (Some("nope"), None) [ "index.html" => "" ];
    site_outside_of_the_source: (Some("../x"), None) [ "index.html" => "" ];
    vite_with_rules_and_a_folder: (Some("build"), Some(false)) [
        "package.json" => r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"7"}}"#, "package-lock.json" => "{}",
        "index.html" => "", "public/404.html" => "", "public/_redirects" => "/old /new 301\n",
    ];
    vite_with_a_rule_that_cannot_be_kept: (None, None) [
        "package.json" => r#"{"scripts":{"start":"vite"},"devDependencies":{"vite":"7"}}"#, "index.html" => "",
        "public/_headers" => "X-A: b\n",
    ];
    a_program_is_no_site: (Some("dist"), None) [ "package.json" => r#"{"scripts":{"start":"node ."}}"#, "dist/index.html" => "" ];
    nextjs_with_a_server_is_no_site: (None, Some(true)) [ "package.json" => r#"{"dependencies":{"next":"15"}}"# ];
}
