//! `/`: every path that says something of the server, as `kubectl get --raw /` shows it.

use std::collections::BTreeSet;

use super::aggregate::Table;
use super::plain::PAGES;
use crate::object::tree::{Tree, json};
use crate::resources::Served;

/// What is served in every process, besides [`PAGES`] and the health pages. `/` behind it says that there is more
/// below.
const ROOTS: &[&str] = &["/api", "/apis", "/apis/", "/openapi/v2", "/openapi/v3", "/openapi/v3/"];

/// The document, in the order of its paths. `health` are those of the health pages.
pub fn document(served: &Served, remote: &Table, health: Vec<String>) -> Tree {
    let own = served.groups().flat_map(|group| group.versions.iter().map(|version| (&*group.name, &**version)));
    let others = remote.keys().map(|(group, version)| (group.as_str(), version.as_str()));
    let mut paths: BTreeSet<String> = health.into_iter().collect();
    paths.extend(ROOTS.iter().map(|path| (*path).to_owned()));
    paths.extend(PAGES.iter().map(|(path, _)| (*path).to_owned()));
    for (group, version) in own.chain(others) {
        if group.is_empty() {
            paths.insert(format!("/api/{version}"));
        } else {
            paths.insert(format!("/apis/{group}"));
            paths.insert(format!("/apis/{group}/{version}"));
        }
    }
    json!({"paths": paths.into_iter().collect::<Vec<_>>()})
}

#[cfg(test)]
mod tests {
    use crate::api::tests::world;
    use crate::object::tree::{Tree, TreePath};

    #[tokio::test]
    async fn the_index_lists_what_is_served_and_nothing_else() {
        let world = world().await;
        world.api.started.expect(&world.api.health);
        let (code, index) = world.send("GET /", Tree::Null).await;
        let paths: Vec<&str> = index.items("paths").iter().filter_map(Tree::as_str).collect();
        assert_eq!(code, 200);
        assert!(paths.is_sorted());
        let upstreams = [
            "/.well-known/openid-configuration",
            "/api",
            "/api/v1",
            "/apis",
            "/apis/",
            "/apis/admissionregistration.k8s.io",
            "/apis/apps/v1",
            "/healthz",
            "/healthz/etcd",
            "/healthz/log",
            "/healthz/ping",
            "/healthz/poststarthook/rbac/bootstrap-roles",
            "/livez",
            "/livez/autoregister-completion",
            "/livez/ping",
            "/livez/poststarthook/crd-informer-synced",
            "/metrics",
            "/openapi/v2",
            "/openapi/v3",
            "/openapi/v3/",
            "/openid/v1/jwks",
            "/readyz",
            "/readyz/ping",
            "/readyz/shutdown",
            "/version",
        ];
        let missing: Vec<&str> = upstreams.into_iter().filter(|path| !paths.contains(path)).collect();
        assert!(missing.is_empty() && !paths.contains(&"/livez/shutdown"), "{missing:?}");
        for path in paths {
            let code = world.send(&format!("GET {path}"), Tree::Null).await.0;
            assert!(code != 404, "{path}: {code}");
        }
        assert_eq!(world.send("GET /index.html", Tree::Null).await, (200, index));
        assert_eq!(world.send("GET /nothing", Tree::Null).await.0, 404);
    }
}
