//! Addons: what lies in the folder of manifests is kept applied.
//!
//! Every file under the folder has an `Addon` object that says from which file it came, its
//! checksum, which objects it made and how the last attempt went. A file that changes is applied
//! again and what it no longer names is deleted; a file that goes takes its objects along. What a
//! file makes is written to its `Addon` before it is made, so that a crash forgets nothing. Beside a
//! file `x.yaml`, a file `x.yaml.skip` leaves everything about it as it is.

mod folder;
mod manifest;
mod record;
pub mod shipped;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::base::backoff::Backoff;
use crate::base::clock::ClockRef;
use crate::base::hex::hex;
use crate::base::service::Scope;
use crate::client::{Client, DeleteOptions, Note, NoteKind, Propagation, Recorder};
use crate::object::view::Reference;
use crate::object::{Kind, Reason, Status, Tree, TreePath};
use folder::Found;
use record::{Made, Record};

/// Who the objects' managed fields say applied them.
const MANAGER: &str = "skiff-addons";
/// How often the folder is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const RETRY: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// The kind that an object's `apiVersion` and `kind` name, if it is served now.
pub type Kinds = Arc<dyn Fn(&str, &str) -> Option<Kind> + Send + Sync>;

/// Keeps one server's folder applied.
pub struct Addons {
    pub client: Client,
    pub recorder: Recorder,
    pub kinds: Kinds,
    pub clock: ClockRef,
    pub folder: PathBuf,
    /// This server's name: it removes only what it applied itself.
    pub server: String,
}

impl Addons {
    pub fn start(self, scope: &Scope) {
        let inner = scope.clone();
        scope.spawn("addons", async move {
            tokio::select! {
                () = Keeper::new(self).run() => (),
                () = inner.stopping() => (),
            }
        });
    }
}

struct Keeper {
    addons: Addons,
    records: BTreeMap<String, Record>,
    files: BTreeMap<String, Seen>,
}

/// A file as it was last dealt with.
struct Seen {
    stamp: folder::Stamp,
    failures: u32,
    due: Duration,
}

impl Keeper {
    fn new(addons: Addons) -> Self {
        Self { addons, records: BTreeMap::new(), files: BTreeMap::new() }
    }

    async fn run(mut self) {
        let mut failures = 0;
        while let Err(status) = self.open().await {
            failures += 1;
            // At a new cluster's first start the definition takes a moment to be served.
            if failures > 3 {
                tracing::warn!(error = %status, "cannot read the addons yet");
            }
            tokio::time::sleep(RETRY.delay(failures)).await;
        }
        loop {
            self.look().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Makes the kind known and reads what was applied before.
    async fn open(&mut self) -> Result<(), Status> {
        self.addons.client.apply(record::definition_kind(), record::definition(), MANAGER, true).await?;
        if (self.addons.kinds)(&record::KIND.api_version(), &record::KIND.kind).is_none() {
            return Err(Status::internal("the Addon kind is not served yet"));
        }
        let list = self.addons.client.list(&record::KIND, record::NAMESPACE, Default::default()).await?;
        let read = |addon: &crate::object::ObjectRef| (addon.key().name().to_owned(), Record::read(&addon.tree()));
        self.records = list.items.iter().map(read).collect();
        Ok(())
    }

    async fn look(&mut self) {
        let folder = self.addons.folder.clone();
        let found = match Scope::blocking(move || folder::scan(&folder)).await {
            Ok(found) => found,
            Err(error) => {
                return tracing::warn!(folder = %self.addons.folder.display(), %error, "cannot read the folder of manifests");
            }
        };
        for file in found.iter().filter(|file| !file.skipped) {
            self.keep(file).await;
        }
        let there: BTreeSet<&str> = found.iter().map(|file| file.addon.as_str()).collect();
        let ours = |record: &Record| record.server == self.addons.server;
        let gone = self.records.iter().filter(|(name, record)| !there.contains(name.as_str()) && ours(record));
        for name in gone.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.remove(&name).await;
        }
    }

    /// Applies the file if it changed, or if it failed and it is time to try again.
    async fn keep(&mut self, file: &Found) {
        let now = self.addons.clock.elapsed();
        let failures = match self.files.get(&file.addon) {
            Some(seen) if seen.stamp == file.stamp && (seen.failures == 0 || now < seen.due) => return,
            Some(seen) if seen.stamp == file.stamp => seen.failures,
            _ => 0,
        };
        let failures = match self.apply(file).await {
            Ok(()) => 0,
            Err(why) => {
                tracing::warn!(file = file.source, error = why, "a manifest could not be applied; it is tried again");
                failures + 1
            }
        };
        let due = self.addons.clock.elapsed() + RETRY.delay(failures);
        self.files.insert(file.addon.clone(), Seen { stamp: file.stamp.clone(), failures, due });
    }

    async fn apply(&mut self, file: &Found) -> Result<(), String> {
        let path = file.path.clone();
        let bytes = Scope::blocking(move || folder::read(&path)).await.map_err(|error| error.to_string())?;
        let before = self.records.get(&file.addon).cloned().unwrap_or_default();
        let mut record = Record {
            source: file.source.clone(),
            server: self.addons.server.clone(),
            checksum: hex(&Sha256::digest(&bytes)),
            ..before.clone()
        };
        let is_new = record.checksum != before.checksum;
        let objects = match manifest::parse(&bytes) {
            Ok(objects) => objects,
            Err(why) => return self.failed(&file.addon, record, "ParseManifestFailed", why, &before).await,
        };
        let (known, mut complaints) = self.resolve(objects);
        let wanted: Vec<Made> = known.iter().map(|(kind, tree)| Made::of(kind, tree)).collect();
        record.objects.extend(wanted.iter().filter(|made| !before.objects.contains(made)).cloned());
        let addon = self.write(&file.addon, &record).await.map_err(|status| status.to_string())?;
        if is_new {
            let message = format!("Applying manifest at \"{}\"", file.source);
            self.addons.recorder.record(Note::new(addon, NoteKind::Normal, "ApplyingManifest", message));
        }
        for (kind, tree) in known {
            let name = format!("{} {}", kind.kind, Made::of(&kind, &tree).full_name());
            if let Err(status) = self.addons.client.apply(&kind, tree, MANAGER, true).await {
                complaints.push(format!("{name}: {status}"));
            }
        }
        if complaints.is_empty() {
            let unwanted: Vec<Made> = record.objects.iter().filter(|made| !wanted.contains(made)).cloned().collect();
            complaints = self.delete(&unwanted).await;
        }
        if !complaints.is_empty() {
            let why = complaints.join("; ");
            return self.failed(&file.addon, record, "ApplyManifestFailed", why, &before).await;
        }
        record.objects = wanted;
        record.failure = String::new();
        record.is_applied = true;
        let addon = self.write(&file.addon, &record).await.map_err(|status| status.to_string())?;
        if is_new || !before.is_applied {
            let message = format!("Applied manifest at \"{}\"", file.source);
            self.addons.recorder.record(Note::new(addon, NoteKind::Normal, "AppliedManifest", message));
        }
        Ok(())
    }

    /// The objects with their kinds, and a complaint for each whose kind is not served.
    fn resolve(&self, objects: Vec<Tree>) -> (Vec<(Kind, Tree)>, Vec<String>) {
        let (mut known, mut complaints) = (Vec::new(), Vec::new());
        for mut tree in objects {
            let (version, kind) = (tree.text("apiVersion"), tree.text("kind"));
            let Some(found) = (self.addons.kinds)(version, kind) else {
                complaints.push(format!("no matches for kind \"{kind}\" in version \"{version}\""));
                continue;
            };
            if found.namespaced && tree.text("metadata.namespace").is_empty() {
                tree.set("metadata.namespace", "default");
            }
            known.push((found, tree));
        }
        (known, complaints)
    }

    async fn failed(
        &mut self,
        addon: &str,
        mut record: Record,
        reason: &'static str,
        why: String,
        before: &Record,
    ) -> Result<(), String> {
        record.is_applied = false;
        record.failure = why.clone();
        let regarding = self.write(addon, &record).await.map_err(|status| format!("{why}; and: {status}"))?;
        if record != *before {
            self.addons.recorder.record(Note::new(regarding, NoteKind::Warning, reason, why.clone()));
        }
        Err(why)
    }

    async fn remove(&mut self, name: &str) {
        let Some(record) = self.records.get(name).cloned() else { return };
        tracing::info!(file = record.source, "a manifest is gone; deleting what it made");
        let complaints = self.delete(&record.objects).await;
        if !complaints.is_empty() {
            return tracing::warn!(
                file = record.source,
                error = complaints.join("; "),
                "cannot delete what a manifest made"
            );
        }
        let key = record::KIND.key(record::NAMESPACE, name);
        match self.addons.client.delete(&record::KIND, &key, &DeleteOptions::default()).await {
            Err(status) if !status.is(Reason::NotFound) => {
                tracing::warn!(addon = name, error = %status, "cannot delete an addon")
            }
            _ => {
                self.records.remove(name);
                self.files.remove(name);
            }
        }
    }

    /// Deletes what is still there, the last made first; gives back what went wrong.
    async fn delete(&self, objects: &[Made]) -> Vec<String> {
        let options = DeleteOptions { propagation: Some(Propagation::Background), ..DeleteOptions::default() };
        let mut complaints = Vec::new();
        for made in objects.iter().rev() {
            // What is not served any more is gone with its definition.
            let Some(kind) = (self.addons.kinds)(&made.api_version, &made.kind) else { continue };
            let key = kind.key(&made.namespace, &made.name);
            match self.addons.client.delete(&kind, &key, &options).await {
                Err(status) if !status.is(Reason::NotFound) => {
                    complaints.push(format!("{} {}: {status}", made.kind, made.full_name()));
                }
                _ => (),
            }
        }
        complaints
    }

    async fn write(&mut self, name: &str, record: &Record) -> Result<Reference, Status> {
        let written = self.addons.client.apply(&record::KIND, record.tree(name), MANAGER, true).await?;
        self.records.insert(name.to_owned(), record.clone());
        Ok(Reference::to(&record::KIND, &written))
    }
}
