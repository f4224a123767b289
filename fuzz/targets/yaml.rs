//! YAML bodies and manifests: into JSON, and a tree out again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::codec::yaml;
use skiff::object::schema::decode_untyped;

/// A panic inside of the YAML library is caught where it is called, and so is none of ours.
fn but_the_librarys() {
    let ours = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|at| at.file().contains("libyaml-safer")) {
            ours(panic);
        }
    }));
}

fuzz_target!(init: but_the_librarys(), |text: &[u8]| {
    let _ = yaml::documents(text);
    let _ = yaml::repeated_keys(text);
    if let Ok(json) = yaml::to_json(text) {
        let Ok(decoded) = decode_untyped(&json) else { return };
        let written = yaml::to_yaml(&decoded.tree);
        let back = yaml::to_json(written.as_bytes()).expect("what was written can be read");
        assert_eq!(decode_untyped(&back).expect("JSON").tree, decoded.tree, "{written}");
    }
});
