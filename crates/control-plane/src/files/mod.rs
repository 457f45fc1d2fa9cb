//! Files into and out of instances: a tar that passes through, counted and never unpacked here.

pub mod api;
mod link;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use futures_util::{Stream, StreamExt};
use protocol::ids::InstanceId;
use serde::Deserialize;

use crate::http::{Error, Result};

/// Where files are.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct Place {
    /// Absolute, in the instance.
    path: String,
    /// An instance of the app; when absent a healthy one of the newest release.
    instance: Option<InstanceId>,
}

/// Linux' own limit.
const PATH_BYTES: usize = 4096;

fn check_path(path: &str) -> Result<()> {
    if !path.starts_with('/') || path.contains('\0') || path.len() > PATH_BYTES {
        return Err(Error::invalid(
            "path",
            "the path in the instance begins with / and has at most 4096 bytes",
        ));
    }
    Ok(())
}

/// Bytes that have passed.
#[derive(Debug, Clone, Default)]
struct Meter(Arc<AtomicU64>);

impl Meter {
    fn passed(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends in an error above `limit` bytes, so that half of a tar does not look whole.
    fn cap<E: Into<axum::BoxError>, S: Stream<Item = Result<Bytes, E>> + Send>(
        &self,
        stream: S,
        limit: u64,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<E, S> {
        let meter = self.clone();
        stream.map(move |chunk| {
            let chunk = chunk.map_err(io::Error::other)?;
            let before = meter.0.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            if before + chunk.len() as u64 > limit {
                return Err(io::Error::other(format!("more than {limit} bytes")));
            }
            Ok(chunk)
        })
    }
}
