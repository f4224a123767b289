//! Conversations of several managers over one object.

use super::*;
use crate::object::schema::{builtin, decode, fill};
use crate::object::tree::json;

/// One version of everything, and it is the built-in one.
struct Builtin;

impl Versions for Builtin {
    fn schema(&self, api_version: &str) -> Option<Schema<'_>> {
        let kind = if api_version == "v1" { "ConfigMap" } else { "Deployment" };
        builtin().kind(api_version, kind)
    }

    fn convert(&self, object: &Tree, _from: &str, _to: &str) -> Tree {
        object.clone()
    }
}

/// An object and the managers who write to it, one second after the other.
struct Talk {
    kind: Gvk,
    live: Option<Tree>,
    secs: i64,
}

impl Talk {
    fn about(api_version: &str, kind: &str) -> Self {
        Self { kind: Gvk::of(api_version, kind), live: None, secs: 0 }
    }

    fn object(&self, rest: Tree) -> Tree {
        let mut object =
            json!({"apiVersion": self.kind.api_version(), "kind": self.kind.kind, "metadata": {"name": "x"}});
        for (key, value) in rest.as_object().unwrap() {
            match (object.get_mut(key), value) {
                (Some(Tree::Object(old)), Tree::Object(new)) => old.extend(new.clone()),
                _ => object[key] = value.clone(),
            }
        }
        object
    }

    fn normal(&self, object: Tree) -> Tree {
        let schema = Builtin.schema(&self.kind.api_version()).unwrap();
        let mut tree = decode(&serde_json::to_vec(&object).unwrap(), schema).unwrap().tree;
        fill(&mut tree, schema);
        tree
    }

    fn with_manager<T>(&mut self, subresource: &str, act: impl FnOnce(&FieldManager<'_>, Option<&Tree>) -> T) -> T {
        self.secs += 1;
        let reset = Set::of(if subresource.is_empty() { &["status"] } else { &["spec", "metadata.labels"] });
        let (kind, now) = (self.kind.clone(), Timestamp::from_secs(self.secs));
        let manager = FieldManager { kind: &kind, subresource, reset: &reset, versions: &Builtin, now };
        act(&manager, self.live.as_ref())
    }

    fn update(&mut self, who: &str, object: Tree) -> &mut Self {
        let new = self.normal(self.object(object));
        let new = self.with_manager("", |manager, live| manager.update(live, new, who));
        self.live = Some(new);
        self
    }

    fn apply(&mut self, who: &str, config: Tree, force: bool) -> Result<&mut Self, String> {
        let config = self.object(config);
        let applied = self.with_manager("", |manager, live| manager.apply(live, &config, who, force));
        let mut new = self.normal(applied.map_err(|status| status.message)?.object);
        if let Some(old) = &self.live {
            keep_times(&mut new, old);
        }
        self.live = Some(new);
        Ok(self)
    }

    /// `manager operation seconds fields`, one line each.
    fn owners(&self) -> String {
        let entries = self.live.as_ref().unwrap().items(entries::PATH).iter();
        let line = |entry: &Tree| {
            let time = Timestamp::parse(entry.text("time")).map_or("-".into(), |time| time.as_secs().to_string());
            let fields = Set::from_fields(&entry["fieldsV1"]).unwrap().paths();
            let fields: Vec<String> = fields.iter().map(|path| set::show_path(path)).collect();
            format!("{} {} {time} {}\n", entry.text("manager"), entry.text("operation"), fields.join(" "))
        };
        entries.map(line).collect()
    }

    fn at(&self, path: &str) -> Tree {
        self.live.as_ref().unwrap().at(path).cloned().unwrap_or_default()
    }
}

#[test]
fn what_an_applier_no_longer_says_goes_unless_another_says_it() {
    let mut talk = Talk::about("v1", "ConfigMap");
    talk.apply("m1", json!({"data": {"a": "1", "b": "1"}}), false).unwrap();
    talk.apply("m2", json!({"data": {"a": "1"}}), false).unwrap();
    // The second said nothing new, so nothing happened at any time.
    assert_eq!(talk.owners(), "m2 Apply - .data.a\nm1 Apply 1 .data.a .data.b\n");
    talk.apply("m1", json!({"data": {"b": "1"}}), false).unwrap();
    assert_eq!(talk.at("data"), json!({"a": "1", "b": "1"}));
    talk.apply("m2", json!({"data": {}}), false).unwrap();
    assert_eq!(talk.at("data"), json!({"b": "1"}));
    assert_eq!(talk.owners(), "m1 Apply 1 .data.b\nm2 Apply 4 .data\n");
}

#[test]
fn taking_what_others_own_is_a_conflict_or_is_forced() {
    let mut talk = Talk::about("v1", "ConfigMap");
    talk.update("fidelity", json!({"data": {"a": "1", "b": "2"}}));
    assert_eq!(talk.owners(), "fidelity Update 1 .data .data.a .data.b\n");
    let config = json!({"data": {"a": "9", "b": "8"}});
    assert_eq!(
        talk.apply("m1", config.clone(), false).err().unwrap(),
        "Apply failed with 2 conflicts: conflicts with \"fidelity\" using v1:\n- .data.a\n- .data.b"
    );
    talk.apply("m1", config.clone(), true).unwrap();
    assert_eq!(talk.owners(), "m1 Apply 3 .data.a .data.b\nfidelity Update 1 .data\n");
    talk.update("fidelity", json!({"data": {"a": "10", "b": "8"}}));
    assert_eq!(talk.owners(), "m1 Apply 3 .data.b\nfidelity Update 4 .data .data.a\n");
    assert_eq!(
        talk.apply("m1", config, false).err().unwrap(),
        "Apply failed with 1 conflict: conflict with \"fidelity\" using v1: .data.a"
    );
    talk.apply("m1", json!({"data": {"b": "8"}}), false).unwrap();
    assert_eq!(talk.owners(), "m1 Apply 3 .data.b\nfidelity Update 4 .data .data.a\n");
}

#[test]
fn lists_with_keys_are_owned_element_by_element() {
    let spec = |containers: Tree| {
        json!({"spec": {"selector": {"matchLabels": {"app": "x"}}, "template": {"metadata": {"labels": {"app": "x"}},
            "spec": {"containers": containers}}}})
    };
    let mut talk = Talk::about("apps/v1", "Deployment");
    talk.apply(
        "m1",
        spec(json!([{"name": "a", "image": "a:1", "ports": [{"containerPort": 80}]}, {"name": "b", "image": "b:1"}])),
        false,
    )
    .unwrap();
    let path = ".spec.template.spec.containers";
    assert!(talk.owners().contains(&format!(
        "{path}[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"] {path}[name=\"a\"].ports[containerPort=80,protocol=\"TCP\"].containerPort"
    )));
    let mine = json!({"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "c:1"}]}}}});
    talk.apply("m2", mine, false).unwrap();
    talk.apply("m1", spec(json!([{"name": "b", "image": "b:2"}])), false).unwrap();
    let names: Vec<String> =
        talk.at("spec.template.spec.containers").as_array().unwrap().iter().map(|c| c.text("name").into()).collect();
    assert_eq!(names, ["b", "c"]);
}

#[test]
fn a_create_owns_what_it_set_but_not_what_is_always_there() {
    let mut talk = Talk::about("apps/v1", "Deployment");
    talk.update(
        "kubectl-create",
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"metadata": {"labels": {"app": "x"}}}}}),
    );
    let owners = talk.owners();
    let owned: Vec<&str> = owners.split_whitespace().skip(3).collect();
    assert!(owned.contains(&".metadata.labels") && owned.contains(&".metadata.labels.a"), "{owned:?}");
    assert!(owned.contains(&".spec.strategy.type") && owned.contains(&".spec.replicas"), "{owned:?}");
    for absent in [".spec", ".spec.template", ".spec.strategy", ".metadata", ".metadata.name", ".status"] {
        assert!(!owned.contains(&absent), "{absent}: {owned:?}");
    }
}

#[test]
fn configs_that_do_not_fit_are_refused_in_upstreams_words() {
    let refused = |config: Tree| Talk::about("v1", "ConfigMap").apply("m1", config, false).err().unwrap();
    let what = "failed to create typed patch object (/x; /v1, Kind=ConfigMap)";
    assert_eq!(refused(json!({"bogus": 1})), format!("{what}: .bogus: field not declared in schema"));
    assert_eq!(
        refused(json!({"data": {"a": 1}})),
        format!("{what}: .data.a: expected string, got &value.valueUnstructured{{Value:1}}")
    );
    assert_eq!(
        refused(json!({"metadata": {"finalizers": ["a.b/2", "a.b/2"]}})),
        format!("{what}: .metadata.finalizers: duplicate entries for key [=\"a.b/2\"]")
    );
    assert_eq!(refused(json!({"kind": "Secret"})), "invalid object type: /v1, Kind=Secret");
    assert_eq!(refused(json!({"metadata": {"managedFields": [{}]}})), "metadata.managedFields must be nil");
}

#[test]
fn kubectl_takes_over_what_it_applied_itself_before() {
    let last =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "1"}}).to_string();
    let object = json!({"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": last}}, "data": {"a": "1"}});
    let mut talk = Talk::about("v1", "ConfigMap");
    talk.update("kubectl-client-side-apply", object);
    assert!(talk.apply("other", json!({"data": {"a": "2"}}), false).is_err());
    talk.apply("kubectl", json!({"data": {"a": "2"}}), false).unwrap();
    assert_eq!(talk.at("data.a"), "2");
    let annotation = talk.at("metadata.annotations")["kubectl.kubernetes.io/last-applied-configuration"].clone();
    assert!(annotation.as_str().unwrap().contains(r#""data":{"a":"2"}"#));
}

#[test]
fn updates_without_tracked_fields_stay_untracked_until_the_first_apply() {
    let mut talk = Talk::about("v1", "ConfigMap");
    talk.live = Some(talk.normal(talk.object(json!({"data": {"a": "1"}}))));
    talk.update("m1", json!({"data": {"a": "2"}}));
    assert_eq!(talk.owners(), "");
    talk.apply("m2", json!({"data": {"b": "3"}}), false).unwrap();
    assert_eq!(talk.owners(), "m2 Apply 2 .data.b\nbefore-first-apply Update 2 .data .data.a\n");
}
