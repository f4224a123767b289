//! `healthCheckNodePort`: tells load balancers outside whether this node has endpoints of a service
//! whose external traffic stays on the node.
//!
//! One small HTTP server for each such port. Every path gets the same answer: 200 if there are ready
//! endpoints here, 503 if not.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::sleep;

use super::model::{Health, Model};
use crate::base::service::Scope;

/// Clients of one port that are talked to at a time; others wait.
const CLIENTS_MAX: usize = 16;
const IDLE_LIMIT: Duration = Duration::from_secs(5);
/// How long until a port that is taken is tried again.
const RETRY: Duration = Duration::from_secs(10);

/// The servers that run.
pub struct Servers {
    scope: Scope,
    running: BTreeMap<u16, (Scope, watch::Sender<Health>)>,
}

impl Servers {
    pub fn new(scope: &Scope) -> Self {
        Self { scope: scope.child("service health"), running: BTreeMap::new() }
    }

    /// Starts, stops and tells servers, so that they are those of `model`.
    pub fn follow(&mut self, model: &Model) {
        self.running.retain(|port, (scope, _)| {
            let is_wanted = model.health.contains_key(port);
            if !is_wanted {
                scope.cancel();
            }
            is_wanted
        });
        for (port, health) in &model.health {
            match self.running.get(port) {
                Some((_, told)) => {
                    told.send_if_modified(|known| std::mem::replace(known, health.clone()) != *health);
                }
                None => {
                    let (told, seen) = watch::channel(health.clone());
                    let (scope, port) = (self.scope.child("health port"), *port);
                    scope.spawn("health port", serve(scope.clone(), port, seen));
                    self.running.insert(port, (scope, told));
                }
            }
        }
    }
}

async fn serve(scope: Scope, port: u16, seen: watch::Receiver<Health>) {
    let clients = Arc::new(Semaphore::new(CLIENTS_MAX));
    tokio::select! {
        () = scope.stopping() => (),
        () = accept(&scope, port, &seen, &clients) => (),
    }
}

async fn accept(scope: &Scope, port: u16, seen: &watch::Receiver<Health>, clients: &Arc<Semaphore>) {
    loop {
        let listener = match TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await {
            Ok(listener) => listener,
            Err(error) => {
                tracing::warn!(port, %error, "cannot listen on a service's health check port; trying again");
                sleep(RETRY).await;
                continue;
            }
        };
        while let Ok(place) = clients.clone().acquire_owned().await {
            // Out of descriptors, most likely: the listener is made anew after a while.
            let Ok((stream, _)) = listener.accept().await else { break };
            let seen = seen.clone();
            let service = service_fn(move |_| {
                let answer = answer(&seen.borrow());
                async move { Ok::<_, Infallible>(answer) }
            });
            scope.spawn("health client", async move {
                let mut http = hyper::server::conn::http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(IDLE_LIMIT).keep_alive(false);
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
                drop(place);
            });
        }
        sleep(RETRY).await;
    }
}

fn answer(health: &Health) -> Response<Full<Bytes>> {
    let (namespace, name) = health.service.split_once('/').unwrap_or_default();
    let count = health.local_endpoints;
    let body = format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": {namespace:?},\n\t\t\"name\": {name:?}\n\t}},\n\t\"localEndpoints\": {count},\n\t\"serviceProxyHealthy\": true\n}}"
    );
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = if count == 0 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let headers = response.headers_mut();
    headers.insert("Content-Type", http::HeaderValue::from_static("application/json"));
    headers.insert("X-Content-Type-Options", http::HeaderValue::from_static("nosniff"));
    headers.insert("X-Load-Balancing-Endpoint-Weight", count.into());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_endpoints_asks_to_be_left_out() {
        let of = |local_endpoints| answer(&Health { service: "shop/web".into(), local_endpoints });
        assert_eq!(of(0).status(), StatusCode::SERVICE_UNAVAILABLE);
        let two = of(2);
        assert_eq!(two.status(), StatusCode::OK);
        assert_eq!(two.headers()["X-Load-Balancing-Endpoint-Weight"], "2");
    }
}
