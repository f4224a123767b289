//! Changing what a running container may use, without a restart where its policy allows that.

use std::collections::HashMap;

use super::allocate;
use super::seen::Seen;
use crate::kubelet::cgroups::{amounts, qos::QosClass};
use crate::kubelet::context::Context;
use crate::kubelet::spec::{Container, Pod, Resources};

/// What each running instance was last given, by its id.
pub type Applied = HashMap<String, Resources>;

/// What is told of a pod's resizing.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub in_progress: bool,
    pub applied: Applied,
}

/// An instance whose specification asks for something else than it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resize {
    pub id: String,
    pub name: String,
    pub needs_restart: bool,
}

/// Notes instances seen for the first time as having what they ask for, and finds the others.
pub fn wanted(pod: &Pod, seen: &Seen, applied: &mut Applied) -> Vec<Resize> {
    applied.retain(|id, _| seen.instance(id).is_some_and(|instance| instance.is_running()));
    let mut found = Vec::new();
    for instance in seen.running() {
        let Some((_, container)) = pod.container(&instance.name) else { continue };
        match applied.get(&instance.id) {
            None => drop(applied.insert(instance.id.clone(), given_before(pod, container, &instance.id))),
            Some(given) if *given == container.resources => (),
            Some(given) => found.push(Resize {
                id: instance.id.clone(),
                name: instance.name.clone(),
                needs_restart: needs_restart(container, given),
            }),
        }
    }
    found
}

/// What an instance has that this process has not seen before: what the API was told of it, if it was
/// told of this very one, or what it was just made with.
fn given_before(pod: &Pod, container: &Container, id: &str) -> Resources {
    let lists = ["containerStatuses", "initContainerStatuses"];
    let mut statuses = lists.iter().filter_map(|list| pod.status.get(list)?.as_array()).flatten();
    let told = statuses.any(|status| status["containerID"].as_str().is_some_and(|told| told.ends_with(id)));
    let held = told.then(|| allocate::held_by_status(pod));
    let held = held.as_ref().and_then(|held| held.container(&container.name));
    held.map_or_else(|| container.resources.clone(), |(_, held)| held.resources.clone())
}

fn needs_restart(container: &Container, given: &Resources) -> bool {
    let changed = |name: &str| {
        container.resources.limits.get(name) != given.limits.get(name)
            || container.resources.requests.get(name) != given.requests.get(name)
    };
    let policies = container.resize_policy.iter();
    policies.filter(|policy| policy.restart_policy == "RestartContainer").any(|policy| changed(&policy.resource_name))
}

/// Gives running containers what they ask for now; the pod's own limits grow first and shrink last.
pub async fn apply(ctx: &Context, pod: &Pod, resizes: &[Resize], applied: &mut Applied) {
    limit_pod(ctx, pod);
    for resize in resizes.iter().filter(|resize| !resize.needs_restart) {
        let Some((_, container)) = pod.container(&resize.name) else { continue };
        let mut linux = amounts::of_container(pod, container, ctx.memory_bytes as i64);
        // Zero would leave an old limit as it is.
        if linux.cpu_quota == 0 {
            linux.cpu_quota = -1;
        }
        match ctx.cri.update_resources(&resize.id, linux).await {
            Ok(()) => drop(applied.insert(resize.id.clone(), container.resources.clone())),
            Err(error) => {
                tracing::warn!(pod = %pod.display(), container = resize.name, %error, "cannot resize a container");
                ctx.tell(pod, Some(&resize.name), true, "ResizeError", error.message());
            }
        }
    }
    limit_pod(ctx, pod);
}

/// Fails while a container still uses more than the new limit; the call after the resize settles it.
fn limit_pod(ctx: &Context, pod: &Pod) {
    let Some(cgroups) = &ctx.cgroups else { return };
    let path = cgroups.pod_path(pod.uid(), QosClass::of(&pod.spec));
    if let Err(error) = cgroups.make_pod(&path, &amounts::of_pod(&pod.spec)) {
        tracing::debug!(pod = %pod.display(), %error, "cannot change the pod's limits yet");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::pods::seen::{Instance, State};
    use crate::object::Timestamp;
    use serde_json::json;

    fn pod(cpu: &str, policy: &str) -> Pod {
        serde_json::from_value(json!({"spec": {"containers": [{
            "name": "c", "resources": {"requests": {"cpu": cpu}},
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": policy}],
        }]}}))
        .unwrap()
    }

    #[test]
    fn a_changed_amount_is_applied_as_its_policy_says() {
        let instance = Instance {
            id: "1".into(),
            name: "c".into(),
            attempt: 0,
            sandbox_id: String::new(),
            state: State::Running { started_at: Timestamp::UNIX_EPOCH },
            created_at: Timestamp::UNIX_EPOCH,
            image: String::new(),
            image_id: String::new(),
            spec_hash: String::new(),
            log_path: String::new(),
        };
        let seen = Seen { sandboxes: Vec::new(), instances: vec![instance] };
        let mut applied = Applied::default();
        assert_eq!(wanted(&pod("1", "NotRequired"), &seen, &mut applied), []);
        assert!(!wanted(&pod("2", "NotRequired"), &seen, &mut applied)[0].needs_restart);
        assert!(wanted(&pod("2", "RestartContainer"), &seen, &mut applied)[0].needs_restart);
        assert_eq!(wanted(&pod("1", "RestartContainer"), &seen, &mut applied), []);
    }
}
