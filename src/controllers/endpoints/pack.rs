//! Distributes endpoints over slices of limited size, touching as few of them as possible.

use std::collections::BTreeMap;

use crate::object::Tree;

pub const SLICE_ENDPOINTS_MAX: usize = 100;

/// By what an endpoint is recognised from one look to the next.
pub type EndpointId = String;

/// What is to become of each slice: the endpoints it is to have, or nothing.
pub struct Packing {
    /// In the order of the existing slices; `None` for one that is not needed any more.
    pub kept: Vec<Option<Vec<Tree>>>,
    /// Endpoints of slices that are to be created.
    pub added: Vec<Vec<Tree>>,
}

/// Keeps endpoints where they are, fills up slices that change anyway, then others, then new ones.
pub fn pack(
    existing: &[Vec<Tree>],
    mut desired: BTreeMap<EndpointId, Tree>,
    id: impl Fn(&Tree) -> EndpointId,
) -> Packing {
    let mut slices: Vec<Vec<Tree>> = existing
        .iter()
        .map(|endpoints| endpoints.iter().filter_map(|endpoint| desired.remove(&id(endpoint))).collect())
        .collect();
    let mut left: Vec<Tree> = desired.into_values().collect();
    let is_changed = |slices: &[Vec<Tree>], index: usize| slices[index] != existing[index];
    let changed: Vec<usize> =
        (0..slices.len()).filter(|index| is_changed(&slices, *index) && !slices[*index].is_empty()).collect();
    let unchanged: Vec<usize> =
        (0..slices.len()).filter(|index| !is_changed(&slices, *index) && !slices[*index].is_empty()).collect();
    for index in changed.into_iter().chain(unchanged) {
        let room = SLICE_ENDPOINTS_MAX.saturating_sub(slices[index].len()).min(left.len());
        slices[index].extend(left.drain(..room));
    }
    // Slices that ran empty are used again before new ones are made.
    for slice in slices.iter_mut().filter(|slice| slice.is_empty()) {
        let room = SLICE_ENDPOINTS_MAX.min(left.len());
        slice.extend(left.drain(..room));
    }
    let kept = slices.into_iter().map(|slice| (!slice.is_empty()).then_some(slice)).collect();
    let mut added = Vec::new();
    while !left.is_empty() {
        let room = SLICE_ENDPOINTS_MAX.min(left.len());
        added.push(left.drain(..room).collect());
    }
    Packing { kept, added }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(names: impl IntoIterator<Item = u32>) -> Vec<Tree> {
        names.into_iter().map(Tree::from).collect()
    }

    fn run(existing: &[Vec<Tree>], desired: Vec<Tree>) -> Packing {
        pack(existing, desired.into_iter().map(|e| (format!("{e:0>9}"), e)).collect(), |e| format!("{e:0>9}"))
    }

    #[test]
    fn slices_that_need_no_change_get_none() {
        let full = endpoints(0..100);
        let packing = run(&[full.clone(), endpoints(100..110)], endpoints(0..109));
        assert_eq!(packing.kept[0].as_ref(), Some(&full));
        assert_eq!(packing.kept[1].as_ref().map(Vec::len), Some(9));
        assert!(packing.added.is_empty());
    }

    #[test]
    fn what_does_not_fit_goes_to_new_slices() {
        let packing = run(&[endpoints(0..2)], endpoints(1..300));
        assert_eq!(packing.kept[0].as_ref().map(Vec::len), Some(100));
        assert_eq!(packing.added.iter().map(Vec::len).collect::<Vec<_>>(), [100, 99]);
    }

    #[test]
    fn empty_slices_go() {
        let packing = run(&[endpoints(0..2), endpoints(5..6)], endpoints(0..2));
        assert!(packing.kept[1].is_none());
    }
}
