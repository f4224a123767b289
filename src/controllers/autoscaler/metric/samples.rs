//! What metrics servers answer, as samples.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::controllers::autoscaler::replicas::{Sample, Samples};
use crate::object::quantity::Quantity;
use crate::object::time::go_duration;
use crate::object::{Timestamp, Tree, TreePath};

/// What a sample tells of, where it does not say.
const WINDOW: Duration = Duration::from_secs(60);

/// An answer of the custom metrics API. What could not even be asked has said so.
pub fn custom(answer: Result<Tree, String>) -> Result<Tree, String> {
    const FAILED: &str = "unable to fetch metrics from custom metrics API: ";
    answer.map_err(|why| if why.starts_with(FAILED) { why } else { format!("{FAILED}{why}") })
}

/// What pods use of a resource, all their containers or one; a pod of which anything is missing is missing.
pub fn resource_samples(list: &Tree, resource: &str, container: &str) -> Result<Samples, String> {
    if list.items("items").is_empty() {
        return Err("no metrics returned from resource metrics API".into());
    }
    let mut samples = BTreeMap::new();
    for pod in list.items("items") {
        let used = |one: &Tree| {
            let amount = one.get("usage").and_then(|usage| usage.get(resource)).and_then(Tree::as_str)?;
            Quantity::parse(amount).ok().map(|quantity| quantity.millis())
        };
        let containers = pod.items("containers");
        let value = match container {
            "" if containers.is_empty() => None,
            "" => containers.iter().map(used).sum(),
            name => containers.iter().find(|one| one.text("name") == name).and_then(used),
        };
        let window = go_duration(pod.text("window")).map_or(WINDOW, |nanos| Duration::from_nanos(nanos.unsigned_abs()));
        if let Some(value) = value {
            samples.insert(pod.text("metadata.name").to_owned(), Sample { at: stamp(pod), window, value });
        }
    }
    Ok(samples)
}

pub fn custom_samples(list: &Tree) -> Result<Samples, String> {
    if list.items("items").is_empty() {
        return Err("no metrics returned from custom metrics API".into());
    }
    let sample = |one: &Tree| {
        let window = one.int("windowSeconds").map_or(WINDOW, |secs| Duration::from_secs(secs.unsigned_abs()));
        let sample = Sample { at: stamp(one), window, value: millis(one, "value")? };
        Ok((one.text("describedObject.name").to_owned(), sample))
    };
    list.items("items").iter().map(sample).collect()
}

fn stamp(sample: &Tree) -> Timestamp {
    Timestamp::parse(sample.text("timestamp")).unwrap_or(Timestamp::from_secs(0))
}

pub fn millis(tree: &Tree, field: &str) -> Result<i64, String> {
    let quantity = Quantity::parse(tree.text(field)).map_err(|error| error.to_string())?;
    Ok(quantity.millis())
}
