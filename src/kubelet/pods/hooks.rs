//! What is done to a container right after its start and right before its end.

use std::time::Duration;

use crate::kubelet::context::Context;
use crate::kubelet::probes::run::http_request;
use crate::kubelet::spec::container::Handler;
use crate::kubelet::spec::{Container, Pod};

const USER_AGENT: &str = "kube-lifecycle/1.36";

/// Runs a hook, at most for `limit`. `Err` is what to tell about its failure.
pub async fn run(
    ctx: &Context,
    pod: &Pod,
    container: &Container,
    container_id: &str,
    pod_ip: &str,
    hook: &Handler,
    limit: Duration,
) -> Result<(), String> {
    let place = || format!("for Container {:?} in Pod {:?}", container.name, pod.display());
    if let Some(exec) = &hook.exec {
        let command = exec.command.join(" ");
        return match ctx.cri.exec_sync(container_id, &exec.command, limit).await {
            Ok(done) if done.exit_code == 0 => Ok(()),
            Ok(done) => {
                let output = [done.stdout, done.stderr].concat();
                Err(format!(
                    "Exec lifecycle hook ([{command}]) {} failed - error: command '{command}' exited with {}: {}, message: {:?}",
                    place(),
                    done.exit_code,
                    String::from_utf8_lossy(&output),
                    String::from_utf8_lossy(&output)
                ))
            }
            Err(error) => Err(format!("Exec lifecycle hook ([{command}]) {} failed - error: {error}", place())),
        };
    }
    if let Some(get) = &hook.http_get {
        let failed = |why: String| format!("HTTP lifecycle hook ({}) {} failed - error: {why}", get.path, place());
        let request = http_request(get, container, pod_ip, USER_AGENT);
        let request = request.ok_or_else(|| failed("couldn't find its port".into()))?;
        // Whatever the answer is, the hook was told.
        return match request.send(limit).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(error.to_string())),
        };
    }
    if let Some(sleep) = &hook.sleep {
        tokio::time::sleep(Duration::from_secs(sleep.seconds).min(limit)).await;
    }
    Ok(())
}
