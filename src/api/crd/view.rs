//! Stored custom objects as a request sees them: in its version, with today's defaults.
//!
//! What is stored may be of a version, or from before a default, that the definition had long ago.
//! Objects that need nothing of this pass as they are, bytes and all.

use std::sync::Arc;

use crate::api::encode;
use crate::api::pipeline::Api;
use crate::api::pipeline::act::Act;
use crate::api::pipeline::select::{Selection, field_value};
use crate::api::selector::FieldTerm;
use crate::object::pick::pick;
use crate::object::schema::custom::{Props, settle};
use crate::object::tree::{Tree, TreePath};
use crate::object::{Answer, Event, List, Object, ObjectRef, Reply, Status};
use crate::resources::Resource;

/// How the objects of one call are to be shown.
#[derive(Clone)]
pub struct CustomView {
    resource: Arc<Resource>,
    api_version: String,
    /// The schema of that version, if it has defaults.
    defaults: Option<Arc<Props>>,
    /// What the objects' own fields must be for the call to be about them.
    fields: Vec<FieldTerm>,
}

impl CustomView {
    pub fn of(act: &Act) -> Self {
        Self { fields: Selection::custom_fields(act), ..Self::new(act.resource.clone(), act.api_version()) }
    }

    pub fn new(resource: Arc<Resource>, api_version: String) -> Self {
        let version = resource.rules.custom().and_then(|rules| rules.version(&api_version));
        let schema = version.map(|version| version.schema.clone());
        let defaults = schema.filter(|schema| schema.any(&|schema| schema.default.is_some()));
        Self { resource, api_version, defaults, fields: Vec::new() }
    }

    /// Whether stored objects may have to be changed to be shown.
    fn is_plain(&self) -> bool {
        !self.resource.is_custom
    }

    pub async fn answer(&self, api: &Api, answer: Answer) -> Result<Answer, Status> {
        let reply = match answer.reply {
            Reply::Object { object, created } => Reply::Object { object: self.object(api, object).await?, created },
            Reply::List(list) => Reply::List(List { items: self.selected(api, list.items).await?, ..list }),
            other => other,
        };
        Ok(Answer { reply, ..answer })
    }

    /// The event as the call sees it; `None` if it is about what the call does not select.
    pub async fn event(&self, api: &Api, event: Event) -> Result<Option<Event>, Status> {
        Ok(match event {
            Event::Added(object) => {
                Some(self.object(api, object).await?).filter(|it| self.selects(it)).map(Event::Added)
            }
            Event::Modified { object, previous } if self.fields.is_empty() => {
                Some(Event::Modified { object: self.object(api, object).await?, previous })
            }
            Event::Modified { object, previous } => {
                let object = self.object(api, object).await?;
                let before = self.object(api, previous.clone()).await?;
                match (self.selects(&object), self.selects(&before)) {
                    (true, true) => Some(Event::Modified { object, previous }),
                    (true, false) => Some(Event::Added(object)),
                    (false, true) => Some(Event::Deleted(before.at_revision(object.revision()))),
                    (false, false) => None,
                }
            }
            Event::Deleted(object) => {
                Some(self.object(api, object).await?).filter(|it| self.selects(it)).map(Event::Deleted)
            }
            bookmark @ Event::Bookmark { .. } => Some(bookmark),
        })
    }

    /// Those of the objects that the call selects by their fields.
    pub async fn selected(&self, api: &Api, objects: Vec<ObjectRef>) -> Result<Vec<ObjectRef>, Status> {
        let mut objects = self.objects(api, objects).await?;
        objects.retain(|object| self.selects(object));
        Ok(objects)
    }

    fn selects(&self, object: &ObjectRef) -> bool {
        if self.fields.is_empty() {
            return true;
        }
        let at = |path: &str| pick(object.bytes(), path);
        self.fields.iter().all(|term| (field_value(&self.resource, &at, &term.field) == term.value) != term.negated)
    }

    pub async fn object(&self, api: &Api, object: ObjectRef) -> Result<ObjectRef, Status> {
        if self.is_plain() {
            return Ok(object);
        }
        let shown = self.objects(api, vec![object]).await?;
        shown.into_iter().next().ok_or_else(|| Status::internal("the conversion gave nothing back"))
    }

    async fn objects(&self, api: &Api, objects: Vec<ObjectRef>) -> Result<Vec<ObjectRef>, Status> {
        let versions: Vec<String> = objects.iter().map(stored_version).collect();
        let foreign: Vec<usize> = (0..objects.len()).filter(|at| versions[*at] != self.api_version).collect();
        if foreign.is_empty() && self.defaults.is_none() {
            return Ok(objects);
        }
        let trees = foreign.iter().map(|at| objects[*at].tree()).collect();
        let mut converted = api.convert(&self.resource, trees, &self.api_version).await?.into_iter();
        let mut shown = Vec::with_capacity(objects.len());
        for (object, version) in objects.into_iter().zip(versions) {
            let tree = match version == self.api_version {
                true => object.tree(),
                false => converted.next().ok_or_else(|| Status::internal("the conversion lost an object"))?,
            };
            shown.push(self.settled(&object, tree)?);
        }
        Ok(shown)
    }

    /// The object with its defaults, as stored if it has them already.
    fn settled(&self, object: &ObjectRef, mut tree: Tree) -> Result<ObjectRef, Status> {
        if let Some(schema) = &self.defaults {
            let before = tree.clone();
            // Metadata in the store is in order, so there is nothing to fail on.
            let _ = settle(&mut tree, schema);
            if tree == before && tree.text("apiVersion") == stored_version(object) {
                return Ok(object.clone());
            }
        }
        let payload = encode::payload(&tree, &self.resource)?;
        Ok(Object::spliced(object.key().clone(), object.revision(), &payload.bytes, payload.revision_at))
    }
}

/// The `apiVersion` that an object is stored with.
fn stored_version(object: &ObjectRef) -> String {
    #[derive(serde::Deserialize, Default)]
    #[serde(default, rename_all = "camelCase")]
    struct Envelope {
        api_version: String,
    }
    serde_json::from_slice::<Envelope>(object.bytes()).map(|envelope| envelope.api_version).unwrap_or_default()
}
