//! Requests by one user, as methods.

use std::sync::Arc;

use bytes::Bytes;

use super::backend::{Backend, Events};
use crate::object::tree::json;
use crate::object::{
    Body, Call, Key, Kind, List, Object, ObjectRef, Options, PatchKind, Reason, Reply, Revision, Status, Target, Tree,
    TreePath, User, Verb,
};

/// A backend together with who asks it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    backend: Arc<dyn Backend>,
    user: Arc<User>,
    user_agent: Arc<str>,
}

/// What happens to the objects that a deleted one owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    Background,
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeleteOptions {
    pub grace_period_seconds: Option<i64>,
    /// Delete nothing but this very object.
    pub uid: Option<String>,
    pub resource_version: Option<String>,
    pub propagation: Option<Propagation>,
}

impl DeleteOptions {
    pub fn of_uid(uid: &str) -> Self {
        Self { uid: Some(uid.into()), ..Self::default() }
    }

    pub fn to_tree(&self) -> Tree {
        let mut tree = json!({"kind": "DeleteOptions", "apiVersion": "v1"});
        if let Some(seconds) = self.grace_period_seconds {
            tree.set("gracePeriodSeconds", seconds);
        }
        if let Some(uid) = &self.uid {
            tree.set("preconditions.uid", uid.as_str());
        }
        if let Some(version) = &self.resource_version {
            tree.set("preconditions.resourceVersion", version.as_str());
        }
        if let Some(propagation) = self.propagation {
            tree.set("propagationPolicy", format!("{propagation:?}"));
        }
        tree
    }
}

impl Client {
    /// `user_agent` names the component; what stands before its first `/` becomes the field manager.
    pub fn new(backend: Arc<dyn Backend>, user: Arc<User>, user_agent: &str) -> Self {
        Self { backend, user, user_agent: user_agent.into() }
    }

    /// The same backend asked by someone else.
    pub fn acting_as(&self, user: Arc<User>) -> Self {
        Self { user, ..self.clone() }
    }

    pub fn user(&self) -> &User {
        &self.user
    }

    /// The object as it is stored now.
    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<ObjectRef, Status> {
        let target = target(kind, namespace, name, "");
        object(kind, self.send(Verb::Get, target, Options::default(), Body::None).await?)
    }

    /// As [`Client::get`], with absence as `None`.
    pub async fn find(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<ObjectRef>, Status> {
        match self.get(kind, namespace, name).await {
            Ok(found) => Ok(Some(found)),
            Err(status) if status.is(Reason::NotFound) => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// One page; all of it unless `options` set a limit. An empty namespace means all of them.
    pub async fn list(&self, kind: &Kind, namespace: &str, options: Options) -> Result<List, Status> {
        match self.send(Verb::List, target(kind, namespace, "", ""), options, Body::None).await? {
            Reply::List(list) => Ok(list),
            _ => Err(unexpected("a list")),
        }
    }

    /// Creates `tree`; its namespace and name are taken from it, kind and version are filled in.
    pub async fn create(&self, kind: &Kind, tree: Tree) -> Result<ObjectRef, Status> {
        let place = target(kind, tree.text("metadata.namespace"), "", "");
        object(kind, self.send(Verb::Create, place, Options::default(), Body::Tree(typed(kind, tree))).await?)
    }

    /// Replaces the object that `tree` names; with a `resourceVersion` in it, only that very state.
    pub async fn update(&self, kind: &Kind, tree: Tree) -> Result<ObjectRef, Status> {
        self.put(kind, "", tree).await
    }

    /// As [`Client::update`], for the status alone.
    pub async fn update_status(&self, kind: &Kind, tree: Tree) -> Result<ObjectRef, Status> {
        self.put(kind, "status", tree).await
    }

    /// Replaces a subresource of the object that `tree` names.
    pub async fn put(&self, kind: &Kind, subresource: &str, tree: Tree) -> Result<ObjectRef, Status> {
        let place = target(kind, tree.text("metadata.namespace"), tree.text("metadata.name"), subresource);
        object(kind, self.send(Verb::Update, place, Options::default(), Body::Tree(typed(kind, tree))).await?)
    }

    pub async fn patch(
        &self,
        kind: &Kind,
        key: &Key,
        subresource: &str,
        patch: PatchKind,
        body: &Tree,
    ) -> Result<ObjectRef, Status> {
        let place = target(kind, key.namespace(), key.name(), subresource);
        let body = Body::Patch(patch, Bytes::from(body.to_string()));
        object(kind, self.send(Verb::Patch, place, Options::default(), body).await?)
    }

    /// Server-side apply as `manager`; `force` takes over fields that others own.
    pub async fn apply(&self, kind: &Kind, tree: Tree, manager: &str, force: bool) -> Result<ObjectRef, Status> {
        let place = target(kind, tree.text("metadata.namespace"), tree.text("metadata.name"), "");
        let options = Options { field_manager: manager.into(), force: Some(force), ..Options::default() };
        let body = Body::Patch(PatchKind::Apply, Bytes::from(typed(kind, tree).to_string()));
        object(kind, self.send(Verb::Patch, place, options, body).await?)
    }

    /// Deletes the object; gives back what is left of it while finalizers or a grace period hold it.
    pub async fn delete(&self, kind: &Kind, key: &Key, options: &DeleteOptions) -> Result<Option<ObjectRef>, Status> {
        let place = target(kind, key.namespace(), key.name(), "");
        match self.send(Verb::Delete, place, Options::default(), Body::Tree(options.to_tree())).await? {
            Reply::Object { object, .. } => Ok(Some(object)),
            _ => Ok(None),
        }
    }

    /// Deletes everything of `kind` in the namespace.
    pub async fn delete_all(&self, kind: &Kind, namespace: &str, options: &DeleteOptions) -> Result<(), Status> {
        let place = target(kind, namespace, "", "");
        self.send(Verb::DeleteCollection, place, Options::default(), Body::Tree(options.to_tree())).await.map(drop)
    }

    /// Posts to a subresource: `binding`, `eviction`, `token`.
    pub async fn post(&self, kind: &Kind, key: &Key, subresource: &str, tree: Tree) -> Result<Tree, Status> {
        let place = target(kind, key.namespace(), key.name(), subresource);
        match self.send(Verb::Create, place, Options::default(), Body::Tree(tree)).await? {
            Reply::Object { object, .. } => Ok(object.tree()),
            Reply::Tree { tree, .. } | Reply::Success(tree) => Ok(tree),
            Reply::List(_) => Err(unexpected("an object")),
        }
    }

    /// Reads a subresource: `scale`.
    pub async fn read(&self, kind: &Kind, namespace: &str, name: &str, subresource: &str) -> Result<Tree, Status> {
        match self.send(Verb::Get, target(kind, namespace, name, subresource), Options::default(), Body::None).await? {
            Reply::Object { object, .. } => Ok(object.tree()),
            Reply::Tree { tree, .. } | Reply::Success(tree) => Ok(tree),
            Reply::List(_) => Err(unexpected("an object")),
        }
    }

    /// Whether the server allows what a SubjectAccessReview asks about.
    pub async fn review_access(&self, mut review: Tree) -> Result<bool, Status> {
        const GROUP: &str = "authorization.k8s.io";
        review.set("apiVersion", format!("{GROUP}/v1"));
        review.set("kind", "SubjectAccessReview");
        let place = Target {
            group: GROUP.into(),
            version: "v1".into(),
            resource: "subjectaccessreviews".into(),
            ..Target::default()
        };
        match self.send(Verb::Create, place, Options::default(), Body::Tree(review)).await? {
            Reply::Tree { tree, .. } => Ok(tree.flag("status.allowed") == Some(true)),
            Reply::Object { object, .. } => Ok(object.tree().flag("status.allowed") == Some(true)),
            _ => Err(unexpected("a review")),
        }
    }

    /// The changes of a collection; `options.resource_version` says after which.
    pub async fn watch(&self, kind: &Kind, namespace: &str, options: Options) -> Result<Events, Status> {
        let place = target(kind, namespace, "", "");
        self.backend.watch(self.call_of(Verb::Watch, place, options, Body::None)).await
    }

    /// A request of any shape.
    pub async fn send(&self, verb: Verb, target: Target, options: Options, body: Body) -> Result<Reply, Status> {
        let answer = self.backend.call(self.call_of(verb, target, options, body)).await?;
        Ok(answer.reply)
    }

    fn call_of(&self, verb: Verb, target: Target, options: Options, body: Body) -> Call {
        Call { user: self.user.clone(), verb, target, options, body, user_agent: self.user_agent.clone() }
    }
}

/// Where a request about `kind` goes.
pub fn target(kind: &Kind, namespace: &str, name: &str, subresource: &str) -> Target {
    Target {
        group: kind.group.to_string(),
        version: kind.version.to_string(),
        resource: kind.plural.to_string(),
        namespace: if kind.namespaced { namespace.into() } else { String::new() },
        name: name.into(),
        subresource: subresource.into(),
    }
}

fn typed(kind: &Kind, mut tree: Tree) -> Tree {
    tree.set_default("apiVersion", kind.api_version());
    tree.set_default("kind", &*kind.kind);
    tree
}

/// The object of an answer. One that is not in the store (any more), such as a namespace whose last
/// finalizer was taken away, comes as a tree.
fn object(kind: &Kind, reply: Reply) -> Result<ObjectRef, Status> {
    match reply {
        Reply::Object { object, .. } => Ok(object),
        Reply::Tree { tree, .. } if tree.has("metadata.name") => {
            let key = Key::new(&kind.resource(), tree.text("metadata.namespace"), tree.text("metadata.name"));
            let revision = tree.text("metadata.resourceVersion").parse().map_or(Revision::ZERO, Revision);
            Ok(Object::new(key, revision, tree.to_string().into()))
        }
        _ => Err(unexpected("an object")),
    }
}

fn unexpected(wanted: &str) -> Status {
    Status::internal(format!("the server answered with something else than {wanted}"))
}
