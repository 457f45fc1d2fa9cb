//! Keys in the files of OpenSSH: as much of them as it takes to say which key it is, and that it can be used.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest as _, Sha256};

const BEGIN: &str = "-----BEGIN OPENSSH PRIVATE KEY-----";
const END: &str = "-----END OPENSSH PRIVATE KEY-----";
const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Kinds of keys that OpenSSH trusts by default.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// Why a private key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    #[error("this is not a private key of OpenSSH")]
    Format,
    #[error("the key is protected by a passphrase, which nobody can type on a worker")]
    Passphrase,
}

/// The public key, as `TYPE KEY`, of a private one.
pub fn public_key(private: &str) -> Result<String, Problem> {
    let text =
        private.trim().strip_prefix(BEGIN).and_then(|rest| rest.strip_suffix(END)).ok_or(Problem::Format)?;
    let text: String = text.split_ascii_whitespace().collect();
    let bytes = STANDARD.decode(text).map_err(|_| Problem::Format)?;
    let mut rest = bytes.strip_prefix(MAGIC).ok_or(Problem::Format)?;
    let mut next = || field(&mut rest).ok_or(Problem::Format);
    let (cipher, _derivation, _options) = (next()?, next()?, next()?);
    if cipher != b"none" {
        return Err(Problem::Passphrase);
    }
    let rest = rest.strip_prefix(&1_u32.to_be_bytes()).ok_or(Problem::Format)?;
    let blob = field(&mut { rest }).ok_or(Problem::Format)?;
    line(blob).ok_or(Problem::Format)
}

/// `TYPE KEY` of a line of `known_hosts`, or of one that has no host.
pub fn host_key(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let at = words.iter().take(2).position(|word| TYPES.contains(word))?;
    let blob = STANDARD.decode(words.get(at + 1)?).ok()?;
    line(&blob).filter(|line| line.split_once(' ').is_some_and(|(kind, _)| kind == words[at]))
}

/// As `ssh-keygen -l` shows it.
pub fn fingerprint(line: &str) -> String {
    let blob = line.split_once(' ').and_then(|(_, key)| STANDARD.decode(key).ok()).unwrap_or_default();
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob)))
}

fn line(blob: &[u8]) -> Option<String> {
    let kind = std::str::from_utf8(field(&mut { blob })?).ok()?;
    TYPES.contains(&kind).then(|| format!("{kind} {}", STANDARD.encode(blob)))
}

/// Four bytes of length, then as many bytes.
fn field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(field)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Opens nothing.
    pub(in super::super) const PRIVATE: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACDDgF+TtVqle2BvfMNJBpdN9q8Bj3aUD2LGgPp2OUibGQAAAIhJsaDnSbGg
5wAAAAtzc2gtZWQyNTUxOQAAACDDgF+TtVqle2BvfMNJBpdN9q8Bj3aUD2LGgPp2OUibGQ
AAAEBDzj2oQ9VqUJhhFGvFKL4PQGCQ9GYxSxiWsOa9HXvWWsOAX5O1WqV7YG98w0kGl032
rwGPdpQPYsaA+nY5SJsZAAAABHRlc3QB
-----END OPENSSH PRIVATE KEY-----
";
    const PUBLIC: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMOAX5O1WqV7YG98w0kGl032rwGPdpQPYsaA+nY5SJsZ";
    const PROTECTED: &str = "\
-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABAJFJtibM
9bnB2/LlqfPlHNAAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIOh54sDNajToKSMS
y+fJJ0cbXOA6pqUahQqp73EOwHC/AAAAkGpCvVT554QKnwL/t6nwmB2f6UkV2uBP1Q/x7E
O8NfG7NO2jzyfH2MLINpcYUmUlmx0rPaqCEeR7btrc+t2xiDOnuBIbRPsbBdGf00wj8UiH
bKtwvpqM9SEXh6Ac6wy1IEiizwgeecZwxfdsHwN0QntTjH6Q42FhjfyxO60sb2/WnUXpgs
NjCeg/8PVXskFfhw==
-----END OPENSSH PRIVATE KEY-----
";

    #[test]
    fn the_public_part_of_a_key_is_known_from_its_file() {
        assert_eq!(public_key(PRIVATE), Ok(PUBLIC.to_owned()));
        assert_eq!(public_key(&PRIVATE.replace('\n', "\r\n")), Ok(PUBLIC.to_owned()));
        assert_eq!(public_key(PROTECTED), Err(Problem::Passphrase));
        let half = format!("{}\n{END}", &PRIVATE[..120]);
        for bad in ["", "ssh-ed25519 AAAA", PUBLIC, &half, &PRIVATE.replace("OPENSSH", "RSA")] {
            assert_eq!(public_key(bad), Err(Problem::Format), "{bad}");
        }
    }

    #[test]
    fn a_key_of_a_host_is_taken_with_and_without_its_name() {
        for line in
            [PUBLIC, &format!("git.example.com {PUBLIC}"), &format!("|1|salt=|hash= {PUBLIC} a comment")]
        {
            assert_eq!(host_key(line).as_deref(), Some(PUBLIC), "{line}");
        }
        for bad in ["", "ssh-ed25519", "ssh-ed25519 AAAA", &PUBLIC.replace("ed25519", "rsa"), "a b c"] {
            assert_eq!(host_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_what_ssh_keygen_shows() {
        assert_eq!(fingerprint(PUBLIC), "SHA256:uGGfMkvZjf4qFb+M6OscJt3wizMU3nPOjVB4GmK+Fyo");
    }
}
