//! Keeping what is sealed with what true: to the file of rules, and to the KMS plugins in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::now_secs;
use crate::base::error::Chain;
use crate::base::service::Scope;
use crate::security::encryption::config::Config;
use crate::security::encryption::{EncryptionError, Keyring};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often plugins are asked: as upstream does, every minute, and sooner when one is not well.
const ASK_EVERY: u32 = 6;

/// Follows the file at `path` until the scope stops.
pub fn watch(scope: &Scope, keyring: Arc<Keyring>, path: PathBuf) {
    let inner = scope.clone();
    scope.spawn("encryption rules", async move {
        tokio::select! {
            () = follow(&keyring, &path) => (),
            () = inner.stopping() => (),
        }
    });
}

async fn follow(keyring: &Keyring, path: &PathBuf) {
    let mut seen = std::fs::read(path).ok();
    for round in 1u32.. {
        tokio::time::sleep(LOOK_EVERY).await;
        let found = std::fs::read(path).ok();
        let is_settled = found == seen || reload(keyring, path).await;
        if is_settled {
            seen = found;
        }
        let is_time = round.is_multiple_of(ASK_EVERY) || keyring.health().is_err() || !is_settled;
        if is_time && keyring.has_plugins() {
            keyring.look_after_plugins(now_secs()).await;
        }
    }
}

/// Lets what is in the file count. False if another try may end better.
async fn reload(keyring: &Keyring, path: &PathBuf) -> bool {
    let stays = |error: &(dyn std::error::Error + 'static)| {
        tracing::error!(error = %Chain(error), path = %path.display(), "what is encrypted stays as it was");
    };
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(error) => {
            stays(&error);
            return true;
        }
    };
    match keyring.configure(Some(config), now_secs(), false).await {
        Ok(()) => tracing::info!(path = %path.display(), "what is encrypted has changed"),
        Err(error) => {
            stays(&error);
            return !matches!(error, EncryptionError::Kms(_));
        }
    }
    true
}
