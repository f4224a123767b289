//! GET and LIST: what is stored, as of now or of an earlier revision.

use std::sync::Arc;

use crate::object::status::{Cause, Details};
use crate::object::{Answer, Key, List, ObjectRef, Reason, Reply, Revision, Status};
use crate::store::{KeyRange, State};

use super::act::Act;
use super::cursor::Cursor;
use super::select::Selection;
use super::{Api, metadata};

impl Api {
    pub(crate) fn get(&self, act: Act) -> Result<Answer, Status> {
        let state = self.state();
        let options = &act.call.options;
        if let Some(wanted) =
            parse_revision(&options.resource_version).map_err(|why| Status::new(Reason::Unknown, why))?
        {
            check_not_ahead(wanted, state.revision())?;
        }
        let object = state.get(&act.key()).cloned().ok_or_else(|| act.not_found())?;
        Ok(Answer { reply: Reply::Object { object, created: false }, warnings: act.warnings })
    }

    pub(super) fn list(&self, act: Act) -> Result<Answer, Status> {
        let list = self.select(&act)?;
        Ok(Answer { reply: Reply::List(list), warnings: act.warnings })
    }

    /// The page of a collection that the call asks for.
    pub(super) fn select(&self, act: &Act) -> Result<List, Status> {
        let options = &act.call.options;
        let selection = Selection::of(act)?;
        let wanted = parse_revision(&options.resource_version)
            .map_err(|why| Status::bad_request(format!("invalid resource version: {why}")))?;
        let now = self.state();
        let (state, after) = match options.continue_token.as_str() {
            "" => {
                // Older than the parameter that says so: a page at a version is one of exactly that version.
                let rule = match options.resource_version_match.as_str() {
                    "" if options.limit.is_some_and(|limit| limit > 0) => "Exact",
                    rule => rule,
                };
                (self.state_for(&now, wanted, rule)?, None)
            }
            token => {
                let cursor = Cursor::read(token, &options.resource_version)?;
                let state = match cursor.revision {
                    Some(revision) => self.state_at(&now, revision).map_err(|_| cursor.expired())?,
                    None => now.clone(),
                };
                (state, Some(cursor.key(&act.resource.stored_as)))
            }
        };
        // An unlimited reading of the newest state is what a client asks for with version 0.
        let whole = options.resource_version == "0";
        let limit = options.limit.filter(|limit| *limit > 0 && !whole).map(|limit| limit as usize);
        Ok(page(act, &state, &selection, after, limit))
    }

    /// The state that a list is read from.
    fn state_for(&self, now: &Arc<State>, wanted: Option<Revision>, rule: &str) -> Result<Arc<State>, Status> {
        let Some(wanted) = wanted.filter(|revision| *revision != Revision::ZERO) else { return Ok(now.clone()) };
        check_not_ahead(wanted, now.revision())?;
        match rule {
            "Exact" => self.state_at(now, wanted),
            _ => Ok(now.clone()),
        }
    }

    fn state_at(&self, now: &Arc<State>, revision: Revision) -> Result<Arc<State>, Status> {
        if revision == now.revision() {
            return Ok(now.clone());
        }
        self.store
            .state_at(revision)
            .map_err(|_| Status::expired("The resourceVersion for the provided list is too old."))
    }
}

/// Collects at most `limit` selected objects behind `after`.
fn page(act: &Act, state: &State, selection: &Selection, after: Option<Key>, limit: Option<usize>) -> List {
    let range = selection.range(act);
    let mut list = List { revision: state.revision(), ..List::default() };
    let all: Box<dyn Iterator<Item = &ObjectRef>> = match &after {
        Some(key) => Box::new(state.range_after(&range, key)),
        None => Box::new(state.range(&range)),
    };
    let mut matching = all.filter(|object| selection.matches(object));
    match limit {
        None => list.items = matching.cloned().collect(),
        Some(limit) => {
            list.items = matching.by_ref().take(limit).cloned().collect();
            if let (Some(_), Some(last)) = (matching.next(), list.items.last()) {
                list.continue_token = Cursor::after(last, state.revision()).to_string();
                // Upstream counts only where nothing is filtered, because there it is free.
                list.remaining = selection.is_everything().then(|| matching.count() as u64 + 1);
            }
        }
    }
    list
}

/// Reads a `resourceVersion`; says what is wrong with it as upstream does.
pub(super) fn parse_revision(text: &str) -> Result<Option<Revision>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) => Ok(Some(Revision(number))),
        Err(_) => Err(format!("resourceVersion: Invalid value: {text:?}: {}", metadata::parse_uint_error(text))),
    }
}

/// A revision that has not happened yet cannot be waited for long.
fn check_not_ahead(wanted: Revision, current: Revision) -> Result<(), Status> {
    if wanted <= current {
        return Ok(());
    }
    let cause = Cause {
        reason: "ResourceVersionTooLarge".into(),
        message: "Too large resource version".into(),
        field: String::new(),
    };
    let details = Details { causes: vec![cause], retry_after_seconds: 1, ..Details::default() };
    let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
    Err(Status::new(Reason::Timeout, message).with_details(details))
}

/// Every key that the call's collection may hold.
pub(super) fn range_of(act: &Act, namespace: &str) -> KeyRange {
    match namespace {
        "" => KeyRange::resource(&act.resource.stored_as),
        namespace => KeyRange::namespace(&act.resource.stored_as, namespace),
    }
}
