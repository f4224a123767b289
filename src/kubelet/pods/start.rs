//! Making sandboxes and starting containers.

use std::fs;
use std::time::Duration;

use k8s_cri::v1::PodSandboxConfig;
use tokio::sync::Mutex;

use super::env;
use super::hooks;
use super::make::resolv::ClusterDns;
use super::make::sandbox::Hostname;
use super::make::{self, hosts};
use super::plan::{Failure, Waiting};
use super::seen::Seen;
use super::sources::{self, Wanted};
use crate::base::service::Scope;
use crate::kubelet::cgroups::{amounts, qos::QosClass};
use crate::kubelet::context::Context;
use crate::kubelet::cri::CriError;
use crate::kubelet::images::{Asked, Images, NoImage};
use crate::kubelet::spec::{Container, Pod, Role};
use crate::kubelet::volumes::{self, Mounted};
use crate::object::view::Service;

/// When a start that failed is tried again, unless something changes before.
const RETRY: Duration = Duration::from_secs(10);

/// Longest a postStart hook is waited for; its container is not started before.
const POST_START_LIMIT: Duration = Duration::from_secs(3600);

/// What the runtime is told about the pod's sandbox number `attempt`.
pub fn sandbox_config(ctx: &Context, pod: &Pod, attempt: u32) -> PodSandboxConfig {
    let host = fs::read_to_string(&ctx.config.host_resolv_conf).unwrap_or_default();
    let cluster = ClusterDns { servers: ctx.config.cluster_dns.clone(), domain: ctx.config.cluster_domain.clone() };
    let dns = make::resolv::dns_config(pod, &cluster, &host);
    let parent = match &ctx.cgroups {
        Some(cgroups) => cgroups.pod_path(pod.uid(), QosClass::of(&pod.spec)),
        None => String::new(),
    };
    make::sandbox::config(pod, attempt, &ctx.paths, &parent, dns, &ctx.config.cluster_domain)
}

/// Makes the pod's directories and control group, then its sandbox.
pub async fn sandbox(ctx: &Context, calls: &Mutex<()>, pod: &Pod, attempt: u32) -> Result<String, CriError> {
    if let Some(cgroups) = &ctx.cgroups {
        let path = cgroups.pod_path(pod.uid(), QosClass::of(&pod.spec));
        if let Err(error) = cgroups.make_pod(&path, &amounts::of_pod(&pod.spec)) {
            tracing::warn!(pod = %pod.display(), %error, "cannot limit the pod");
        }
    }
    let config = sandbox_config(ctx, pod, attempt);
    let logs = &config.log_directory;
    if let Err(error) = fs::create_dir_all(logs) {
        tracing::warn!(logs, %error, "cannot make the log directory");
    }
    let handler = match pod.spec.runtime_class_name.as_deref().filter(|name| !name.is_empty()) {
        Some(class) => runtime_handler(ctx, class).await,
        None => String::new(),
    };
    let _whole = calls.lock().await;
    ctx.cri.run_sandbox(config, &handler).await
}

async fn runtime_handler(ctx: &Context, class: &str) -> String {
    use crate::object::TreePath;
    let found = ctx.client.find(&crate::object::kind::RUNTIME_CLASS, "", class).await;
    // An unknown class becomes an unknown handler, which the runtime refuses by its name.
    found.ok().flatten().map_or_else(|| class.to_owned(), |object| object.tree().text("handler").to_owned())
}

/// Starts a container in the pod's newest sandbox.
pub async fn container(
    ctx: &Context,
    images: &Images,
    calls: &Mutex<()>,
    pod: &Pod,
    container: &Container,
    role: Role,
    attempt: u32,
    seen: &Seen,
    volumes: &Mounted,
) -> Result<(), Failure> {
    let Some(sandbox) = seen.sandboxes.first() else { return Ok(()) };
    let sandbox_config = sandbox_config(ctx, pod, sandbox.attempt);
    let name = Some(container.name.as_str());
    let no_image = |missing: NoImage| {
        ctx.tell(pod, name, true, "Failed", format!("Error: {}", missing.waiting.reason));
        Failure { waiting: missing.waiting, retry_at: missing.retry_at }
    };
    let image = images.ensure(ctx, pod, Asked::by(container), &sandbox_config).await.map_err(no_image)?;
    let mut volumes = volumes.clone();
    volumes::image::set_up(ctx, images, pod, container, &sandbox_config, &mut volumes).await.map_err(no_image)?;
    let failed = |reason: &str, message: String| {
        ctx.tell(pod, name, true, "Failed", format!("Error: {message}"));
        Failure { waiting: Waiting::new(reason, message), retry_at: ctx.now() + RETRY }
    };
    let config_failed = |message: String| failed("CreateContainerConfigError", message);

    if let Some(complaint) = make::security::root_complaint(pod, container, &image) {
        return Err(config_failed(complaint));
    }
    let env = environment(ctx, pod, container, seen).await.map_err(config_failed)?;
    let target = match (role, container.target_container_name.as_str()) {
        (Role::Ephemeral, target) if !target.is_empty() => {
            let running = seen.newest(target).filter(|instance| instance.is_running());
            let missing = || config_failed(format!("unable to find target container {target:?}"));
            Some(running.ok_or_else(missing)?.id.clone())
        }
        _ => None,
    };
    let hosts = hosts_file(ctx, pod, &sandbox.ips);
    let mounts = {
        let (pod, container) = (pod.clone(), container.clone());
        let (env, paths) = (env.clone(), ctx.paths.clone());
        let prepare = move || {
            make::mounts::of_container(&pod, &container, attempt, &volumes, &env, &paths, Some(&hosts))
                .map_err(|error| crate::base::error::Chain(&error).to_string())
        };
        Scope::blocking(prepare).await.map_err(config_failed)?
    };
    let log_dir = ctx.paths.pod_log_dir(pod.namespace(), pod.name(), pod.uid());
    if let Err(error) = fs::create_dir_all(log_dir.join(&container.name)) {
        return Err(failed("CreateContainerError", format!("cannot make the log directory: {error}")));
    }
    let parts = make::container::Parts {
        attempt,
        image: &image,
        env: &env,
        mounts,
        target_id: target.as_deref(),
        memory_capacity: ctx.memory_bytes as i64,
        paths: &ctx.paths,
    };
    let config = make::container::config(pod, container, parts);
    let whole = calls.lock().await;
    let id = match ctx.cri.create_container(&sandbox.id, config, sandbox_config).await {
        Ok(id) => id,
        Err(error) => return Err(failed("CreateContainerError", error.message())),
    };
    ctx.tell(pod, name, false, "Created", "Container created".into());
    if let Err(error) = ctx.cri.start_container(&id).await {
        return Err(failed("RunContainerError", error.message()));
    }
    drop(whole);
    ctx.tell(pod, name, false, "Started", "Container started".into());
    link_log(ctx, pod, container, attempt, &id);
    match &container.lifecycle.post_start {
        Some(hook) => {
            let pod_ip = sandbox.ips.first().cloned().unwrap_or_default();
            let run = hooks::run(ctx, pod, container, &id, &pod_ip, hook, POST_START_LIMIT).await;
            let Err(message) = run else { return Ok(()) };
            ctx.tell(pod, name, true, "FailedPostStartHook", "PostStartHook failed".into());
            ctx.tell(pod, name, false, "Killing", "FailedPostStartHook".into());
            let _ = ctx.cri.stop_container(&id, pod.grace_seconds()).await;
            Err(Failure { waiting: Waiting::new("PostStartHookError", message), retry_at: ctx.now() })
        }
        None => Ok(()),
    }
}

async fn environment(ctx: &Context, pod: &Pod, container: &Container, seen: &Seen) -> Result<env::Env, String> {
    let wanted = Wanted::by_env(container);
    let sources = sources::fetch(&ctx.client, pod.namespace(), &wanted).await.map_err(|status| status.message)?;
    let snap = ctx.cache.snapshot();
    let own = match pod.spec.enable_service_links {
        Some(false) => Vec::new(),
        _ => snap.list::<Service>(pod.namespace()),
    };
    let api_server = snap.find::<Service>("default", "kubernetes");
    let named = api_server.iter().chain(own.iter()).map(|service| (service.name(), &**service));
    let services = env::of_services(named);
    let ips = seen.sandboxes.first().map(|sandbox| sandbox.ips.clone()).unwrap_or_default();
    env::environment(pod, container, &services, &sources, &ctx.on_node(&ips)).map_err(|error| error.to_string())
}

fn hosts_file(ctx: &Context, pod: &Pod, ips: &[String]) -> String {
    if pod.spec.host_network {
        let host = fs::read_to_string("/etc/hosts").unwrap_or_default();
        return hosts::of_host(&host, &pod.spec.host_aliases);
    }
    let hostname = Hostname::of(pod, &ctx.config.cluster_domain);
    hosts::of_pod(ips, &hostname.name, &hostname.domain, &pod.spec.host_aliases)
}

/// Log collectors look for `<pod>_<namespace>_<container>-<id>.log`.
fn link_log(ctx: &Context, pod: &Pod, container: &Container, attempt: u32, id: &str) {
    let log = ctx
        .paths
        .pod_log_dir(pod.namespace(), pod.name(), pod.uid())
        .join(make::container::log_path(&container.name, attempt));
    let name = format!("{}_{}_{}-{id}.log", pod.name(), pod.namespace(), container.name);
    let link = ctx.paths.container_logs.join(name);
    let _ = fs::create_dir_all(&ctx.paths.container_logs);
    let _ = std::os::unix::fs::symlink(log, link);
}
