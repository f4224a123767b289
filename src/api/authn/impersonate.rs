//! Acting as somebody else, for those who may.
//!
//! Upstream 1.36 knows five modes and takes the first that is allowed: as the node the caller runs
//! on, as any node, as a service account, as a user with groups and more, and the old way. The
//! first four are constrained: the caller needs a permission for whom they act as
//! (`impersonate:MODE`) and one for what they do that way (`impersonate-on:MODE:VERB`). If none is
//! allowed, the refusal is that of the first mode that applied.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::HeaderMap;

use super::super::audit;
use super::super::authz::{Ask, Authz, ResourceRef, forbidden};
use super::{ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED};
use crate::object::{Status, User};

const USER: &str = "impersonate-user";
const UID: &str = "impersonate-uid";
const GROUP: &str = "impersonate-group";
const EXTRA: &str = "impersonate-extra-";

const AUTHENTICATION: &str = "authentication.k8s.io";
const NODE_USER: &str = "system:node:";
const NODE_NAME_EXTRA: &str = "authentication.kubernetes.io/node-name";

/// From this many checks on, one for everything (`*`) is tried first.
const MANY: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    AssociatedNode,
    ArbitraryNode,
    ServiceAccount,
    UserInfo,
    Legacy,
}

const MODES: [Mode; 5] =
    [Mode::AssociatedNode, Mode::ArbitraryNode, Mode::ServiceAccount, Mode::UserInfo, Mode::Legacy];

/// The user to go on with: `ask.user`, or the one that `headers` ask to be, if that is allowed.
/// `ask` is the request itself, as its real sender.
pub fn impersonate(authz: &Authz, user: &Arc<User>, ask: &Ask<'_>, headers: &HeaderMap) -> Result<Arc<User>, Status> {
    let Some(wanted) = wanted(headers)? else { return Ok(user.clone()) };
    let mut refusal = None;
    for mode in MODES.into_iter().filter(|mode| mode.applies(&wanted, user)) {
        match (Attempt { authz, user, ask, mode }).run(&wanted) {
            Ok(other) => {
                audit::acts_as(&other, &mode.constraint());
                return Ok(Arc::new(other));
            }
            Err(status) => drop(refusal.get_or_insert(status)),
        }
    }
    Err(refusal.unwrap_or_else(|| Status::internal("no mode of impersonation applies")))
}

/// Whom the headers name; `None` if nobody.
fn wanted(headers: &HeaderMap) -> Result<Option<User>, Status> {
    let all = |name: &str| -> Vec<String> {
        headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    let first = |name: &str| all(name).into_iter().next().unwrap_or_default();
    let mut user = User { name: first(USER), uid: first(UID), groups: all(GROUP), ..User::default() };
    for name in headers.keys() {
        if let Some(key) = name.as_str().strip_prefix(EXTRA) {
            user.extra.entry(unescape(key)).or_default().extend(all(name.as_str()));
        }
    }
    match (user.name.is_empty(), user.uid.is_empty() && user.groups.is_empty() && user.extra.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => {
            Err(Status::bad_request(format!("requested {} without impersonating a user name", as_go(&user))))
        }
        (false, _) => Ok(Some(user)),
    }
}

/// One mode being tried.
struct Attempt<'a> {
    authz: &'a Authz,
    user: &'a User,
    ask: &'a Ask<'a>,
    mode: Mode,
}

impl Attempt<'_> {
    fn run(&self, wanted: &User) -> Result<User, Status> {
        if self.is_constrained() {
            let verb = format!("impersonate-on:{}:{}", self.mode.name(), self.ask.verb);
            self.authz.check(&Ask { verb: &verb, ..*self.ask })?;
        }
        let mut actual = wanted.clone();
        self.check_name(wanted, &mut actual)?;
        if !wanted.uid.is_empty() {
            self.check(AUTHENTICATION, "uids", "", "", &wanted.uid)?;
        }
        self.check_groups(&wanted.groups)?;
        self.check_extra(&wanted.extra)?;
        if actual.name == ANONYMOUS {
            add_group(&mut actual, UNAUTHENTICATED);
        } else if !actual.in_group(UNAUTHENTICATED) {
            add_group(&mut actual, AUTHENTICATED);
        }
        Ok(actual)
    }

    fn check_name(&self, wanted: &User, actual: &mut User) -> Result<(), Status> {
        if let Some((namespace, name)) = service_account(&wanted.name) {
            if wanted.groups.is_empty() {
                actual.groups = vec!["system:serviceaccounts".into(), format!("system:serviceaccounts:{namespace}")];
            }
            return self.check(self.group(), "serviceaccounts", "", namespace, name);
        }
        match node(&wanted.name).filter(|_| self.is_constrained()) {
            Some(name) => {
                actual.groups = vec!["system:nodes".into()];
                // The node a caller runs on is any node, as far as roles are concerned.
                let name = if self.mode == Mode::AssociatedNode { "*" } else { name };
                self.check(self.group(), "nodes", "", "", name)
            }
            None => self.check(self.group(), "users", "", "", &wanted.name),
        }
    }

    fn check_groups(&self, groups: &[String]) -> Result<(), Status> {
        let at = ResourceRef { group: self.group(), resource: "groups", ..ResourceRef::default() };
        if self.is_constrained() {
            let refuse = |name, why: &str| Err(self.refuse(ResourceRef { name, ..at }, why));
            if groups.iter().any(String::is_empty) {
                return refuse("", "impersonating the empty string group is not allowed");
            }
            if groups.iter().any(|group| group == super::super::authz::MASTERS) {
                return refuse(super::super::authz::MASTERS, "impersonating the system:masters group is not allowed");
            }
            if groups.len() >= MANY && self.check(self.group(), "groups", "", "", "*").is_ok() {
                return Ok(());
            }
        }
        groups.iter().try_for_each(|group| self.check(self.group(), "groups", "", "", group))
    }

    fn check_extra(&self, extra: &BTreeMap<String, Vec<String>>) -> Result<(), Status> {
        if self.is_constrained() {
            if let Some(why) = extra.iter().find_map(|(key, values)| wrong_extra(key, values)) {
                let at = ResourceRef { group: AUTHENTICATION, resource: "userextras", ..ResourceRef::default() };
                return Err(self.refuse(at, &why));
            }
            let is_large = extra.len() >= MANY || extra.values().map(Vec::len).sum::<usize>() >= MANY;
            if is_large && self.check(AUTHENTICATION, "userextras", "*", "", "*").is_ok() {
                return Ok(());
            }
        }
        let mut pairs = extra.iter().flat_map(|(key, values)| values.iter().map(move |value| (key, value)));
        pairs.try_for_each(|(key, value)| self.check(AUTHENTICATION, "userextras", key, "", value))
    }

    fn check(&self, group: &str, resource: &str, subresource: &str, namespace: &str, name: &str) -> Result<(), Status> {
        let at = ResourceRef { group, resource, subresource, namespace, name, ..ResourceRef::default() };
        self.authz.check(&Ask::resource(self.user, &self.verb(), at))
    }

    fn refuse(&self, at: ResourceRef<'_>, why: &str) -> Status {
        forbidden(&Ask::resource(self.user, &self.verb(), at), why)
    }

    fn is_constrained(&self) -> bool {
        self.mode != Mode::Legacy
    }

    fn verb(&self) -> String {
        if self.is_constrained() { self.mode.constraint() } else { "impersonate".into() }
    }

    /// The API group of users and groups.
    fn group(&self) -> &'static str {
        if self.is_constrained() { AUTHENTICATION } else { "" }
    }
}

impl Mode {
    /// The verb that the mode needs; empty for the old way.
    fn constraint(self) -> String {
        if self == Self::Legacy { String::new() } else { format!("impersonate:{}", self.name()) }
    }

    fn name(self) -> &'static str {
        match self {
            Self::AssociatedNode => "associated-node",
            Self::ArbitraryNode => "arbitrary-node",
            Self::ServiceAccount => "serviceaccount",
            Self::UserInfo => "user-info",
            Self::Legacy => "",
        }
    }

    fn applies(self, wanted: &User, caller: &User) -> bool {
        let name_only = wanted.uid.is_empty() && wanted.groups.is_empty() && wanted.extra.is_empty();
        match self {
            Self::AssociatedNode => {
                let runs_on = caller.extra.get(NODE_NAME_EXTRA).map_or(&[][..], Vec::as_slice);
                name_only
                    && service_account(&caller.name).is_some()
                    && node(&wanted.name).is_some_and(|name| *runs_on == [name])
            }
            Self::ArbitraryNode => name_only && node(&wanted.name).is_some(),
            Self::ServiceAccount => name_only && service_account(&wanted.name).is_some(),
            Self::UserInfo => node(&wanted.name).is_none() && service_account(&wanted.name).is_none(),
            Self::Legacy => true,
        }
    }
}

fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    let is_good = crate::resources::names::is_dns1123_label(namespace).is_empty()
        && crate::resources::names::is_dns1123_subdomain(name).is_empty();
    is_good.then_some((namespace, name))
}

fn node(user: &str) -> Option<&str> {
    let name = user.strip_prefix(NODE_USER)?;
    crate::resources::names::is_dns1123_subdomain(name).is_empty().then_some(name)
}

fn add_group(user: &mut User, group: &str) {
    if !user.in_group(group) {
        user.groups.push(group.into());
    }
}

fn wrong_extra(key: &str, values: &[String]) -> Option<String> {
    let is_path = key.split_once('/').is_some_and(|(domain, path)| {
        crate::resources::names::is_dns1123_subdomain(domain).is_empty() && !path.is_empty()
    });
    if key.is_empty() {
        Some("impersonating the empty string key in extra is not allowed".into())
    } else if !is_path {
        let why = format!("key: Invalid value: {key:?}: must be a domain-prefixed path (such as \"acme.io/foo\")");
        Some(format!("impersonating an invalid key in extra is not allowed: extra.{why}"))
    } else if values.is_empty() {
        Some("impersonating empty values in extra is not allowed".into())
    } else if values.iter().any(String::is_empty) {
        Some("impersonating the empty string value in extra is not allowed".into())
    } else {
        None
    }
}

/// Decodes `%41`; what is no such escape stays as it is.
pub(super) fn unescape(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match (escaped.and_then(|hex| u8::from_str_radix(hex, 16).ok()), *first) {
            (Some(byte), _) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (None, b'%') => return key.to_owned(),
            (None, plain) => {
                bytes.push(plain);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

/// A user as Go's `%#v` shows it, which is what clients see.
fn as_go(user: &User) -> String {
    let list = |values: &[String]| {
        let quoted: Vec<String> = values.iter().map(|value| format!("{value:?}")).collect();
        if quoted.is_empty() { "[]string(nil)".to_owned() } else { format!("[]string{{{}}}", quoted.join(", ")) }
    };
    let extra: Vec<String> = user.extra.iter().map(|(key, values)| format!("{key:?}:{}", list(values))).collect();
    let extra = if extra.is_empty() {
        "map[string][]string(nil)".to_owned()
    } else {
        format!("map[string][]string{{{}}}", extra.join(", "))
    };
    format!(
        "&user.DefaultInfo{{Name:{:?}, UID:{:?}, Groups:{}, Extra:{extra}}}",
        user.name,
        user.uid,
        list(&user.groups),
    )
}
