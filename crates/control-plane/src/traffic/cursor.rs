//! Where a page of requests ends: the time and id of its last one, so that what comes in meanwhile moves nothing.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

/// The place after a request, the newest being first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub at: DateTime<Utc>,
    pub id: i64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.timestamp_micros(), self.id)
    }
}

/// The text is no cursor.
#[derive(Debug, PartialEq, Eq)]
pub struct NoCursor;

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let (micros, id) = text.split_once('-').ok_or(NoCursor)?;
        let at = micros.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(NoCursor)?;
        Ok(Self { at, id: id.parse().map_err(|_| NoCursor)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_given_out() {
        let cursor = Cursor { at: "2026-11-22T13:37:42.123456Z".parse().expect("time"), id: 7 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for wrong in ["", "7", "-7", "7-", "99999999999999999999-1", "1-x"] {
            assert_eq!(wrong.parse::<Cursor>(), Err(NoCursor), "{wrong}");
        }
    }
}
