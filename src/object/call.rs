//! One API request as a value, and its answer: what the pipeline takes and every client makes.
//!
//! The HTTP layer reads requests into [`Call`]s; loops in the same process make them directly.
//! Both then take the same way: authorisation, admission, validation, audit.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::key::{GroupResource, Key, Revision};
use super::object::ObjectRef;
use super::tree::Tree;

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

impl User {
    pub fn named(name: &str, groups: &[&str]) -> Arc<Self> {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Arc::new(Self { name: name.into(), groups, ..Self::default() })
    }

    /// The user that a service account is.
    pub fn service_account(namespace: &str, name: &str) -> Arc<Self> {
        let of_namespace = format!("system:serviceaccounts:{namespace}");
        Self::named(
            &format!("system:serviceaccount:{namespace}:{name}"),
            &["system:serviceaccounts", &of_namespace, "system:authenticated"],
        )
    }

    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|mine| mine == group)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    Get,
    List,
    Watch,
    Create,
    Update,
    Patch,
    Delete,
    DeleteCollection,
}

impl Verb {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    pub fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// What a call is about. Empty `namespace` means cluster-scoped or every namespace; empty `name`
/// a collection; empty `subresource` the object itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub group: String,
    pub version: String,
    pub resource: String,
    pub namespace: String,
    pub name: String,
    pub subresource: String,
}

impl Target {
    pub fn group_resource(&self) -> GroupResource {
        GroupResource::new(&self.group, &self.resource)
    }

    pub fn key(&self) -> Key {
        Key::new(&self.group_resource(), &self.namespace, &self.name)
    }
}

/// The options that requests carry in their query (`metav1.ListOptions`, `CreateOptions`, …).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    pub label_selector: String,
    pub field_selector: String,
    pub limit: Option<i64>,
    pub continue_token: String,
    pub resource_version: String,
    pub resource_version_match: String,
    pub timeout_seconds: Option<i64>,
    pub allow_watch_bookmarks: bool,
    pub send_initial_events: Option<bool>,
    pub dry_run: bool,
    pub field_manager: String,
    pub field_validation: String,
    pub force: Option<bool>,
    /// The rest of the query, for subresources with options of their own (log, exec, proxy).
    pub other: Vec<(String, String)>,
}

impl Options {
    /// The first value of a subresource's own option.
    pub fn other(&self, name: &str) -> Option<&str> {
        self.other.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// How the bytes of a body are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchKind {
    Json,
    Merge,
    Strategic,
    /// Server-side apply; the body may be YAML.
    Apply,
}

#[derive(Clone, Debug, Default)]
pub enum Body {
    #[default]
    None,
    /// From the wire: not looked at yet.
    Bytes(Encoding, Bytes),
    /// From inside: already a tree.
    Tree(Tree),
    Patch(PatchKind, Bytes),
}

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub user: Arc<User>,
    pub verb: Verb,
    pub target: Target,
    pub options: Options,
    pub body: Body,
    /// Default field manager is what stands before the first `/` of it.
    pub user_agent: Arc<str>,
}

/// What a successful call gives back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// One object in its storage version, to be converted and encoded as the client asked.
    Object {
        object: ObjectRef,
        created: bool,
    },
    /// An object that is not (or not as such) in the store: dry runs, reviews, scales, tokens.
    Tree {
        tree: Tree,
        created: bool,
    },
    List(List),
    /// `metav1.Status` with `Success`, as deletion answers.
    Success(Tree),
}

/// One page of a collection, at one revision.
#[derive(Clone, Debug, Default)]
pub struct List {
    pub items: Vec<ObjectRef>,
    pub revision: Revision,
    pub continue_token: String,
    pub remaining: Option<u64>,
}

/// A reply with the warnings that go into its `Warning` headers.
#[derive(Debug)]
pub struct Answer {
    pub reply: Reply,
    pub warnings: Vec<String>,
}

/// One change of a watched collection. A bookmark says only that everything up to its revision was sent.
#[derive(Clone, Debug)]
pub enum Event {
    Added(ObjectRef),
    Modified {
        object: ObjectRef,
        previous: ObjectRef,
    },
    /// The last state, at the revision of its deletion.
    Deleted(ObjectRef),
    /// `initial_done` marks the end of the initial events of a `sendInitialEvents` watch.
    Bookmark {
        revision: Revision,
        initial_done: bool,
    },
}
