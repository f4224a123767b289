//! Expressions that say which requests a webhook is asked about at all.

use super::question;
use super::{Ask, aggregate};
use crate::object::FieldErrors;
use crate::object::cel::{Budget, Env, Program, Scope, Type, Value};
use crate::object::schema::builtin;
use crate::object::tree::{Tree, TreePath};

const CONDITIONS_MAX: usize = 64;
const REQUEST: &str = "request";

#[derive(Debug, Default)]
pub struct Conditions(Vec<(String, Program)>);

impl Conditions {
    /// Reads `matchConditions` below the field `at`.
    pub fn read(said: &Tree, at: &str, errors: &mut FieldErrors) -> Self {
        let entries = said.items("matchConditions");
        if entries.len() > CONDITIONS_MAX {
            errors.too_many(format!("{at}.matchConditions"), entries.len(), CONDITIONS_MAX);
            return Self::default();
        }
        let mut found: Vec<(String, Program)> = Vec::new();
        let mut seen: Vec<&str> = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            let (at, source) = (format!("{at}.matchConditions[{n}].expression"), entry.text("expression"));
            if source.trim().is_empty() {
                errors.required(at, "");
            } else if seen.contains(&source) {
                errors.duplicate(at, source);
            } else {
                seen.push(source);
                match compile(source) {
                    Ok(program) => found.push((source.to_owned(), program)),
                    Err(why) => errors.invalid(at, source, why),
                }
            }
        }
        Self(found)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether all of them hold; one that does not is enough, whatever the others fail with.
    pub fn hold(&self, ask: &Ask<'_>) -> Result<bool, String> {
        let value = Value::from(&question::whole(ask));
        let budget = Budget::new(Budget::PER_OBJECT);
        let mut failed = Vec::new();
        for (source, program) in &self.0 {
            let env = Env { vars: [(REQUEST.to_owned(), value.clone())].into(), ..Env::default() };
            let why = match program.run(&env, &budget) {
                Ok(Value::Bool(true)) => continue,
                Ok(Value::Bool(false)) => return Ok(false),
                Ok(other) => format!(
                    "cel evaluation error: expression '{source}' eval result type should be bool but got {}",
                    other.type_name()
                ),
                Err(why) => format!("cel evaluation error: expression '{source}' resulted in error: {why}"),
            };
            failed.push(why);
        }
        if failed.is_empty() { Ok(true) } else { Err(aggregate(failed)) }
    }
}

fn compile(source: &str) -> Result<Program, String> {
    let review = builtin().kind("authorization.k8s.io/v1", "SubjectAccessReview");
    let spec = review.and_then(|review| review.field("spec").map(|field| review.to(field.node)));
    let request = spec.map_or(Type::Dyn, |spec| Type::of(spec, "kubernetes.SubjectAccessReviewSpec"));
    let scope = Scope { names: vec![(REQUEST.to_owned(), request)] };
    let compiled = Program::compile_typed(source, &scope);
    let (program, of) = compiled.map_err(|why| format!("compilation failed: {why}"))?;
    match of {
        of if of.is_unknown() || matches!(of, Type::Bool) => Ok(program),
        of => Err(format!("must evaluate to bool but got {}", of.result_name())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::authz::ResourceRef;
    use crate::object::User;
    use crate::object::tree::json;

    fn read(sources: &[&str]) -> (Conditions, FieldErrors) {
        let said: Vec<Tree> = sources.iter().map(|source| json!({"expression": source})).collect();
        let mut errors = FieldErrors::default();
        let read = Conditions::read(&json!({"matchConditions": said}), "authorizers[0]", &mut errors);
        (read, errors)
    }

    fn hold(sources: &[&str]) -> Result<bool, String> {
        let (conditions, errors) = read(sources);
        assert!(errors.is_empty(), "{}", errors.message());
        let user = User::named("jane", &["a", "b"]);
        let at = ResourceRef { resource: "pods", namespace: "kube-system", ..ResourceRef::default() };
        conditions.hold(&Ask::resource(&user, "get", at))
    }

    #[test]
    fn all_must_hold_and_one_that_does_not_is_enough() {
        const HAS: &str = "has(request.resourceAttributes)";
        const SYSTEM: &str = "request.resourceAttributes.namespace == 'kube-system'";
        const BROKEN: &str = "request.nonResourceAttributes.path == '/'";
        assert_eq!(hold(&[]), Ok(true));
        assert_eq!(hold(&[HAS, SYSTEM, "request.user == 'jane' && 'b' in request.groups"]), Ok(true));
        assert_eq!(hold(&[BROKEN, "!('a' in request.groups)"]), Ok(false));
        let why = hold(&[HAS, BROKEN]).unwrap_err();
        assert_eq!(
            why,
            format!(
                "cel evaluation error: expression '{BROKEN}' resulted in error: no such key: nonResourceAttributes"
            )
        );
    }

    #[test]
    fn every_field_of_a_request_can_be_asked_for() {
        assert_eq!(
            hold(&["request.resourceAttributes.subresource == '' && request.uid == '' && size(request.extra) == 0"]),
            Ok(true)
        );
        assert_eq!(hold(&["has(request.resourceAttributes.labelSelector)"]), Ok(false));
    }

    #[test]
    fn what_is_wrong_is_told_in_upstreams_words() {
        let told = |sources: &[&str]| read(sources).1.message();
        assert_eq!(told(&[" "]), "authorizers[0].matchConditions[0].expression: Required value");
        assert_eq!(told(&["true", "true"]), "authorizers[0].matchConditions[1].expression: Duplicate value: \"true\"");
        assert!(told(&["'x'"]).ends_with("must evaluate to bool but got string"), "{}", told(&["'x'"]));
        let unknown = told(&["request.nobody == 'x'"]);
        assert!(unknown.contains("compilation failed: ERROR: <input>:1:8: undefined field 'nobody'"), "{unknown}");
        let many = vec!["true"; 65];
        assert_eq!(told(&many), "authorizers[0].matchConditions: Too many: 65: must have at most 64 items");
    }
}
