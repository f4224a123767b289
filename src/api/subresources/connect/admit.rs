//! Asks admission about a connection, with the query's options as the object.

use crate::api::admission::{Attributes, Operation};
use crate::api::exchange::Exchange;
use crate::api::pipeline::Api;
use crate::api::pipeline::act::Act;
use crate::object::tree::{Map, Tree};
use crate::object::{Call, Status, Verb};

use super::Connect;

/// Parameters by the type of their field. What no kind has a field for is not shown.
const FLAGS: &[&str] = &["stdin", "stdout", "stderr", "tty"];

pub async fn admit(api: &Api, connect: Connect, exchange: &Exchange) -> Result<Vec<String>, Status> {
    let mut warnings = Vec::new();
    let Some(kind) = kind_of(connect) else { return Ok(warnings) };
    let target = exchange.line.target.clone().unwrap_or_default();
    let call = Call {
        user: exchange.user.clone(),
        verb: Verb::Create,
        target,
        options: Default::default(),
        body: Default::default(),
        user_agent: Default::default(),
    };
    let act = Act::find(&api.registry, call)?;
    let state = api.state();
    let on = Attributes::of(api, &act, &state, Operation::Connect, None);
    let mut options = options_of(kind, exchange);
    api.admission.admit(&on, &mut options, &mut warnings)?;
    api.mutate_by_hooks(&on, &mut options, &mut warnings).await?;
    api.admission.validate(&on, Some(&options), &mut warnings)?;
    api.validate_by_policies(&on, Some(&options), &mut warnings)?;
    api.validate_by_hooks(&on, Some(&options), &mut warnings).await?;
    Ok(warnings)
}

/// The kind of the options; none for logs, which are only read.
fn kind_of(connect: Connect) -> Option<&'static str> {
    Some(match connect {
        Connect::Log => return None,
        Connect::Exec => "PodExecOptions",
        Connect::Attach => "PodAttachOptions",
        Connect::PortForward => "PodPortForwardOptions",
        Connect::NodeProxy => "NodeProxyOptions",
        Connect::PodProxy => "PodProxyOptions",
        Connect::ServiceProxy => "ServiceProxyOptions",
    })
}

fn options_of(kind: &str, exchange: &Exchange) -> Tree {
    let line = &exchange.line;
    let mut options = Map::new();
    options.insert("kind".into(), kind.into());
    options.insert("apiVersion".into(), "v1".into());
    if kind.ends_with("ProxyOptions") {
        if !line.rest.is_empty() {
            options.insert("path".into(), line.rest.clone().into());
        }
        return options.into();
    }
    for name in FLAGS {
        if let Some(value) = line.param(name) {
            options.insert((*name).into(), crate::api::request::truth(value).into());
        }
    }
    let all = |name: &str| line.query.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect();
    let (command, ports): (Vec<String>, Vec<String>) = (all("command"), all("ports"));
    if !command.is_empty() {
        options.insert("command".into(), command.into());
    }
    if !ports.is_empty() {
        options.insert("ports".into(), ports.iter().filter_map(|port| port.parse::<i64>().ok()).collect());
    }
    if let Some(container) = line.param("container") {
        options.insert("container".into(), container.into());
    }
    options.into()
}
