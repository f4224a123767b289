//! Writes groups of endpoints as slices, of whatever owner.

use std::collections::BTreeMap;

use super::pack::{EndpointId, pack};
use crate::client::Seen;
use crate::controllers::runtime::Plan;
use crate::object::kind::ENDPOINT_SLICE;
use crate::object::tree::json;
use crate::object::view::EndpointSlice;
use crate::object::{Tree, TreePath};

/// What all slices of one owner and address family have in common.
pub struct Slices {
    pub namespace: String,
    pub prefix: String,
    pub owner: Tree,
    pub labels: Tree,
    /// Annotations to have; `None` leaves them to others.
    pub annotations: Option<Tree>,
    pub family: &'static str,
    /// Keep one empty slice when there are no endpoints.
    pub placeholder: bool,
}

/// Endpoints by the ports they have in common.
#[derive(Default)]
pub struct Groups(BTreeMap<String, Group>);

#[derive(Default)]
pub struct Group {
    pub desired: BTreeMap<EndpointId, Tree>,
    slices: Vec<Seen<EndpointSlice>>,
    ports: Tree,
}

impl Groups {
    pub fn add(&mut self, ports: Vec<Tree>, endpoint: Tree) {
        let group = self.group(Tree::Array(ports));
        group.desired.insert(id(&endpoint), endpoint);
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.0.values_mut()
    }

    fn group(&mut self, ports: Tree) -> &mut Group {
        let group = self.0.entry(ports.to_string()).or_default();
        group.ports = ports;
        group
    }
}

/// An endpoint is the same one as long as its addresses, pod and host name are.
fn id(endpoint: &Tree) -> EndpointId {
    let addresses: Vec<&str> = endpoint.items("addresses").iter().filter_map(Tree::as_str).collect();
    format!("{}|{}|{}", addresses.join(","), endpoint.text("targetRef.uid"), endpoint.text("hostname"))
}

impl Slices {
    /// Makes the `existing` slices hold `groups`.
    pub fn write(&self, mut groups: Groups, existing: Vec<Seen<EndpointSlice>>, plan: &mut Plan) {
        for slice in existing {
            let ports = slice.object().tree().get("ports").filter(|ports| !ports.is_null()).cloned();
            groups.group(ports.unwrap_or(json!([]))).slices.push(slice);
        }
        let mut unused = Vec::new();
        let mut missing = Vec::new();
        let mut used = 0;
        for group in groups.0.into_values() {
            let now: Vec<Vec<Tree>> =
                group.slices.iter().map(|slice| slice.object().tree().items("endpoints").to_vec()).collect();
            let packing = pack(&now, group.desired, id);
            for (slice, endpoints) in group.slices.into_iter().zip(packing.kept) {
                match endpoints {
                    Some(endpoints) => {
                        used += 1;
                        self.update(&slice, &group.ports, endpoints, plan);
                    }
                    None => unused.push(slice),
                }
            }
            missing.extend(packing.added.into_iter().map(|endpoints| (group.ports.clone(), endpoints)));
        }
        if used + missing.len() == 0 && self.placeholder {
            missing.push((json!([]), Vec::new()));
        }
        for (ports, endpoints) in missing {
            match unused.pop() {
                Some(slice) => self.update(&slice, &ports, endpoints, plan),
                None => plan.create(&ENDPOINT_SLICE, self.new_slice(&ports, endpoints)),
            }
        }
        for slice in unused {
            plan.delete(&slice, None);
        }
    }

    fn update(&self, slice: &Seen<EndpointSlice>, ports: &Tree, endpoints: Vec<Tree>, plan: &mut Plan) {
        plan.update(slice, |object| {
            let same_ports = object.items("ports") == ports.as_array().map_or(&[][..], Vec::as_slice);
            if object.items("endpoints") != endpoints.as_slice() || !same_ports {
                object.set("endpoints", endpoints);
                object.set("ports", ports.clone());
            }
            object.set("metadata.labels", self.labels.clone());
            if let Some(annotations) = self.annotations.as_ref().filter(|wanted| !is_empty_map(wanted)) {
                object.set("metadata.annotations", annotations.clone());
            }
        });
    }

    fn new_slice(&self, ports: &Tree, endpoints: Vec<Tree>) -> Tree {
        let mut slice = json!({
            "metadata": {
                "generateName": self.prefix,
                "namespace": self.namespace,
                "labels": self.labels,
                "ownerReferences": [self.owner],
            },
            "addressType": self.family,
            "ports": ports,
            "endpoints": endpoints,
        });
        if let Some(annotations) = self.annotations.as_ref().filter(|wanted| !is_empty_map(wanted)) {
            slice.set("metadata.annotations", annotations.clone());
        }
        slice
    }
}

fn is_empty_map(tree: &Tree) -> bool {
    tree.as_object().is_none_or(|map| map.is_empty())
}
