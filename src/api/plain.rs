//! Paths that are no resources: health, version, metrics, discovery, keys.

use http::header::{self, HeaderValue};

use crate::object::Status;
use crate::object::tree::Tree;
use crate::security::tokens;

use super::answer::{Answer, text, write};
use super::body;
use super::exchange::Exchange;
use super::negotiate::{self, Format};
use super::pipeline::Api;
use super::pipeline::act::no_such_resource;
use super::respond::Written;
use super::{aggregate, discovery, encode, index, measures, openapi, version};

type Page = fn(&Api) -> Answer;

/// What is one page and nothing below it.
pub const PAGES: &[(&str, Page)] = &[
    ("/.well-known/openid-configuration", issuer),
    ("/metrics", metrics),
    (SLIS, slis),
    ("/openid/v1/jwks", |api| public(&api.token_key.jwks().into(), "application/jwk-set+json")),
    ("/version", |_| json(&version::document())),
];

const SLIS: &str = "/metrics/slis";

/// Answers what is no resource.
pub fn answer(api: &Api, exchange: &Exchange) -> Result<Answer, Status> {
    let line = &exchange.line;
    let exclude: Vec<&str> =
        line.query.iter().filter(|(name, _)| name == "exclude").map(|(_, value)| value.as_str()).collect();
    let verbose = line.param("verbose").is_some();
    if let Some(verdict) = api.health.answer(&line.path, verbose, &exclude) {
        return Ok(text(verdict.code, verdict.text));
    }
    let path = line.path.trim_end_matches('/');
    if line.verb == "delete" && path == SLIS {
        api.health.slis.reset();
        return Ok(text(200, "metrics reset\n"));
    }
    if !matches!(line.verb, "get" | "head") {
        return Ok(text(405, "405 method not allowed\n"));
    }
    if let Some((_, page)) = PAGES.iter().find(|(known, _)| *known == path) {
        return Ok(page(api));
    }
    match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
        [] | ["index.html"] => {
            Ok(json(&index::document(&api.registry.load(), &api.aggregator.load(), api.health.paths())))
        }
        ["api" | "apis", ..] => discover(api, exchange, path),
        ["debug", "api_priority_and_fairness", name] => {
            Ok(api.flow.dump(name).map_or_else(not_found, |page| text(200, page)))
        }
        ["openapi", steps @ ..] => Ok(describe(api, exchange, steps)),
        _ => Ok(not_found()),
    }
}

pub fn not_found() -> Answer {
    text(404, "404 page not found\n")
}

/// A document, indented for people.
fn json(tree: &Tree) -> Answer {
    let format = Format { pretty: true, ..Format::JSON };
    document(tree, format, format.content_type())
}

fn document(tree: &Tree, format: Format, content_type: &str) -> Answer {
    let body = body::full(encode::plain(tree, format));
    write(Written { code: 200, content_type: content_type.into(), gzip: false, body })
}

/// What others need to check our tokens; it may be kept for an hour.
fn public(tree: &Tree, content_type: &str) -> Answer {
    let mut answer = document(tree, Format::JSON, content_type);
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    answer
}

/// Where others find what they need to check our tokens.
fn issuer(api: &Api) -> Answer {
    let keys = format!("https://{}/openid/v1/jwks", api.settings.server_address());
    public(&tokens::discovery(&api.settings.issuer, &keys).into(), "application/json")
}

fn metrics(api: &Api) -> Answer {
    let mut page = api.metrics.render();
    api.flow.render(&mut page);
    measures::render(api, &mut page);
    page.push_str(&api.store.metrics_page());
    if let Some(extension) = api.extension.get() {
        page.push_str(&extension.metrics());
    }
    exposition(page)
}

fn slis(api: &Api) -> Answer {
    let mut page = String::new();
    api.health.slis.render(&mut page);
    api.metrics.render_start(&mut page);
    exposition(page)
}

/// Numbers, as Prometheus reads them.
fn exposition(page: String) -> Answer {
    let content_type = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores".into();
    write(Written { code: 200, content_type, gzip: false, body: body::full(page) })
}

fn discover(api: &Api, exchange: &Exchange, path: &str) -> Result<Answer, Status> {
    let (served, remote) = (api.registry.load(), api.aggregator.load());
    let accept = exchange.header(header::ACCEPT);
    let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    if let Some(version) = matches!(steps.as_slice(), ["api"] | ["apis"]).then(|| aggregated(accept)).flatten() {
        let tree = if steps[0] == "api" {
            discovery::aggregated_core(&served)
        } else {
            aggregate::discovery::with_aggregated(discovery::aggregated(&served), &remote)
        };
        let content_type = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        let mut answer = document(&tree, Format::JSON, &content_type);
        let etag = format!("\"{}\"", hash(&tree));
        if exchange.header(header::IF_NONE_MATCH) == etag {
            answer = write(Written { code: 304, content_type, gzip: false, body: body::full("") });
        }
        let headers = answer.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(header::ETAG, etag);
        }
        return Ok(answer);
    }
    let tree = match steps.as_slice() {
        ["api"] => Some(discovery::core_versions(&served, &api.settings.server_address())),
        ["apis"] => Some(aggregate::discovery::with_groups(discovery::groups(&served), &remote)),
        ["api", version] => Some(discovery::resources(&served, "", version).ok_or_else(no_such_resource)?),
        ["apis", group] => aggregate::discovery::group(group, &remote).or_else(|| discovery::group(&served, group)),
        ["apis", group, version] if served.group(group).is_some() => {
            Some(discovery::resources(&served, group, version).ok_or_else(no_such_resource)?)
        }
        _ => None,
    };
    let Some(tree) = tree else { return Ok(not_found()) };
    let format = negotiate::accept(accept, exchange.pretty())?;
    Ok(document(&tree, format, format.content_type()))
}

/// OpenAPI documents. Their hash is their ETag, so that clients fetch each only once.
fn describe(api: &Api, exchange: &Exchange, steps: &[&str]) -> Answer {
    let served = api.registry.load();
    let texts = || api.descriptions.get(&api.scope);
    let tree = match steps {
        ["v2"] => Some(openapi::v2(&served, &texts())),
        ["v3"] => Some(openapi::index(&served)),
        ["v3", "api", version] => openapi::v3(&served, &texts(), "", version),
        ["v3", "apis", group, version] => openapi::v3(&served, &texts(), group, version),
        _ => None,
    };
    let Some(tree) = tree else { return not_found() };
    let accept = exchange.header(header::ACCEPT);
    let as_protobuf = steps == ["v2"] && accept.contains(openapi::V2_PROTOBUF) && !accept.contains("application/json");
    let etag = format!("\"{}\"", hash(&tree));
    let content_type = if as_protobuf { openapi::V2_PROTOBUF_TYPE } else { "application/json" };
    let (code, body) = if exchange.header(header::IF_NONE_MATCH) == etag {
        (304, body::full(""))
    } else if as_protobuf {
        (200, body::full(openapi::v2_protobuf(&tree)))
    } else {
        (200, body::full(encode::plain(&tree, Format::JSON)))
    };
    let mut answer = write(Written { code, content_type: content_type.into(), gzip: false, body });
    let headers = answer.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding, Accept"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    answer
}

/// The version of aggregated discovery that the client prefers to the old form, if it does.
fn aggregated(accept: &str) -> Option<&'static str> {
    let wishes = accept.split(',').map(str::trim);
    wishes
        .map(|wish| wish.split(';').map(str::trim).collect::<Vec<_>>())
        .find_map(|wish| match wish.as_slice() {
            [media, params @ ..] if params.contains(&"as=APIGroupDiscoveryList") => {
                let fits = *media == "application/json" && params.contains(&"g=apidiscovery.k8s.io");
                (fits && params.contains(&"v=v2")).then_some(Some("v2"))
            }
            [media, ..] if *media == "application/json" => Some(None),
            _ => None,
        })
        .flatten()
}

fn hash(tree: &Tree) -> String {
    use sha2::Digest;
    let digest = sha2::Sha256::digest(tree.to_string());
    digest.iter().map(|byte| format!("{byte:02X}")).collect()
}
