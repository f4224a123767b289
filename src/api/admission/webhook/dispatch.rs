//! Asks the hooks: those that change objects one after the other, those that only judge all at once.

use std::time::Duration;

use futures_util::future::join_all;

use super::call::CallError;
use super::review::{self, Verdict};
use super::rules::{self, Seen};
use crate::api::admission::Attributes;
use crate::api::admission::policy::{self, Rights};
use crate::api::pipeline::Api;
use crate::api::{audit, encode};
use crate::base::rand;
use crate::object::cel::Env;
use crate::object::codec::json::to_json;
use crate::object::patch::json::apply;
use crate::object::schema::{builtin, custom, decode, fill};
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{ObjectRef, Status};

const MUTATING: &str = "mutatingwebhookconfigurations.admissionregistration.k8s.io";
const VALIDATING: &str = "validatingwebhookconfigurations.admissionregistration.k8s.io";
const TIMEOUT_SECS: i64 = 10;
/// Higher codes are counted as this one.
const CODE_MAX: u16 = 600;

/// Beginnings of annotations in the audit log.
const MUTATION_NOTE: &str = "mutation.webhook.admission.k8s.io/";
const PATCH_NOTE: &str = "patch.webhook.admission.k8s.io/";
const VALIDATION_NOTE: &str = "validating.webhook.admission.k8s.io/";

/// One hook, and the configuration that it is in.
struct Hook {
    configuration: String,
    spec: Tree,
}

/// What became of one hook's asking.
enum Asked {
    /// It is not about this request, or failed and may be ignored.
    Nothing,
    Verdict(Verdict),
}

impl Api {
    /// Lets the mutating hooks change `object` (`null` for a deletion), in the order of their names.
    pub(crate) async fn mutate_by_hooks(
        &self,
        on: &Attributes<'_>,
        object: &mut Tree,
        warnings: &mut Vec<String>,
    ) -> Result<(), Status> {
        let hooks = hooks(on, MUTATING);
        if hooks.is_empty() || rules::is_exempt(on) {
            return Ok(());
        }
        let mut asked: Vec<usize> = Vec::new();
        let mut again: Vec<usize> = Vec::new();
        for (at, hook) in hooks.iter().enumerate() {
            let (called, changed) = self.mutate_by(on, hook, (0, at), object, warnings).await?;
            if changed {
                again = asked.clone();
            }
            if called && hook.spec.text("reinvocationPolicy") == "IfNeeded" {
                asked.push(at);
            }
        }
        for at in again {
            self.mutate_by(on, &hooks[at], (1, at), object, warnings).await?;
        }
        Ok(())
    }

    /// Asks one hook in its round and place; says whether it was asked and whether it changed the object.
    async fn mutate_by(
        &self,
        on: &Attributes<'_>,
        hook: &Hook,
        (round, at): (usize, usize),
        object: &mut Tree,
        warnings: &mut Vec<String>,
    ) -> Result<(bool, bool), Status> {
        let spec = &hook.spec;
        let Some(seen) = self.concerned(on, spec, true, present(object))? else { return Ok((false, false)) };
        let place = format!("{MUTATION_NOTE}round_{round}_index_{at}");
        let changed = match self.ask(on, spec, &seen, present(object), true, &place).await {
            Err(status) => Err(status),
            Ok(Asked::Nothing) => Ok(false),
            Ok(Asked::Verdict(verdict)) => {
                warnings.extend(verdict.warnings.iter().cloned());
                self.take_patch(on, spec, &seen, &verdict, object).await.inspect(|changed| {
                    if *changed {
                        let key = format!("{PATCH_NOTE}round_{round}_index_{at}");
                        audit::annotate_with_request(key, || patch_note(hook, &verdict.patch));
                    }
                })
            }
        };
        let is_changed = matches!(changed, Ok(true));
        audit::annotate(place, || mutation_note(hook, is_changed));
        changed.map(|changed| (true, changed))
    }

    /// Applies what a hook wants changed; says whether that changed anything.
    async fn take_patch(
        &self,
        on: &Attributes<'_>,
        hook: &Tree,
        seen: &Seen,
        verdict: &Verdict,
        object: &mut Tree,
    ) -> Result<bool, Status> {
        if let Some(denied) = &verdict.denied {
            return Err(denied.clone());
        }
        if verdict.patch.is_empty() || verdict.patch == b"[]" {
            return Ok(false);
        }
        let name = hook.text("name");
        let Some(before) = present(object) else {
            return Err(Status::internal(format!(
                "admission webhook {name:?} attempted to modify the object, which is not supported for this operation"
            )));
        };
        let shown = self.shown(on, seen, before).await?;
        let patched = apply(shown, &verdict.patch).map_err(|status| Status::internal(status.message))?;
        let after = self.revived(on, seen, patched.tree).await?;
        let changed = *before != after;
        *object = after;
        Ok(changed)
    }

    /// Lets the validating hooks refuse `object` (none is a deletion).
    pub(crate) async fn validate_by_hooks(
        &self,
        on: &Attributes<'_>,
        object: Option<&Tree>,
        warnings: &mut Vec<String>,
    ) -> Result<(), Status> {
        let hooks = hooks(on, VALIDATING);
        if hooks.is_empty() || rules::is_exempt(on) {
            return Ok(());
        }
        let mut asking = Vec::new();
        for Hook { spec, .. } in &hooks {
            if let Some(seen) = self.concerned(on, spec, false, object)? {
                let place = format!("{VALIDATION_NOTE}round_0_index_{}", asking.len());
                asking.push(async move { self.ask(on, spec, &seen, object, false, &place).await });
            }
        }
        let mut first = Ok(());
        for asked in join_all(asking).await {
            let verdict = match asked {
                Ok(Asked::Verdict(verdict)) => verdict,
                Ok(Asked::Nothing) => continue,
                Err(status) => {
                    first = first.and(Err(status));
                    continue;
                }
            };
            warnings.extend(verdict.warnings);
            if let Some(denied) = verdict.denied {
                first = first.and(Err(denied));
            }
        }
        first
    }

    /// How the hook sees the request, if it is to be asked.
    fn concerned(
        &self,
        on: &Attributes<'_>,
        hook: &Tree,
        mutating: bool,
        object: Option<&Tree>,
    ) -> Result<Option<Seen>, Status> {
        let Some(seen) = rules::matching(hook.items("rules"), hook.text("matchPolicy"), on, &self.registry) else {
            return Ok(None);
        };
        let is_asked =
            rules::selected(hook, on, object)? && self.conditions_of_hook_hold(hook, mutating, on, object)?;
        Ok(is_asked.then_some(seen))
    }

    /// Whether every match condition of a hook holds; one that cannot be told counts as the hook's
    /// failure.
    fn conditions_of_hook_hold(
        &self,
        hook: &Tree,
        mutating: bool,
        on: &Attributes<'_>,
        object: Option<&Tree>,
    ) -> Result<bool, Status> {
        let conditions = hook.items("matchConditions");
        if conditions.is_empty() {
            return Ok(true);
        }
        let name = hook.text("name");
        let step = if mutating { "admit" } else { "validating" };
        let labels = [name, "webhook", step, on.operation.as_str()];
        let since = self.clock.elapsed();
        let rights = Rights(on);
        let env = Env { vars: policy::vars(on, object, on.old), lazy: None, authorizer: Some(&rights) };
        let held = self.conditions_hold(conditions, &env, &mut || self.metrics.hook_match_errors.with(&labels).add(1));
        self.metrics.hook_match_seconds.with(&labels).observe(self.clock.elapsed().saturating_sub(since));
        match held {
            Ok(true) => Ok(true),
            Ok(false) => {
                self.metrics.hook_match_exclusions.with(&labels).add(1);
                Ok(false)
            }
            Err(_) if hook.text("failurePolicy") == "Ignore" => Ok(false),
            Err(why) => Err(on.forbidden(object.unwrap_or(&Tree::Null), why)),
        }
    }

    async fn ask(
        &self,
        on: &Attributes<'_>,
        hook: &Tree,
        seen: &Seen,
        object: Option<&Tree>,
        mutating: bool,
        place: &str,
    ) -> Result<Asked, Status> {
        let name = hook.text("name");
        if on.dry_run && !matches!(hook.text("sideEffects"), "None" | "NoneOnDryRun") {
            return Err(Status::bad_request(format!("admission webhook {name:?} does not support dry run")));
        }
        let since = self.clock.elapsed();
        let answer = self.call(on, hook, seen, object, mutating).await;
        let is_ignored = answer.is_err() && hook.text("failurePolicy") == "Ignore";
        self.count_hook(on, (name, mutating), &answer, is_ignored, self.clock.elapsed().saturating_sub(since));
        match answer {
            Ok(verdict) => {
                for (key, value) in &verdict.annotations {
                    audit::annotate(format!("{name}/{key}"), || value.clone());
                }
                Ok(Asked::Verdict(verdict))
            }
            Err(CallError { why, .. }) if is_ignored => {
                self.metrics.hook_fail_open.with(&[name, kind_of(mutating)]).add(1);
                tracing::warn!(webhook = name, why, "a webhook failed; the request goes on without it");
                audit::annotate(format!("failed-open.{place}"), || name.to_owned());
                Ok(Asked::Nothing)
            }
            Err(CallError { why, .. }) => Err(Status::internal(format!("failed calling webhook {name:?}: {why}"))),
        }
    }

    /// Counts one asking; a failure that is ignored refuses nothing.
    fn count_hook(
        &self,
        on: &Attributes<'_>,
        (name, mutating): (&str, bool),
        answer: &Result<Verdict, CallError>,
        is_ignored: bool,
        took: Duration,
    ) {
        let (kind, operation) = (kind_of(mutating), on.operation.as_str());
        let (error, code) = match answer {
            Ok(Verdict { denied: Some(status), .. }) => (Some("no_error"), status.code().min(CODE_MAX)),
            Ok(_) => (None, 200),
            Err(failed) => ((!is_ignored).then_some("calling_webhook_error"), failed.code.min(CODE_MAX)),
        };
        let (rejected, code) = (if error.is_some() { "true" } else { "false" }, code.to_string());
        self.metrics.hook_seconds.with(&[name, kind, operation, rejected]).observe(took);
        self.metrics.hook_requests.with(&[name, kind, operation, &code, rejected]).add(1);
        if let Some(error) = error {
            self.metrics.hook_rejections.with(&[name, kind, operation, error, &code]).add(1);
        }
    }

    async fn call(
        &self,
        on: &Attributes<'_>,
        hook: &Tree,
        seen: &Seen,
        object: Option<&Tree>,
        mutating: bool,
    ) -> Result<Verdict, CallError> {
        let unasked = |why: String| CallError { why: format!("could not create admission objects: {why}"), code: 400 };
        let versions = hook.items("admissionReviewVersions");
        let known = versions.iter().filter_map(Tree::as_str).find(|version| matches!(*version, "v1" | "v1beta1"));
        let version = known
            .ok_or_else(|| unasked("webhook does not accept known AdmissionReview versions (v1, v1beta1)".into()))?;
        let show = async |object: Option<&Tree>| match object {
            Some(object) => self.shown(on, seen, object).await.map(Some).map_err(|status| status.message),
            None => Ok(None),
        };
        let (object, old) = (show(object).await?, show(on.old).await?);
        let uid = rand::uuid(on.rand);
        let request = review::request(on, seen, version, &uid, object.as_ref(), old.as_ref());
        let timeout = hook.int("timeoutSeconds").unwrap_or(TIMEOUT_SECS).clamp(1, 30);
        let empty = Tree::Null;
        let config = hook.get("clientConfig").unwrap_or(&empty);
        let answer = self.caller.post(config, &request, Duration::from_secs(timeout as u64)).await;
        let failed = |error: CallError| CallError { why: format!("failed to call webhook: {}", error.why), ..error };
        let verdict = review::verdict(hook.text("name"), &answer.map_err(failed)?, version, &uid, mutating);
        Ok(verdict.map_err(|why| format!("received invalid webhook response: {why}"))?)
    }

    /// The object in the version that a hook wants to see.
    pub(in crate::api::admission) async fn shown(
        &self,
        on: &Attributes<'_>,
        seen: &Seen,
        object: &Tree,
    ) -> Result<Tree, Status> {
        if on.is_own_kind(object) {
            if on.resource.is_custom {
                return self.one_in_version(on.resource, object, &seen.version).await;
            }
            return Ok(encode::in_version(object, on.resource, &seen.version).into_owned());
        }
        Ok(object.clone())
    }

    /// A patched object as the request would have brought it: only known fields, with defaults, in
    /// the version that the request works in.
    pub(in crate::api::admission) async fn revived(
        &self,
        on: &Attributes<'_>,
        seen: &Seen,
        patched: Tree,
    ) -> Result<Tree, Status> {
        if !on.is_own_kind(&patched) {
            return Ok(patched);
        }
        let api_version = patched.text("apiVersion").to_owned();
        if let Some(version) = on.resource.rules.custom().and_then(|rules| rules.version(&api_version)) {
            let mut tree = patched;
            custom::settle(&mut tree, &version.schema).map_err(|error| Status::internal(error.to_string()))?;
            return self.one_in_version(on.resource, &tree, on.version).await;
        }
        let version = on.resource.version(&seen.version);
        let schema = version.and_then(|version| version.schema.of(builtin()));
        let schema = schema.ok_or_else(|| Status::internal("the resource has no schema"))?;
        let mut tree =
            decode(&to_json(&patched, None), schema).map_err(|error| Status::internal(error.to_string()))?.tree;
        fill(&mut tree, schema);
        on.resource.rules.default(&mut tree);
        Ok(encode::in_storage(tree, on.resource))
    }

    async fn one_in_version(
        &self,
        resource: &crate::resources::Resource,
        object: &Tree,
        version: &str,
    ) -> Result<Tree, Status> {
        let wanted = resource.api_version(version);
        if object.text("apiVersion") == wanted {
            return Ok(object.clone());
        }
        let converted = self.convert(resource, vec![object.clone()], &wanted).await?;
        converted.into_iter().next().ok_or_else(|| Status::internal("the conversion gave nothing back"))
    }
}

/// Every hook of a kind of configuration, in the order of the configurations' names.
fn hooks(on: &Attributes<'_>, resource: &str) -> Vec<Hook> {
    let of = |object: &ObjectRef| {
        let configuration = object.key().name().to_owned();
        let specs = object.tree().items("webhooks").to_vec().into_iter();
        specs.map(move |spec| Hook { configuration: configuration.clone(), spec })
    };
    on.list(resource, "").iter().flat_map(of).collect()
}

/// What the audit log says of a hook that may change objects.
fn mutation_note(hook: &Hook, mutated: bool) -> String {
    let (configuration, name) = (json!(hook.configuration), json!(hook.spec.text("name")));
    format!(r#"{{"configuration":{configuration},"webhook":{name},"mutated":{mutated}}}"#)
}

/// As [`mutation_note`], with what it changed.
fn patch_note(hook: &Hook, patch: &[u8]) -> String {
    let (configuration, name) = (json!(hook.configuration), json!(hook.spec.text("name")));
    let patch: Tree = serde_json::from_slice(patch).unwrap_or_default();
    format!(r#"{{"configuration":{configuration},"webhook":{name},"patch":{patch},"patchType":"JSONPatch"}}"#)
}

/// A webhook's type as metrics name it.
fn kind_of(mutating: bool) -> &'static str {
    if mutating { "admit" } else { "validating" }
}

fn present(object: &Tree) -> Option<&Tree> {
    (!object.is_null()).then_some(object)
}
