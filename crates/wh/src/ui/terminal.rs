//! The terminal that `wh` runs in, when a program elsewhere is to have it.

use std::io::IsTerminal as _;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Columns and rows, if standard input and output are one terminal.
pub(crate) fn size() -> Option<(u16, u16)> {
    if !std::io::stdin().is_terminal() || !std::io::stdout().is_terminal() {
        return None;
    }
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    // A terminal that does not know is as large as all once were.
    let or = |cells: u16, usual| if cells == 0 { usual } else { cells };
    Some((or(size.ws_col, 80), or(size.ws_row, 24)))
}

/// Passes every key on, Ctrl-C too; dropping it brings back what was before.
pub(crate) struct Raw(Termios);

impl Raw {
    pub(crate) fn start() -> std::io::Result<Self> {
        let before = tcgetattr(std::io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &raw)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The shell resets a terminal that this leaves raw; nothing else can be done here.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &self.0);
    }
}
