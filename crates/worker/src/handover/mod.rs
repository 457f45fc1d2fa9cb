//! Hands images from worker to worker over the mesh, and of those only the layers that the other one lacks, so that
//! no registry is needed and a deploy moves little more than what changed.
//!
//! `GET /v1/images/{id}/layers` names the layers, base first. `GET /v1/images/{id}?have=0,2` is the image as
//! `podman save` writes it (docker-archive, which keeps the image's id) without the layers at those places; of each,
//! `<layer>.size` takes the place of `<layer>.tar`. Both want the ticket of the image.

mod chunks;
mod offer;
mod take;

pub(crate) use offer::{Images, image, layers};
pub(crate) use take::Taker;

/// More than any image has: overlay file systems end at 128.
const MAX_LAYERS: usize = 512;

/// The hexadecimal part of `sha256:<64 digits>`; `None` for anything else.
fn digest(text: &str) -> Option<&str> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == 64 && digits.bytes().all(plain)).then_some(digits)
}
