//! Users by service-account token: the token must be ours, and what it is bound to must be there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::legacy::{self, LegacyUse};
use super::{Objects, Refused, TokenUser, secret_text};
use crate::api::audit;
use crate::object::{Key, Timestamp, User};
use crate::security::same_secret;
use crate::security::tokens::{Bound, Claims, Ref, TokenKey};

/// Verified signatures are remembered; checking one takes far longer than everything else here.
const REMEMBERED_MAX: usize = 4096;
/// An object being deleted carries its tokens this much longer, so that its last work can end.
const DELETION_LEEWAY: Duration = Duration::from_secs(60);

pub struct ServiceAccounts {
    key: Arc<TokenKey>,
    /// The first signs; tokens of the others are still good.
    issuers: Vec<String>,
    /// What tokens for this API are for.
    audiences: Vec<String>,
    remembered: Mutex<HashMap<[u8; 32], Arc<Claims>>>,
}

impl ServiceAccounts {
    pub fn new(key: Arc<TokenKey>, issuers: Vec<String>, audiences: Vec<String>) -> Self {
        Self { key, issuers, audiences, remembered: Mutex::default() }
    }

    pub fn audiences(&self) -> &[String] {
        &self.audiences
    }

    /// Those of `asked` that are this API's, for users whose tokens name none; all if none are asked for.
    pub fn own_of(&self, asked: &[String]) -> Vec<String> {
        match asked.is_empty() {
            true => self.audiences.clone(),
            false => asked.iter().filter(|audience| self.audiences.contains(audience)).cloned().collect(),
        }
    }

    pub fn user(
        &self,
        token: &str,
        audiences: &[String],
        objects: &dyn Objects,
        used: &LegacyUse,
        now: Timestamp,
    ) -> Result<TokenUser, Refused> {
        let claims = self.claims(token, now)?;
        let wanted = if audiences.is_empty() { self.audiences.clone() } else { audiences.to_vec() };
        // Legacy tokens name no audience and are for the API alone.
        let meant = if claims.is_legacy() { &self.audiences } else { &claims.aud };
        let audiences: Vec<String> = wanted.iter().filter(|audience| meant.contains(audience)).cloned().collect();
        if audiences.is_empty() {
            let (meant, asked) = (quoted(meant), quoted(&wanted));
            return Err(Refused::because(format!(
                "token audiences {meant} is invalid for the target audiences {asked}"
            )));
        }
        let bound = claims.bound().ok_or_else(|| Refused::because("token without kubernetes.io claims"))?;
        if claims.sub != format!("system:serviceaccount:{}:{}", bound.namespace, bound.serviceaccount.name) {
            return Err(Refused::because("token contradicts itself about its subject"));
        }
        check_bound(&claims, &bound, token, objects, now)?;
        if claims.is_legacy() {
            legacy::check(&bound, &claims.sub, objects, used, now)?;
        } else if let Some(late) = bound.warnafter.map(|after| now.as_secs() - after).filter(|late| *late > 0) {
            audit::annotate("authentication.k8s.io/stale-token", || {
                format!("subject: {}, seconds after warning threshold: {late}", claims.sub)
            });
        }
        Ok(TokenUser { user: user_of(&claims, &bound), audiences })
    }

    fn claims(&self, token: &str, now: Timestamp) -> Result<Arc<Claims>, Refused> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let known = self.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).get(&digest).cloned();
        if let Some(claims) = known {
            claims.check(&self.issuers, now.as_secs()).map_err(Refused::because)?;
            return Ok(claims);
        }
        let claims = Arc::new(self.key.verify(token, &self.issuers, now.as_secs()).map_err(Refused::because)?);
        let mut remembered = self.remembered.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if remembered.len() >= REMEMBERED_MAX {
            remembered.clear();
        }
        remembered.insert(digest, claims.clone());
        Ok(claims)
    }
}

/// Texts as Go prints a list of them.
fn quoted(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| format!("{text:?}")).collect::<Vec<_>>().join(" "))
}

fn check_bound(
    claims: &Claims,
    bound: &Bound,
    token: &str,
    objects: &dyn Objects,
    now: Timestamp,
) -> Result<(), Refused> {
    let alive = |resource: &str, namespace: &str, wanted: &Ref| {
        let object = objects.get(&Key::of(resource, namespace, &wanted.name)).filter(|object| {
            let meta = object.meta();
            (wanted.uid.is_empty() || meta.uid() == wanted.uid)
                && meta.deletion_timestamp().is_none_or(|since| since + DELETION_LEEWAY >= now)
        });
        object.ok_or_else(|| {
            Refused::because(format!("{resource} {:?}, to which the token is bound, is gone", wanted.name))
        })
    };
    let is_name = |reference: &Ref| !reference.name.is_empty() && !reference.name.contains('/');
    let all = [Some(&bound.serviceaccount), bound.pod.as_ref(), bound.secret.as_ref(), bound.node.as_ref()];
    if !all.into_iter().flatten().all(is_name) || bound.namespace.contains('/') {
        return Err(Refused::because("token is bound to what cannot be a name"));
    }
    alive("serviceaccounts", &bound.namespace, &bound.serviceaccount)?;
    if let Some(secret) = &bound.secret {
        let object = alive("secrets", &bound.namespace, secret)?;
        if claims.is_legacy() && !same_secret(secret_text(&object.tree(), "token").as_bytes(), token.as_bytes()) {
            return Err(Refused::because("the Secret holds another token"));
        }
    }
    if let Some(pod) = &bound.pod {
        alive("pods", &bound.namespace, pod)?;
    } else if let Some(node) = &bound.node {
        alive("nodes", "", node)?;
    }
    Ok(())
}

fn user_of(claims: &Claims, bound: &Bound) -> Arc<User> {
    let mut user = User::clone(&User::service_account(&bound.namespace, &bound.serviceaccount.name));
    user.uid = bound.serviceaccount.uid.clone();
    let mut note = |name: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(format!("authentication.kubernetes.io/{name}"), vec![value.to_owned()]);
        }
    };
    if !claims.jti.is_empty() {
        note("credential-id", &format!("JTI={}", claims.jti));
    }
    if let Some(pod) = &bound.pod {
        note("pod-name", &pod.name);
        note("pod-uid", &pod.uid);
    }
    if let Some(node) = &bound.node {
        note("node-name", &node.name);
        note("node-uid", &node.uid);
    }
    Arc::new(user)
}
