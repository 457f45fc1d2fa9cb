use serde_json::{Value, json};
use utoipa::OpenApi;

use super::*;

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/proxy-standalone.schema.json");

fn read_text(text: &str) -> Result<ProxySpec, String> {
    let folder = tempfile::tempdir().expect("temp dir");
    let path = folder.path().join("routes.json");
    std::fs::write(&path, text).expect("write");
    std::fs::write(folder.path().join("chain.pem"), "a chain").expect("write");
    read(&path).spec.map_err(|error| format!("{error:#}"))
}

#[test]
fn what_is_left_out_has_a_good_value() {
    let text = r#"{"routes": [{"hosts": ["a.test", "b.test"], "upstreams": [{"address": "10.0.0.5:80"}]}]}"#;
    let spec = read_text(text).expect("good");
    let [route] = &spec.routes[..] else { panic!("one route") };
    assert_eq!((route.id.as_str(), route.app.as_str(), route.path.as_str()), ("a.test/", "a.test", "/"));
    assert_eq!((route.upstreams[0].weight, route.https_only), (1, false));
    assert_eq!(*route.options, RouteOptions::default());
    assert_eq!(spec, read_text(text).expect("good"), "ids that are made stay");
}

#[test]
fn the_form_of_the_wire_is_a_table() {
    let route = spec::Route {
        id: "r".to_owned(),
        app: "shop".to_owned(),
        hosts: vec!["a.test".to_owned()],
        path: "/api".to_owned(),
        upstreams: vec![spec::Upstream {
            instance: InstanceId::new(),
            address: ([10, 0, 0, 5], 80).into(),
            weight: 3,
        }],
        unavailable: Some(spec::Unavailable::Starting),
        https_only: true,
        options: Box::new(RouteOptions { compress: true, ..RouteOptions::default() }),
    };
    let certificate = spec::Certificate {
        hosts: vec!["a.test".to_owned()],
        chain_pem: "c".to_owned(),
        key_pem: "k".to_owned(),
    };
    let challenge = spec::HttpChallenge {
        host: "a.test".to_owned(),
        token: "t".to_owned(),
        key_authorization: "t.k".to_owned(),
    };
    let alpn = spec::AlpnChallenge { host: "a.test".to_owned(), digest: "00".to_owned() };
    let spec = ProxySpec {
        routes: vec![route.into()],
        certificates: vec![certificate.into()],
        challenges: vec![challenge],
        alpn_challenges: vec![alpn],
        ..ProxySpec::default()
    };
    assert_eq!(read_text(&serde_json::to_string(&spec).expect("JSON")).expect("good"), spec);
}

#[test]
fn errors_name_the_key_and_the_line() {
    let route = |inside: &str| format!("{{\n\"routes\": [\n{{\"hosts\": [\"a.test\"], {inside}}}\n]\n}}");
    let upstreams = "\"upstreams\": []";
    for (text, parts) in [
        ("{\n\"rutes\": []}".to_owned(), &["`rutes`", "line 2"][..]),
        (route("\"upstream\": []"), &["`routes[0].upstream`", "line 3"]),
        (route(&format!("{upstreams}, \"options\": {{\n\"compres\": true}}")), &["compres", "line 4"]),
        (route("\"upstreams\": [{\"address\": \"localhost:80\"}]"), &["routes[0].upstreams[0].address", "line 3"]),
        ("{\"routes\": [{\"hosts\": [], \"upstreams\": []}]}".to_owned(), &["`routes[0]`", "`hosts` is empty"]),
        ("{\"routes\": []} x".to_owned(), &["after the table", "line 1"]),
        (
            "{\"certificates\": [{\"hosts\": [\"a.test\"], \"key_pem\": \"k\"}]}".to_owned(),
            &["`certificates[0]`", "`chain_file` or `chain_pem`"],
        ),
        (
            "{\"certificates\": [{\"hosts\": [\"a.test\"], \"chain_file\": \"chain.pem\", \"key_file\": \"key.pem\"}]}"
                .to_owned(),
            &["`certificates[0]`", "`key_file`", "key.pem", "No such file"],
        ),
    ] {
        let error = read_text(&text).expect_err("bad");
        assert!(parts.iter().all(|part| error.contains(part)), "{text}: {error}");
    }
    let twice =
        r#"{"routes": [{"hosts": ["a.test"], "upstreams": []}, {"hosts": ["a.test"], "upstreams": []}]}"#;
    assert!(read_text(twice).expect_err("bad").contains("`routes[1].id` `a.test/` is another route's"));
}

/// `UPDATE_SCHEMA=1 cargo test -p proxy schema` writes it anew.
#[test]
fn the_schema_beside_the_documentation_is_that_of_the_types() {
    let made = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(SCHEMA, &made).expect("write");
    }
    let documented = std::fs::read_to_string(SCHEMA).expect("docs/proxy-standalone.schema.json");
    assert!(documented == made, "the schema changed: UPDATE_SCHEMA=1 cargo test -p proxy schema writes it");
}

/// The JSON schema of [`Table`]; `OpenAPI`'s are of the same dialect and only lie elsewhere.
fn schema() -> Value {
    #[derive(OpenApi)]
    #[openapi(components(schemas(Table)))]
    struct Everything;
    let document = serde_json::to_value(Everything::openapi()).expect("JSON");
    let mut definitions = document["components"]["schemas"].clone();
    relocate(&mut definitions);
    let table = definitions["Table"].take();
    definitions.as_object_mut().expect("schemas").remove("Table");
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Table of wisehosting-proxy standalone",
    });
    schema.as_object_mut().expect("object").extend(table.as_object().expect("object").clone());
    schema["$defs"] = definitions;
    schema
}

fn relocate(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields {
                match field {
                    Value::String(to) if key == "$ref" => {
                        *to = to.replace("#/components/schemas/", "#/$defs/");
                    }
                    field => relocate(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(relocate),
        _ => {}
    }
}
