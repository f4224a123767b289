//! Situations and what must come of them.

use super::*;
use crate::resources::Registry;

/// Follows every `$ref` and complains about those that lead nowhere.
fn dangling(document: &Tree, folder: &str) -> Vec<String> {
    fn collect<'t>(tree: &'t Tree, found: &mut Vec<&'t str>) {
        match tree {
            Tree::Object(map) => {
                found.extend(map.get("$ref").and_then(Tree::as_str));
                map.values().for_each(|value| collect(value, found));
            }
            Tree::Array(list) => list.iter().for_each(|value| collect(value, found)),
            _ => (),
        }
    }
    let mut found = Vec::new();
    collect(document, &mut found);
    let known = folder[1..].split('/').fold(document, |tree, step| &tree[step]);
    let lost = found.iter().filter(|target| known.get(target.trim_start_matches(&format!("#{folder}/"))).is_none());
    lost.map(|target| (*target).to_owned()).collect()
}

#[test]
fn every_group_version_has_a_document_that_stands_alone() {
    let served = Registry::built_in().load();
    let index = index(&served);
    assert!(index["paths"].get("apis/apps/v1").is_some() && index["paths"].get("api/v1").is_some());
    for (group, version) in group_versions(&served) {
        let document = v3(&served, &Descriptions::default(), &group.name, version).unwrap();
        assert_eq!(dangling(&document, "/components/schemas"), Vec::<String>::new(), "{}/{version}", group.name);
    }
    assert_eq!(dangling(&v2(&served, &Descriptions::default()), "/definitions"), Vec::<String>::new());
    assert!(v3(&served, &Descriptions::default(), "apps", "v9").is_none());
}

#[test]
fn kubectl_finds_the_kind_it_patches_and_the_fields_it_explains() {
    let document = v3(&Registry::built_in().load(), &Descriptions::default(), "apps", "v1").unwrap();
    let patch = &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "kind": "Deployment", "version": "v1"})
    );
    assert_eq!(patch["operationId"], "patchAppsV1NamespacedDeployment");
    let has = |name: &str| patch["parameters"].as_array().unwrap().iter().any(|parameter| parameter["name"] == name);
    assert!(has("fieldValidation") && has("dryRun") && has("force"));
    let schemas = &document["components"]["schemas"];
    let spec = &schemas["io.k8s.api.apps.v1.DeploymentSpec"];
    assert_eq!(spec["required"], json!(["selector", "template"]));
    assert_eq!(
        spec["properties"]["strategy"],
        json!({"allOf": [{"$ref": "#/components/schemas/io.k8s.api.apps.v1.DeploymentStrategy"}], "default": {},
            "x-kubernetes-patch-strategy": "retainKeys"})
    );
    let kinds = &schemas["io.k8s.api.apps.v1.Deployment"]["x-kubernetes-group-version-kind"];
    assert_eq!(*kinds, json!([{"group": "apps", "kind": "Deployment", "version": "v1"}]));
}

#[test]
fn both_versions_say_what_fields_mean() {
    let (served, texts) = (Registry::built_in().load(), Descriptions::unpack());
    let three = v3(&served, &texts, "apps", "v1").unwrap();
    let two = v2(&served, &texts);
    for all in [&three["components"]["schemas"], &two["definitions"]] {
        let spec = &all["io.k8s.api.apps.v1.DeploymentSpec"];
        let says = |tree: &Tree, what: &str| tree["description"].as_str().unwrap_or_default().starts_with(what);
        assert!(says(spec, "DeploymentSpec is the specification"), "{spec}");
        assert!(says(&spec["properties"]["replicas"], "Number of desired pods"));
        assert!(says(&spec["properties"]["selector"], "Label selector for pods"), "a reference with a text beside it");
        assert!(says(&all["io.k8s.apimachinery.pkg.apis.meta.v1.Time"], "Time is a wrapper"));
    }
}

#[test]
fn hashes_differ_between_group_versions() {
    let served = Registry::built_in().load();
    let (apps, core) = (served.group("apps").unwrap(), served.group("").unwrap());
    assert_eq!(hash(apps, "v1"), hash(apps, "v1"));
    assert_ne!(hash(apps, "v1"), hash(core, "v1"));
}

#[test]
fn a_custom_kind_with_the_name_of_a_built_in_one_is_told_of_by_itself() {
    let registry = Registry::built_in();
    let spec = json!({"type": "object", "description": "Of ours.", "properties": {"dummy": {"type": "string"}}});
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let version = json!({"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
    let names = json!({"plural": "services", "singular": "service", "kind": "Service", "listKind": "ServiceList"});
    let definition = json!({
        "metadata": {"name": "services.example.com"}, "status": {"acceptedNames": names},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]},
    });
    registry.add(std::sync::Arc::new(crate::resources::custom::resource_of(&definition).unwrap()));
    let served = registry.load();
    let ours = json!([{"group": "example.com", "kind": "Service", "version": "v1"}]);
    let kinds = |all: &Tree, name: &str| all[name]["x-kubernetes-group-version-kind"].clone();
    let own = v3(&served, &Descriptions::default(), "example.com", "v1").unwrap();
    let get = &own["paths"]["/apis/example.com/v1/namespaces/{namespace}/services/{name}"]["get"];
    assert_eq!(get["x-kubernetes-group-version-kind"], ours[0]);
    let whole = v2(&served, &Descriptions::default());
    for all in [&own["components"]["schemas"], &whole["definitions"]] {
        let of_ours = all.as_object().unwrap().keys().filter(|name| kinds(all, name) == ours);
        assert_eq!(of_ours.collect::<Vec<_>>(), ["com.example.v1.Service"]);
        assert_eq!(all["com.example.v1.Service"]["properties"]["spec"]["description"], "Of ours.");
    }
    let core = v3(&served, &Descriptions::default(), "", "v1").unwrap();
    for all in [&core["components"]["schemas"], &whole["definitions"]] {
        let theirs = json!([{"group": "", "kind": "Service", "version": "v1"}]);
        assert_eq!(kinds(all, "io.k8s.api.core.v1.Service"), theirs);
    }
}
