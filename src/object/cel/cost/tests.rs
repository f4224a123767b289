//! What rules cost at most, beside what upstream says of the same.

use super::*;
use crate::object::schema::custom::Props;
use crate::object::tree::{Tree, json};

#[track_caller]
fn costs(schema: Tree, rule: &str, expected: u64) {
    let decl = Decl::of(&Props::read(&schema).unwrap(), false).unwrap();
    let program = Program::compile(rule, &["self", "oldSelf"]).unwrap();
    assert_eq!(program.cost_max(&decl), expected, "{rule}");
}

fn list_of(items: Tree) -> Tree {
    json!({"type": "array", "items": items})
}

fn text() -> Tree {
    json!({"type": "string"})
}

#[test]
fn a_list_is_as_long_as_a_request_allows() {
    costs(list_of(json!({"type": "number"})), "self.all(x, true)", 4_718_591);
    costs(list_of(text()), "self.all(x, true)", 3_145_727);
    costs(list_of(json!({"type": "boolean"})), "self.all(x, true)", 1_887_437);
    costs(list_of(json!({"type": "string", "format": "date-time"})), "self.all(x, true)", 428_963);
    costs(list_of(json!({"x-kubernetes-int-or-string": true})), "self.all(x, true)", 4_718_591);
    costs(json!({"type": "array", "maxItems": 10, "items": {"type": "number"}}), "self.all(x, true)", 32);
    let map = |values: Tree| json!({"type": "object", "additionalProperties": values});
    costs(map(json!({"type": "number"})), "self.all(x, true)", 1_348_169);
    costs(map(text()), "self.all(x, true)", 1_179_647);
    costs(map(json!({"type": "string", "format": "date-time"})), "self[\"a\"] == self[\"b\"]", 8);
    costs(map(json!({"type": "integer"})), "oldSelf.size() == self.size()", 5);
}

#[test]
fn loops_in_loops_multiply() {
    let ten = json!({"type": "array", "maxItems": 10, "items": {"type": "number"}});
    costs(ten.clone(), "self.all(x, self.all(y, true))", 352);
    costs(ten, "self.all(x, self.all(y, self.all(z, true)))", 3_552);
    costs(list_of(json!({"type": "number"})), "self.all(x, x == 0.0)", 6_291_454);
}

#[test]
fn texts_cost_by_their_length() {
    costs(text(), "self.contains('test')", 314_574);
    costs(json!({"type": "string", "maxLength": 10}), "self.contains('test')", 5);
    costs(text(), "self.startsWith('test')", 2);
    costs(text(), "size(self + \"hello\") > size(\"hello\")", 314_578);
    costs(json!({"type": "string", "maxLength": 4}), "size(self + \"hello\") > size(\"hello\")", 7);
    costs(text(), "self.matches(\"x\")", 314_574);
    costs(json!({"type": "string", "maxLength": 50}), "self.matches(\"x\")", 22);
    costs(text(), "\"\".matches(\"(((((((((())))))))))[0-9]\")", 7);
    costs(text(), "self.matches(\"\")", 1);
    costs(text(), "self.find('[0-9]+') == ''", 629_147);
    costs(text(), "self.lowerAscii() == 'lower!'", 314_575);
    costs(text(), "self == \"x\"", 2);
    costs(json!({"type": "string", "enum": ["A", "B", "C", "LongValue"]}), "self.contains('A')", 2);
}

#[test]
fn what_an_index_gives_has_the_size_of_its_place() {
    costs(list_of(text()), "self[1] == self[1]", 314_577);
    costs(list_of(json!({"type": "number"})), "self[1] == 0.0", 2);
    costs(list_of(json!({"x-kubernetes-int-or-string": true})), "self[0] == 5", 3);
    costs(list_of(list_of(json!({"type": "number"}))), "self[0][0] == -1.0", 3);
    costs(list_of(json!({"type": "string", "format": "duration"})), "self[0].getHours() == 2", 4);
    let maps = list_of(json!({"type": "object", "additionalProperties": {"type": "number"}}));
    costs(maps.clone(), "self.all(x, x.y == 25.2)", 6_291_452);
    costs(maps, "self[0].x > 2.0", 4);
}
