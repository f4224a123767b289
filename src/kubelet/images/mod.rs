//! Images: present, pulled, or the reason why not; one pull at a time.

pub mod auth;
pub mod collect;

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use k8s_cri::v1::{Image, PodSandboxConfig};

use super::context::Context;
use super::pods::backoff::{BackOff, go_duration};
use super::pods::plan::Waiting;
use super::pods::sources::{self, Wanted};
use super::spec::{Container, Pod};
use crate::object::Timestamp;

/// Shared by all workers of the node.
pub struct Images {
    /// Pulls are in series: one slow disk and one network are shared by all.
    turn: tokio::sync::Mutex<()>,
    failures: Mutex<Failures>,
}

/// Pulls that failed, by pod and image.
#[derive(Default)]
struct Failures {
    waits: BackOff,
    last: HashMap<String, (Timestamp, String)>,
}

/// Why a container has no image, and when to look again.
#[derive(Debug)]
pub struct NoImage {
    pub waiting: Waiting,
    pub retry_at: Timestamp,
}

/// An image that is wanted.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    pub image: &'a str,
    /// Its pull policy.
    pub policy: &'a str,
    /// The container that events are about; without one they are about the pod.
    pub container: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub fn by(container: &'a Container) -> Self {
        Self { image: &container.image, policy: &container.image_pull_policy, container: Some(&container.name) }
    }
}

impl Default for Images {
    fn default() -> Self {
        Self { turn: tokio::sync::Mutex::new(()), failures: Mutex::default() }
    }
}

impl Images {
    /// The image that is asked for, pulled if its policy asks for it or if it is missing.
    pub async fn ensure(
        &self,
        ctx: &Context,
        pod: &Pod,
        asked: Asked<'_>,
        sandbox: &PodSandboxConfig,
    ) -> Result<Image, NoImage> {
        let name = asked.image;
        let present = match ctx.cri.image(name).await {
            Ok(present) => present,
            Err(error) => {
                let message = format!("Failed to inspect image {name:?}: {}", error.message());
                let invalid = error.message().contains("invalid reference format");
                let reason = if invalid { "InvalidImageName" } else { "ImageInspectError" };
                ctx.tell(pod, asked.container, true, "InspectFailed", message.clone());
                return Err(self.failed(ctx, reason, message));
            }
        };
        match (asked.policy, present) {
            ("Never", None) => {
                let message = format!("Container image {name:?} is not present with pull policy of Never");
                ctx.tell(pod, asked.container, true, "ErrImageNeverPull", message.clone());
                Err(self.failed(ctx, "ErrImageNeverPull", message))
            }
            ("Never" | "IfNotPresent" | "", Some(image)) => {
                let message =
                    format!("Container image {name:?} already present on machine and can be accessed by the pod");
                ctx.tell(pod, asked.container, false, "Pulled", message);
                Ok(image)
            }
            _ => self.pull(ctx, pod, asked, sandbox).await,
        }
    }

    fn failed(&self, ctx: &Context, reason: &str, message: String) -> NoImage {
        let retry_at = ctx.now() + std::time::Duration::from_secs(10);
        NoImage { waiting: Waiting::new(reason, message), retry_at }
    }

    async fn pull(
        &self,
        ctx: &Context,
        pod: &Pod,
        asked: Asked<'_>,
        sandbox: &PodSandboxConfig,
    ) -> Result<Image, NoImage> {
        let name = asked.image;
        let key = format!("{}_{name}", pod.uid());
        if let Some(no_image) = self.still_waiting(ctx, &key, name) {
            let message = no_image.waiting.message.split(": ").next().unwrap_or_default().to_owned();
            ctx.tell(pod, asked.container, false, "BackOff", message);
            return Err(no_image);
        }
        let asked_at = ctx.clock.elapsed();
        ctx.tell(pod, asked.container, false, "Pulling", format!("Pulling image {name:?}"));
        let turn = self.turn.lock().await;
        let began = ctx.clock.elapsed();
        let pulled = self.try_credentials(ctx, pod, name, sandbox).await;
        let ended = ctx.clock.elapsed();
        drop(turn);
        match pulled {
            Ok(image) => {
                self.lock().forget(&key);
                let message = format!(
                    "Successfully pulled image {name:?} in {} ({} including waiting). Image size: {} bytes.",
                    short(ended - began),
                    short(ended - asked_at),
                    image.size
                );
                ctx.tell(pod, asked.container, false, "Pulled", message);
                Ok(image)
            }
            Err(message) => {
                let told = format!("Failed to pull image {name:?}: {message}");
                ctx.tell(pod, asked.container, true, "Failed", told.clone());
                let now = ctx.now();
                self.lock().remember(&key, &message, now);
                // The next look comes at once, and finds the pull to be backed off.
                Err(NoImage { waiting: Waiting::new("ErrImagePull", message), retry_at: now })
            }
        }
    }

    /// Tries the pod's credentials one after another, then none.
    async fn try_credentials(
        &self,
        ctx: &Context,
        pod: &Pod,
        name: &str,
        sandbox: &PodSandboxConfig,
    ) -> Result<Image, String> {
        let secrets = crate::kubelet::spec::container::names(&pod.spec.image_pull_secrets);
        let wanted = Wanted { secrets: secrets.into_iter().map(str::to_owned).collect(), ..Wanted::default() };
        let found = match sources::fetch(&ctx.client, pod.namespace(), &wanted).await {
            Ok(found) => found.secrets,
            Err(status) => return Err(format!("cannot read the image pull secrets: {status}")),
        };
        let missing: Vec<String> =
            found.iter().filter(|(_, entries)| entries.is_none()).map(|(name, _)| name.clone()).collect();
        if !missing.is_empty() {
            let message = format!(
                "Unable to retrieve some image pull secrets ({}); attempting to pull the image may not succeed.",
                missing.join(", ")
            );
            ctx.tell(pod, None, true, "FailedToRetrieveImagePullSecret", message);
        }
        let entries: Vec<_> = found.into_values().flatten().collect();
        let credentials = auth::matching(name, &entries);
        let mut attempts: Vec<_> = credentials.into_iter().map(Some).collect();
        if attempts.is_empty() {
            attempts.push(None);
        }
        let mut last = String::new();
        for credential in attempts {
            match ctx.cri.pull(name, credential, Some(sandbox.clone())).await {
                Ok(reference) => {
                    let image = ctx.cri.image(&reference).await.map_err(|error| error.message())?;
                    return image.ok_or_else(|| format!("{reference} is gone right after it was pulled"));
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(last)
    }

    fn still_waiting(&self, ctx: &Context, key: &str, name: &str) -> Option<NoImage> {
        let failures = self.lock();
        let (failed_at, message) = failures.last.get(key)?;
        let wait = failures.waits.waiting(key, *failed_at, ctx.now())?;
        let message = format!("Back-off pulling image {name:?}: ErrImagePull: {message}");
        Some(NoImage { waiting: Waiting::new("ImagePullBackOff", message), retry_at: wait.until })
    }

    /// Forgets what failed for a pod that is gone.
    pub fn forget_pod(&self, uid: &str) {
        let prefix = format!("{uid}_");
        let mut failures = self.lock();
        let keys: Vec<String> = failures.last.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        for key in keys {
            failures.forget(&key);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failures {
    fn remember(&mut self, key: &str, message: &str, now: Timestamp) {
        let failed_at = self.last.get(key).map_or(now, |(at, _)| *at);
        self.waits.tried(key, failed_at, now);
        self.last.insert(key.to_owned(), (now, message.to_owned()));
    }

    fn forget(&mut self, key: &str) {
        self.waits.clear(key);
        self.last.remove(key);
    }
}

/// As Go prints it, to the millisecond.
fn short(duration: std::time::Duration) -> String {
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{}s", duration.as_millis() as f64 / 1000.0),
        _ => go_duration(duration),
    }
}
