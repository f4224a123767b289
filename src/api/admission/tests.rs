//! What admission makes of whole requests.

use crate::api::tests::{World, world};
use crate::object::tree::{Tree, TreePath, json};

const NS: &str = "/api/v1/namespaces/default";

async fn made(world: &World, path: &str, body: Tree) -> Tree {
    let (code, answer) = world.send(&format!("POST {path}"), body).await;
    assert_eq!(code, 201, "{path}: {answer}");
    answer
}

fn named(kind: &str, name: &str) -> Tree {
    json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}})
}

/// A pod on the node `n1` that reads the secret `own`.
async fn pod_on_a_node(world: &World) -> Tree {
    made(world, &format!("{NS}/serviceaccounts"), named("ServiceAccount", "default")).await;
    made(world, "/api/v1/nodes", named("Node", "n1")).await;
    for name in ["own", "other"] {
        made(world, &format!("{NS}/secrets"), named("Secret", name)).await;
    }
    let spec = json!({
        "nodeName": "n1", "containers": [{"name": "c", "image": "x"}],
        "volumes": [{"name": "v", "secret": {"secretName": "own"}}],
    });
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
    made(world, &format!("{NS}/pods"), pod).await
}

async fn as_node(world: &World, line: &str, body: Tree) -> (u16, Tree) {
    let headers = [("impersonate-user", "system:node:n1"), ("impersonate-group", "system:nodes")];
    world.send_with(line, body, &headers).await
}

#[tokio::test]
async fn a_node_reads_the_secrets_of_its_own_pods_alone() {
    let world = world().await;
    pod_on_a_node(&world).await;
    assert_eq!(as_node(&world, &format!("GET {NS}/secrets/own"), Tree::Null).await.0, 200);
    let (code, told) = as_node(&world, &format!("GET {NS}/secrets/other"), Tree::Null).await;
    assert_eq!(code, 403);
    assert!(told.text("message").ends_with("no relationship found between node 'n1' and this object"), "{told}");
    assert_eq!(as_node(&world, &format!("GET {NS}/secrets"), Tree::Null).await.0, 403);
    assert_eq!(as_node(&world, &format!("GET {NS}/pods/gone"), Tree::Null).await.0, 404);
}

#[tokio::test]
async fn a_node_gets_tokens_that_are_bound_to_its_pods() {
    let world = world().await;
    let pod = pod_on_a_node(&world).await;
    let line = format!("POST {NS}/serviceaccounts/default/token");
    let bound = json!({"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod.text("metadata.uid")});
    let request = |spec: Tree| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let (code, answer) = as_node(&world, &line, request(json!({ "boundObjectRef": bound }))).await;
    assert_eq!(code, 201, "{answer}");
    let other = request(json!({ "boundObjectRef": bound, "audiences": ["vault"] }));
    let (code, told) = as_node(&world, &line, other).await;
    assert_eq!(code, 403);
    assert!(told.text("message").contains("audience \"vault\" not found in pod spec volume"), "{told}");
    let mut stranger = request(json!({}));
    stranger.set("metadata.uid", "other");
    let (code, told) = world.send(&line, stranger).await;
    assert_eq!((code, told.text("reason")), (409, "Conflict"));
    let (code, told) = as_node(&world, &line, request(json!({}))).await;
    assert_eq!((code, told.text("reason")), (403, "Forbidden"));
    assert!(told.text("message").ends_with("node requested token not bound to a pod"), "{told}");
}

#[tokio::test]
async fn a_quota_is_charged_with_the_write_and_refuses_what_is_over_it() {
    let world = world().await;
    let mut quota = named("ResourceQuota", "q");
    quota.set("spec.hard", json!({"configmaps": "1"}));
    let mut quota = made(&world, &format!("{NS}/resourcequotas"), quota).await;
    let line = format!("POST {NS}/configmaps");
    let (code, told) = world.send(&line, named("ConfigMap", "a")).await;
    assert_eq!(code, 201, "what is not counted yet is not limited: {told}");

    quota.set("status", json!({"hard": {"configmaps": "2"}, "used": {"configmaps": "1"}}));
    assert_eq!(world.send(&format!("PUT {NS}/resourcequotas/q/status"), quota).await.0, 200);
    assert_eq!(world.send(&format!("{line}?dryRun=All"), named("ConfigMap", "b")).await.0, 201);
    assert_eq!(world.send(&line, named("ConfigMap", "b")).await.0, 201);
    let used = world.send(&format!("GET {NS}/resourcequotas/q"), Tree::Null).await.1;
    assert_eq!(used["status"]["used"]["configmaps"], "2");
    let (code, told) = world.send(&line, named("ConfigMap", "c")).await;
    let wanted = "configmaps \"c\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2";
    assert_eq!((code, told.text("message")), (403, wanted));
}

#[tokio::test]
async fn policies_change_what_is_written() {
    let world = world().await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicy", "metadata": {"name": "m"},
        "spec": {
            "matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]},
            ]},
            "reinvocationPolicy": "Never",
            "mutations": [
                {"patchType": "ApplyConfiguration", "applyConfiguration": {
                    "expression": "Object{metadata: Object.metadata{labels: {'a': object.metadata.name}}}"}},
                {"patchType": "JSONPatch", "jsonPatch": {
                    "expression": "[JSONPatch{op: 'add', path: '/metadata/labels/b', value: 'x'}]"}},
            ],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": "b"}, "spec": {"policyName": "m"},
    });
    made(&world, &format!("{group}/mutatingadmissionpolicies"), policy).await;
    made(&world, &format!("{group}/mutatingadmissionpolicybindings"), binding).await;
    let map = made(&world, &format!("{NS}/configmaps"), named("ConfigMap", "c")).await;
    assert_eq!(map["metadata"]["labels"], json!({"a": "c", "b": "x"}));
}

#[tokio::test]
async fn a_claim_grows_when_it_is_bound_and_its_class_lets_it() {
    let world = world().await;
    let class = json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "fixed"}, "provisioner": "x",
    });
    made(&world, "/apis/storage.k8s.io/v1/storageclasses", class.clone()).await;
    let mut growing = class;
    growing.set("metadata.name", "growing");
    growing.set("allowVolumeExpansion", true);
    made(&world, "/apis/storage.k8s.io/v1/storageclasses", growing).await;
    let grow = async |name: &str, bound: bool| {
        let mut claim = named("PersistentVolumeClaim", name);
        claim.set(
            "spec",
            json!({
                "storageClassName": name, "accessModes": ["ReadWriteOnce"], "volumeName": "v",
                "resources": {"requests": {"storage": "1Gi"}},
            }),
        );
        let (code, mut claim) = match bound {
            false => world.send(&format!("POST {NS}/persistentvolumeclaims"), claim).await,
            true => world.send(&format!("GET {NS}/persistentvolumeclaims/{name}"), Tree::Null).await,
        };
        assert!(code < 300, "{claim}");
        if bound {
            claim.set("status.phase", "Bound");
            let line = format!("PUT {NS}/persistentvolumeclaims/{name}/status");
            claim = world.send(&line, claim).await.1;
        }
        claim.set("spec.resources.requests.storage", "2Gi");
        let (code, told) = world.send(&format!("PUT {NS}/persistentvolumeclaims/{name}"), claim).await;
        (code, told.text("message").to_owned())
    };
    let (code, told) = grow("fixed", false).await;
    assert!(code >= 400 && told.contains("bound claims"), "{told}");
    let (code, told) = grow("fixed", true).await;
    let wanted = "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must \
                  support resize";
    assert_eq!(
        (code, told.as_str()),
        (403, format!("persistentvolumeclaims \"fixed\" is forbidden: {wanted}").as_str())
    );
    grow("growing", false).await;
    assert_eq!(grow("growing", true).await.0, 200);
}

#[tokio::test]
async fn a_pod_grows_no_larger_than_its_node() {
    let world = world().await;
    pod_on_a_node(&world).await;
    let mut node = world.send("GET /api/v1/nodes/n1", Tree::Null).await.1;
    node.set("status.allocatable", json!({"cpu": "2", "memory": "1Gi"}));
    assert_eq!(world.send("PUT /api/v1/nodes/n1/status", node).await.0, 200);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "image": "x", "resources": {"requests": {"cpu": "1"}}}]},
    });
    made(&world, &format!("{NS}/pods"), pod).await;
    let resize = async |cpu: &str| {
        let mut pod = world.send(&format!("GET {NS}/pods/q"), Tree::Null).await.1;
        pod["spec"]["containers"][0].set("resources.requests.cpu", cpu);
        world.send(&format!("PUT {NS}/pods/q/resize"), pod).await
    };
    assert_eq!(resize("2").await.0, 200);
    let (code, told) = resize("3").await;
    let why = "node didn't have enough allocatable resources: cpu, requested: 3000, allocatable: 2000";
    assert_eq!((code, told.text("message")), (403, format!("pods \"q\" is forbidden: {why}").as_str()));
    assert_eq!(told["details"]["causes"], json!([{"reason": "NodeCapacity"}]));
}

#[tokio::test]
async fn plugins_are_measured_by_their_names() {
    let world = world().await;
    made(&world, &format!("{NS}/configmaps"), named("ConfigMap", "a")).await;
    let page = world.api.metrics.render();
    let family = "apiserver_admission_controller_admission_duration_seconds_count";
    for (name, step) in [("NamespaceLifecycle", "admit"), ("PodSecurity", "validate")] {
        let line = format!("{family}{{name=\"{name}\",type=\"{step}\",operation=\"CREATE\",rejected=\"false\"}} ");
        assert!(page.contains(&line), "{line}\n{page}");
    }
    assert!(!page.contains("name=\"PersistentVolumeClaimResize\""), "it is only asked about updates");
    let missing = "POST /api/v1/namespaces/none/configmaps";
    assert_eq!(world.send(missing, named("ConfigMap", "a")).await.0, 404);
    let line =
        format!("{family}{{name=\"NamespaceLifecycle\",type=\"admit\",operation=\"CREATE\",rejected=\"true\"}} 1\n");
    assert!(world.api.metrics.render().contains(&line), "{line}");
}

#[tokio::test]
async fn a_write_is_asked_of_those_that_have_something_to_say_about_it() {
    let world = world().await;
    made(&world, &format!("{NS}/configmaps"), named("ConfigMap", "c")).await;
    let counts = async || {
        let page = world.send("GET /metrics", Tree::Null).await.1;
        let name = "apiserver_admission_controller_admission_duration_seconds_count";
        let lines: Vec<String> =
            page.as_str().unwrap().lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect();
        let of = move |plugin: &str, step: &str| {
            let labels = format!("{{name=\"{plugin}\",type=\"{step}\",operation=\"CREATE\",rejected=\"false\"}} ");
            lines.iter().find_map(|line| line.split_once(labels.as_str())?.1.parse::<u32>().ok()).unwrap_or_default()
        };
        of
    };
    let before = counts().await;
    assert_eq!(before("NamespaceLifecycle", "admit"), 2, "of a namespace and a config map");
    for plugin in ["LimitRanger", "ServiceAccount", "Priority", "PodSecurity", "DefaultStorageClass"] {
        assert_eq!(before(plugin, "admit"), 0, "{plugin} has nothing to say about either");
    }
    assert_eq!(before("PodSecurity", "validate"), 1, "of the namespace");

    pod_on_a_node(&world).await;
    let after = counts().await;
    for (plugin, step) in [
        ("LimitRanger", "admit"),
        ("LimitRanger", "validate"),
        ("ServiceAccount", "admit"),
        ("Priority", "admit"),
        ("DefaultTolerationSeconds", "admit"),
        ("RuntimeClass", "validate"),
        ("PodTopologyLabels", "admit"),
        ("TaintNodesByCondition", "admit"),
    ] {
        assert_eq!(after(plugin, step), 1, "{plugin} {step}: of the pod, or the node");
    }
    assert_eq!(after("PodSecurity", "validate"), 2);
}

/// What comes of a ConfigMap where a policy with these expressions is bound.
async fn policy(world: &World, validation: &str, conditions: &[&str]) -> String {
    let group = "/apis/admissionregistration.k8s.io/v1";
    let named = |(at, expression): (usize, &&str)| json!({"name": format!("c{at}"), "expression": expression});
    let conditions: Vec<Tree> = conditions.iter().enumerate().map(named).collect();
    let rule = json!({"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]});
    let object = |kind: &str, spec: Tree| json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "p"}, "spec": spec});
    let spec = json!({
        "matchConstraints": {"resourceRules": [rule]}, "matchConditions": conditions,
        "validations": [{"expression": validation}],
    });
    made(world, &format!("{group}/validatingadmissionpolicies"), object("ValidatingAdmissionPolicy", spec)).await;
    let spec = json!({"policyName": "p", "validationActions": ["Deny"]});
    let path = format!("{group}/validatingadmissionpolicybindings");
    made(world, &path, object("ValidatingAdmissionPolicyBinding", spec)).await;
    let (code, told) = world.send(&format!("POST {NS}/configmaps"), self::named("ConfigMap", "a")).await;
    let denied = "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: ";
    match code {
        201 => "allowed".into(),
        _ => told.text("message").strip_prefix(denied).unwrap_or_else(|| panic!("{told}")).to_owned(),
    }
}

#[tokio::test]
async fn an_expression_that_costs_too_much_is_an_error_of_its_own() {
    let list = format!("[{}]", (0..100).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let costly = format!("{list}.all(a, {list}.all(b, {list}.all(c, a + b + c >= 0)))");
    assert_eq!(
        policy(&world().await, &costly, &[]).await,
        format!("expression '{costly}' resulted in error: operation cancelled: actual cost limit exceeded")
    );
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_enough_whatever_the_others_fail_with() {
    let broken = ["object.a.b == 1", "object.c.d == 1"];
    assert_eq!(policy(&world().await, "false", &[broken[0], "object.kind == 'Pod'"]).await, "allowed");
    assert_eq!(
        policy(&world().await, "false", &broken).await,
        "[expression 'object.a.b == 1' resulted in error: no such key: a, expression 'object.c.d == 1' resulted in \
         error: no such key: c]"
    );
}
