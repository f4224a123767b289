//! `serviceaccounts/token`: a signed token for a service account, bound to what asks for it.

use crate::api::admission::{Attributes, Operation};
use crate::api::audit;
use crate::api::pipeline::Api;
use crate::api::pipeline::act::Act;
use crate::api::pipeline::metadata;
use crate::base::rand;
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::object::{Answer, GroupResource, Gvk, Key, ObjectRef, Reply, Status, Timestamp};
use crate::security::tokens::{Bound, Claims, Ref};
use std::time::Duration;

const KIND: Gvk = Gvk::fixed("authentication.k8s.io", "v1", "TokenRequest");
const DEFAULT_SECS: i64 = 3_600;
const SECS_MIN: i64 = 600;
const SECS_MAX: i64 = 1 << 32;
/// Kubelets ask for this; the token lives longer, for clients that do not read it again.
const REPLACED_SECS: i64 = 3_607;
const YEAR_SECS: i64 = 365 * 24 * 3_600;

pub async fn request(api: &Api, mut act: Act) -> Result<Answer, Status> {
    let mut request = api.decode_as(&mut act, "authentication.k8s.io/v1", "TokenRequest")?;
    let wanted_uid = request.text("metadata.uid").to_owned();
    metadata::wipe_system_fields(&mut request);
    request.set_default("spec.expirationSeconds", DEFAULT_SECS);
    api.track_fields(&act, &mut request);
    let state = api.state();
    let attributes = Attributes::of(api, &act, &state, Operation::Create, None);
    api.admission.admit(&attributes, &mut request, &mut Vec::new())?;
    drop(attributes);
    let (namespace, name) = (act.namespace().to_owned(), act.name().to_owned());
    for (field, expected, what) in [("name", &name, "name"), ("namespace", &namespace, "namespace")] {
        let path = format!("metadata.{field}");
        let given = request.text(&path);
        if !given.is_empty() && given != expected.as_str() {
            let mut errors = FieldErrors::default();
            errors.invalid(path.as_str(), given, format!("must match the service account {what} if specified"));
            return Err(errors.into_status(&KIND, &name));
        }
        request.set(&path, expected.as_str());
    }
    let account = api.state().get(&act.key()).cloned().ok_or_else(|| act.not_found())?;
    if !wanted_uid.is_empty() && wanted_uid != account.meta().uid() {
        let why = format!(
            "the UID in the token request ({wanted_uid}) does not match the UID of the service account ({})",
            account.meta().uid()
        );
        return Err(Status::conflict(&GroupResource::new(KIND.group.as_ref(), KIND.kind.as_ref()), &name, why));
    }
    let now = api.now();
    request.set("metadata.uid", account.meta().uid());
    request.set("metadata.creationTimestamp", now);
    request.unset("status");
    check(&request)?;
    if request.items("spec.audiences").is_empty() {
        request.set("spec.audiences", json!(api.authn.audiences()));
    }

    let mut bound = Bound {
        namespace,
        serviceaccount: Ref { name: name.clone(), uid: account.meta().uid().to_owned() },
        ..Bound::default()
    };
    bind(api, &request, &mut bound)?;
    let asked = request.int("spec.expirationSeconds").unwrap_or(DEFAULT_SECS);
    let is_own = |audience: &Tree| api.authn.audiences().iter().any(|own| audience == own);
    let own_audience = request.items("spec.audiences").iter().all(is_own);
    let lives = if asked == REPLACED_SECS && bound.pod.is_some() && own_audience {
        bound.warnafter = Some(now.as_secs() + asked);
        YEAR_SECS
    } else {
        asked
    };
    let claims = Claims {
        aud: request.items("spec.audiences").iter().filter_map(Tree::as_str).map(str::to_owned).collect(),
        iss: api.settings.issuer.clone(),
        sub: format!("system:serviceaccount:{}:{name}", bound.namespace),
        jti: rand::uuid(&*api.rand),
        iat: Some(now.as_secs()),
        nbf: Some(now.as_secs()),
        exp: Some(now.as_secs() + lives),
        bound: Some(bound),
        ..Claims::default()
    };
    audit::annotate("authentication.kubernetes.io/issued-credential-id", || format!("JTI={}", claims.jti));
    let token = api.token_key.sign(&claims).map_err(Status::internal)?;
    let expires = Timestamp::from_secs(now.as_secs()) + Duration::from_secs(asked.max(0) as u64);
    request.set("status", json!({"token": token, "expirationTimestamp": expires}));
    if !request.has("spec.boundObjectRef") {
        request.set("spec.boundObjectRef", Tree::Null);
    }
    Ok(Answer { reply: Reply::Tree { tree: request, created: true }, warnings: act.warnings })
}

fn check(request: &Tree) -> Result<(), Status> {
    let mut errors = FieldErrors::default();
    let secs = request.int("spec.expirationSeconds").unwrap_or(0);
    if secs < SECS_MIN {
        errors.invalid("spec.expirationSeconds", secs, "may not specify a duration less than 10 minutes");
    }
    if secs > SECS_MAX {
        errors.invalid("spec.expirationSeconds", secs, "may not specify a duration larger than 2^32 seconds");
    }
    if errors.is_empty() { Ok(()) } else { Err(errors.into_status(&KIND, "")) }
}

/// Looks up what the token is to be bound to.
fn bind(api: &Api, request: &Tree, bound: &mut Bound) -> Result<(), Status> {
    let Some(to) = request.at("spec.boundObjectRef").filter(|to| !to.is_null()) else { return Ok(()) };
    let (kind, name) = (to.text("kind"), to.text("name"));
    let place = match (to.text("apiVersion"), kind) {
        ("v1", "Pod") => ("pods", bound.namespace.as_str()),
        ("v1", "Secret") => ("secrets", bound.namespace.as_str()),
        ("v1", "Node") => ("nodes", ""),
        (version, kind) => {
            return Err(Status::bad_request(format!(
                "cannot bind token for serviceaccount to object of type {}",
                Gvk::of(version, kind)
            )));
        }
    };
    let find = |resource: &str, namespace: &str, name: &str| -> Option<ObjectRef> {
        api.state().get(&Key::of(resource, namespace, name)).cloned()
    };
    let found =
        find(place.0, place.1, name).ok_or_else(|| Status::not_found(&GroupResource::new("", place.0), name))?;
    let uid = found.meta().uid().to_owned();
    let wanted = to.text("uid");
    if !wanted.is_empty() && wanted != uid {
        let why = format!(
            "the UID in the bound object reference ({wanted}) does not match the UID in record. The object might have been deleted and then recreated"
        );
        return Err(Status::conflict(&GroupResource::new("", kind), name, why));
    }
    let reference = Ref { name: name.into(), uid };
    match kind {
        "Pod" => {
            let pod = found.tree();
            let account = pod.text("spec.serviceAccountName");
            if account != bound.serviceaccount.name {
                return Err(Status::bad_request(format!(
                    "cannot bind token for serviceaccount {:?} to pod running with different serviceaccount name.",
                    bound.serviceaccount.name
                )));
            }
            let node = pod.text("spec.nodeName");
            if !node.is_empty() {
                let uid = find("nodes", "", node).map(|node| node.meta().uid().to_owned()).unwrap_or_default();
                bound.node = Some(Ref { name: node.into(), uid });
            }
            bound.pod = Some(reference);
        }
        "Secret" => bound.secret = Some(reference),
        _ => bound.node = Some(reference),
    }
    Ok(())
}
