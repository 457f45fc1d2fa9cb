//! What an admin takes to a new host: one line to run there, and a module for NixOS.

use protocol::identity::Role;
use url::Url;

/// A host to be.
#[derive(Debug)]
pub struct Guest<'a> {
    pub name: Option<&'a str>,
    pub roles: &'a [Role],
}

/// The line to run on the host. The token goes through a pipe: `printf` is the shell's own, so that no process has it
/// among its arguments.
pub fn command(token: &str) -> String {
    format!("printf '%s\\n' '{token}' | sudo wisehosting-mesh join")
}

/// The line that gives a host what was entered by hand, as text without line ends.
pub fn by_hand(joined: &str) -> String {
    format!("printf '%s\\n' '{}' | sudo wisehosting-mesh join --joined", joined.replace('\'', "'\\''"))
}

/// A module for NixOS, for a host outside a fleet. Only validated values and the configured URL go into it.
pub fn nixos(base_url: &Url, guest: &Guest<'_>) -> String {
    let url = nix_string(base_url.as_str().trim_end_matches('/'));
    let modules: Vec<String> =
        guest.roles.iter().map(|role| format!("wisehosting.nixosModules.{role}")).collect();
    let modules = modules.join(" ");
    let name = guest.name.map(|name| format!("  networking.hostName = {};\n", nix_string(name)));
    let name = name.unwrap_or_default();
    format!(
        "{{ wisehosting, ... }}:\n{{\n  imports = [ {modules} ];\n{name}  services.wisehosting.mesh.settings.control_plane.url = {url};\n}}\n"
    )
}

fn nix_string(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "\\${");
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_gives_the_token_to_no_process_as_an_argument() {
        let line = command("whj_0a1b");
        let (shell, program) = line.split_once(" | ").expect("a pipe");
        assert!(shell.starts_with("printf ") && shell.contains("whj_0a1b"), "{line}");
        assert!(!program.contains("whj_") && !line.contains('\n'), "{line}");
    }

    #[test]
    fn no_quote_in_a_text_ends_the_quoted_word_of_the_line() {
        assert!(by_hand("{\"name\":\"it's\"}").starts_with(r#"printf '%s\n' '{"name":"it'\''s"}' | "#));
    }

    #[test]
    fn the_module_names_the_roles_the_host_and_the_control_plane() {
        let url: Url = "https://cp.example.com/".parse().expect("url");
        let roles = [Role::Worker, Role::Proxy];
        let module = nixos(&url, &Guest { name: Some("worker-2"), roles: &roles });
        assert_eq!(
            module,
            r#"{ wisehosting, ... }:
{
  imports = [ wisehosting.nixosModules.worker wisehosting.nixosModules.proxy ];
  networking.hostName = "worker-2";
  services.wisehosting.mesh.settings.control_plane.url = "https://cp.example.com";
}
"#
        );
        let unnamed = nixos(&url, &Guest { name: None, roles: &roles[..1] });
        assert!(!unnamed.contains("hostName"), "{unnamed}");
    }

    #[test]
    fn nothing_in_a_string_of_nix_is_code() {
        assert_eq!(nix_string("a\"b\\c${d}"), r#""a\"b\\c\${d}""#);
    }
}
