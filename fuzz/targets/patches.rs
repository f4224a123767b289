//! JSON patch, merge patch and strategic merge patch of a pod.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::patch::{json, merge, strategic};
use skiff::object::schema::{builtin, decode, decode_untyped};

const POD: &[u8] = br#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"a":"b"},"finalizers":["x/y"]},
"spec":{"containers":[{"name":"c","image":"i","ports":[{"containerPort":80,"protocol":"TCP"}],"env":[{"name":"A","value":"1"}]},
{"name":"d","image":"j"}],"tolerations":[{"key":"k"}],"volumes":[{"name":"v","emptyDir":{}}]}}"#;

fuzz_target!(|patch: &[u8]| {
    let pod = decode_untyped(POD).expect("JSON").tree;
    let schema = builtin().kind("v1", "Pod").expect("a built-in kind");
    let patched = [json::apply(pod.clone(), patch), merge::apply(pod.clone(), patch), strategic::apply(pod, patch, schema)];
    for done in patched.into_iter().flatten() {
        let _ = decode(done.tree.to_string().as_bytes(), schema);
    }
    strategic::show_patch(patch);
});
