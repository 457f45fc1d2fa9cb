//! Questions to the person at the terminal, and secrets from there or from standard input.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

use crate::failure::{Failure, Result};

/// Most that is read from standard input as one value.
const LIMIT: u64 = 1024 * 1024;

/// Whether somebody can be asked.
pub(crate) fn possible() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks for one line.
pub(crate) fn line(question: &str) -> Result<String> {
    say(question)?;
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::io("cannot read the answer", &error))?;
    Ok(answer.trim().to_owned())
}

/// Asks for one line that is not shown while it is typed.
pub(crate) fn hidden(question: &str) -> Result<SecretString> {
    let terminal = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .map_err(|error| Failure::io("cannot open the terminal", &error))?;
    say(question)?;
    let silence = Silence::start(terminal)
        .map_err(|error| Failure::io("cannot switch off the terminal's echo", &error.into()))?;
    let mut answer = String::new();
    let read = BufReader::new(&silence.terminal).read_line(&mut answer);
    drop(silence);
    say("\n")?;
    read.map_err(|error| Failure::io("cannot read the answer", &error))?;
    Ok(SecretString::from(answer.trim_end_matches(['\n', '\r']).to_owned()))
}

/// All of standard input, without the last line end.
pub(crate) fn stdin_value() -> Result<SecretString> {
    let mut value = String::new();
    let mut input = std::io::stdin().lock().take(LIMIT + 1);
    input.read_to_string(&mut value).map_err(|error| Failure::io("cannot read standard input", &error))?;
    if value.len() as u64 > LIMIT {
        return Err(Failure::usage("standard input holds more than 1 MiB, which is no value"));
    }
    let value = value.strip_suffix('\n').unwrap_or(&value);
    Ok(SecretString::from(value.strip_suffix('\r').unwrap_or(value).to_owned()))
}

fn say(text: &str) -> Result<()> {
    let mut err = std::io::stderr().lock();
    err.write_all(text.as_bytes())
        .and_then(|()| err.flush())
        .map_err(|error| Failure::io("cannot write to the terminal", &error))
}

/// The terminal without echo; dropping it brings the echo back.
struct Silence {
    terminal: std::fs::File,
    before: Termios,
}

impl Silence {
    fn start(terminal: std::fs::File) -> nix::Result<Self> {
        let before = tcgetattr(terminal.as_fd())?;
        let mut silent = before.clone();
        silent.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(terminal.as_fd(), SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // The shell resets a terminal that this leaves silent; nothing else can be done here.
        let _ = tcsetattr(self.terminal.as_fd(), SetArg::TCSAFLUSH, &self.before);
    }
}
