//! Every resource that is served now. Built-in ones come from the table; custom ones come and go.
//!
//! Readers take the whole table at once ([`Registry::load`]) and see one state of it; changing it
//! swaps in a new table. Lookups allocate nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::object::gvk::Gvk;

use super::def::Version;
use super::resource::{Resource, Text};

pub struct Registry {
    table: ArcSwap<Served>,
}

/// One state of the registry.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// Built-in groups in upstream's order, then custom ones by name.
    groups: Vec<Arc<Group>>,
    index: HashMap<Text, usize>,
}

#[derive(Clone, Debug, Default)]
pub struct Group {
    pub name: Text,
    /// The preferred version first.
    pub versions: Vec<Text>,
    by_plural: BTreeMap<Text, Arc<Resource>>,
    by_kind: HashMap<Text, Arc<Resource>>,
}

impl Registry {
    /// The built-in resources in the versions that upstream serves by default.
    pub fn built_in() -> Self {
        Self::of(|_, version| version.on)
    }

    /// The built-in resources in the versions that `serve` picks, given group and version.
    pub fn of(serve: impl Fn(&str, &Version) -> bool) -> Self {
        let resources = super::RESOURCES.iter().filter_map(|def| Resource::built_in(def, &serve)).map(Arc::new);
        Self { table: ArcSwap::from_pointee(Served::default().with(resources)) }
    }

    /// What is served now, as one consistent state.
    pub fn load(&self) -> Arc<Served> {
        self.table.load_full()
    }

    /// The resource at `/apis/group/version/plural`, if it is served.
    pub fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        let table = self.table.load();
        table.group(group)?.resource(plural).filter(|resource| resource.version(version).is_some()).cloned()
    }

    /// The resource of this name in any version.
    pub fn find_any(&self, group: &str, plural: &str) -> Option<Arc<Resource>> {
        self.table.load().group(group)?.resource(plural).cloned()
    }

    /// The resource whose objects say they are `gvk`.
    pub fn find_kind(&self, gvk: &Gvk) -> Option<Arc<Resource>> {
        let table = self.table.load();
        table.group(&gvk.group)?.kind(&gvk.kind).filter(|resource| resource.version(&gvk.version).is_some()).cloned()
    }

    /// Serves `resource`, in place of one with its name.
    pub fn add(&self, resource: Arc<Resource>) {
        self.table.rcu(|table| Served::clone(table).with([resource.clone()]));
    }

    /// Stops to serve a resource; says whether it was served.
    pub fn remove(&self, group: &str, plural: &str) -> bool {
        let before = self.table.rcu(|table| Served::clone(table).without(group, plural));
        before.group(group).is_some_and(|group| group.resource(plural).is_some())
    }
}

impl Served {
    /// Groups in the order that discovery lists them; the core group has no name.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().map(AsRef::as_ref)
    }

    pub fn group(&self, name: &str) -> Option<&Group> {
        self.index.get(name).map(|at| self.groups[*at].as_ref())
    }

    /// Every resource, group by group, in alphabetical order within each.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.groups().flat_map(Group::resources)
    }

    fn with(mut self, resources: impl IntoIterator<Item = Arc<Resource>>) -> Self {
        for resource in resources {
            let at = *self.index.entry(resource.group.clone()).or_insert_with(|| {
                self.groups.push(Arc::new(Group { name: resource.group.clone(), ..Group::default() }));
                self.groups.len() - 1
            });
            Arc::make_mut(&mut self.groups[at]).add(resource);
        }
        self.ordered()
    }

    fn without(mut self, group: &str, plural: &str) -> Self {
        if let Some(at) = self.index.get(group) {
            Arc::make_mut(&mut self.groups[*at]).remove(plural);
            self.groups.retain(|group| !group.by_plural.is_empty());
        }
        self.ordered()
    }

    fn ordered(mut self) -> Self {
        let is_custom = |group: &Group| group.resources().all(|resource| resource.is_custom);
        let built_in = |group: &Group| super::RESOURCES.iter().position(|def| def.group == group.name);
        self.groups.sort_by_cached_key(|group| {
            let place = if is_custom(group) { usize::MAX } else { built_in(group).unwrap_or(usize::MAX) };
            (place, group.name.clone())
        });
        self.index = self.groups.iter().enumerate().map(|(at, group)| (group.name.clone(), at)).collect();
        self
    }
}

impl Group {
    /// In alphabetical order of their plurals.
    pub fn resources(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.by_plural.values()
    }

    pub fn resource(&self, plural: &str) -> Option<&Arc<Resource>> {
        self.by_plural.get(plural)
    }

    pub fn kind(&self, kind: &str) -> Option<&Arc<Resource>> {
        self.by_kind.get(kind)
    }

    fn add(&mut self, resource: Arc<Resource>) {
        self.remove(&resource.plural);
        self.by_kind.insert(resource.kind.clone(), resource.clone());
        self.by_plural.insert(resource.plural.clone(), resource);
        self.list_versions();
    }

    fn remove(&mut self, plural: &str) {
        if let Some(gone) = self.by_plural.remove(plural) {
            self.by_kind.retain(|_, resource| resource.plural != gone.plural);
        }
        self.list_versions();
    }

    /// Collects the versions of all resources: stable before beta before alpha, newer before older.
    fn list_versions(&mut self) {
        let mut versions: Vec<Text> =
            self.by_plural.values().flat_map(|r| r.versions.iter().map(|version| version.name.clone())).collect();
        versions.sort_by(|a, b| version_rank(b).cmp(&version_rank(a)).then_with(|| a.cmp(b)));
        versions.dedup();
        self.versions = versions;
    }
}

/// How much a version is preferred: `v2` over `v1` over `v2beta1` over `v1alpha1` over other names.
pub fn version_rank(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        let (stage, minor) = match &rest[digits..] {
            "" => (3, ""),
            tail => tail.strip_prefix("beta").map(|n| (2, n)).or_else(|| tail.strip_prefix("alpha").map(|n| (1, n)))?,
        };
        let minor = if stage == 3 { 0 } else { minor.parse().ok()? };
        Some((stage, major, minor))
    };
    parse().unwrap_or((0, 0, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stable_versions_are_preferred_to_beta_and_newer_to_older() {
        let mut versions = vec!["v1beta1", "foo", "v1", "v1alpha2", "v2", "v1beta2", "v10"];
        versions.sort_by_key(|version| std::cmp::Reverse(version_rank(version)));
        assert_eq!(versions, ["v10", "v2", "v1", "v1beta2", "v1beta1", "v1alpha2", "foo"]);
    }
}
