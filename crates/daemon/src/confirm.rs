//! Asks before something is done that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::{Context, bail};

/// Whoever sits at the terminal types the name of this host, so that the wrong window does no harm. `yes` skips the
/// question; without it and without a terminal nothing is done.
pub fn by_host_name(yes: bool, what: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        bail!("{what}: confirm with --yes, or run it on a terminal");
    }
    let host = nix::unistd::gethostname().context("cannot read the name of this host")?;
    let host = host.to_string_lossy();
    let mut err = std::io::stderr().lock();
    write!(err, "{what}. Type the name of this host ({host}) to go on: ").and_then(|()| err.flush())?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() != host {
        bail!("`{}` is not the name of this host: nothing was changed", typed.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_terminal_only_a_flag_confirms() {
        assert!(by_host_name(true, "This host leaves").is_ok());
        if !std::io::stdin().is_terminal() {
            let error = by_host_name(false, "This host leaves").expect_err("refused").to_string();
            assert!(error.contains("--yes"), "{error}");
        }
    }
}
