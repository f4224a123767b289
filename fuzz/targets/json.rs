//! JSON decoding: with every shape of schema, without one, and back again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::codec::json;
use skiff::object::schema::{builtin, decode, decode_untyped};

const KINDS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "Secret"),
    ("apps/v1", "Deployment"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("events.k8s.io/v1", "Event"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
];

fuzz_target!(|input: &[u8]| {
    let Some((first, text)) = input.split_first() else { return };
    if let Ok(decoded) = decode_untyped(text) {
        let written = json::to_json(&decoded.tree, None);
        let again = decode_untyped(&written).expect("what was written can be read");
        assert_eq!(json::to_json(&again.tree, None), written);
        json::indent(&written);
    }
    let (version, kind) = KINDS[usize::from(*first) % KINDS.len()];
    let schema = builtin().kind(version, kind).expect("a built-in kind");
    if let Ok(decoded) = decode(text, schema) {
        let written = json::encode(&decoded.tree, schema);
        assert!(written.revision_at <= written.bytes.len());
        decode(&written.bytes, schema).expect("what was written can be read");
    }
});
