//! What types and fields mean, for `kubectl explain`.
//!
//! The texts are packed into the binary by `build.rs`. They are unpacked when somebody asks for an
//! OpenAPI document, and forgotten when nobody has for a while.

use std::collections::HashMap;
use std::io::Read as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::base::service::Scope;

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptions.deflate"));
/// Differs when the texts do, as good as always.
pub const LEN: &str = env!("SKIFF_DESCRIPTIONS_LEN");
/// How long the texts are kept after they were last needed.
const KEPT_FOR: Duration = Duration::from_secs(60);
/// Whose `apiVersion`, `kind` and `metadata` speak for those of kinds that have no texts of their own: custom
/// ones and all lists.
pub const ANY_KIND: &str = "api.core.v1.Pod";

/// The texts, unpacked.
#[derive(Default)]
pub struct Descriptions {
    texts: Vec<Box<str>>,
    /// Numbers of texts, by type (without `io.k8s.`) and field; the type's own has no field.
    types: HashMap<Box<str>, HashMap<Box<str>, usize>>,
}

impl Descriptions {
    pub fn unpack() -> Self {
        let mut text = String::new();
        if let Err(error) = flate2::read::DeflateDecoder::new(PACKED).read_to_string(&mut text) {
            tracing::warn!(%error, "the descriptions of fields are damaged");
        }
        Self::read(&text)
    }

    fn read(text: &str) -> Self {
        let (texts, lines) = text.split_once('\u{1}').unwrap_or_default();
        let texts: Vec<Box<str>> = texts.split('\0').map(Box::from).collect();
        let mut types: HashMap<Box<str>, HashMap<Box<str>, usize>> = HashMap::new();
        let mut current = "";
        for line in lines.lines() {
            let Some((name, number)) = line.rsplit_once(' ') else { continue };
            let Ok(number) = number.parse() else { continue };
            let field = name.strip_prefix('\t');
            if field.is_none() {
                current = name;
            }
            types.entry(current.into()).or_default().insert(field.unwrap_or_default().into(), number);
        }
        Self { texts, types }
    }

    /// What a type means.
    pub fn of_type(&self, name: &str) -> Option<&str> {
        self.find(name, "")
    }

    /// What a field of a type means.
    pub fn of_field(&self, name: &str, field: &str) -> Option<&str> {
        let is_common = name.ends_with("List") && matches!(field, "apiVersion" | "kind");
        self.find(name, field).or_else(|| is_common.then(|| self.find(ANY_KIND, field)).flatten())
    }

    fn find(&self, name: &str, field: &str) -> Option<&str> {
        let number = *self.types.get(name)?.get(field)?;
        self.texts.get(number).map(|text| &**text)
    }
}

/// Keeps the texts while they are asked for.
#[derive(Default)]
pub struct Shelf(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    descriptions: Option<Arc<Descriptions>>,
    was_asked: bool,
}

impl Shelf {
    /// The texts; `scope` will take them away again.
    pub fn get(&self, scope: &Scope) -> Arc<Descriptions> {
        let mut kept = lock(&self.0);
        kept.was_asked = true;
        if let Some(descriptions) = &kept.descriptions {
            return descriptions.clone();
        }
        let descriptions = Arc::new(Descriptions::unpack());
        kept.descriptions = Some(descriptions.clone());
        let (shelf, stopping) = (self.0.clone(), scope.clone());
        scope.spawn("descriptions", async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(KEPT_FOR) => (),
                    () = stopping.stopping() => return,
                }
                let mut kept = lock(&shelf);
                if !std::mem::take(&mut kept.was_asked) {
                    kept.descriptions = None;
                    return;
                }
            }
        });
        descriptions
    }
}

fn lock(kept: &Mutex<Kept>) -> std::sync::MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::schema::{Shape, builtin};

    #[test]
    fn nearly_every_field_says_what_it_means() {
        let descriptions = Descriptions::unpack();
        let (mut told, mut silent, mut unknown) = (0, Vec::new(), 0);
        for (name, id) in &builtin().names {
            let Shape::Struct { fields, .. } = &builtin().node(*id).shape else { continue };
            // Lists, options that are no objects, and what no stock server serves.
            if descriptions.of_type(name).is_none() {
                unknown += 1;
                continue;
            }
            for field in fields {
                match descriptions.of_field(name, &field.name) {
                    Some(_) => told += 1,
                    None => silent.push(format!("{name}.{}", field.name)),
                }
            }
        }
        assert!(told > 2_500 && told > 50 * silent.len(), "{told} fields are told of, not so {silent:?}");
        assert!(unknown * 3 < builtin().names.len(), "{unknown} types are not in the table");
        let means = |name, field| descriptions.of_field(name, field).unwrap_or_default().to_owned();
        assert!(means("api.apps.v1.DeploymentSpec", "replicas").starts_with("Number of desired pods."));
        assert!(means("api.core.v1.ConfigMapList", "kind").starts_with("Kind is a string value"));
        // Custom resources borrow it.
        assert!(means("api.core.v1.Pod", "metadata").starts_with("Standard object's metadata."));
    }

    #[tokio::test(start_paused = true)]
    async fn the_texts_are_forgotten_when_nobody_asks() {
        let (shelf, scope) = (Shelf::default(), Scope::root("test"));
        let weak = Arc::downgrade(&shelf.get(&scope));
        tokio::time::sleep(Duration::from_secs(59)).await;
        shelf.get(&scope);
        tokio::time::sleep(Duration::from_secs(59)).await;
        assert!(weak.upgrade().is_some());
        tokio::time::sleep(Duration::from_secs(120)).await;
        assert!(weak.upgrade().is_none());
    }
}
