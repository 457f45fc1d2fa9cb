//! Words for Containerfiles.

/// A longer command or name is none that a person wrote.
pub(crate) const LONGEST: usize = 2000;

/// A JSON list of words, as `CMD` takes it.
pub(crate) fn words(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| serde_json::Value::from(*word).to_string()).collect();
    format!("[{}]", quoted.join(", "))
}

/// A command line as `CMD`: its words when it is that simple, else through a shell that it replaces.
pub(crate) fn command(line: &str) -> String {
    let simple = |char: char| char.is_ascii_alphanumeric() || "_-./=:@, ".contains(char);
    let first = line.split_whitespace().next().unwrap_or_default();
    // `NAME=value program` is for a shell.
    if line.chars().all(simple) && !first.contains('=') {
        return words(&line.split_whitespace().collect::<Vec<_>>());
    }
    let one = !line.contains(['&', ';', '|']) && !first.contains('=');
    words(&["sh", "-c", &if one { format!("exec {line}") } else { line.to_owned() }])
}

/// Whether a name from the source may stand in a Containerfile: it begins no new instruction, option or quotation.
pub(crate) fn is_plain(text: &str) -> bool {
    text.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_' || char == '.')
        && text.chars().all(|char| char.is_ascii_alphanumeric() || "_-./@+".contains(char))
        && text.len() <= LONGEST
        && !text.split('/').any(|part| part == "..")
}

/// The first number of the form `1` or `1.2` (with more after it) in `text`.
pub(crate) fn version(text: &str, parts: usize) -> Option<String> {
    let start = text.find(|char: char| char.is_ascii_digit())?;
    let rest = &text[start..];
    let end = rest.find(|char: char| !char.is_ascii_digit() && char != '.').unwrap_or(rest.len());
    let numbers: Vec<&str> = rest[..end].split('.').filter(|part| !part.is_empty()).take(parts).collect();
    Some(numbers.join(".")).filter(|version| version.len() <= 8)
}
