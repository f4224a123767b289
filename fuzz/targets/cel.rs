//! CEL: compiling, working out types, and running what compiles with upstream's limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::object::cel::{Budget, Env, Program, Scope, Type, Value};
use skiff::object::tree::json;

fuzz_target!(|source: &str| {
    let Ok(program) = Program::compile(source, &["self", "oldSelf", "object"]) else { return };
    let names = [("self", Type::Dyn), ("oldSelf", Type::Unknown), ("object", Type::authorizer())];
    let _ = program.check(source, &Scope { names: names.map(|(name, of)| (name.to_owned(), of)).into() });
    let value = Value::from(&json!({
        "name": "x", "replicas": 3, "list": [1, 2, 3], "map": {"a": "b"}, "when": "2026-01-01T00:00:00Z", "half": 0.5,
    }));
    let vars = ["self", "oldSelf", "object"].map(|name| (name.to_owned(), value.clone())).into();
    let _ = program.run(&Env { vars, ..Env::default() }, &Budget::new(Budget::PER_OBJECT));
});
