//! Expressions, and what they say.

use std::collections::BTreeMap;

use crate::object::tree::json;

use super::*;

fn run(source: &str) -> String {
    let object = json!({"name": "web", "n": 3, "tags": ["a", "b"], "map": {"k": 1}, "a-b": 1, "if": true});
    let env = Env { vars: BTreeMap::from([("self".to_owned(), Value::from(&object))]), ..Env::default() };
    let outcome =
        Program::compile(source, &["self"]).and_then(|program| program.run(&env, &Budget::new(Budget::PER_OBJECT)));
    outcome.map_or_else(|error| format!("error: {error}"), |value| value.to_string())
}

#[test]
fn the_language_means_what_it_means_elsewhere() {
    for (source, value) in [
        ("1 + 2 * 3 == 7 && !(2 > 3)", "true"),
        ("self.tags.all(t, t.size() == 1)", "true"),
        ("self.tags.map(t, t + '!')", "[a!, b!]"),
        ("self.tags.exists_one(t, t == 'a')", "true"),
        ("has(self.nope) || has(self.name)", "true"),
        ("self.nope", "error: no such key: nope"),
        ("self.nope == 1 || true", "true"),
        ("self.n in [1, 3] ? 'yes' : 'no'", "yes"),
        ("self.map.all(k, self.map[k] == 1)", "true"),
        ("self.?nope.orValue('x')", "x"),
        ("self.__dash__", "error: no such key: __dash__"),
        ("self.a__dash__b == 1 && self.__if__", "true"),
        ("{'a': 1, 'b': 2}.size() + [1, 2, 3].sum()", "8"),
        ("cel.bind(x, 5, x * x)", "25"),
        ("type(1) == int", "true"),
        ("9223372036854775807 + 1", "error: integer overflow"),
        ("1 / 0", "error: division by zero"),
        ("duration('1h30m').getMinutes()", "90"),
        ("timestamp('2026-01-02T03:04:05Z').getFullYear()", "2026"),
        ("'%s is %d'.format(['a', 1])", "a is 1"),
        ("'a,b'.split(',').join('-')", "a-b"),
        ("'abc'.matches('^a.c$')", "true"),
        ("r'\\d' + b'x'.size().string()", "error: no such overload"),
    ] {
        assert_eq!(run(source), value, "{source}");
    }
}

#[test]
fn kubernetes_own_kinds_are_there() {
    for source in [
        "quantity('1Gi').isGreaterThan(quantity('1M'))",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.2.3.4')",
        "url('https://a.example.com:80/x?y=1').getHostname() == 'a.example.com'",
        "semver('1.2.3').isLessThan(semver('1.10.0'))",
        "!format.named('dns1123Label').value().validate('ok').hasValue()",
        "format.dns1123Label().value().validate('NOT').hasValue()",
        "sets.contains([1, 2, 3], [2]) && [3, 1].max() == 3",
    ] {
        assert_eq!(run(source), "true", "{source}");
    }
}

#[test]
fn what_cannot_be_read_is_shown_with_its_place() {
    assert_eq!(
        run("foo == 1"),
        "error: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo == 1\n | ^"
    );
    assert!(run("self.name ==").starts_with("error: ERROR: <input>:1:13: Syntax error: mismatched input '<EOF>'"));
    assert!(run(&"(".repeat(10_000)).contains("recursion limit"));
}

#[test]
fn work_without_end_is_cut_off() {
    let nested = "[1,2,3,4,5,6,7,8,9,10]";
    let source = format!(
        "{nested}.all(a, {nested}.all(b, {nested}.all(c, {nested}.all(d, {nested}.all(e, {nested}.all(f, true))))))"
    );
    assert_eq!(run(&source), "error: operation cancelled: actual cost limit exceeded");
}

/// What is nested without parentheses must not take more stack than a thread has.
#[test]
fn long_chains_are_refused_or_flat() {
    let run = |source: String| {
        let walked = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let program = Program::compile(&source, &["x"])?;
            program.run(&Env::default(), &Budget::new(Budget::PER_OBJECT))
        });
        walked.unwrap().join().expect("no overflow")
    };
    assert_eq!(run(format!("true{}", " && true".repeat(10_000))), Ok(Value::Bool(true)));
    assert!(run(format!("false{}", "||false".repeat(14_000))).is_ok());
    assert_eq!(run(format!("0{}", "+1".repeat(150))), Ok(Value::Int(150)));
    for chain in ["+1", ".a", "[0]", ".size()", "in[0]"] {
        let refused = run(format!("x{}", chain.repeat(10_000))).unwrap_err();
        assert!(refused.contains("recursion limit exceeded"), "{chain}: {refused}");
    }
}
