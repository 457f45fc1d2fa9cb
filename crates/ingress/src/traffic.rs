//! What came in for each app, for the control plane: counted in atomics, with the paths that are asked for most and some
//! requests told whole. A request that is only counted takes no lock and allocates nothing.
//!
//! Everything adds up until it is drained, within bounds whatever clients ask for: counters have a fixed size per app,
//! and the texts of all apps together share [`MAX_TEXT_BYTES`].

mod app;
mod budget;
mod paths;
mod rate;
mod samples;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use protocol::traffic::AppTraffic;

pub use app::AppRecorder;
use budget::Budget;

/// Bytes of paths and of requests told whole that are held for all apps; what comes beyond them is only counted.
pub const MAX_TEXT_BYTES: usize = 8 << 20;

/// The apps that had requests.
#[derive(Debug)]
pub struct Recorder {
    apps: Mutex<HashMap<Box<str>, Arc<AppRecorder>>>,
    texts: Arc<Budget>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { apps: Mutex::default(), texts: Arc::new(Budget::new(MAX_TEXT_BYTES)) }
    }
}

impl Recorder {
    /// Where the requests of `app` are recorded, for as long as it is held.
    pub fn app(&self, app: &str) -> Arc<AppRecorder> {
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = apps.get(app) {
            return Arc::clone(known);
        }
        let new = Arc::new(AppRecorder::new(Arc::clone(&self.texts)));
        apps.insert(app.into(), Arc::clone(&new));
        new
    }

    /// What was recorded since the last call, each app of it with something. Apps that nobody holds are forgotten.
    /// Takes milliseconds for thousands of apps.
    pub fn drain(&self) -> Vec<AppTraffic> {
        let mut drained = Vec::new();
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        apps.retain(|name, app| {
            // Asked before it is drained: whoever lets go of it meanwhile is heard the next time.
            let held = Arc::get_mut(app).is_none();
            drained.extend(app.drain(name));
            held
        });
        drained
    }
}

#[cfg(test)]
mod tests;
