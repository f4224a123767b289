//! Performs one probe.

use std::time::Duration;

use super::http::{self, HttpError};
use crate::base::address;
use crate::kubelet::context::Context;
use crate::kubelet::spec::container::{HttpGet, port_number};
use crate::kubelet::spec::{Container, Probe};

const USER_AGENT: &str = "kube-probe/1.36";

/// What one probe found.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// A success worth telling about.
    Warning(String),
    Failure(String),
    /// The probe itself could not be done, which counts as a failure.
    Errored(String),
}

/// Where the probed container is.
#[derive(Clone, Debug)]
pub struct Place {
    pub container_id: String,
    pub pod_ip: String,
}

pub async fn probe(ctx: &Context, probe: &Probe, container: &Container, place: &Place) -> Outcome {
    let limit = Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1));
    if let Some(exec) = &probe.handler.exec {
        return exec_probe(ctx, &exec.command, place, limit).await;
    }
    if let Some(get) = &probe.handler.http_get {
        return http_probe(get, container, place, limit).await;
    }
    if let Some(socket) = &probe.handler.tcp_socket {
        let Some(port) = port_number(&socket.port, &container.ports) else {
            return Outcome::Errored("couldn't find its port".into());
        };
        let host = if socket.host.is_empty() { &place.pod_ip } else { &socket.host };
        return tcp_probe(host, port, limit).await;
    }
    if let Some(grpc) = &probe.grpc {
        let service = grpc.service.as_deref().unwrap_or_default();
        return match super::grpc::check(&place.pod_ip, grpc.port, service, limit).await {
            Ok(()) => Outcome::Success,
            Err(why) => Outcome::Failure(why),
        };
    }
    Outcome::Errored(format!("missing probe handler for {}", container.name))
}

async fn exec_probe(ctx: &Context, command: &[String], place: &Place, limit: Duration) -> Outcome {
    let run = tokio::time::timeout(limit, ctx.cri.exec_sync(&place.container_id, command, limit));
    match run.await {
        Ok(Ok(done)) if done.exit_code == 0 => Outcome::Success,
        Ok(Ok(done)) => {
            let output = [done.stdout, done.stderr].concat();
            Outcome::Failure(String::from_utf8_lossy(&output).into_owned())
        }
        Ok(Err(error)) if error.message().contains("deadline exceeded") || error.message().contains("timed out") => {
            Outcome::Failure(timed_out(command, limit))
        }
        Ok(Err(error)) => Outcome::Errored(error.to_string()),
        Err(_) => Outcome::Failure(timed_out(command, limit)),
    }
}

fn timed_out(command: &[String], limit: Duration) -> String {
    format!("command timed out: {:?} timed out after {}s", command.join(" "), limit.as_secs())
}

async fn http_probe(get: &HttpGet, container: &Container, place: &Place, limit: Duration) -> Outcome {
    let Some(request) = http_request(get, container, &place.pod_ip, USER_AGENT) else {
        return Outcome::Errored("couldn't find its port".into());
    };
    match request.send(limit).await {
        Ok(answer) if answer.elsewhere.is_some() => {
            Outcome::Warning(format!("Probe terminated redirects, Response body: {}", answer.body))
        }
        Ok(answer) if (200..400).contains(&answer.code) => Outcome::Success,
        Ok(answer) => Outcome::Failure(format!("HTTP probe failed with statuscode: {}", answer.code)),
        Err(error @ (HttpError::Timeout { .. } | HttpError::Failed { .. })) => Outcome::Failure(error.to_string()),
    }
}

/// The request that `get` describes; `None` if it names a port the container does not have.
pub fn http_request(
    get: &HttpGet,
    container: &Container,
    pod_ip: &str,
    user_agent: &'static str,
) -> Option<http::Request> {
    let path = if get.path.starts_with('/') { get.path.clone() } else { format!("/{}", get.path) };
    Some(http::Request {
        is_https: get.scheme.eq_ignore_ascii_case("https"),
        host: if get.host.is_empty() { pod_ip.to_owned() } else { get.host.clone() },
        port: port_number(&get.port, &container.ports)?,
        path,
        headers: get.http_headers.clone(),
        user_agent,
    })
}

async fn tcp_probe(host: &str, port: u16, limit: Duration) -> Outcome {
    let address = address::join(host, port);
    match tokio::time::timeout(limit, tokio::net::TcpStream::connect(&address)).await {
        Ok(Ok(_)) => Outcome::Success,
        Ok(Err(error)) => Outcome::Failure(http::dial_error(&address, &error)),
        Err(_) => Outcome::Failure(format!("dial tcp {address}: i/o timeout")),
    }
}
