//! Whether the expressions of policies and hooks compile, and come to what is expected of them.

use crate::object::cel::{Program, Scope, Type};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath};
use crate::resources::check::{At, at};

/// The types that an expression may have, by the names of complaints.
pub type Wanted = &'static [&'static str];

pub const BOOL: Wanted = &["bool"];
pub const STRING: Wanted = &["string"];
pub const TEXT_OR_NOTHING: Wanted = &["string", "null_type"];
pub const OBJECT: Wanted = &["Object"];
pub const PATCHES: Wanted = &["list(JSONPatch)"];
const ANYTHING: Wanted = &[];

/// What the expressions of one policy (or hook) may name.
pub struct Expressions {
    scope: Scope<'static>,
    is_off: bool,
}

impl Expressions {
    /// Those of a policy. What has not changed since it was stored is not looked at again: it may
    /// still be deleted, whatever is asked of expressions now.
    pub fn of_policy(new: &Tree, old: Option<&Tree>) -> Self {
        let is_off = old.is_some_and(|old| at(new, "spec") == at(old, "spec"));
        Self { is_off, ..Self::new(new.has("spec.paramKind")) }
    }

    pub fn new(has_params: bool) -> Self {
        let mut names = vec![
            ("object", Type::Dyn),
            ("oldObject", Type::Dyn),
            ("request", request()),
            ("namespaceObject", namespace()),
            (AUTHORIZER, Type::authorizer()),
        ];
        if has_params {
            names.push(("params", Type::Dyn));
        }
        let names = names.into_iter().map(|(name, of)| (name.to_owned(), of)).collect();
        Self { scope: Scope { names }, is_off: false }
    }

    /// Compiles an expression that has to come to one of `wanted`.
    pub fn check(&self, place: &At, wanted: Wanted, errors: &mut FieldErrors) {
        self.compile(place, &self.scope, wanted, errors);
    }

    /// As `check`, without the blanks around the expression.
    pub fn check_trimmed(&self, place: &At, wanted: Wanted, errors: &mut FieldErrors) {
        let trimmed = Tree::from(place.str().trim());
        self.compile(&At::new(&trimmed, &*place.path), &self.scope, wanted, errors);
    }

    /// Compiles a message, which may not ask for rights.
    pub fn check_message(&self, place: &At, errors: &mut FieldErrors) {
        let mut scope = self.scope.clone();
        scope.names.retain(|(name, _)| name != AUTHORIZER);
        self.compile(place, &scope, STRING, errors);
    }

    /// From here on there are variables, if only those that are declared.
    pub fn compose(&mut self) {
        let names = &mut self.scope.names;
        if !names.iter().any(|(known, _)| known == VARIABLES) {
            names.push((VARIABLES.to_owned(), Type::Names(Vec::new())));
        }
    }

    /// Compiles a variable, which what follows may then name.
    pub fn declare(&mut self, name: &str, place: &At, errors: &mut FieldErrors) {
        self.compose();
        let of = self.compile(place, &self.scope, ANYTHING, errors);
        if let Some(of) = of
            && let Some((_, Type::Names(known))) = self.scope.names.iter_mut().find(|(known, _)| known == VARIABLES)
        {
            known.push((name.to_owned(), of));
        }
    }

    /// The expression's type; none if something is wrong with it.
    fn compile(
        &self,
        place: &At,
        scope: &Scope<'static>,
        wanted: Wanted,
        errors: &mut FieldErrors,
    ) -> Option<Type<'static>> {
        let source = place.str();
        if self.is_off || source.trim().is_empty() {
            return None;
        }
        match Program::compile_typed(source, scope) {
            Ok((_, of)) => {
                if let Some(why) = mismatch(&of, wanted) {
                    place.invalid_text(errors, why);
                }
                Some(of)
            }
            Err(why) => {
                place.invalid_text(errors, format!("compilation failed: {why}"));
                None
            }
        }
    }
}

const AUTHORIZER: &str = "authorizer";
const VARIABLES: &str = "variables";

/// Why an expression of a type does not fit where `wanted` is.
fn mismatch(of: &Type<'_>, wanted: Wanted) -> Option<String> {
    let own = of.result_name();
    if wanted.is_empty() || of.is_unknown() || wanted.contains(&own.as_str()) {
        return None;
    }
    Some(match wanted {
        [one] => format!("must evaluate to {one} but got {own}"),
        many => format!("must evaluate to one of [{}] but got {own}", many.join(" ")),
    })
}

fn names(fields: Vec<(&str, Type<'static>)>) -> Type<'static> {
    Type::Names(fields.into_iter().map(|(name, of)| (name.to_owned(), of)).collect())
}

fn list_of(of: Type<'static>) -> Type<'static> {
    Type::List(Box::new(of))
}

fn map_of(of: Type<'static>) -> Type<'static> {
    Type::Map(Box::new(Type::String), Box::new(of))
}

fn request() -> Type<'static> {
    use Type::{Bool, Dyn, String};
    let what = |last| names(vec![("group", String), ("version", String), (last, String)]);
    let user = names(vec![
        ("username", String),
        ("uid", String),
        ("groups", list_of(String)),
        ("extra", map_of(list_of(String))),
    ]);
    names(vec![
        ("kind", what("kind")),
        ("resource", what("resource")),
        ("subResource", String),
        ("requestKind", what("kind")),
        ("requestResource", what("resource")),
        ("requestSubResource", String),
        ("name", String),
        ("namespace", String),
        ("operation", String),
        ("userInfo", user),
        ("dryRun", Bool),
        ("options", Dyn),
    ])
}

fn namespace() -> Type<'static> {
    use Type::{Int, String, Timestamp};
    let metadata = names(vec![
        ("name", String),
        ("generateName", String),
        ("namespace", String),
        ("labels", map_of(String)),
        ("annotations", map_of(String)),
        ("UID", String),
        ("creationTimestamp", Timestamp),
        ("deletionGracePeriodSeconds", Int),
        ("deletionTimestamp", Timestamp),
        ("generation", Int),
        ("resourceVersion", String),
        ("finalizers", list_of(String)),
    ]);
    let condition = names(vec![
        ("status", String),
        ("type", String),
        ("lastTransitionTime", Timestamp),
        ("message", String),
        ("reason", String),
    ]);
    names(vec![
        ("metadata", metadata),
        ("spec", names(vec![("finalizers", list_of(String))])),
        ("status", names(vec![("conditions", list_of(condition)), ("phase", String)])),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &str, wanted: Wanted) -> Vec<String> {
        let mut errors = FieldErrors::default();
        let tree = Tree::from(source);
        Expressions::new(false).check(&At::root(&tree), wanted, &mut errors);
        errors.list.into_iter().map(|error| error.body.to_string()).collect()
    }

    #[test]
    fn an_expression_comes_to_what_is_wanted() {
        for (source, wanted) in [
            ("object.spec.x == 1 && request.userInfo.groups.exists(g, g == 'a')", BOOL),
            ("object.spec.flag == true", BOOL),
            ("object.?spec.?flag.orValue(false) || bool(object.x)", BOOL),
            ("object.spec.items.map(i, quantity(i.size)).all(q, q.isGreaterThan(quantity('1')))", BOOL),
            ("object.spec.names.filter(n, n.startsWith('a')).size() + 1 > 2", BOOL),
            ("'a: ' + object.metadata.name", STRING),
            ("string(object.spec.replicas + 1)", STRING),
            ("['a', 'b'].join('-')", STRING),
            ("namespaceObject.metadata.labels['a']", STRING),
            ("null", TEXT_OR_NOTHING),
            ("Object{spec: Object.spec{replicas: 1}}", OBJECT),
            ("[JSONPatch{op: 'remove', path: '/a'}]", PATCHES),
            ("has(object.x) ? [JSONPatch{op: 'remove', path: '/x'}] : []", PATCHES),
            ("authorizer.requestResource.check('get').allowed()", BOOL),
        ] {
            assert!(told(source, wanted).is_empty(), "{source}: {:?}", told(source, wanted));
        }
        for (source, wanted, complaint) in [
            ("1", BOOL, "Invalid value: \"1\": must evaluate to bool but got int"),
            ("1", TEXT_OR_NOTHING, "Invalid value: \"1\": must evaluate to one of [string null_type] but got int"),
            ("true", OBJECT, "Invalid value: \"true\": must evaluate to Object but got bool"),
            ("1", PATCHES, "Invalid value: \"1\": must evaluate to list(JSONPatch) but got int"),
            ("[]", PATCHES, "Invalid value: \"[]\": must evaluate to list(JSONPatch) but got list(dyn)"),
            ("object.spec.flag", BOOL, "Invalid value: \"object.spec.flag\": must evaluate to bool but got dyn"),
            (
                "object.metadata.name",
                TEXT_OR_NOTHING,
                "Invalid value: \"object.metadata.name\": must evaluate to one of [string null_type] but got dyn",
            ),
            (
                "object.?spec.?flag.orValue(false)",
                BOOL,
                "Invalid value: \"object.?spec.?flag.orValue(false)\": must evaluate to bool but got dyn",
            ),
            (
                "quantity('1')",
                BOOL,
                "Invalid value: \"quantity('1')\": must evaluate to bool but got kubernetes.Quantity",
            ),
        ] {
            assert_eq!(told(source, wanted), [complaint], "{source}");
        }
    }

    #[test]
    fn variables_are_known_from_where_they_are_declared() {
        let mut expressions = Expressions::new(false);
        let told = |expressions: &mut Expressions, name: &str, source: &str| {
            let mut errors = FieldErrors::default();
            expressions.declare(name, &At::root(&Tree::from(source)), &mut errors);
            let body = errors.list.first().map(|error| error.body.lines().next().unwrap_or_default().to_owned());
            body.map(|body| body.rsplit_once("ERROR: <input>:").map_or(body.clone(), |(_, why)| why.to_owned()))
        };
        assert_eq!(told(&mut expressions, "a", "variables.b").as_deref(), Some("1:10: undefined field 'b'"));
        assert_eq!(told(&mut expressions, "b", "1"), None);
        let why = "1:13: found no matching overload for '_+_' applied to '(int, string)'";
        assert_eq!(told(&mut expressions, "c", "variables.b + 'x'").as_deref(), Some(why));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        assert_eq!(
            told("params.x == request.foo", BOOL),
            [
                "Invalid value: \"params.x == request.foo\": compilation failed: ERROR: <input>:1:1: undeclared reference to \
              'params' (in container '')\n | params.x == request.foo\n | ^\nERROR: <input>:1:20: undefined field 'foo'\n \
              | params.x == request.foo\n | ...................^"
            ]
        );
    }
}
