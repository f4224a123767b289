//! CEL: compiling, and running what compiles with upstream's budget.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::cel::{Budget, Env, Program, Value};
use skiff::object::tree::json;

fuzz_target!(|source: &str| {
    let Ok(program) = Program::compile(source, &["self", "oldSelf", "object"]) else { return };
    let value = Value::from(&json!({
        "name": "x", "replicas": 3, "list": [1, 2, 3], "map": {"a": "b"}, "when": "2026-01-01T00:00:00Z", "half": 0.5,
    }));
    let vars = ["self", "oldSelf", "object"].map(|name| (name.to_owned(), value.clone())).into();
    let _ = program.run(&Env { vars, ..Env::default() }, &Budget::new(Budget::PER_CALL));
});
