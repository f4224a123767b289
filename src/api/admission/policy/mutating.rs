//! Asks every mutating policy that is bound to a write what it would have changed, and changes it.
//!
//! Policies run in the order of their names, each from what the ones before made. One that asks for it
//! runs once more when a later one changed the object.

use super::validating::{Variables, concerned, denied, unanswered};
use super::{Rights, trimmed, vars};
use crate::api::admission::Attributes;
use crate::api::admission::webhook::rules::{self, Seen};
use crate::api::pipeline::Api;
use crate::object::cel::{Budget, Env, Key, OVER_BUDGET, Value};
use crate::object::patch::{self, apply};
use crate::object::schema::builtin;
use crate::object::tree::{Tree, TreePath};
use crate::object::{Reason, Status};

const POLICIES: &str = "mutatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS: &str = "mutatingadmissionpolicybindings.admissionregistration.k8s.io";

/// One policy, by one binding, with one parameter.
struct Invocation {
    policy: usize,
    binding: usize,
    params: Value,
    seen: Seen,
}

impl Api {
    /// Lets the policies change `object`; there is nothing to change about a deletion (`null`).
    pub(crate) async fn mutate_by_policies(&self, on: &Attributes<'_>, object: &mut Tree) -> Result<(), Status> {
        let bindings = on.list(BINDINGS, "");
        if bindings.is_empty() || object.is_null() || rules::is_exempt(on) {
            return Ok(());
        }
        let bindings: Vec<Tree> = bindings.iter().map(|binding| binding.tree()).collect();
        let policies: Vec<Tree> = on.list(POLICIES, "").iter().map(|policy| policy.tree()).collect();
        let invocations = self.invocations(on, &policies, &bindings, object)?;
        let (mut ran, mut again) = (Vec::new(), Vec::new());
        for invocation in &invocations {
            let (policy, binding) = (&policies[invocation.policy], &bindings[invocation.binding]);
            if self.mutate_once(on, policy, binding, invocation, object).await? {
                again = std::mem::take(&mut ran);
            }
            if policy.text("spec.reinvocationPolicy") == "IfNeeded" {
                ran.push(invocation);
            }
        }
        for invocation in again {
            let (policy, binding) = (&policies[invocation.policy], &bindings[invocation.binding]);
            self.mutate_once(on, policy, binding, invocation, object).await?;
        }
        Ok(())
    }

    fn invocations(
        &self,
        on: &Attributes<'_>,
        policies: &[Tree],
        bindings: &[Tree],
        object: &Tree,
    ) -> Result<Vec<Invocation>, Status> {
        let mut invocations = Vec::new();
        for (at, policy) in policies.iter().enumerate() {
            let Some(seen) = concerned(self, policy.at("spec.matchConstraints"), on, Some(object))? else { continue };
            for (which, binding) in bindings.iter().enumerate() {
                let restricted = binding.at("spec.matchResources");
                if binding.text("spec.policyName") != policy.text("metadata.name")
                    || restricted.is_some() && concerned(self, restricted, on, Some(object))?.is_none()
                {
                    continue;
                }
                match self.params(policy, binding, on) {
                    Ok(all) => invocations.extend(all.into_iter().map(|params| Invocation {
                        policy: at,
                        binding: which,
                        params,
                        seen: seen.clone(),
                    })),
                    Err(_) if policy.text("spec.failurePolicy") == "Ignore" => (),
                    Err(why) => {
                        let why = format!("failed to configure binding: {why}");
                        return Err(refused(on, object, policy, binding, why));
                    }
                }
            }
        }
        Ok(invocations)
    }

    /// Runs one invocation; says whether it changed the object.
    async fn mutate_once(
        &self,
        on: &Attributes<'_>,
        policy: &Tree,
        binding: &Tree,
        invocation: &Invocation,
        object: &mut Tree,
    ) -> Result<bool, Status> {
        let before = object.clone();
        for (at, mutation) in policy.items("spec.mutations").iter().enumerate() {
            let shown = self.shown(on, &invocation.seen, object).await?;
            let changed = match self.changed(on, policy, at == 0, mutation, invocation, shown).await {
                Ok(Some(changed)) => changed,
                Ok(None) => return Ok(false),
                Err(_) if policy.text("spec.failurePolicy") == "Ignore" => return Ok(*object != before),
                Err(why) => return Err(refused(on, object, policy, binding, why)),
            };
            *object = self.revived(on, &invocation.seen, changed).await?;
        }
        Ok(*object != before)
    }

    /// The object as a mutation wants it; `None` if the policy's conditions do not hold.
    async fn changed(
        &self,
        on: &Attributes<'_>,
        policy: &Tree,
        is_first: bool,
        mutation: &Tree,
        invocation: &Invocation,
        object: Tree,
    ) -> Result<Option<Tree>, String> {
        let old = match on.old {
            Some(old) => Some(self.shown(on, &invocation.seen, old).await.map_err(|status| status.message)?),
            None => None,
        };
        let outcome = {
            let mut all = vars(on, Some(&object), old.as_ref());
            all.insert("params".into(), invocation.params.clone());
            let (rights, budget) = (Rights(on), Budget::new(Budget::PER_OBJECT));
            if is_first && !self.conditions_of_policy_hold(policy, &all, &rights)? {
                return Ok(None);
            }
            let variables = Variables { api: self, policy, vars: &all, rights: &rights, budget: &budget };
            let lazy = |name: &str| variables.value(name);
            let env = Env { vars: all.clone(), lazy: Some(&lazy), authorizer: Some(&rights) };
            let expression = match mutation.text("patchType") {
                "JSONPatch" => trimmed(mutation, "jsonPatch.expression"),
                _ => trimmed(mutation, "applyConfiguration.expression"),
            };
            let told = |why: String| if why == OVER_BUDGET { why } else { unanswered(expression, &why) };
            self.evaluate(expression, &env, &budget).map_err(told)?
        };
        match mutation.text("patchType") {
            "JSONPatch" => json_patched(object, &outcome).map(Some),
            _ => self.configured(on, &invocation.seen, object, &outcome).map(Some),
        }
    }

    /// The object with a configuration laid over it.
    fn configured(&self, on: &Attributes<'_>, seen: &Seen, object: Tree, config: &Value) -> Result<Tree, String> {
        if !matches!(config, Value::Object(name, _) if name.as_ref() == "Object") {
            return Err("invalid return type: must be Object".into());
        }
        check_names(config, "Object").map_err(|why| format!("type mismatch: {why}"))?;
        let config = config.to_tree().ok_or("the configuration has no JSON form")?;
        let version = on.resource.version(&seen.version).ok_or("the resource has no such version")?;
        let schema = version.schema.of(builtin()).ok_or("the resource has no schema")?;
        let atomics = apply::atomics(&config, schema);
        if !atomics.is_empty() {
            let list = atomics.join(", ");
            let why = format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {list}");
            return Err(format!("error applying patch: {why}"));
        }
        Ok(apply::overlaid(&object, &config, schema))
    }
}

/// What a list of `JSONPatch{…}` makes of an object; a test that fails changes nothing.
fn json_patched(object: Tree, operations: &Value) -> Result<Tree, String> {
    let Value::List(list) = operations else {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array".into());
    };
    if !list.iter().all(|operation| matches!(operation, Value::Object(name, _) if name.as_ref() == "JSONPatch")) {
        return Err("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch".into());
    }
    let operations = operations.to_tree().ok_or("the patch has no JSON form")?;
    let fails_test = |operation: &Tree| {
        operation.text("op") == "test"
            && patch::json::apply(object.clone(), Tree::from(vec![operation.clone()]).to_string().as_bytes()).is_err()
    };
    match patch::json::apply(object.clone(), operations.to_string().as_bytes()) {
        Ok(patched) => Ok(patched.tree),
        Err(_) if operations.as_array().is_some_and(|all| all.iter().any(fails_test)) => Ok(object),
        Err(status) => Err(format!("JSON Patch: {}", status.message)),
    }
}

/// Complains of objects whose type is not named as the place where they stand.
fn check_names(value: &Value, path: &str) -> Result<(), String> {
    let fields = match value {
        Value::Object(name, fields) => {
            if name.as_ref() != path {
                return Err(format!(
                    "unexpected type name {name:?}, expected {path:?}, which matches field name path from root Object type"
                ));
            }
            fields
        }
        Value::List(items) => return items.iter().try_for_each(|item| check_names(item, path)),
        Value::Map(fields) => fields,
        _ => return Ok(()),
    };
    fields.iter().try_for_each(|(key, value)| match key {
        Key::String(key) => check_names(value, &format!("{path}.{key}")),
        _ => Ok(()),
    })
}

fn refused(on: &Attributes<'_>, object: &Tree, policy: &Tree, binding: &Tree, why: String) -> Status {
    let (policy, binding) = (policy.text("metadata.name"), binding.text("metadata.name"));
    let message = format!("policy '{policy}' with binding '{binding}' denied request: {why}");
    let mut status = denied(on, Some(object), "", message.clone());
    debug_assert_eq!(status.reason, Reason::Invalid);
    // Upstream's answer is a 403 in all but its reason.
    (status.message, status.other_code) = (message, Some(403));
    status
}
