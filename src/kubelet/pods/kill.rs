//! Stopping containers: hooks first, sidecars last, never without a moment to say goodbye.

use std::time::Duration;

use futures_util::future::join_all;

use super::hooks;
use super::plan::KillReason;
use super::seen::{Instance, Seen};
use crate::kubelet::context::Context;
use crate::kubelet::cri::CriError;
use crate::kubelet::spec::{Container, Pod, Role};

/// A container gets at least this long, whatever is left of its grace.
const GRACE_SECONDS_MIN: i64 = 2;

/// Stops everything the pod runs, then its sandboxes.
///
/// Main containers stop together; sidecars after them, the last started first, in what is left of
/// the grace period.
pub async fn pod(ctx: &Context, pod: &Pod, seen: &Seen, grace_seconds: i64) -> Result<(), CriError> {
    let began = ctx.clock.elapsed();
    let left = || grace_seconds - (ctx.clock.elapsed() - began).as_secs() as i64;
    let sidecar_rank = |instance: &Instance| {
        let init = pod.spec.init_containers.iter();
        init.rev().filter(|one| one.is_sidecar()).position(|one| one.name == instance.name)
    };
    let (mut sidecars, others): (Vec<_>, Vec<_>) =
        seen.instances.iter().filter(|one| one.exit().is_none()).partition(|one| sidecar_rank(one).is_some());
    join_all(others.into_iter().map(|one| container(ctx, pod, one, seen, grace_seconds, None))).await;
    sidecars.sort_by_key(|one| sidecar_rank(one));
    for sidecar in sidecars {
        container(ctx, pod, sidecar, seen, left().max(0), None).await;
    }
    for sandbox in seen.sandboxes.iter().filter(|sandbox| sandbox.is_ready) {
        ctx.cri.stop_sandbox(&sandbox.id).await?;
    }
    Ok(())
}

/// Stops one container. Failures are told and tried again by whoever finds it still running.
pub async fn container(
    ctx: &Context,
    pod: &Pod,
    instance: &Instance,
    seen: &Seen,
    grace_seconds: i64,
    why: Option<KillReason>,
) {
    let Some((role, spec)) = pod.container(&instance.name) else {
        let _ = ctx.cri.stop_container(&instance.id, GRACE_SECONDS_MIN).await;
        return;
    };
    let message = message(pod, role, spec, why);
    ctx.tell(pod, Some(&spec.name), false, "Killing", message);
    let began = ctx.clock.elapsed();
    if let Some(hook) = spec.lifecycle.pre_stop.as_ref().filter(|_| grace_seconds > 0 && instance.is_running()) {
        let limit = Duration::from_secs(grace_seconds as u64);
        let pod_ip = seen.sandboxes.first().and_then(|sandbox| sandbox.ips.first()).cloned().unwrap_or_default();
        let run = hooks::run(ctx, pod, spec, &instance.id, &pod_ip, hook, limit);
        if let Ok(Err(error)) = tokio::time::timeout(limit, run).await {
            tracing::debug!(pod = %pod.display(), container = spec.name, error, "preStop hook failed");
            ctx.tell(pod, Some(&spec.name), true, "FailedPreStopHook", "PreStopHook failed".into());
        }
    }
    let used = (ctx.clock.elapsed() - began).as_secs() as i64;
    let left = (grace_seconds - used).max(GRACE_SECONDS_MIN);
    if let Err(error) = ctx.cri.stop_container(&instance.id, left).await {
        tracing::warn!(pod = %pod.display(), container = spec.name, %error, "cannot stop a container");
        ctx.tell(pod, None, true, "FailedKillPod", format!("error killing pod: {error}"));
    }
}

fn message(pod: &Pod, role: Role, spec: &Container, why: Option<KillReason>) -> String {
    let kind = if role == Role::Init { "Init container" } else { "Container" };
    let name = &spec.name;
    let what = match why {
        None => return format!("Stopping container {name}"),
        Some(KillReason::LivenessFailed) => format!("{kind} {name} failed liveness probe"),
        Some(KillReason::StartupFailed) => format!("{kind} {name} failed startup probe"),
        Some(KillReason::Resized) => format!("{kind} {name} resize requires restart"),
        Some(KillReason::AllRestart) => format!("{kind} {name} is stopped because all containers restart"),
        Some(KillReason::SpecChanged) => format!("{kind} {name} definition changed"),
    };
    let restarts = spec.own_restart_policy().unwrap_or_else(|| pod.restart_policy()).restarts(1);
    if restarts { format!("{what}, will be restarted") } else { what }
}
