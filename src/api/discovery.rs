//! Discovery documents, built from the registry: what groups, versions and resources are served.
//!
//! Two forms of the same facts: one small document for each group and version (legacy), and all
//! groups at once (`apidiscovery.k8s.io`), which clients prefer. Pure functions of one state of
//! the registry; nothing is cached here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::object::gvk::join_api_version;
use crate::object::tree::{Tree, json};
use crate::resources::{Group, Resource, ResourceVersion, Served, Subresource};

/// Resources whose hash upstream computes from another version than the one we store.
const HASHED_AS: &[(&str, &str)] = &[
    ("customresourcedefinitions.apiextensions.k8s.io", "v1beta1"),
    ("devicetaintrules.resource.k8s.io", "v1alpha3"),
    ("mutatingadmissionpolicies.admissionregistration.k8s.io", "v1beta1"),
    ("mutatingadmissionpolicybindings.admissionregistration.k8s.io", "v1beta1"),
];

/// `/api`: the versions of the core group, and where clients find it.
pub fn core_versions(served: &Served, server_address: &str) -> Tree {
    let versions: Vec<&str> =
        served.group("").map_or(&[][..], |core| &core.versions).iter().map(AsRef::as_ref).collect();
    json!({
        "kind": "APIVersions",
        "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

/// `/apis`: every group but the core one.
pub fn groups(served: &Served) -> Tree {
    let groups: Vec<Tree> = named_groups(served).map(describe_group).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub fn group(served: &Served, name: &str) -> Option<Tree> {
    let mut described = describe_group(served.group(name).filter(|group| !group.name.is_empty())?);
    described["kind"] = "APIGroup".into();
    described["apiVersion"] = "v1".into();
    Some(described)
}

/// `/api/v1` and `/apis/GROUP/VERSION`: every resource with its subresources, in alphabetical order.
pub fn resources(served: &Served, group: &str, version: &str) -> Option<Tree> {
    let group = served.group(group)?;
    group.versions.iter().find(|known| *known == version)?;
    let list: Vec<Tree> = versions_of(group, version).flat_map(|(resource, at)| list_entries(resource, at)).collect();
    let mut document = json!({
        "kind": "APIResourceList",
        "groupVersion": join_api_version(&group.name, version),
        "resources": list,
    });
    if !group.name.is_empty() {
        document["apiVersion"] = "v1".into(); // the core group's document is older than that
    }
    Some(document)
}

/// `/api` in the aggregated form: the core group.
pub fn aggregated_core(served: &Served) -> Tree {
    aggregated_list(served.group("").into_iter())
}

/// `/apis` in the aggregated form: every other group.
pub fn aggregated(served: &Served) -> Tree {
    aggregated_list(named_groups(served))
}

/// A hash of how a resource is stored: clients only compare it.
pub fn storage_version_hash(resource: &Resource) -> String {
    let (group, version) = resource.storage.split_once('/').unwrap_or(("", &resource.storage));
    let other = HASHED_AS.iter().find(|(name, _)| *name == resource.name.as_str());
    let version = other.map_or(version, |(_, version)| version);
    let digest = Sha256::digest(format!("{group}/{version}/{}", resource.kind));
    STANDARD.encode(&digest[..8])
}

fn named_groups(served: &Served) -> impl Iterator<Item = &Group> {
    served.groups().filter(|group| !group.name.is_empty())
}

/// The resources of a group that have `version`.
fn versions_of<'s>(group: &'s Group, version: &str) -> impl Iterator<Item = (&'s Resource, &'s ResourceVersion)> {
    group.resources().filter_map(move |resource| Some((resource.as_ref(), resource.version(version)?)))
}

fn describe_group(group: &Group) -> Tree {
    let describe = |version| json!({"groupVersion": join_api_version(&group.name, version), "version": version});
    let versions: Vec<Tree> = group.versions.iter().map(|version| describe(version.as_ref())).collect();
    json!({"name": group.name, "preferredVersion": versions.first(), "versions": versions})
}

fn list_entries(resource: &Resource, version: &ResourceVersion) -> Vec<Tree> {
    let mut main = json!({
        "name": resource.plural, "singularName": resource.singular, "kind": resource.kind,
        "namespaced": resource.is_namespaced(), "verbs": resource.verbs.names(),
    });
    add_names(&mut main, resource);
    if resource.verbs.is_stored() {
        main["storageVersionHash"] = storage_version_hash(resource).into();
    }
    let entry = |sub: &Subresource| {
        let shown = Shown::of(sub, resource);
        let mut entry = json!({
            "name": format!("{}/{}", resource.plural, sub.name()), "singularName": "", "kind": shown.kind,
            "namespaced": resource.is_namespaced(), "verbs": sub.verbs(),
        });
        if !shown.version.is_empty() {
            entry["group"] = shown.group.into();
            entry["version"] = shown.version.into();
        }
        entry
    };
    std::iter::once(main).chain(version.subresources.iter().map(entry)).collect()
}

fn aggregated_list<'s>(groups: impl Iterator<Item = &'s Group>) -> Tree {
    let items: Vec<Tree> = groups.map(aggregated_group).collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_group(group: &Group) -> Tree {
    let version = |version: &str| {
        let resources: Vec<Tree> =
            versions_of(group, version).map(|(resource, at)| aggregated_resource(resource, at)).collect();
        json!({"version": version, "resources": resources, "freshness": "Current"})
    };
    let versions: Vec<Tree> = group.versions.iter().map(|name| version(name)).collect();
    let metadata = if group.name.is_empty() { json!({}) } else { json!({"name": group.name}) };
    json!({"metadata": metadata, "versions": versions})
}

fn aggregated_resource(resource: &Resource, version: &ResourceVersion) -> Tree {
    // Upstream names group and version of custom kinds, but leaves built-in ones' empty.
    let (group, of) = if resource.is_custom { (&*resource.group, &*version.name) } else { ("", "") };
    let mut entry = json!({
        "resource": resource.plural, "singularResource": resource.singular,
        "responseKind": {"group": group, "version": of, "kind": resource.kind},
        "scope": if resource.is_namespaced() { "Namespaced" } else { "Cluster" },
        "verbs": resource.verbs.names(),
    });
    add_names(&mut entry, resource);
    let subresource = |sub: &Subresource| {
        let shown = Shown::of(sub, resource);
        let (group, of) = if shown.version.is_empty() { (group, of) } else { (shown.group, shown.version) };
        json!({
            "subresource": sub.name(), "verbs": sub.verbs(),
            "responseKind": {"group": group, "version": of, "kind": shown.kind},
        })
    };
    if !version.subresources.is_empty() {
        entry["subresources"] = version.subresources.iter().map(subresource).collect();
    }
    entry
}

fn add_names(entry: &mut Tree, resource: &Resource) {
    if !resource.short_names.is_empty() {
        entry["shortNames"] = resource.short_names.iter().map(AsRef::<str>::as_ref).collect();
    }
    if !resource.categories.is_empty() {
        entry["categories"] = resource.categories.iter().map(AsRef::<str>::as_ref).collect();
    }
}

/// The kind that a subresource shows; an empty version means the resource's own.
struct Shown<'r> {
    group: &'r str,
    version: &'r str,
    kind: &'r str,
}

impl<'r> Shown<'r> {
    fn of(sub: &Subresource, resource: &'r Resource) -> Self {
        match sub {
            Subresource::Status => Self { group: "", version: "", kind: &resource.kind },
            Subresource::Scale(_) => Self { group: "autoscaling", version: "v1", kind: "Scale" },
            Subresource::Special(special) => Self {
                group: special.group,
                version: special.version,
                kind: if special.kind.is_empty() { &resource.kind } else { special.kind },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resources::Registry;

    fn reference() -> Option<std::path::PathBuf> {
        let dir = std::env::var_os("SKIFF_REFERENCE")
            .map_or_else(|| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/k8s-1.36"), Into::into);
        dir.is_dir().then(|| dir.join("discovery"))
    }

    #[test]
    fn all_documents_are_upstreams_with_every_version_on() {
        let Some(dir) = reference() else { return println!("no reference data: set SKIFF_REFERENCE") };
        let registry = Registry::of(|_, _| true);
        let served = registry.load();
        let mut compared = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let parts: Vec<&str> = name.split("__").collect();
            let ours = match parts.as_slice() {
                ["aggregated_v2"] => aggregated(&served),
                ["api"] => core_versions(&served, "10.10.10.10:8050"),
                ["apis"] => groups(&served),
                ["api", version] => resources(&served, "", version).unwrap(),
                ["apis", name] => group(&served, name).unwrap(),
                ["apis", name, version] => resources(&served, name, version).unwrap(),
                _ => panic!("unknown reference document {name}"),
            };
            let theirs: Tree = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if let Some(place) = difference(&ours, &theirs) {
                panic!("{name}: differs at {place}");
            }
            compared += 1;
        }
        assert!(compared > 50, "only {compared} reference documents");
    }

    /// Where two documents differ first.
    fn difference(ours: &Tree, theirs: &Tree) -> Option<String> {
        match (ours, theirs) {
            (Tree::Object(a), Tree::Object(b)) => a.keys().chain(b.keys()).find_map(|key| {
                difference(a.get(key).unwrap_or(&Tree::Null), b.get(key).unwrap_or(&Tree::Null))
                    .map(|rest| format!("{key}.{rest}"))
            }),
            (Tree::Array(a), Tree::Array(b)) if a.len() == b.len() => {
                a.iter().zip(b).enumerate().find_map(|(at, (a, b))| Some(format!("[{at}].{}", difference(a, b)?)))
            }
            _ => (ours != theirs).then(|| format!("{ours:.80} instead of {theirs:.80}")),
        }
    }

    #[test]
    fn beta_and_alpha_versions_are_off_by_default() {
        let served = Registry::built_in().load();
        assert!(resources(&served, "resource.k8s.io", "v1").is_some());
        assert!(resources(&served, "resource.k8s.io", "v1beta1").is_none());
        assert!(group(&served, "storagemigration.k8s.io").is_none());
    }
}
