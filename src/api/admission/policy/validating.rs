//! Asks every policy that is bound to a write, and refuses what one of them denies.

use std::collections::BTreeMap;

use super::{Rights, trimmed, vars};
use crate::api::admission::Attributes;
use crate::api::admission::webhook::rules;
use crate::api::authz::aggregate;
use crate::api::pipeline::Api;
use crate::api::{audit, encode};
use crate::object::cel::{Budget, Env, OVER_BUDGET, Value};
use crate::object::status::Cause;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{GroupResource, Gvk, Reason, Status};
use crate::store::KeyRange;

const POLICIES: &str = "validatingadmissionpolicies.admissionregistration.k8s.io";
const BINDINGS: &str = "validatingadmissionpolicybindings.admissionregistration.k8s.io";
const MESSAGE_BYTES_MAX: usize = 5 * 1024;
/// Longer notes for the audit log are cut.
const NOTE_BYTES_MAX: usize = 10 * 1024;
const FAILURE_NOTE: &str = "validation.policy.admission.k8s.io/validation_failure";

/// Why a policy denies a write.
struct Denial {
    reason: String,
    message: String,
    /// Which of the policy's validations it is.
    index: usize,
}

/// What a policy wants to have in the audit log: a key's distinct values.
type Notes = BTreeMap<String, Vec<String>>;

fn take_note(notes: &mut Notes, key: &str, value: Option<&str>) {
    let value = value.unwrap_or_default().trim();
    let end = (0..=NOTE_BYTES_MAX.min(value.len())).rev().find(|at| value.is_char_boundary(*at)).unwrap_or_default();
    let values = notes.entry(key.to_owned()).or_default();
    if !value.is_empty() && !values.iter().any(|own| own == &value[..end]) {
        values.push(value[..end].to_owned());
    }
}

/// What the audit log says of a write that a policy only watches.
fn failure_note(denial: &Denial, policy: &str, binding: &Tree) -> String {
    let actions = Tree::from(binding.items("spec.validationActions").to_vec());
    let (message, policy, binding) = (json!(denial.message), json!(policy), json!(binding.text("metadata.name")));
    format!(
        r#"[{{"message":{message},"policy":{policy},"binding":{binding},"expressionIndex":{},"validationActions":{actions}}}]"#,
        denial.index
    )
}

impl Denial {
    fn of(message: impl Into<String>) -> Self {
        Self { reason: String::new(), message: message.into(), index: 0 }
    }
}

impl Api {
    /// Lets the policies refuse `object` (none is a deletion).
    pub(crate) fn validate_by_policies(
        &self,
        on: &Attributes<'_>,
        object: Option<&Tree>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Status> {
        let bindings = on.list(BINDINGS, "");
        if bindings.is_empty() || rules::is_exempt(on) {
            return Ok(());
        }
        let bindings: Vec<Tree> = bindings.iter().map(|binding| binding.tree()).collect();
        for policy in on.list(POLICIES, "") {
            let policy = policy.tree();
            let name = policy.text("metadata.name").to_owned();
            let Some(seen) = concerned(self, policy.at("spec.matchConstraints"), on, object)? else { continue };
            let own = bindings.iter().filter(|binding| binding.text("spec.policyName") == name);
            let mut notes = Notes::new();
            for binding in own {
                let restricted = binding.at("spec.matchResources");
                if restricted.is_some() && concerned(self, restricted, on, object)?.is_none() {
                    continue;
                }
                let (object, old) = (shown(on, object, &seen), shown(on, on.old, &seen));
                let denials = self.ask_policy(&policy, binding, on, object.as_ref(), old.as_ref(), &mut notes);
                self.act_on(denials, &policy, binding, on, object.as_ref(), warnings)?;
            }
            for (key, values) in notes {
                audit::annotate(format!("{name}/{key}"), || values.join(", "));
            }
        }
        Ok(())
    }

    fn act_on(
        &self,
        denials: Vec<Denial>,
        policy: &Tree,
        binding: &Tree,
        on: &Attributes<'_>,
        object: Option<&Tree>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Status> {
        let (policy, name) = (policy.text("metadata.name"), binding.text("metadata.name"));
        let does = |action: &str| binding.items("spec.validationActions").iter().any(|own| own == action);
        if does("Warn") {
            warnings.extend(denials.iter().map(|denial| {
                format!(
                    "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{name}': {}",
                    denial.message
                )
            }));
        }
        if let Some(denial) = denials.first().filter(|_| does("Audit")) {
            audit::annotate(FAILURE_NOTE, || failure_note(denial, policy, binding));
        }
        match denials.into_iter().next() {
            Some(denial) if does("Deny") => {
                let message = format!(
                    "ValidatingAdmissionPolicy '{policy}' with binding '{name}' denied request: {}",
                    denial.message
                );
                Err(denied(on, object, &denial.reason, message))
            }
            _ => Ok(()),
        }
    }

    /// Everything that a policy has against a write, for each of its parameters.
    fn ask_policy(
        &self,
        policy: &Tree,
        binding: &Tree,
        on: &Attributes<'_>,
        object: Option<&Tree>,
        old: Option<&Tree>,
        notes: &mut Notes,
    ) -> Vec<Denial> {
        let fails_open = policy.text("spec.failurePolicy") == "Ignore";
        let params = match self.params(policy, binding, on) {
            Ok(params) => params,
            Err(_) if fails_open => return Vec::new(),
            Err(why) => return vec![Denial::of(format!("failed to configure binding: {why}"))],
        };
        params.into_iter().flat_map(|params| self.judge(policy, params, on, object, old, fails_open, notes)).collect()
    }

    fn judge(
        &self,
        policy: &Tree,
        params: Value,
        on: &Attributes<'_>,
        object: Option<&Tree>,
        old: Option<&Tree>,
        fails_open: bool,
        notes: &mut Notes,
    ) -> Vec<Denial> {
        let failed = |why: String| if fails_open { Vec::new() } else { vec![Denial::of(why)] };
        let mut all = vars(on, object, old);
        all.insert("params".into(), params);
        let rights = Rights(on);
        let budget = Budget::new(Budget::PER_OBJECT);
        match self.conditions_of_policy_hold(policy, &all, &rights) {
            Ok(true) => (),
            Ok(false) => return Vec::new(),
            Err(why) => return failed(why),
        }
        let variables = Variables { api: self, policy, vars: &all, rights: &rights, budget: &budget };
        let lazy = |name: &str| variables.value(name);
        let env = Env { vars: all.clone(), lazy: Some(&lazy), authorizer: Some(&rights) };
        let (mut denials, mut broken) = (Vec::new(), Vec::new());
        for (index, validation) in policy.items("spec.validations").iter().enumerate() {
            let expression = trimmed(validation, "expression");
            match self.evaluate(expression, &env, &budget) {
                Ok(Value::Bool(true)) => (),
                Ok(_) => {
                    broken.push(validation);
                    denials.push(Denial {
                        reason: validation.text("reason").to_owned(),
                        message: String::new(),
                        index,
                    });
                }
                Err(why) if why == OVER_BUDGET => return failed(why),
                Err(why) => denials.extend(failed(unanswered(expression, &why))),
            }
        }
        let open = denials.iter_mut().filter(|denial| denial.message.is_empty());
        for (denial, validation) in open.zip(broken) {
            match self.message_of(validation, &env, &budget) {
                Ok(message) => denial.message = message,
                Err(why) => return failed(format!("failed messageExpression: {why}")),
            }
        }
        let budget = Budget::new(Budget::PER_OBJECT);
        for note in policy.items("spec.auditAnnotations") {
            let expression = trimmed(note, "valueExpression");
            match self.evaluate(expression, &env, &budget) {
                Ok(Value::Null) => (),
                Ok(value) if value.str().is_some() => take_note(notes, note.text("key"), value.str()),
                Ok(value) => denials.extend(failed(format!(
                    "valueExpression '{expression}' resulted in unsupported return type: {}. Return type must be either string or null.",
                    value.type_name()
                ))),
                Err(why) if why == OVER_BUDGET => return failed(why),
                Err(why) => denials.extend(failed(unanswered(expression, &why))),
            }
        }
        denials
    }

    /// Whether all match conditions of a policy hold.
    pub(super) fn conditions_of_policy_hold(
        &self,
        policy: &Tree,
        vars: &BTreeMap<String, Value>,
        rights: &Rights<'_, '_>,
    ) -> Result<bool, String> {
        let conditions = policy.items("spec.matchConditions");
        let env = Env { vars: vars.clone(), lazy: None, authorizer: Some(rights) };
        self.conditions_hold(conditions, &env, &mut || ())
    }

    /// Whether all of `conditions` hold. One that does not is enough, whatever the others fail with; `failed` hears
    /// of each that does.
    pub(in crate::api::admission) fn conditions_hold(
        &self,
        conditions: &[Tree],
        env: &Env<'_>,
        failed: &mut dyn FnMut(),
    ) -> Result<bool, String> {
        let budget = Budget::new(Budget::OF_CONDITIONS);
        let mut errors = Vec::new();
        for condition in conditions {
            let expression = trimmed(condition, "expression");
            match self.evaluate(expression, env, &budget) {
                Ok(Value::Bool(true)) => (),
                Ok(_) => return Ok(false),
                Err(why) if why == OVER_BUDGET => return Err(why),
                Err(why) => {
                    failed();
                    errors.push(unanswered(expression, &why));
                }
            }
        }
        if errors.is_empty() { Ok(true) } else { Err(aggregate(errors)) }
    }

    pub(super) fn evaluate(&self, expression: &str, env: &Env<'_>, budget: &Budget) -> Result<Value, String> {
        match self.programs.get(expression).as_ref() {
            Ok(program) => program.run(env, budget),
            Err(why) => Err(format!("compilation error: {why}")),
        }
    }

    /// Why a validation denies; the error is that to tell would cost too much.
    fn message_of(&self, validation: &Tree, env: &Env<'_>, budget: &Budget) -> Result<String, String> {
        let told = match trimmed(validation, "messageExpression") {
            "" => None,
            expression => match self.evaluate(expression, env, budget) {
                Err(why) if why == OVER_BUDGET => return Err(why),
                told => told.ok(),
            },
        };
        let told = told.as_ref().and_then(Value::str).map(str::trim);
        let told = told.filter(|text| text.len() <= MESSAGE_BYTES_MAX && !text.is_empty() && !text.contains('\n'));
        Ok(match (told, trimmed(validation, "message")) {
            (Some(told), _) => told.to_owned(),
            (None, "") => format!("failed expression: {}", trimmed(validation, "expression")),
            (None, message) => message.to_owned(),
        })
    }

    /// The objects that a binding names as parameters; `null` once for a policy without any.
    pub(super) fn params(&self, policy: &Tree, binding: &Tree, on: &Attributes<'_>) -> Result<Vec<Value>, String> {
        let Some(kind) = policy.at("spec.paramKind").filter(|kind| kind.is_object()) else {
            return Ok(vec![Value::Null]);
        };
        let Some(reference) = binding.at("spec.paramRef").filter(|reference| reference.is_object()) else {
            return Ok(vec![Value::Null]);
        };
        let gvk = Gvk::of(kind.text("apiVersion"), kind.text("kind"));
        let resource = self.registry.find_kind(&gvk);
        let resource = resource.ok_or_else(|| {
            format!("failed to find resource referenced by paramKind: '{}'", gvk.api_version() + ", Kind=" + &gvk.kind)
        })?;
        let stated = reference.text("namespace");
        let namespace = match (resource.is_namespaced(), stated, on.namespace) {
            (false, "", _) => "",
            (false, ..) => {
                return Err("paramRef.namespace must not be provided for a cluster-scoped `paramKind`".into());
            }
            (true, "", "") => {
                return Err(
                    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources".into()
                );
            }
            (true, "", own) => own,
            (true, stated, _) => stated,
        };
        let selector = rules::selector(reference, "selector");
        let name = reference.text("name");
        let state = self.state();
        let group = GroupResource::new(&resource.group, &resource.plural);
        let range =
            if namespace.is_empty() { KeyRange::resource(&group) } else { KeyRange::namespace(&group, namespace) };
        let fits = |object: &&crate::object::ObjectRef| match name {
            "" => selector.matches(&object.meta().labels),
            name => object.key().name() == name,
        };
        let found: Vec<Value> = state.range(&range).filter(fits).map(|object| Value::from(&object.tree())).collect();
        match (found.is_empty(), reference.text("parameterNotFoundAction")) {
            (true, "Deny") => Err("no params found for policy binding with `Deny` parameterNotFoundAction".into()),
            _ => Ok(found),
        }
    }
}

/// How it is told that an expression fails.
pub(super) fn unanswered(expression: &str, why: &str) -> String {
    format!("expression '{expression}' resulted in error: {why}")
}

/// `variables.x`, worked out when it is first asked for.
pub(super) struct Variables<'a, 'b> {
    pub api: &'a Api,
    pub policy: &'a Tree,
    pub vars: &'a BTreeMap<String, Value>,
    pub rights: &'a Rights<'b, 'a>,
    pub budget: &'a Budget,
}

impl Variables<'_, '_> {
    pub fn value(&self, name: &str) -> Option<Result<Value, String>> {
        let variables = self.policy.items("spec.variables");
        let at = variables.iter().position(|variable| variable.text("name") == name)?;
        let expression = trimmed(&variables[at], "expression");
        // A variable sees only those before it, so that none goes round in circles.
        let is_before = |other: &str| variables[..at].iter().any(|variable| variable.text("name") == other);
        let lazy = |other: &str| if is_before(other) { self.value(other) } else { None };
        let env = Env { vars: self.vars.clone(), lazy: Some(&lazy), authorizer: Some(self.rights) };
        Some(self.api.evaluate(expression, &env, self.budget))
    }
}

/// How match constraints see a write, if it is one of those they are about.
pub(super) fn concerned(
    api: &Api,
    constraints: Option<&Tree>,
    on: &Attributes<'_>,
    object: Option<&Tree>,
) -> Result<Option<rules::Seen>, Status> {
    let empty = Tree::Null;
    let constraints = constraints.unwrap_or(&empty);
    let policy = constraints.text("matchPolicy");
    if !rules::selected(constraints, on, object)? {
        return Ok(None);
    }
    if rules::matching(constraints.items("excludeResourceRules"), policy, on, &api.registry).is_some() {
        return Ok(None);
    }
    let wanted = constraints.items("resourceRules");
    if wanted.is_empty() {
        let own = (on.resource.group.to_string(), on.version.to_owned(), on.resource.plural.to_string());
        return Ok(Some(rules::Seen { group: own.0, version: own.1, resource: own.2 }));
    }
    Ok(rules::matching(wanted, policy, on, &api.registry))
}

fn shown(on: &Attributes<'_>, object: Option<&Tree>, seen: &rules::Seen) -> Option<Tree> {
    let object = object?;
    match on.is_own_kind(object) && !on.resource.is_custom {
        true => Some(encode::in_version(object, on.resource, &seen.version).into_owned()),
        false => Some(object.clone()),
    }
}

pub(super) fn denied(on: &Attributes<'_>, object: Option<&Tree>, reason: &str, message: String) -> Status {
    let empty = Tree::Null;
    let mut status = on.forbidden(object.unwrap_or(&empty), &message);
    status.reason = match reason {
        "Unauthorized" => Reason::Unauthorized,
        "Forbidden" => Reason::Forbidden,
        "RequestEntityTooLarge" => Reason::RequestEntityTooLarge,
        _ => Reason::Invalid,
    };
    if let Some(details) = &mut status.details {
        details.causes.push(Cause { message, ..Cause::default() });
    }
    status
}
