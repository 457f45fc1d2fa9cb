use super::redirects::Redirects;
use super::{Problem, Server, Site, headers};
use crate::tests::over;

/// The configuration for a site with these files, or why there is none.
fn served(redirects: &str, headers: &str) -> String {
    let files = [("index.html", ""), ("404.html", ""), ("_redirects", redirects), ("_headers", headers)];
    match over(&files, |files| Server::read(files, ".", &Site::default(), false)) {
        Ok(server) => server.configuration().join("\n"),
        Err(unknown) => format!("{}\n{}", unknown.message, unknown.hint),
    }
}

fn refused(redirects: &str) -> String {
    Redirects::parse(redirects).expect_err(redirects).what
}

#[test]
fn rules_become_directives_of_nginx() {
    insta::assert_snapshot!(served(
        "# moved\n/old /new\n/blog/:year/* /posts/:splat?from=:year 301\n/café https://example.com:8443/#m 308! # away\n\
         /app/* /app/index.html 200\n/news /latest.html 200\n/* /index.html 200\n/* /lost/ 404\n",
        "/*\n  X-Frame-Options: DENY\n  Content-Security-Policy: default-src 'self'; img-src \"a\\b\"\n\n\
         # versions\n/files/*.js\n\tCache-Control: no-store\n/u/:name/(é)\n  X-One: 1\n"
    ));
}

#[test]
fn what_a_user_writes_stays_inside_its_quotes() {
    for evil in ["$host", "\"", "'", ";}", "{", "\\", "`id`", "<", "|", "\u{7f}", "\u{0}", "\u{200b}"] {
        // A semicolon alone ends nothing inside quotes.
        let config = served(&format!("/a{evil} /b\n"), "");
        assert!(config.starts_with("_redirects line 1: the path has the character"), "{evil:?}: {config}");
        let config = served(&format!("/a /b{evil}\n"), "");
        assert!(config.starts_with("_redirects line 1: the address has the character"), "{evil:?}: {config}");
        let config = served("", &format!("/a{evil}\n  A: b\n"));
        assert!(config.starts_with("_headers line 1: the path has the character"), "{evil:?}: {config}");
    }
    for evil in ["a$host", "a\u{7f}", "a\rb", "é", "a\u{0}"] {
        let config = served("", &format!("/a\n  X-A: {evil}\n"));
        assert!(config.contains("line 2: the value of `X-A` has the character"), "{evil:?}: {config}");
    }
    let config = served("", "/a\n  X-A: \"; } server { # \\\n");
    assert!(config.contains(r#" "\"; } server { # \\";"#), "{config}");
    for name in ["X A", "X\"A", "", "1", "X;", "Ü"] {
        assert!(served("", &format!("/a\n  {name}: b\n")).contains("is no name of a header"), "{name}");
    }
}

#[test]
fn the_shell_that_writes_the_configuration_sees_one_word_in_each_line() {
    let files = [("index.html", ""), ("_headers", "/it\u{e9}\n  X-A: it's '$(id)' \\\n")];
    let refused = over(&files, |files| Server::read(files, ".", &Site::default(), false).map(|_| ()));
    assert!(refused.expect_err("a dollar").message.contains("`$`"));
    let files = [("index.html", ""), ("_headers", "/a\n  X-A: it's ' (id) `id` \\\n")];
    let mut text = String::new();
    over(&files, |files| {
        Server::read(files, ".", &Site::default(), false).expect("valid").stages(&mut text, "COPY .");
    });
    assert!(text.contains(r#"'  "~(?s)^/a\z" "it'\''s '\'' (id) `id` \\";' \"#), "{text}");
}

#[test]
fn rules_that_cannot_be_kept_are_refused_with_their_line() {
    assert_eq!(
        Redirects::parse("/a /b\n\n# c\n/d\n"),
        Err(Problem { line: 4, what: "a rule is a path and where it leads to".to_owned() })
    );
    let refusals: Vec<String> = [
        "https://old.example.com/* /new",
        "//evil /x",
        "/a //evil.example.com",
        "/a javascript:alert(1)",
        "/a https://user@example.com/",
        "/a https://:splat/",
        "/a /b 418",
        "/a id=:id /b 301",
        "/a /b 302 Country=at",
        "/a*/b /c",
        "/*/b /c",
        "/*/* /c",
        "/:a/:a /c",
        "/:splat/* /c",
        "/a /b/:c",
        "/a/* /a/b/:splat",
        "/* /login",
        "/a%zz /b",
        "/a /b%2",
        "/api/* https://api.example.com/:splat 200",
        "/:x /index.html 200",
        "/a /b/:x 200",
        "/a/* /404.html 404",
    ]
    .iter()
    .map(|rule| format!("{rule}\n  {}", refused(rule)))
    .collect();
    insta::assert_snapshot!(refusals.join("\n"));
    assert!(refused("/a /b 200\n/a /c 200").contains("already"));
    assert!(refused(&"/a /b\n".repeat(501)).contains("at most 500"));
    assert!(refused(&format!("/{} /b", "a".repeat(3000))).contains("at most 2000 bytes"));
    let header = |text: &str| headers::parse(text).expect_err(text);
    assert_eq!(header("  X-A: b").line, 1);
    assert!(header("/a\nX-A: b").what.contains("indented"));
    assert!(header("/a\n  Content-Type: text/html").what.contains("cannot be set"));
    assert!(header("/a\n  Basic-Auth: u:p").what.contains("cannot be set"));
    assert!(header("/a\n  ! X-A").what.contains("taken away"));
    assert!(header("/a\n  X-A:").what.contains("between 1"));
    assert!(header("/%41\n  X-A: b").what.contains("decoded"));
    let many = format!("/a\n{}", "  X-A: b\n".repeat(101));
    assert!(header(&many).what.contains("at most 100"));
}

#[test]
fn together_they_may_not_be_larger_than_a_shell_takes() {
    let rule = format!("/{} /{}\n", "a".repeat(1000), "b".repeat(1000));
    assert!(served(&rule.repeat(60), "").contains("more rules than"));
}
