//! YAML bodies and manifests: into JSON, and a tree out again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::codec::yaml;
use skiff::object::schema::decode_untyped;

fuzz_target!(|text: &[u8]| {
    let _ = yaml::documents(text);
    let _ = yaml::repeated_keys(text);
    if let Ok(json) = yaml::to_json(text) {
        let Ok(decoded) = decode_untyped(&json) else { return };
        let written = yaml::to_yaml(&decoded.tree);
        let back = yaml::to_json(written.as_bytes()).expect("what was written can be read");
        assert_eq!(decode_untyped(&back).expect("JSON").tree, decoded.tree, "{written}");
    }
});
