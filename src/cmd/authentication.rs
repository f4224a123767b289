//! Lets the API believe other issuers of tokens, as flags or a file say; the file is read again when it
//! changes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::config::Others;
use crate::api::Api;
use crate::api::authn::oidc::{Config, Issuers};
use crate::base::service::Scope;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// Believes what the configuration says, in `scope`.
pub fn start(api: &Arc<Api>, others: &mut Others, own_issuers: &[String], scope: &Scope) -> Result<()> {
    let issuing = scope.child("issuers");
    let issuers = Issuers::new(std::mem::take(&mut others.config), &issuing).map_err(anyhow::Error::msg);
    let issuers = issuers.context("cannot use the configured issuers of tokens")?;
    issuers.follow(&issuing);
    api.authn.believe(issuers);
    let Some((path, text)) = others.file.clone() else { return Ok(()) };
    let (api, own_issuers, inner) = (api.clone(), own_issuers.to_vec(), scope.clone());
    scope.spawn("authentication configuration", async move {
        let mut following = Following { api, own_issuers, scope: inner.clone(), issuing, text };
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => (),
                () = inner.stopping() => return,
            }
            following.look(&path).await;
        }
    });
    Ok(())
}

struct Following {
    api: Arc<Api>,
    own_issuers: Vec<String>,
    scope: Scope,
    /// What asks the issuers that are believed now.
    issuing: Scope,
    /// What was read last, good or bad.
    text: String,
}

impl Following {
    /// Changes over to what the file says now, if that is sound and its issuers answer.
    async fn look(&mut self, path: &Path) {
        let text = match tokio::fs::read_to_string(path).await {
            Ok(text) => text,
            Err(error) => return tracing::warn!(path = %path.display(), %error, "cannot read --authentication-config"),
        };
        if text == self.text {
            return;
        }
        let issuing = self.scope.child("issuers");
        match self.change(&text, &issuing).await {
            Ok(()) => {
                tracing::info!(path = %path.display(), "changed over to the new authentication configuration");
                std::mem::replace(&mut self.issuing, issuing).cancel();
                self.text = text;
            }
            Err((is_text_wrong, why)) => {
                tracing::warn!(path = %path.display(), why, "the new authentication configuration is not used");
                issuing.cancel();
                if is_text_wrong {
                    self.text = text;
                }
            }
        }
    }

    async fn change(&self, text: &str, issuing: &Scope) -> Result<(), (bool, String)> {
        let config = Config::parse(text, &self.own_issuers).map_err(|why| (true, why))?;
        let issuers = Issuers::new(config, issuing).map_err(|why| (true, why))?;
        issuers.refresh().await.map_err(|why| (false, why))?;
        issuers.follow(issuing);
        self.api.authn.believe(issuers);
        Ok(())
    }
}
