//! Labels and zone of a node: the words by which people tell their hosts apart.

use std::collections::BTreeMap;

/// Names and values, for example `disk = nvme`.
pub type Labels = BTreeMap<String, String>;

/// Most that one node has.
const MOST: usize = 64;

/// Says what is wrong with the labels, naming the one.
pub fn check(labels: &Labels) -> Result<(), String> {
    if labels.len() > MOST {
        return Err(format!("must be at most {MOST}"));
    }
    labels.iter().try_for_each(|(key, value)| check_key(key).and_then(|()| check_value(key, value)))
}

/// Names go into selectors and into Nix, so they are held to letters that mean nothing there.
pub fn check_key(key: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-/".contains(&byte);
    if (1..=63).contains(&key.len()) && key.bytes().all(good) {
        Ok(())
    } else {
        Err(format!("`{}`: a name must be 1 to 63 of a-z, 0-9, `.`, `-` and `/`", key.escape_debug()))
    }
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if value.chars().count() <= 63 && !value.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(format!("`{key}`: a value must be at most 63 characters on one line"))
    }
}

/// A zone is a DNS suffix such as `de.example.com`.
pub fn check_zone(zone: &str) -> Result<(), String> {
    let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |text: &str| {
        (1..=63).contains(&text.len())
            && text.bytes().all(letters)
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    if zone.len() <= 200 && zone.contains('.') && zone.split('.').all(label) {
        Ok(())
    } else {
        Err("must be a domain name such as de.example.com".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_cannot_be_is_named() {
        let of = |key: &str, value: &str| check(&Labels::from([(key.to_owned(), value.to_owned())]));
        assert_eq!(of("example.com/disk-type", "NVMe, 2 TB"), Ok(()));
        assert_eq!(of("spare", ""), Ok(()));
        for (key, value) in [("", "x"), ("Disk", "x"), ("a b", "x"), ("a=b", "x"), ("disk", "a\nb")] {
            assert!(of(key, value).expect_err(key).contains(&format!("`{key}`")));
        }
        assert!(of(&"k".repeat(64), "x").is_err() && of("k", &"v".repeat(64)).is_err());
        let many: Labels = (0..65).map(|number| (format!("k{number}"), String::new())).collect();
        assert!(check(&many).is_err());
    }

    #[test]
    fn a_zone_is_a_domain_name() {
        assert_eq!(check_zone("de.example.com"), Ok(()));
        for bad in ["", "de", "De.example.com", "-a.example.com", "a..b", "a b.c"] {
            assert!(check_zone(bad).is_err(), "{bad}");
        }
    }
}
