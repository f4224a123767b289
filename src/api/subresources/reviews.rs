//! Reviews: questions that are answered on the spot and stored nowhere.

use std::sync::Arc;

use super::selectors;
use crate::api::authz::{Ask, Decision, ResourceRef, Rule, is_node};
use crate::api::pipeline::Api;
use crate::api::pipeline::act::{Act, no_such_method};
use crate::api::pipeline::metadata;
use crate::object::tree::{Tree, TreePath, json, to_tree};
use crate::object::{Answer, Reply, Status, User, Verb};
use crate::resources::inner;

pub async fn run(api: &Api, mut act: Act) -> Result<Answer, Status> {
    if act.resource.name.as_str() == "componentstatuses" {
        return component_statuses(api, act);
    }
    if act.call.verb != Verb::Create {
        return Err(no_such_method());
    }
    let mut review = api.decode(&mut act)?;
    metadata::wipe_system_fields(&mut review);
    metadata::match_namespace(&mut review, act.namespace())?;
    api.track_fields(&act, &mut review);
    let user = act.call.user.clone();
    match act.resource.name.resource() {
        "selfsubjectaccessreviews" => access(api, &mut review, user).await?,
        "subjectaccessreviews" => {
            let subject = subject_of(&review)?;
            access(api, &mut review, subject).await?;
        }
        "localsubjectaccessreviews" => {
            let subject = subject_of(&review)?;
            if review.text("spec.resourceAttributes.namespace") != act.namespace() {
                return Err(Status::bad_request(format!(
                    "spec.resourceAttributes.namespace must match namespace: {}",
                    act.namespace()
                )));
            }
            access(api, &mut review, subject).await?;
        }
        "selfsubjectrulesreviews" => rules(api, &mut review, &user)?,
        "selfsubjectreviews" => {
            review.set("metadata.creationTimestamp", api.now());
            review.set("status", json!({"userInfo": user_info(&user)}));
            review.unset("metadata.managedFields");
        }
        "tokenreviews" => token(api, &mut review).await?,
        _ => return Err(no_such_method()),
    }
    Ok(Answer { reply: Reply::Tree { tree: review, created: true }, warnings: act.warnings })
}

fn subject_of(review: &Tree) -> Result<Arc<User>, Status> {
    let groups: Vec<&str> = review.items("spec.groups").iter().filter_map(Tree::as_str).collect();
    let name = review.text("spec.user");
    let mut user = User { name: name.into(), uid: review.text("spec.uid").into(), ..User::default() };
    user.groups = groups.iter().map(ToString::to_string).collect();
    for (key, values) in review.map("spec.extra").into_iter().flatten() {
        let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
        user.extra.insert(key.to_string(), values.iter().filter_map(Tree::as_str).map(str::to_owned).collect());
    }
    if name.is_empty() && groups.is_empty() {
        let mut errors = crate::object::FieldErrors::default();
        errors.invalid("spec.user", "", "at least one of user or group must be specified");
        let kind = crate::object::Gvk::of("authorization.k8s.io/v1", review.text("kind"));
        return Err(errors.into_status(&kind, ""));
    }
    Ok(Arc::new(user))
}

/// May the user do what `spec` describes?
async fn access(api: &Api, review: &mut Tree, user: Arc<User>) -> Result<(), Status> {
    let spec = review.get("spec").cloned().unwrap_or_default();
    let (resource, path) = (spec.get("resourceAttributes"), spec.get("nonResourceAttributes"));
    let mut errors = crate::object::FieldErrors::default();
    let selecting = resource.map(|at| {
        selectors::validate(at, &mut errors);
        selectors::read(at)
    });
    if !errors.is_empty() {
        let kind = crate::object::Gvk::of("authorization.k8s.io/v1", review.text("kind"));
        return Err(errors.into_status(&kind, ""));
    }
    let selecting = selecting.unwrap_or_default();
    let ask = match (resource, path) {
        (Some(at), None) => {
            let verb = at.text("verb");
            let what = ResourceRef {
                group: at.text("group"),
                resource: at.text("resource"),
                subresource: at.text("subresource"),
                namespace: at.text("namespace"),
                name: at.text("name"),
                version: at.text("version"),
                ..ResourceRef::default()
            };
            let selects = matches!(verb, "list" | "watch" | "deletecollection");
            let (fields, labels) =
                if selects { (selecting.fields.as_str(), selecting.labels.as_str()) } else { ("", "") };
            Ask::resource(&user, verb, ResourceRef { fields, labels, ..what })
        }
        (None, Some(at)) => Ask::path(&user, at.text("verb"), at.text("path")),
        (given, _) => {
            let mut errors = crate::object::FieldErrors::default();
            let why = match given {
                Some(_) => "cannot be specified in combination with resourceAttributes",
                None => "exactly one of nonResourceAttributes or resourceAttributes must be specified",
            };
            let field = if given.is_some() { "spec.nonResourceAttributes" } else { "spec.resourceAttributes" };
            match given {
                Some(_) => {
                    let shown = inner::compact(
                        "NonResourceAttributes",
                        review.at("spec.nonResourceAttributes").unwrap_or(&Tree::Null),
                    );
                    errors.invalid_shown(field, &shown, why);
                }
                None => errors.invalid(field, Tree::Null, why),
            }
            let kind = crate::object::Gvk::of("authorization.k8s.io/v1", review.text("kind"));
            return Err(errors.into_status(&kind, ""));
        }
    };
    let (mut status, error) = match api.authz.judge(&ask).await {
        Decision::Allowed(reason) => (json!({"allowed": true, "reason": reason.to_string()}), None),
        Decision::Refused(refusal) => {
            let mut status = json!({"allowed": false, "reason": refusal.reason});
            if refusal.is_denied {
                status["denied"] = true.into();
            }
            (status, refusal.error)
        }
    };
    if status.text("reason").is_empty() {
        status.unset("reason");
    }
    let complaints: Vec<String> = error.into_iter().chain(selecting.complaints).collect();
    if !complaints.is_empty() {
        status.set("evaluationError", complaints.join("; "));
    }
    review.set("status", status);
    Ok(())
}

/// Everything the user may do in a namespace.
fn rules(api: &Api, review: &mut Tree, user: &User) -> Result<(), Status> {
    let namespace = review.text("spec.namespace").to_owned();
    if namespace.is_empty() {
        return Err(Status::bad_request("no namespace on request"));
    }
    let mut found = api.authz.rules_of(user, &namespace);
    found.rules.extend(api.authz.policies_of(user, &namespace));
    let is_path = |rule: &&Arc<Rule>| !rule.non_resource_urls.is_empty();
    let paths: Vec<&Arc<Rule>> = found.rules.iter().filter(is_path).collect();
    let resources: Vec<&Arc<Rule>> = found.rules.iter().filter(|rule| !is_path(rule)).collect();
    let mut status =
        json!({"resourceRules": to_tree(&resources), "nonResourceRules": to_tree(&paths), "incomplete": false});
    // What the node authorizer allows depends on which objects a node's pods name.
    let mut errors = found.errors;
    if is_node(user) {
        status["incomplete"] = true.into();
        errors.push("node authorizer does not support user rule resolution".into());
    }
    if api.authz.asks_webhooks() {
        status["incomplete"] = true.into();
        errors.push("webhook authorizer does not support user rule resolution".into());
    }
    if !errors.is_empty() {
        status["evaluationError"] = errors.join(", ").into();
    }
    review.set("status", status);
    review.set("spec", json!({}));
    review.unset("metadata.managedFields");
    Ok(())
}

/// Whose token is it?
async fn token(api: &Api, review: &mut Tree) -> Result<(), Status> {
    let token = review.text("spec.token").to_owned();
    if token.is_empty() {
        return Err(Status::bad_request("token is required for TokenReview in authentication"));
    }
    let audiences: Vec<String> =
        review.items("spec.audiences").iter().filter_map(Tree::as_str).map(str::to_owned).collect();
    let status = match api.authn.owner_of(&token, &audiences).await {
        Ok(found) => json!({
            "authenticated": true, "user": user_info(&found.user), "audiences": found.audiences,
        }),
        // Why is nobody's business but the log's; only the audience is the reviewer's own mistake.
        Err(why) if why.to_string().contains("audience") => {
            json!({"user": {}, "error": format!("[invalid bearer token, {why}]")})
        }
        Err(_) => json!({"user": {}, "error": "invalid bearer token"}),
    };
    review.set("status", status);
    Ok(())
}

fn user_info(user: &User) -> Tree {
    let mut info = json!({"username": user.name, "groups": user.groups});
    if !user.uid.is_empty() {
        info["uid"] = user.uid.as_str().into();
    }
    if !user.extra.is_empty() {
        info["extra"] = json!(user.extra);
    }
    info
}

/// The health of the parts that used to be processes of their own.
fn component_statuses(api: &Api, act: Act) -> Result<Answer, Status> {
    let healthy = api.health.is_ready();
    let status = |name: &str| {
        json!({
            "kind": "ComponentStatus", "apiVersion": "v1", "metadata": {"name": name},
            "conditions": [{
                "type": "Healthy", "status": if healthy { "True" } else { "False" }, "message": "ok",
            }],
        })
    };
    const NAMES: &[&str] = &["controller-manager", "etcd-0", "scheduler"];
    let reply = match act.call.verb {
        Verb::Get if NAMES.contains(&act.name()) => Reply::Tree { tree: status(act.name()), created: false },
        Verb::Get => return Err(act.not_found()),
        _ => {
            let objects = NAMES.iter().map(|name| {
                let bytes = serde_json::to_vec(&status(name)).unwrap_or_default();
                crate::object::Object::new(act.key_of(name), Default::default(), bytes.into())
            });
            Reply::List(crate::object::List { items: objects.collect(), ..Default::default() })
        }
    };
    Ok(Answer { reply, warnings: act.warnings })
}
