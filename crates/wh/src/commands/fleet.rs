//! The file that declares the hosts, `hosts/fleet.nix`.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use serde::Serialize;

use super::Shell;
use crate::api::types::Node;
use crate::failure::Result;

/// Words of the language, which cannot stand as a name without quotes.
const KEYWORDS: [&str; 10] = ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then", "with"];

/// What pins one host.
#[derive(Debug, Serialize)]
struct Pin<'a> {
    name: &'a str,
    public_key: &'a str,
    mesh_address: &'a str,
}

/// Prints what makes every node known by its key, so that no host needs a token again and no other key is let in
/// under its name.
pub(crate) async fn pin(shell: &Shell) -> Result<()> {
    let nodes: Vec<Node> = shell.client()?.list("/nodes").await?;
    let pins = pins(&nodes);
    if shell.ui.json {
        return crate::ui::json(&pins);
    }
    if pins.is_empty() {
        shell.ui.note("no nodes yet: `wh node add` prints the line by which one joins");
        return Ok(());
    }
    crate::ui::data(&lines(&pins))
}

/// By mesh address, the order of a fleet that stays the same while names come and go.
fn pins(nodes: &[Node]) -> Vec<Pin<'_>> {
    let known = nodes.iter().filter(|node| !node.public_key.is_empty());
    let mut pins: Vec<_> = known
        .map(|node| Pin {
            name: &node.name,
            public_key: &node.public_key,
            mesh_address: node.mesh_address.as_deref().unwrap_or_default(),
        })
        .collect();
    pins.sort_by_key(|pin| (pin.mesh_address.parse::<Ipv4Addr>().ok(), pin.name));
    pins
}

fn lines(pins: &[Pin<'_>]) -> String {
    let mut text = String::new();
    for Pin { name, public_key, mesh_address } in pins {
        let name = attribute(name);
        writeln!(text, "{name}.publicKey = {}; # {mesh_address}", string(public_key))
            .expect("a string grows");
    }
    text
}

/// A name as Nix reads it. Host names may begin with a digit, names of the language may not.
fn attribute(name: &str) -> String {
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    let rest = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if first && rest && !KEYWORDS.contains(&name) { name.to_owned() } else { string(name) }
}

fn string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_nix_would_read_as_something_else_are_quoted() {
        for (name, written) in [
            ("worker-1", "worker-1"),
            ("1st", "\"1st\""),
            ("in", "\"in\""),
            ("inn", "inn"),
            ("-a", "\"-a\""),
            ("a\"; ${x}\n", "\"a\\\"; \\${x}\""),
        ] {
            assert_eq!(attribute(name), written);
        }
    }
}
