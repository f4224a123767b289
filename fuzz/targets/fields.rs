//! Field paths: of managed fields (`f:`, `k:`, `v:`), of JSON pointers in patches and of bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::patch::apply::Set;
use skiff::object::pick::pick;
use skiff::object::schema::decode_untyped;
use skiff::object::{Tree, TreePath};

fuzz_target!(|input: &[u8]| {
    let cut = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let path = String::from_utf8_lossy(&input[..cut]);
    let json = input.get(cut + 1..).unwrap_or_default();
    pick(json, &path);
    let Ok(decoded) = decode_untyped(json) else { return };
    let mut tree = decoded.tree;
    if let Some(set) = Set::from_fields(&tree) {
        let again = Set::from_fields(&set.to_fields()).expect("what was written can be read");
        assert_eq!(again.to_fields(), set.to_fields());
        let (both, nothing) = (set.clone().union(again.clone()), set.clone().difference(&again));
        assert_eq!((both.to_fields(), nothing.is_empty()), (set.to_fields(), true));
    }
    tree.at(&path);
    tree.set(&path, Tree::Null);
    tree.unset(&path);
});
