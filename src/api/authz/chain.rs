//! Who is asked about a request, in which order, and what comes of several opinions.
//!
//! The first that allows or denies decides. If nobody does, the request is refused, with everybody's
//! reasons.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::abac::Abac;
use super::{Ask, Reason, aggregate};
use crate::api::metrics::{Counter, Metrics};

/// What one authorizer says of a request.
#[derive(Debug)]
pub enum Opinion {
    Allowed(Reason),
    Denied {
        reason: String,
        error: Option<String>,
    },
    /// Let others decide.
    None {
        reason: String,
        error: Option<String>,
    },
}

impl Opinion {
    pub const NOTHING: Self = Self::None { reason: String::new(), error: None };
}

/// The answer, with the reason that access reviews show.
#[derive(Debug)]
pub enum Decision {
    Allowed(Reason),
    Refused(Refusal),
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Refusal {
    /// Somebody said no, not only nobody yes.
    pub is_denied: bool,
    /// Empty, or what is to be said about it.
    pub reason: String,
    /// Why somebody had no answer.
    pub error: Option<String>,
}

impl Decision {
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }

    /// As metrics name it.
    pub fn result(&self) -> &'static str {
        match self {
            Self::Allowed(_) => "allowed",
            Self::Refused(Refusal { error: Some(_), .. }) => "error",
            Self::Refused(Refusal { is_denied: true, .. }) => "denied",
            Self::Refused(_) => "no-opinion",
        }
    }
}

/// Somebody outside of this process who is asked.
pub trait Judge: Send + Sync + 'static {
    fn judge<'a>(&'a self, ask: &'a Ask<'a>) -> BoxFuture<'a, Opinion>;
}

#[derive(Clone)]
pub enum Authorizer {
    Node,
    Rbac,
    Abac(Arc<Abac>),
    AlwaysAllow,
    AlwaysDeny,
    Webhook(Arc<dyn Judge>),
}

impl Authorizer {
    /// As configuration names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Node => "Node",
            Self::Rbac => "RBAC",
            Self::Abac(_) => "ABAC",
            Self::AlwaysAllow => "AlwaysAllow",
            Self::AlwaysDeny => "AlwaysDeny",
            Self::Webhook(_) => "Webhook",
        }
    }
}

/// An authorizer and how often it decided.
pub struct Link {
    pub authorizer: Authorizer,
    allowed: Arc<Counter>,
    denied: Arc<Counter>,
}

impl Link {
    /// Whom to ask outside of this process, if that is where it is.
    pub fn judge(&self) -> Option<&dyn Judge> {
        match &self.authorizer {
            Authorizer::Webhook(judge) => Some(judge.as_ref()),
            _ => None,
        }
    }
}

/// All who are asked, in order, after those who may do everything.
pub struct Chain(Vec<Link>);

impl Chain {
    pub fn of(authorizers: impl IntoIterator<Item = (String, Authorizer)>, metrics: &Metrics) -> Self {
        let link = |(name, authorizer): (String, Authorizer)| {
            let counter =
                |decision| metrics.authorization_decisions.with(&[authorizer.type_name(), name.as_str(), decision]);
            Link { allowed: counter("allowed"), denied: counter("denied"), authorizer }
        };
        Self(authorizers.into_iter().map(link).collect())
    }

    /// Nodes by what they need, everybody by their roles.
    pub fn built_in(metrics: &Metrics) -> Self {
        Self::of([("node".to_owned(), Authorizer::Node), ("rbac".to_owned(), Authorizer::Rbac)], metrics)
    }

    pub fn links(&self) -> &[Link] {
        &self.0
    }

    pub fn asks_webhooks(&self) -> bool {
        self.0.iter().any(|link| matches!(link.authorizer, Authorizer::Webhook(_)))
    }

    pub fn has_rbac(&self) -> bool {
        self.0.iter().any(|link| matches!(link.authorizer, Authorizer::Rbac))
    }
}

/// Opinions as they come in.
#[derive(Default)]
pub struct Hearing {
    reasons: Vec<String>,
    errors: Vec<String>,
}

impl Hearing {
    /// Takes the opinion of `link`; a decision if that is one.
    pub fn hear(&mut self, link: &Link, opinion: Opinion) -> Option<Decision> {
        match opinion {
            Opinion::Allowed(reason) => {
                link.allowed.add(1);
                Some(Decision::Allowed(reason))
            }
            Opinion::Denied { reason, error } => {
                link.denied.add(1);
                Some(Decision::Refused(Refusal { is_denied: true, reason, error }))
            }
            Opinion::None { reason, error } => {
                self.reasons.extend((!reason.is_empty()).then_some(reason));
                self.errors.extend(error);
                None
            }
        }
    }

    /// Nobody decided.
    pub fn close(self) -> Decision {
        let error = (!self.errors.is_empty()).then(|| aggregate(self.errors));
        Decision::Refused(Refusal { is_denied: false, reason: self.reasons.join("\n"), error })
    }
}
