//! POST of a collection: a new object.

use crate::base::rand;
use crate::object::tree::{Tree, TreePath};
use crate::object::{Answer, Reason, Reply, Status};

use super::act::Act;
use super::{Api, deposed, metadata, stored};
use crate::api::admission::{Attributes, Operation};
use crate::api::alloc::Reservations;
use crate::resources::path::{complaints, errors_of};
use crate::resources::{Verbs, meta};
use crate::store::{Command, Outcome};

/// How often another name is made up when a generated one is taken.
const GENERATE_ATTEMPTS_MAX: usize = 8;

impl Api {
    pub(super) async fn create(&self, mut act: Act) -> Result<Answer, Status> {
        let mut tree = self.decode(&mut act)?;
        metadata::wipe_system_fields(&mut tree);
        metadata::match_namespace(&mut tree, act.namespace())?;
        self.create_tree(act, tree).await
    }

    /// Creates an object that is decoded, in the storage version and in its namespace.
    pub(super) async fn create_tree(&self, mut act: Act, mut tree: Tree) -> Result<Answer, Status> {
        metadata::dedup_owners(&mut tree, false, &mut act.warnings);
        self.track_fields(&act, &mut tree);
        let attempts = if metadata::wants_generated_name(&tree) { GENERATE_ATTEMPTS_MAX } else { 1 };
        let mut outcome = Err(Status::internal("no attempt was made"));
        for left in (0..attempts).rev() {
            outcome = self.create_once(&mut act, &mut tree).await;
            match &outcome {
                Err(status) if left > 0 && status.is(Reason::AlreadyExists) => tree.unset("metadata.name"),
                _ => break,
            };
        }
        match outcome {
            Ok(reply) => Ok(Answer { reply, warnings: act.warnings }),
            Err(status) => Err(status.with_warnings(&act.warnings)),
        }
    }

    async fn create_once(&self, act: &mut Act, tree: &mut Tree) -> Result<Reply, Status> {
        let generated = metadata::wants_generated_name(tree);
        let ready = self.prepare_create(act, tree).await?;
        let name = tree.text("metadata.name").to_owned();
        if act.resource.verbs == Verbs::CustomTerminating {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Status::forbidden(&act.resource.name, &name, why));
        }
        let key = act.key_of(&name);
        if act.is_dry_run() {
            self.charges(act, Operation::Create, None, tree)?;
            if let Some(there) = self.state().get(&key) {
                return Err(taken(act, &name, there.meta().is_deleting(), generated));
            }
            let mut tree = self.as_stored(&act.resource, tree.take()).await?;
            tree.unset("metadata.resourceVersion");
            return Ok(Reply::Tree { tree, created: true });
        }
        let payload = self.encode(&act.resource, tree).await?;
        let committed = self.propose_charged(act, Operation::Create, None, tree, Command::create(key, payload)).await?;
        drop(ready);
        match committed {
            Outcome::Committed { objects, .. } => Ok(Reply::Object { object: stored(objects)?, created: true }),
            Outcome::Failed { current, .. } => {
                let deleting = current.is_some_and(|object| object.meta().is_deleting());
                Err(taken(act, &name, deleting, generated))
            }
            Outcome::Deposed { .. } => Err(deposed()),
        }
    }

    /// Everything between a decoded object and one that may be stored: admission, metadata, the
    /// kind's own preparation, validation. What is returned must live until the object is stored.
    pub(super) async fn prepare_create(&self, act: &mut Act, tree: &mut Tree) -> Result<Reservations, Status> {
        let state = self.state();
        let attributes = Attributes::of(self, act, &state, Operation::Create, None);
        let mut warnings = Vec::new();
        self.admission.admit(&attributes, tree, &mut warnings)?;
        self.mutate_by_policies(&attributes, tree).await?;
        self.mutate_by_hooks(&attributes, tree, &mut warnings).await?;
        metadata::dedup_owners(tree, true, &mut warnings);

        metadata::fill_system_fields(tree, rand::uuid(&*self.rand), self.now());
        if metadata::wants_generated_name(tree) {
            metadata::generate_name(tree, &rand::name_suffix(&*self.rand, metadata::SUFFIX_LEN));
        }
        metadata::match_namespace(tree, act.namespace())?;
        let rules = &act.resource.rules;
        if act.version().has_status() && !rules.keeps_status() {
            tree.unset("status");
        }
        if rules.has_generation() {
            tree.set("metadata.generation", 1);
        }
        rules.prepare_create(tree);
        let reservations = self.allocator.reserve(&attributes, tree)?;

        let errors = errors_of(|errors| {
            meta::validate(&act.resource, tree, None, errors);
            rules.validate(tree, None, errors);
        });
        if !errors.is_empty() {
            return Err(
                errors.into_status(&act.resource.complaint_gvk(&act.version().name), tree.text("metadata.name"))
            );
        }
        warnings.extend(complaints(|| rules.warnings(tree, None)));
        self.admission.validate(&attributes, Some(tree), &mut warnings)?;
        self.validate_by_policies(&attributes, Some(tree), &mut warnings)?;
        self.validate_by_hooks(&attributes, Some(tree), &mut warnings).await?;
        act.warnings.extend(warnings);
        metadata::refuse_version(tree)?;
        act.resource.rules.settle(tree);
        Ok(reservations)
    }
}

/// The name is in use; said differently if it was made up, or its holder is on its way out.
fn taken(act: &Act, name: &str, deleting: bool, generated: bool) -> Status {
    let resource = &act.resource.name;
    if generated {
        let message = format!(
            "{resource} {name:?} already exists, the server was not able to generate a unique name for the object"
        );
        let mut status = Status::already_exists(resource, name);
        status.message = message;
        if let Some(details) = &mut status.details {
            details.retry_after_seconds = 1;
        }
        return status;
    }
    let mut status = Status::already_exists(resource, name);
    if deleting {
        status.message = format!("object is being deleted: {}", status.message);
    }
    status
}
