//! Service account tokens for projected volumes: asked for, kept, and renewed before they expire.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kubelet::context::Context;
use crate::kubelet::spec::volume::TokenProjection;
use crate::kubelet::spec::{Pod, Volume};
use crate::object::kind::SERVICE_ACCOUNT;
use crate::object::tree::json;
use crate::object::{Status, Timestamp, TreePath};

/// A token is renewed when this part of its life is over.
const RENEW_AFTER_PERCENT: u32 = 80;
/// However long it lives, a token is renewed after a day.
const AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// The tokens of one pod, by volume and path.
#[derive(Default)]
pub struct Tokens(BTreeMap<(String, String), Token>);

struct Token {
    text: String,
    renew_at: Timestamp,
}

impl Tokens {
    /// The tokens that `volume` shows, by path, with stale ones asked for anew.
    ///
    /// A token that cannot be renewed but still lives is kept: the server may be away for a while.
    pub async fn of_volume(
        &mut self,
        ctx: &Context,
        pod: &Pod,
        volume: &Volume,
    ) -> Result<BTreeMap<String, String>, Status> {
        let mut found = BTreeMap::new();
        let sources = volume.projected.iter().flat_map(|projected| &projected.sources);
        for wanted in sources.filter_map(|source| source.service_account_token.as_ref()) {
            let place = (volume.name.clone(), wanted.path.clone());
            let is_stale = self.0.get(&place).is_none_or(|token| token.renew_at <= ctx.now());
            if is_stale {
                match request(ctx, pod, wanted).await {
                    Ok(token) => drop(self.0.insert(place.clone(), token)),
                    Err(status) if !self.0.contains_key(&place) => return Err(status),
                    Err(status) => tracing::warn!(pod = %pod.display(), %status, "cannot renew a token"),
                }
            }
            if let Some(token) = self.0.get(&place) {
                found.insert(wanted.path.clone(), token.text.clone());
            }
        }
        Ok(found)
    }

    /// When the next of them is to be renewed.
    pub fn renew_at(&self) -> Option<Timestamp> {
        self.0.values().map(|token| token.renew_at).min()
    }
}

async fn request(ctx: &Context, pod: &Pod, wanted: &TokenProjection) -> Result<Token, Status> {
    let account = match pod.spec.service_account_name.as_str() {
        "" => "default",
        name => name,
    };
    let audiences: Vec<&str> = Some(wanted.audience.as_str()).filter(|text| !text.is_empty()).into_iter().collect();
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": audiences,
            "expirationSeconds": wanted.expiration_seconds.unwrap_or(3600),
            "boundObjectRef": {
                "apiVersion": "v1", "kind": "Pod", "name": pod.name(), "uid": pod.uid(),
            },
        },
    });
    let key = SERVICE_ACCOUNT.key(pod.namespace(), account);
    let answer = ctx.client.post(&SERVICE_ACCOUNT, &key, "token", body).await?;
    let now = ctx.now();
    let expires_at = Timestamp::parse(answer.text("status.expirationTimestamp")).unwrap_or(now);
    let life = expires_at.since(now);
    let renew_in = (life * RENEW_AFTER_PERCENT / 100).clamp(Duration::from_secs(10), AGE_MAX);
    Ok(Token { text: answer.text("status.token").to_owned(), renew_at: now + renew_in })
}
