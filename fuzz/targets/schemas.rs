//! Schemas of custom resources: read, turned into types, and used on an object.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::FieldErrors;
use skiff::object::schema::custom::{Props, check_lists, settle, types_of, validate};
use skiff::object::schema::decode_untyped;

// A schema and an object, one a line.
fuzz_target!(|input: &[u8]| {
    let cut = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (schema, object) = input.split_at(cut);
    let (Ok(schema), Ok(object)) = (decode_untyped(schema), decode_untyped(object)) else { return };
    let Some(props) = Props::read(&schema.tree) else { return };
    types_of(&props);
    let mut object = object.tree;
    if settle(&mut object, &props).is_err() {
        return;
    }
    let mut errors = FieldErrors::default();
    validate(&object, None, &props, &mut errors);
    check_lists(&object, &props, "", &mut errors);
});
