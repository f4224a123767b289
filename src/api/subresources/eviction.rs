//! `pods/eviction`: a deletion that asks the pod's disruption budget first.

use crate::api::pipeline::Api;
use crate::api::pipeline::act::Act;
use crate::api::pipeline::update::Part;
use crate::object::status::{Cause, Details};
use crate::object::tree::{Tree, TreePath, json};
use crate::object::view::PodDisruptionBudget;
use crate::object::{Answer, Body, Call, GroupResource, ObjectRef, Reason, Reply, Status, Target, Verb};
use crate::store::KeyRange;

const BUDGETS: &str = "poddisruptionbudgets";
const REFUSED: &str = "Cannot evict pod as it would violate the pod's disruption budget.";
const DISRUPTED_PODS_MAX: usize = 2_000;

pub async fn evict(api: &Api, mut act: Act) -> Result<Answer, Status> {
    let eviction = match act.call.body {
        Body::None => json!({}),
        _ => api.decode_as(&mut act, "policy/v1", "Eviction")?,
    };
    let name = act.name().to_owned();
    let stated = eviction.text("metadata.name");
    if !stated.is_empty() && stated != name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let mut options = eviction.get("deleteOptions").cloned().unwrap_or_else(|| json!({}));
    if act.is_dry_run() {
        options["dryRun"] = json!(["All"]);
    }
    let dry_run = !options.items("dryRun").is_empty();
    act.call.options.dry_run = dry_run;

    let pod = api.state().get(&act.key()).cloned().ok_or_else(|| act.not_found())?;
    if !is_beyond_budgets(&pod) {
        let budgets = budgets_of(api, &pod);
        match budgets.as_slice() {
            [] => (),
            [budget] => spend(api, &act, budget, &pod, dry_run).await?,
            _ => {
                let message =
                    "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Status::new(Reason::Unknown, message));
            }
        }
    }
    if !dry_run {
        mark(api, &act).await?;
    }
    let target = Target { subresource: String::new(), ..act.call.target.clone() };
    let delete = Call { verb: Verb::Delete, target, body: Body::Tree(options), ..act.call.clone() };
    api.run_boxed(delete).await?;
    let done = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Answer { reply: Reply::Success(done), warnings: act.warnings })
}

/// Pods that do no work any more, or not yet, may go whatever budgets say.
fn is_beyond_budgets(pod: &ObjectRef) -> bool {
    let phase = pod.tree().text("status.phase").to_owned();
    matches!(phase.as_str(), "Succeeded" | "Failed" | "Pending") || pod.meta().is_deleting()
}

fn budgets_of(api: &Api, pod: &ObjectRef) -> Vec<ObjectRef> {
    let resource = GroupResource::new("policy", BUDGETS);
    let state = api.state();
    let all = state.range(&KeyRange::namespace(&resource, pod.key().namespace())).cloned().collect::<Vec<_>>();
    all.into_iter()
        .filter(|budget| {
            let selector = &budget.view::<PodDisruptionBudget>().spec.selector;
            selector.as_ref().is_some_and(|selector| selector.matches(&pod.meta().labels))
        })
        .collect()
}

/// Takes one disruption from the budget, or says why there is none.
async fn spend(api: &Api, act: &Act, budget: &ObjectRef, pod: &ObjectRef, dry_run: bool) -> Result<(), Status> {
    let tree = budget.tree();
    let is_ready = pod
        .tree()
        .items("status.conditions")
        .iter()
        .any(|condition| condition.text("type") == "Ready" && condition.text("status") == "True");
    if !is_ready {
        let (current, desired) = (tree.int("status.currentHealthy"), tree.int("status.desiredHealthy"));
        let healthy_enough = current >= desired && desired.unwrap_or(0) > 0;
        if tree.text("spec.unhealthyPodEvictionPolicy") == "AlwaysAllow" || healthy_enough {
            return Ok(());
        }
    }
    check(&tree)?;
    if dry_run {
        return Ok(());
    }
    let target = Target {
        group: "policy".into(),
        version: "v1".into(),
        resource: BUDGETS.into(),
        namespace: budget.key().namespace().into(),
        name: budget.key().name().into(),
        subresource: "status".into(),
    };
    let call = Call { verb: Verb::Update, target, body: Body::None, options: Default::default(), ..act.call.clone() };
    let mut status = Act::find(&api.registry, call)?;
    status.tracks_fields = false;
    let (now, name) = (api.now(), pod.key().name().to_owned());
    api.change(status, Part::Status, |_, _, old| {
        let mut tree = old.tree();
        check(&tree)?;
        let left = tree.int("status.disruptionsAllowed").unwrap_or(0) - 1;
        tree.set("status.disruptionsAllowed", left);
        if !tree.has("status.disruptedPods") {
            tree.set("status.disruptedPods", json!({}));
        }
        if let Some(pods) = tree.at_mut("status.disruptedPods").and_then(Tree::as_object_mut) {
            pods.insert(name.clone().into(), now.into());
        }
        if left == 0 {
            set_insufficient(&mut tree, now.to_string());
        }
        Ok(tree)
    })
    .await
    .map(drop)
}

fn check(budget: &Tree) -> Result<(), Status> {
    let name = budget.text("metadata.name");
    let int = |path: &str| budget.int(path).unwrap_or(0);
    if int("status.observedGeneration") < int("metadata.generation") {
        return Err(refused(&format!("The disruption budget {name} is still being processed by the server."), 10));
    }
    let resource = GroupResource::new("policy", "poddisruptionbudget");
    let allowed = int("status.disruptionsAllowed");
    if allowed < 0 {
        return Err(Status::forbidden(&resource, name, "pdb disruptions allowed is negative"));
    }
    if budget.map("status.disruptedPods").is_some_and(|pods| pods.len() > DISRUPTED_PODS_MAX) {
        let why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller";
        return Err(Status::forbidden(&resource, name, why));
    }
    if allowed > 0 {
        return Ok(());
    }
    let conditions = budget.items("status.conditions");
    let failing = conditions.iter().find(|condition| {
        condition.text("type") == "DisruptionAllowed"
            && condition.text("status") == "False"
            && !condition.text("message").is_empty()
    });
    let (current, desired) = (int("status.currentHealthy"), int("status.desiredHealthy"));
    let why = match failing {
        Some(failed) if failed.text("reason") == "SyncFailed" => format!(
            "The disruption budget {name} does not allow evicting pods currently because it failed sync: {}",
            failed.text("message")
        ),
        _ if current <= desired => {
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently")
        }
        Some(failed) => format!(
            "The disruption budget {name} does not allow evicting pods currently ({}): {}",
            failed.text("reason"),
            failed.text("message")
        ),
        None => format!("The disruption budget {name} does not allow evicting pods currently"),
    };
    Err(refused(&why, 0))
}

fn refused(why: &str, retry_after_seconds: u32) -> Status {
    let cause = Cause { reason: "DisruptionBudget".into(), message: why.into(), field: String::new() };
    Status::new(Reason::TooManyRequests, REFUSED).with_details(Details {
        causes: vec![cause],
        retry_after_seconds,
        ..Details::default()
    })
}

fn set_insufficient(budget: &mut Tree, now: String) {
    let generation = budget.int("metadata.generation").unwrap_or(0);
    let mut conditions = budget.items("status.conditions").to_vec();
    conditions.retain(|condition| condition.text("type") != "DisruptionAllowed");
    conditions.push(json!({
        "type": "DisruptionAllowed", "status": "False", "observedGeneration": generation,
        "lastTransitionTime": now, "reason": "InsufficientPods", "message": "",
    }));
    budget.set("status.conditions", conditions);
}

/// Says in the pod's status why it ends.
async fn mark(api: &Api, act: &Act) -> Result<(), Status> {
    let target = Target { subresource: "status".into(), ..act.call.target.clone() };
    let call = Call { verb: Verb::Update, target, body: Body::None, ..act.call.clone() };
    let now = api.now().to_string();
    let mut status = Act::find(&api.registry, call)?;
    status.tracks_fields = false;
    api.change(status, Part::Status, |_, _, old| {
        let mut pod = old.tree();
        let mut conditions = pod.items("status.conditions").to_vec();
        conditions.retain(|condition| condition.text("type") != "DisruptionTarget");
        conditions.push(json!({
            "type": "DisruptionTarget", "status": "True", "lastProbeTime": Tree::Null, "lastTransitionTime": now,
            "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
        }));
        pod.set("status.conditions", conditions);
        Ok(pod)
    })
    .await
    .map(drop)
}
