//! What every cluster has from the start, written at each start where it is missing.
//!
//! Namespaces first, since the rest lives in them; everything else at once, so that the store
//! makes it durable together. What is there and differs is completed where upstream completes it,
//! and left alone where it is the administrator's.

mod system;

use anyhow::{Context, Result};
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::api::{authz, flow};
use crate::client::Client;
use crate::object::{Kind, Reason, Status, Tree, TreePath};
use crate::store::State;

pub use system::Facts;

/// How many writes wait for the store at once.
const WRITES_AT_ONCE: usize = 64;

/// An object to have, and what to do when it is there already.
pub struct Item {
    kind: &'static Kind,
    tree: Tree,
    keep: Keep,
}

/// Gives what to write instead of the stored object (second), so that it is as wanted (first); or
/// nothing.
type Keep = fn(&Tree, &Tree) -> Option<Tree>;

impl Item {
    fn new(tree: Tree, keep: Keep) -> Self {
        let kind = Kind::of_reference(tree.text("apiVersion"), tree.text("kind"));
        Self { kind: kind.expect("bootstrap objects are of built-in kinds"), tree, keep }
    }

    fn name(&self) -> &str {
        self.tree.text("metadata.name")
    }
}

/// Writes what is missing.
pub async fn ensure(client: &Client, facts: &Facts) -> Result<()> {
    ensure_all(client, system::namespaces()).await?;
    ensure_all(client, items(facts).collect()).await
}

/// Whether all of it is there.
pub fn is_there(state: &State, facts: &Facts) -> bool {
    let mut items = items(facts).chain(system::namespaces());
    items.all(|item| state.get(&item.kind.key(item.tree.text("metadata.namespace"), item.name())).is_some())
}

/// What is to live in the namespaces, or nowhere.
fn items(facts: &Facts) -> impl Iterator<Item = Item> {
    let roles = authz::bootstrap::objects().into_iter();
    let roles =
        roles.map(|(_, tree)| Item::new(tree, |wanted, stored| authz::bootstrap::reconcile(wanted, Some(stored))));
    let flow = flow::bootstrap::objects().into_iter().map(|tree| Item::new(tree, flow::bootstrap::revise));
    roles.chain(system::objects(facts)).chain(flow)
}

/// Lets the `kubernetes` service lead to the servers that there are.
pub async fn ensure_servers(client: &Client, facts: &Facts) -> Result<()> {
    ensure_all(client, system::servers(facts)).await
}

async fn ensure_all(client: &Client, items: Vec<Item>) -> Result<()> {
    stream::iter(items)
        .map(|item| async move {
            ensure_one(client, &item).await.with_context(|| format!("cannot write {} {}", item.kind.kind, item.name()))
        })
        .buffer_unordered(WRITES_AT_ONCE)
        .try_collect()
        .await
}

async fn ensure_one(client: &Client, item: &Item) -> Result<(), Status> {
    let stored = client.find(item.kind, item.tree.text("metadata.namespace"), item.name()).await?;
    let written = match stored {
        None => client.create(item.kind, item.tree.clone()).await,
        Some(stored) => match (item.keep)(&item.tree, &stored.tree()) {
            Some(better) => client.update(item.kind, better).await,
            None => return Ok(()),
        },
    };
    match written {
        Ok(_) => Ok(()),
        // Another server, or an administrator, was faster.
        Err(status) if status.is(Reason::AlreadyExists) || status.is(Reason::Conflict) => Ok(()),
        Err(status) => Err(status),
    }
}

/// Whatever is stored is right.
fn as_it_is(_: &Tree, _: &Tree) -> Option<Tree> {
    None
}

/// These fields must be as wanted; the rest is as stored.
fn with_fields(wanted: &Tree, stored: &Tree, fields: &[&str]) -> Option<Tree> {
    let mut better = stored.clone();
    for field in fields {
        if let Some(value) = wanted.at(field) {
            better.set(field, value.clone());
        }
    }
    (better != *stored).then_some(better)
}
