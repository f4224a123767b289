//! Protobuf bodies: the envelope, and objects of several kinds in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::codec::protobuf::{Envelope, MAGIC, encode};
use skiff::object::schema::builtin;

const KINDS: &[(&str, &str)] = &[
    ("v1", "Pod"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Event"),
    ("apps/v1", "Deployment"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
    ("meta.k8s.io/v1", "DeleteOptions"),
];

fuzz_target!(|input: &[u8]| {
    let _ = Envelope::open(input);
    let Some((first, raw)) = input.split_first() else { return };
    let (version, kind) = KINDS[usize::from(*first) % KINDS.len()];
    let Some(schema) = builtin().kind(version, kind) else { return };
    // An envelope around the input: 1 the type (1 version, 2 kind), 2 the object.
    let length = |n: usize| {
        let (mut n, mut out) = (n, Vec::new());
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out
    };
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2], &length(bytes.len())[..], bytes].concat();
    let meta = [field(1, version.as_bytes()), field(2, kind.as_bytes())].concat();
    let bytes = [&MAGIC[..], &field(1, &meta), &field(2, raw)].concat();
    let envelope = Envelope::open(&bytes).expect("an envelope of our own");
    if let Ok(tree) = envelope.decode(schema) {
        let written = encode(&tree, schema);
        let again = Envelope::open(&written).and_then(|it| it.decode(schema)).expect("what was written can be read");
        assert_eq!(encode(&again, schema), written);
    }
});
