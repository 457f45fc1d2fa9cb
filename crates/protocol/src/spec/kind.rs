//! Reading a [`Spec`], whose `kind` stands in the same object as all the rest. What derives this keeps the whole object
//! before it looks for the kind; written by us the kind comes first, and a table of thousands of routes is read at once.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{MeshSpec, ProxySpec, Spec, WorkerSpec};

#[derive(serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Mesh,
    Worker,
    Proxy,
}

impl Kind {
    fn read<'de, D: Deserializer<'de>>(self, rest: D) -> Result<Spec, D::Error> {
        match self {
            Self::Mesh => MeshSpec::deserialize(rest).map(Spec::Mesh),
            Self::Worker => WorkerSpec::deserialize(rest).map(Spec::Worker),
            Self::Proxy => ProxySpec::deserialize(rest).map(Spec::Proxy),
        }
    }
}

impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(AnyKind)
    }
}

struct AnyKind;

impl<'de> Visitor<'de> for AnyKind {
    type Value = Spec;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with `kind`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Spec, A::Error> {
        let mut rest = Map::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            match &*key {
                "kind" if rest.is_empty() => {
                    return map.next_value::<Kind>()?.read(MapAccessDeserializer::new(map));
                }
                _ => rest.insert(key.into_owned(), map.next_value::<Value>()?),
            };
        }
        let kind = rest.remove("kind").ok_or_else(|| A::Error::missing_field("kind"))?;
        let kind: Kind = serde_json::from_value(kind).map_err(A::Error::custom)?;
        kind.read(Value::Object(rest)).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_may_stand_anywhere() {
        let written = serde_json::to_string(&Spec::Mesh(MeshSpec::default())).expect("JSON");
        assert!(written.starts_with(r#"{"kind":"mesh""#), "{written}");
        for text in [&*written, r#"{"peers":[],"kind":"mesh"}"#] {
            let spec: Spec = serde_json::from_str(text).expect(text);
            assert_eq!(spec, Spec::Mesh(MeshSpec::default()), "{text}");
        }
        for (text, why) in [
            (r#"{"peers":[]}"#, "missing field `kind`"),
            (r#"{"kind":"other","peers":[]}"#, "unknown variant `other`"),
            (r#"{"kind":"mesh"}"#, "missing field `peers`"),
        ] {
            let error = serde_json::from_str::<Spec>(text).expect_err(text).to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
