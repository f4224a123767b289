//! Who may do what under which roles, and in which words they are told no.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::object::{Key, Object, Revision, Tree, tree::json};

/// Roles and bindings of a test, in the syntax of the bootstrap policy.
#[derive(Default)]
struct Shelf {
    objects: Mutex<Vec<ObjectRef>>,
    version: AtomicU64,
}

impl Shelf {
    fn with(policy: &str) -> Arc<Self> {
        let shelf = Self::default();
        shelf.add(policy);
        Arc::new(shelf)
    }

    fn add(&self, policy: &str) {
        let version = self.version.fetch_add(1, Ordering::SeqCst) + 1;
        for (key, tree) in bootstrap::parse(policy) {
            let bytes = serde_json::to_vec(&tree).unwrap().into();
            self.objects.lock().unwrap().push(Object::new(key, Revision(version), bytes));
        }
    }
}

impl Policies for Shelf {
    fn is_related(&self, _: &str, _: &str, _: &str, _: &str) -> bool {
        false
    }

    fn version(&self) -> u64 {
        self.version.load(Ordering::SeqCst)
    }

    fn list(&self, resource: &str) -> Vec<ObjectRef> {
        let of = |object: &&ObjectRef| object.key().resource() == resource;
        self.objects.lock().unwrap().iter().filter(of).cloned().collect()
    }
}

fn ask<'a>(user: &'a User, verb: &'a str, path: &'a str) -> Ask<'a> {
    if path.starts_with('/') {
        return Ask::path(user, verb, path);
    }
    // namespace:group:resource[/sub][:name]
    let parts: Vec<&'a str> = path.split(':').collect();
    let (resource, subresource) = parts[2].split_once('/').unwrap_or((parts[2], ""));
    let name = parts.get(3).copied().unwrap_or_default();
    let at =
        ResourceRef { namespace: parts[0], group: parts[1], resource, subresource, name, ..ResourceRef::default() };
    Ask::resource(user, verb, at)
}

fn told(policy: &str, user: &User, verb: &str, path: &str) -> String {
    let authz = Authz::new(Shelf::with(policy), &Metrics::new(0));
    match authz.decide(&ask(user, verb, path)) {
        Decision::Allowed(reason) => reason.to_string(),
        Decision::Refused(refusal) => refusal.status(&ask(user, verb, path)).message,
    }
}

#[test]
fn a_binding_in_a_namespace_gives_its_role_there_only() {
    let policy = "
        role ns/reader
          get,list  core  pods,pods/log
        bind ns/readers role reader user bob serviceaccount ns/bot
    ";
    let bob = User::named("bob", &["system:authenticated"]);
    assert_eq!(
        told(policy, &bob, "list", "ns::pods"),
        r#"RBAC: allowed by RoleBinding "readers/ns" of Role "reader" to User "bob""#
    );
    let bot = User::service_account("ns", "bot");
    assert_eq!(
        told(policy, &bot, "get", "ns::pods/log:a"),
        r#"RBAC: allowed by RoleBinding "readers/ns" of Role "reader" to ServiceAccount "bot/ns""#
    );
    assert_eq!(
        told(policy, &bob, "list", "other::pods"),
        r#"pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "other""#
    );
    assert_eq!(
        told(policy, &bob, "get", "ns:apps:deployments/scale:web"),
        r#"deployments.apps "web" is forbidden: User "bob" cannot get resource "deployments/scale" in API group "apps" in the namespace "ns""#
    );
}

#[test]
fn wildcards_names_and_paths_match_as_written() {
    let policy = "
        role wide
          *  apps  *
          update  core  */status
          get  core  configmaps  ok
          get  -  /logs/*
        bind wide group ops
    ";
    let user = User::named("eve", &["ops"]);
    for (verb, path, allowed) in [
        ("delete", "ns:apps:deployments/scale:x", true),
        ("update", "ns::pods/status:x", true),
        ("update", "ns::pods:x", false),
        ("get", "ns::configmaps:ok", true),
        ("get", "ns::configmaps:other", false),
        ("list", "ns::configmaps", false),
        ("get", "/logs/a/b", true),
        ("get", "/logs", false),
    ] {
        assert_eq!(told(policy, &user, verb, path).starts_with("RBAC"), allowed, "{verb} {path}");
    }
}

#[test]
fn masters_pass_without_any_role_and_nobody_else() {
    let master = User::named("admin", &[MASTERS]);
    assert_eq!(told("", &master, "delete", "::nodes:n"), "");
    let anonymous = User::named("system:anonymous", &["system:unauthenticated"]);
    assert_eq!(
        told("", &anonymous, "get", "/<x>"),
        r#"forbidden: User "system:anonymous" cannot get path "/&lt;x&gt;""#
    );
}

#[test]
fn a_binding_to_a_role_that_is_gone_is_named_in_the_refusal() {
    let user = User::named("bob", &[]);
    assert_eq!(
        told("bind lost user bob", &user, "list", "::nodes"),
        r#"nodes is forbidden: User "bob" cannot list resource "nodes" in API group "" at the cluster scope: RBAC: clusterrole.rbac.authorization.k8s.io "lost" not found"#
    );
}

#[test]
fn a_new_binding_counts_from_the_next_question_on() {
    let shelf = Shelf::with("role view\n  list  core  pods");
    let authz = Authz::new(shelf.clone(), &Metrics::new(0));
    let user = User::named("bob", &[]);
    assert!(!authz.decide(&ask(&user, "list", "ns::pods")).is_allowed());
    shelf.add("bind view user bob");
    assert!(authz.decide(&ask(&user, "list", "ns::pods")).is_allowed());
}

fn write(policy: &str, resource: &str, new: Tree) -> Result<(), String> {
    let authz = Authz::new(Shelf::with(policy), &Metrics::new(0));
    let target = Target {
        group: "rbac.authorization.k8s.io".into(),
        version: "v1".into(),
        resource: resource.into(),
        namespace: "ns".into(),
        ..Target::default()
    };
    check_write(&authz, &User::named("bob", &["system:authenticated"]), &target, &new, None).map_err(|s| s.message)
}

#[test]
fn nobody_grants_what_they_do_not_hold() {
    let role = json!({"metadata": {"name": "x"}, "rules": [
        {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"]},
    ]});
    assert_eq!(
        write("", "roles", role.clone()).unwrap_err(),
        "roles.rbac.authorization.k8s.io \"x\" is forbidden: user \"bob\" (groups=[\"system:authenticated\"]) is \
         attempting to grant RBAC permissions not currently held:\n\
         {APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}\n\
         {APIGroups:[\"apps\"], Resources:[\"pods\"], Verbs:[\"get\" \"list\"]}"
    );
    assert_eq!(write("role all\n  *  *  *\nbind all user bob", "roles", role.clone()), Ok(()));
    assert_eq!(write("role e\n  escalate  *  roles\nbind e user bob", "roles", role), Ok(()));
}

#[test]
fn nobody_binds_what_they_do_not_hold() {
    let binding = |kind: &str, name: &str| json!({"metadata": {"name": "b"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}});
    let view = "role view\n  list  core  pods\n";
    assert!(write(view, "rolebindings", binding("ClusterRole", "view")).unwrap_err().contains("not currently held"));
    assert_eq!(write(&format!("{view}bind view user bob"), "rolebindings", binding("ClusterRole", "view")), Ok(()));
    assert_eq!(
        write(view, "rolebindings", binding("Role", "nope")).unwrap_err(),
        "rolebindings.rbac.authorization.k8s.io \"nope\" not found"
    );
}

#[test]
fn the_bootstrap_policy_is_what_a_stock_server_has() {
    let objects: Vec<(Key, Tree)> = bootstrap::objects();
    let count = |resource: &str| objects.iter().filter(|(key, _)| key.resource() == resource).count();
    assert_eq!(
        [count(CLUSTER_ROLES), count(ROLES), count(CLUSTER_ROLE_BINDINGS), count(ROLE_BINDINGS)],
        [72, 7, 53, 7]
    );
    let find =
        |resource: &str, name: &str| objects.iter().find(|(key, _)| *key == Key::of(resource, "", name)).unwrap();
    assert_eq!(
        find(CLUSTER_ROLES, "edit").1,
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {
                "name": "edit",
                "annotations": {"rbac.authorization.kubernetes.io/autoupdate": "true"},
                "labels": {
                    "kubernetes.io/bootstrapping": "rbac-defaults",
                    "rbac.authorization.k8s.io/aggregate-to-admin": "true",
                },
            },
            "aggregationRule": {"clusterRoleSelectors": [
                {"matchLabels": {"rbac.authorization.k8s.io/aggregate-to-edit": "true"}},
            ]},
            "rules": null,
        })
    );
}
