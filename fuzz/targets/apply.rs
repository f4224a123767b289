//! Server-side apply: several managers, one after the other, also with foreign `managedFields`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::patch::apply::{FieldManager, Set, Versions};
use skiff::object::schema::{Schema, builtin, decode};
use skiff::object::{Gvk, Timestamp, Tree};

struct Builtin;

impl Versions for Builtin {
    fn schema(&self, api_version: &str) -> Option<Schema<'_>> {
        builtin().kind(api_version, if api_version == "v1" { "Pod" } else { "Deployment" })
    }

    fn convert(&self, object: &Tree, _from: &str, _to: &str) -> Tree {
        object.clone()
    }
}

// The input is objects, one a line; the first byte of each says who writes it, and how.
fuzz_target!(|input: &[u8]| {
    let kind = Gvk::of("v1", "Pod");
    let schema = builtin().kind("v1", "Pod").expect("a built-in kind");
    let mut live: Option<Tree> = None;
    for (step, line) in input.split(|byte| *byte == b'\n').take(6).enumerate() {
        let Some((how, text)) = line.split_first() else { continue };
        let Ok(object) = decode(text, schema) else { continue };
        if !object.tree.is_object() {
            continue;
        }
        let reset = Set::of(&["status"]);
        let now = Timestamp::from_secs(step as i64);
        let manager = FieldManager { kind: &kind, subresource: "", reset: &reset, versions: &Builtin, now };
        let name = ["a", "b", "kubectl"][usize::from(how >> 2) % 3];
        live = match how & 3 {
            0 => Some(manager.update(live.as_ref(), object.tree, name)),
            force => match manager.apply(live.as_ref(), &object.tree, name, force == 1) {
                Ok(applied) => Some(applied.object),
                Err(_) => live,
            },
        };
    }
});
