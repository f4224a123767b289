//! The order of merged lists: what the patch names in its order, the rest where it was.

use crate::object::status::Status;
use crate::object::tree::Tree;

use super::{DIRECTIVE, SET_ORDER, failed, no_key, show_list};

/// Whether two elements are the same one: equal, or of the same key if there is one.
fn is_same(one: &Tree, other: &Tree, key: &str) -> bool {
    if key.is_empty() { one == other } else { one.get(key).is_some() && one.get(key) == other.get(key) }
}

fn position(list: &[Tree], item: &Tree, key: &str) -> Option<usize> {
    list.iter().position(|other| is_same(other, item, key))
}

/// Checks that the patch lists its elements in the order that it asks for.
pub fn check_order(patch: &[Tree], order: &[Tree], key: &str) -> Result<(), Status> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let items: Vec<&Tree> = patch.iter().filter(|item| item.get(DIRECTIVE).is_none()).collect();
    if let (false, Some(bad)) =
        (key.is_empty(), items.iter().copied().chain(order).find(|item| item.get(key).is_none()))
    {
        return Err(no_key(bad, key));
    }
    let mut wanted = order.iter();
    if items.iter().all(|item| wanted.any(|other| is_same(other, item, key))) {
        return Ok(());
    }
    let directive = SET_ORDER.trim_end_matches('/');
    let (patch, order) = (show_list(patch), show_list(order));
    Err(failed(format!("The order in patch list:\n{patch}\n doesn't match {directive} list:\n{order}\n")))
}

/// Splits a list into what `by` names and the rest.
pub fn split_by(list: Vec<Tree>, by: &[Tree], key: &str) -> Result<(Vec<Tree>, Vec<Tree>), Status> {
    if let (false, Some(bad)) = (key.is_empty(), list.iter().find(|item| item.get(key).is_none())) {
        return Err(no_key(bad, key));
    }
    Ok(list.into_iter().partition(|item| position(by, item, key).is_some()))
}

/// Sorts each part by its own order, then weaves them: an element that only the server has goes
/// before one of the patch if it stood before it.
pub fn arrange(mut patch: Vec<Tree>, mut others: Vec<Tree>, order: &[Tree], server: &[Tree], key: &str) -> Vec<Tree> {
    patch.sort_by_key(|item| position(order, item, key));
    others.sort_by_key(|item| position(server, item, key));
    let mut out = Vec::with_capacity(patch.len() + others.len());
    let (mut patch, mut others) = (patch.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let is_before = match (others.peek(), patch.peek()) {
            (None, None) => return out,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (Some(other), Some(item)) => {
                let (other, item) = (position(server, other, key), position(server, item, key));
                other.is_some() && item.is_some() && other < item
            }
        };
        out.extend(if is_before { others.next() } else { patch.next() });
    }
}
