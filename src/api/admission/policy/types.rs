//! Tells in a ValidatingAdmissionPolicy's status what is wrong with the types in its expressions.
//!
//! A policy is checked once for each generation, against the kinds that its rules name without
//! wildcards. Complaints are warnings: the policy works as it is, as far as it does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::api::pipeline::Api;
use crate::base::service::Scope as Tasks;
use crate::object::cel::{Program, Scope, Type};
use crate::object::schema::builtin;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{Body, Call, GroupResource, Gvk, Options, PatchKind, Reason, Status, Target, User, Verb};
use crate::resources::{Registry, Resource};
use crate::store::{KeyRange, WatchEnd};

const GROUP: &str = "admissionregistration.k8s.io";
const RESOURCE: &str = "validatingadmissionpolicies";
const MANAGER: &str = "validatingadmissionpolicy-status";
/// A policy is checked against no more kinds of one rule.
const KINDS_MAX: usize = 10;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Follows policies until the scope stops.
pub fn start(api: &Arc<Api>, tasks: &Tasks) {
    let api = api.clone();
    tasks.supervise("policy types", move || follow(api.clone()));
}

async fn follow(api: Arc<Api>) -> Result<(), Status> {
    let range = KeyRange::resource(&GroupResource::new(GROUP, RESOURCE));
    let watch = api.store.watch(range.clone(), api.state().revision());
    let mut watch = watch.map_err(|error| Status::new(Reason::ServiceUnavailable, error.to_string()))?;
    let mut role = api.store.role();
    loop {
        let mut is_done = true;
        if api.store.decides() {
            for policy in api.state().range(&range) {
                is_done &= settle(&api, &policy.tree()).await;
            }
        }
        let pause = if is_done { Duration::MAX } else { RETRY_AFTER };
        tokio::select! {
            event = watch.next() => match event {
                Ok(_) => (),
                Err(WatchEnd::TooSlow) => return Ok(()), // and again, from the beginning
                Err(WatchEnd::Closed) => std::future::pending().await,
            },
            _ = role.changed() => (),
            () = tokio::time::sleep(pause) => (),
        }
        while let Ok(Some(_)) = watch.try_next() {}
    }
}

/// Checks a policy that has changed; false if its status could not be written.
async fn settle(api: &Api, policy: &Tree) -> bool {
    let generation = policy.int("metadata.generation").unwrap_or_default();
    if generation <= policy.int("status.observedGeneration").unwrap_or_default() {
        return true;
    }
    let warnings = warnings(policy, &api.registry);
    let checked = if warnings.is_empty() { json!({}) } else { json!({"expressionWarnings": warnings}) };
    let name = policy.text("metadata.name");
    let body = json!({
        "apiVersion": format!("{GROUP}/v1"), "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name},
        "status": {"observedGeneration": generation, "typeChecking": checked},
    });
    let call = Call {
        user: User::named("system:apiserver", &["system:masters"]),
        verb: Verb::Patch,
        target: Target {
            group: GROUP.into(),
            version: "v1".into(),
            resource: RESOURCE.into(),
            name: name.into(),
            subresource: "status".into(),
            ..Target::default()
        },
        options: Options { field_manager: MANAGER.into(), force: Some(true), ..Options::default() },
        body: Body::Patch(PatchKind::Apply, body.to_string().into_bytes().into()),
        user_agent: MANAGER.into(),
    };
    match api.run_boxed(call).await {
        Ok(_) => true,
        Err(status) if status.is(Reason::NotFound) => true,
        Err(status) => {
            tracing::debug!(policy = name, %status, "cannot write the status of a policy");
            false
        }
    }
}

/// What is wrong with the expressions of a policy: where, and for which kinds.
fn warnings(policy: &Tree, registry: &Registry) -> Vec<Tree> {
    let kinds = kinds(policy, registry);
    let params = params(policy, registry);
    let mut warnings = Vec::new();
    for (at, validation) in policy.items("spec.validations").iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let source = validation.text(field);
            if source.is_empty() {
                continue;
            }
            let of_kind = |(gvk, resource): &(Gvk, Arc<Resource>)| {
                let wrong = complaints(policy, source, gvk, resource, params.as_ref());
                let Gvk { group, version, kind } = gvk;
                (!wrong.is_empty()).then(|| format!("{group}/{version}, Kind={kind}: {}\n", wrong.join("\n")))
            };
            let wrong: Vec<String> = kinds.iter().filter_map(of_kind).collect();
            if !wrong.is_empty() {
                let place = format!("spec.validations[{at}].{field}");
                warnings.push(json!({"fieldRef": place, "warning": wrong.join("\n")}));
            }
        }
    }
    warnings
}

/// The kinds that rules name, in order.
fn kinds(policy: &Tree, registry: &Registry) -> Vec<(Gvk, Arc<Resource>)> {
    let mut seen = BTreeSet::new();
    let mut kinds = Vec::new();
    for rule in policy.items("spec.matchConstraints.resourceRules") {
        let words = |field: &str| {
            let mut words: Vec<&str> = rule.items(field).iter().filter_map(Tree::as_str).collect();
            words.sort_unstable();
            words
        };
        let (groups, versions) = (words("apiGroups"), words("apiVersions"));
        if groups.iter().chain(&versions).any(|word| word.contains('*')) {
            continue;
        }
        let resources = words("resources");
        let named = || resources.iter().filter(|resource| !resource.contains(['*', '/']));
        let all = groups.iter().flat_map(|group| versions.iter().map(move |version| (*group, *version)));
        let found = all.flat_map(|(group, version)| named().map(move |resource| (group, version, *resource)));
        let found = found.filter_map(|(group, version, plural)| {
            let resource = registry.find(group, version, plural)?;
            Some((resource.gvk(version), resource))
        });
        let new: Vec<_> = found.take(KINDS_MAX).collect();
        kinds.extend(new.into_iter().filter(|(gvk, _)| seen.insert(key(gvk))));
    }
    kinds.sort_by_key(|(gvk, _)| key(gvk));
    kinds
}

fn key(gvk: &Gvk) -> (String, String, String) {
    (gvk.group.to_string(), gvk.version.to_string(), gvk.kind.to_string())
}

fn params(policy: &Tree, registry: &Registry) -> Option<(Gvk, Arc<Resource>)> {
    let kind = policy.at("spec.paramKind")?;
    let gvk = Gvk::of(kind.text("apiVersion"), kind.text("kind"));
    registry.find_kind(&gvk).map(|resource| (gvk, resource))
}

/// What is wrong with an expression for objects of one kind.
fn complaints(
    policy: &Tree,
    source: &str,
    gvk: &Gvk,
    resource: &Resource,
    params: Option<&(Gvk, Arc<Resource>)>,
) -> Vec<String> {
    let object = type_of(gvk, resource);
    let params = params.map_or(Type::Dyn, |(gvk, resource)| type_of(gvk, resource));
    let mut names = vec![("object".to_owned(), object.clone()), ("oldObject".to_owned(), object)];
    names.push(("params".to_owned(), params));
    let mut variables = Vec::new();
    for variable in policy.items("spec.variables") {
        let mut names = names.clone();
        names.push(("variables".to_owned(), Type::Names(variables.clone())));
        let expression = variable.text("expression");
        let of = Program::compile(expression, super::NAMES)
            .map_or(Type::Dyn, |program| program.check(expression, &Scope { names }).0);
        variables.push((variable.text("name").to_owned(), of));
    }
    names.push(("variables".to_owned(), Type::Names(variables)));
    match Program::compile(source, super::NAMES) {
        Ok(program) => program.check(source, &Scope { names }).1,
        Err(why) => vec![why],
    }
}

fn type_of<'r>(gvk: &Gvk, resource: &'r Resource) -> Type<'r> {
    let schema = resource.version(&gvk.version).and_then(|version| version.schema.of(builtin()));
    schema.map_or(Type::Dyn, |schema| Type::of(schema, &gvk.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::tests::world;

    fn policy(rules: Tree, validations: Tree) -> Tree {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": "p"},
            "spec": {
                "matchConstraints": {"resourceRules": [rules]},
                "variables": [{"name": "count", "expression": "object.spec.replicas"}],
                "validations": validations,
            },
        })
    }

    fn deployments() -> Tree {
        json!({
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"],
            "resources": ["deployments", "deployments/scale", "controllerrevisions"],
        })
    }

    #[test]
    fn each_kind_that_is_named_is_checked() {
        let registry = Registry::built_in();
        let validations =
            json!([{"expression": "variables.count > 1", "messageExpression": "object.spec.replicas + 'x'"}]);
        let found = warnings(&policy(deployments(), validations), &registry);
        let shown: Vec<(&str, &str)> = found.iter().map(|one| (one.text("fieldRef"), one.text("warning"))).collect();
        assert_eq!(
            shown,
            [(
                "spec.validations[0].messageExpression",
                "apps/v1, Kind=ControllerRevision: ERROR: <input>:1:7: undefined field 'spec'\n \
                 | object.spec.replicas + 'x'\n | ......^\n\napps/v1, Kind=Deployment: ERROR: <input>:1:22: found no \
                 matching overload for '_+_' applied to '(int, string)'\n | object.spec.replicas + 'x'\n \
                 | .....................^\n"
            )]
        );
        let mut any = deployments();
        any.set("apiGroups", json!(["*"]));
        assert!(warnings(&policy(any, json!([{"expression": "object.nothing == 1"}])), &registry).is_empty());
    }

    #[tokio::test]
    async fn the_status_says_which_generation_was_checked() {
        let world = world().await;
        let scope = Tasks::root("test");
        start(&world.api, &scope);
        let path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
        let good = policy(deployments(), json!([{"expression": "variables.count > '1'"}]));
        let (code, answer) = world.send(&format!("POST {path}"), good).await;
        assert_eq!(code, 201, "{answer}");
        for _ in 0..1_000 {
            let (_, policy) = world.send(&format!("GET {path}/p"), Tree::Null).await;
            if policy.int("status.observedGeneration") == Some(1) {
                let warnings = policy.items("status.typeChecking.expressionWarnings");
                assert_eq!(warnings.len(), 1, "{policy}");
                scope.cancel();
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("nobody checked the policy");
    }
}
