//! Which images go, and what is told of the others: desired state × images of this host. Pure. Nothing goes but what the
//! desired state lists by its id.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::DateTime;
use protocol::question::{CleanableImage, MAX_CLEANED};
use protocol::report::{HeldImage, ImageProblem, ImageReport, MAX_IMAGES};
use protocol::spec::WorkerSpec;

use crate::instances::label;
use crate::podman::{ListedImage, OUR_NAMES};

/// An image to take away: its names but the last, then its id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Removal {
    pub(super) id: String,
    pub(super) names: Vec<String>,
}

/// The images of a host, and how they build on each other.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// By id as the protocol writes it.
    images: BTreeMap<String, &'a ListedImage>,
    /// How many continue the image.
    children: HashMap<String, usize>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(listed: &'a [ListedImage]) -> Self {
        let images: BTreeMap<_, _> = listed.iter().map(|image| (full_id(&image.id), image)).collect();
        let mut children = HashMap::new();
        for image in listed.iter().filter(|image| !image.parent_id.is_empty()) {
            *children.entry(full_id(&image.parent_id)).or_default() += 1;
        }
        Self { images, children }
    }

    pub(super) fn has(&self, id: &str) -> bool {
        self.images.contains_key(id)
    }

    fn parent(&self, image: &ListedImage) -> Option<(&String, &'a ListedImage)> {
        let (id, image) = self.images.get_key_value(&full_id(&image.parent_id))?;
        Some((id, image))
    }

    fn children(&self, id: &str) -> usize {
        self.children.get(id).copied().unwrap_or_default()
    }

    /// Bytes that the image has and its parent has not.
    fn own_bytes(&self, image: &ListedImage) -> u64 {
        image.size.saturating_sub(self.parent(image).map_or(0, |(_, parent)| parent.size))
    }

    /// What the removal of a leaf frees: its own bytes and those of the steps before it that only it needs.
    fn frees(&self, id: &str) -> u64 {
        let Some(mut image) = self.images.get(id).copied() else { return 0 };
        if self.children(id) > 0 {
            return 0;
        }
        let mut bytes = self.own_bytes(image);
        // Each step leads to another image; the bound is for an answer that says otherwise.
        for _ in 0..self.images.len() {
            match self.parent(image) {
                Some((id, parent)) if is_step(parent) && self.children(id) == 1 => {
                    bytes += self.own_bytes(parent);
                    image = parent;
                }
                _ => break,
            }
        }
        bytes
    }

    /// What a build left and no image contains: a leaf without a name.
    fn is_cache(&self, id: &str, image: &ListedImage) -> bool {
        is_step(image) && self.children(id) == 0
    }

    /// What this host tells the control plane.
    pub(super) fn report(&self, spec: &WorkerSpec, problems: &BTreeMap<String, String>) -> ImageReport {
        let named: BTreeSet<&String> =
            spec.images.iter().map(|image| &image.id).chain(&spec.remove_images).collect();
        // Steps that an image contains go with it.
        let told = |(id, image): &(&String, &&ListedImage)| {
            !is_step(image) || self.is_cache(id, image) || named.contains(id)
        };
        let mut images: Vec<_> = self
            .images
            .iter()
            .filter(told)
            .map(|(id, image)| HeldImage {
                id: id.clone(),
                ours: is_ours(image),
                cache: self.is_cache(id, image),
                made_at: DateTime::from_timestamp(image.created, 0).unwrap_or_default(),
                size_bytes: image.size,
                frees_bytes: self.frees(id),
            })
            .collect();
        images.sort_by_key(|image| (!named.contains(&image.id), !image.ours, image.cache));
        images.truncate(MAX_IMAGES);
        ImageReport {
            images,
            total_bytes: self.images.values().map(|image| self.own_bytes(image)).sum(),
            problems: problems
                .iter()
                .map(|(id, message)| ImageProblem { id: id.clone(), message: message.clone() })
                .collect(),
            copies: Vec::new(),
        }
    }

    /// What a person may clean up: images of others that nothing here needs. Of ours the control plane knows which are
    /// kept, and orders the others out by itself.
    pub(super) fn cleanable(&self, spec: &WorkerSpec) -> Vec<CleanableImage> {
        let mut found: Vec<CleanableImage> =
            self.images.keys().filter_map(|id| Some(self.cleaning(spec, id)?.ok()?.0)).collect();
        found.sort_by_key(|image| std::cmp::Reverse(image.frees_bytes));
        found.truncate(MAX_CLEANED);
        found
    }

    /// How to clean an image up, or why it stays. `None`: it is not here.
    pub(super) fn cleaning(
        &self,
        spec: &WorkerSpec,
        id: &str,
    ) -> Option<Result<(CleanableImage, Removal), String>> {
        let image = self.images.get(id)?;
        if is_ours(image) {
            return Some(Err("it was built by us: it goes by itself when no app keeps it".to_owned()));
        }
        let told = |removal: Removal| {
            let reason = match image.names.first() {
                Some(_) => "no container, release or image of this host needs it",
                None => "it lost its name to a newer one, and nothing of this host needs it",
            };
            let image = CleanableImage {
                id: id.to_owned(),
                names: image.names.clone(),
                made_at: DateTime::from_timestamp(image.created, 0).unwrap_or_default(),
                frees_bytes: self.frees(id),
                reason: reason.to_owned(),
            };
            (image, removal)
        };
        Some(self.removal(spec, id)?.map(told))
    }

    /// How to remove what the desired state lists, or why it stays for now. `None`: it is not here.
    pub(super) fn removal(&self, spec: &WorkerSpec, id: &str) -> Option<Result<Removal, String>> {
        let image = self.images.get(id)?;
        let needed = spec.instances.iter().map(|instance| &instance.image).chain(&spec.images);
        if needed.into_iter().any(|image| image.id == id) {
            return Some(Err("an instance of this host needs it".to_owned()));
        }
        if image.containers > 0 {
            return Some(Err("a container of this host is made of it".to_owned()));
        }
        // Podman would take its names and leave its layers.
        if self.children(id) > 0 {
            return Some(Err("other images of this host are built on it".to_owned()));
        }
        let ours = is_ours(image);
        let foreign = image.names.iter().find(|name| ours && !name.starts_with(OUR_NAMES));
        if let Some(name) = foreign {
            return Some(Err(format!("someone named it {name}")));
        }
        if !ours && image.names.len() > 1 {
            return Some(Err(format!("it has {} names, and is not built by us", image.names.len())));
        }
        let names = image.names.iter().skip(1).cloned().collect();
        Some(Ok(Removal { id: id.to_owned(), names }))
    }
}

/// Podman's ids have no `sha256:` here.
fn full_id(id: &str) -> String {
    format!("sha256:{}", id.trim_start_matches("sha256:"))
}

/// Built here or on another worker, or received from one.
fn is_ours(image: &ListedImage) -> bool {
    image.labels.contains_key(label::IMAGE) || image.names.iter().any(|name| name.starts_with(OUR_NAMES))
}

/// Left by a step of one of our builds, or by an image that lost its name to a newer one.
fn is_step(image: &ListedImage) -> bool {
    is_ours(image) && image.names.is_empty()
}

#[cfg(test)]
mod tests {
    use protocol::spec::ImageSpec;

    use super::*;
    use crate::instances::samples;

    /// `name` is empty for a step of a build.
    fn image(id: &str, parent: &str, name: &str, size: u64) -> ListedImage {
        let names = if name.is_empty() { Vec::new() } else { vec![name.to_owned()] };
        ListedImage {
            id: id.to_owned(),
            parent_id: parent.to_owned(),
            names,
            labels: BTreeMap::from([(label::IMAGE.to_owned(), "built".to_owned())]),
            size,
            ..ListedImage::default()
        }
    }

    fn base() -> ListedImage {
        ListedImage { labels: BTreeMap::new(), ..image("base", "", "docker.io/library/node:22", 1000) }
    }

    /// Two releases on one base that share their first step, and a failed build.
    fn host() -> Vec<ListedImage> {
        vec![
            base(),
            image("shared", "base", "", 1100),
            image("step", "shared", "", 1120),
            image("one", "step", "localhost/wisehosting/hello:1", 1121),
            image("two", "shared", "localhost/wisehosting/hello:2", 1130),
            ListedImage { created: 5, ..image("failed", "shared", "", 1140) },
        ]
    }

    fn remove(ids: &[&str]) -> WorkerSpec {
        WorkerSpec { remove_images: ids.iter().map(|id| full_id(id)).collect(), ..WorkerSpec::default() }
    }

    fn removal(host: &[ListedImage], id: &str) -> Result<Vec<String>, String> {
        let spec = remove(&[id]);
        Tree::new(host).removal(&spec, &full_id(id)).expect("here").map(|removal| removal.names)
    }

    #[test]
    fn layers_that_images_share_are_counted_once() {
        let host = host();
        let report = Tree::new(&host).report(&remove(&["two"]), &BTreeMap::new());
        assert_eq!(report.total_bytes, 1000 + 100 + 20 + 1 + 30 + 40);
        let told: Vec<_> = report.images.iter().map(|image| (image.id.as_str(), image.frees_bytes)).collect();
        // Steps of images are not told; what the desired state names comes first, what is not ours last.
        assert_eq!(told, [("sha256:two", 30), ("sha256:one", 21), ("sha256:failed", 40), ("sha256:base", 0)]);
    }

    #[test]
    fn what_is_in_use_or_not_ours_alone_stays_with_a_reason() {
        let mut host = host();
        assert_eq!(removal(&host, "one"), Ok(Vec::new()));
        assert!(removal(&host, "base").expect_err("stays").contains("built on it"));
        host[3].names.push("localhost/wisehosting/hello:3".to_owned());
        assert_eq!(removal(&host, "one"), Ok(vec!["localhost/wisehosting/hello:3".to_owned()]));
        host[3].names.push("registry.example.com/mine:1".to_owned());
        assert!(removal(&host, "one").expect_err("stays").contains("registry.example.com/mine:1"));
        host[4].containers = 1;
        assert!(removal(&host, "two").expect_err("stays").contains("container"));
        assert_eq!(Tree::new(&host).removal(&remove(&["gone"]), "sha256:gone"), None);
    }

    #[test]
    fn what_the_same_spec_needs_is_not_removed() {
        let host = host();
        let mut spec = remove(&["one", "two"]);
        let mut instance = samples::spec("a", 1);
        instance.image.id = full_id("one");
        spec.instances = vec![instance];
        spec.images = vec![ImageSpec { id: full_id("two"), reference: String::new(), sources: Vec::new() }];
        let tree = Tree::new(&host);
        for id in ["sha256:one", "sha256:two"] {
            assert!(tree.removal(&spec, id).expect("here").is_err(), "{id}");
        }
    }

    #[test]
    fn only_what_our_builds_left_and_no_image_contains_is_cache() {
        let mut host = host();
        // Somebody else's image without a name.
        host.push(ListedImage { labels: BTreeMap::new(), ..image("foreign", "", "", 9000) });
        let report = Tree::new(&host).report(&remove(&["shared"]), &BTreeMap::new());
        let cache: Vec<_> = report.images.iter().filter(|image| image.cache).map(|image| &image.id).collect();
        assert_eq!(cache, ["sha256:failed"]);
        let failed = report.images.iter().find(|image| image.cache).expect("told");
        assert_eq!(failed.made_at.timestamp(), 5);
        assert_eq!(report.images[0].id, "sha256:shared", "what is listed is told in any case");
        assert_eq!(removal(&host, "failed"), Ok(Vec::new()));
    }

    #[test]
    fn a_clean_up_is_offered_what_others_left_and_nothing_needs() {
        let mut host = host();
        let foreign =
            |id: &str, name: &str, size| ListedImage { labels: BTreeMap::new(), ..image(id, "", name, size) };
        host.extend([
            foreign("old", "docker.io/library/node:18", 900),
            foreign("nameless", "", 100),
            ListedImage { containers: 1, ..foreign("used", "docker.io/library/postgres:17", 800) },
            foreign("wanted", "docker.io/library/redis:8", 700),
        ]);
        let wanted = ImageSpec { id: full_id("wanted"), ..samples::spec("a", 1).image };
        let spec = WorkerSpec { images: vec![wanted], ..WorkerSpec::default() };
        let tree = Tree::new(&host);
        let found = tree.cleanable(&spec);
        let told: Vec<_> = found.iter().map(|image| (image.id.as_str(), image.frees_bytes)).collect();
        assert_eq!(told, [("sha256:old", 900), ("sha256:nameless", 100)]);
        for (id, why) in [
            ("one", "built by us"),
            ("failed", "built by us"),
            ("base", "built on it"),
            ("used", "a container"),
            ("wanted", "an instance"),
        ] {
            let refused = tree.cleaning(&spec, &full_id(id)).expect("here").expect_err(id);
            assert!(refused.contains(why), "{id}: {refused}");
        }
        assert!(tree.cleaning(&spec, "sha256:none").is_none());
    }
}
