//! The server's half of a WebSocket handshake.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, UPGRADE};

/// Whether these headers ask to go on as a WebSocket.
pub fn is_asked(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The first of `known` that the client offers.
pub fn chosen(headers: &HeaderMap, known: &[&'static str]) -> Option<&'static str> {
    let offered = offered(headers);
    known.iter().copied().find(|protocol| offered.contains(protocol))
}

/// The protocols that the client offers.
pub fn offered(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).filter(|name| !name.is_empty()).collect()
}

/// The headers of the answer that takes a client on; `None` if it did not send a key.
pub fn accept(headers: &HeaderMap, protocol: Option<&'static str>) -> Option<HeaderMap> {
    let key = headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?;
    let mut answer = HeaderMap::new();
    answer.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    answer.insert(UPGRADE, HeaderValue::from_static("websocket"));
    answer.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&accept_key(key)).ok()?);
    if let Some(protocol) = protocol {
        answer.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
    }
    Some(answer)
}

/// The value of `Sec-WebSocket-Accept` for a client's key.
fn accept_key(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    BASE64.encode(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_taken_on_with_the_best_protocol_it_offers() {
        let mut asked = HeaderMap::new();
        asked.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        asked.insert(SEC_WEBSOCKET_KEY, HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        asked.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("v1, v2"));
        assert!(is_asked(&asked));
        let protocol = chosen(&asked, &["v3", "v2", "v1"]);
        assert_eq!(protocol, Some("v2"));
        let answer = accept(&asked, protocol).unwrap();
        assert_eq!(answer[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer[SEC_WEBSOCKET_PROTOCOL], "v2");
    }
}
