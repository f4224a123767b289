//! AWS Signature Version 4, as every S3-compatible server wants it in the headers of a request.
//!
//! By hand, with the HMAC that is in the program anyway: the crates that sign bring a second set of
//! hashes, an XML library and the tables of international host names, half a megabyte in all.

use ring::digest::{SHA256, digest};
use ring::hmac::{HMAC_SHA256, Key, Tag, sign};

use crate::base::hex::hex;
use crate::object::Timestamp;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Whose bucket it is.
#[derive(Clone)]
pub struct Credentials {
    pub access_key: String,
    pub secret_key: String,
    pub session_token: Option<String>,
}

/// What is signed of a request.
pub struct Request<'a> {
    pub method: &'a str,
    pub host: &'a str,
    /// As it is sent: see [`escape`].
    pub path: &'a str,
    /// Not escaped yet; in any order.
    pub query: &'a [(&'a str, &'a str)],
    pub body: &'a [u8],
}

/// The query as it is sent, in the order in which it is signed.
pub fn query(pairs: &[(&str, &str)]) -> String {
    let mut pairs: Vec<(String, String)> =
        pairs.iter().map(|(name, value)| (escape(name, ""), escape(value, ""))).collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Everything but letters, digits, `-._~` and what is in `plain` becomes `%XX`.
pub fn escape(text: &str, plain: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain.as_bytes().contains(&byte) {
            true => out.push(char::from(byte)),
            false => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// The headers to send besides `host`, for a request that is made `now`.
pub fn headers(
    request: &Request<'_>,
    region: &str,
    whose: &Credentials,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let time = now.to_string().replace(['-', ':'], "");
    let day = time.split('T').next().unwrap_or_default().to_owned();
    let mut headers = vec![("x-amz-content-sha256", sha256(request.body)), ("x-amz-date", time.clone())];
    headers.extend(whose.session_token.clone().map(|token| ("x-amz-security-token", token)));

    let mut signed = vec![("host", request.host.to_owned())];
    signed.extend(headers.clone());
    let names = signed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";");
    let lines: String = signed.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
    let Request { method, path, .. } = request;
    let canonical = format!("{method}\n{path}\n{}\n{lines}\n{names}\n{}", query(request.query), sha256(request.body));

    let scope = format!("{day}/{region}/s3/aws4_request");
    let to_sign = format!("{ALGORITHM}\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let mut key = mac(format!("AWS4{}", whose.secret_key).as_bytes(), &day);
    for part in [region, "s3", "aws4_request"] {
        key = mac(key.as_ref(), part);
    }
    let signature = hex(mac(key.as_ref(), &to_sign).as_ref());
    let credential = format!("{}/{scope}", whose.access_key);
    headers.push((
        "authorization",
        format!("{ALGORITHM} Credential={credential},SignedHeaders={names},Signature={signature}"),
    ));
    headers
}

fn mac(key: &[u8], text: &str) -> Tag {
    sign(&Key::new(HMAC_SHA256, key), text.as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signature of a request to `path?query` of the bucket that Amazon documents.
    fn signature(path: &str, pairs: &[(&str, &str)], session_token: Option<&str>) -> String {
        let whose = Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".into(),
            session_token: session_token.map(str::to_owned),
        };
        let host = "examplebucket.s3.amazonaws.com";
        let request = Request { method: "GET", host, path, query: pairs, body: b"" };
        let now = Timestamp::parse("2013-05-24T00:00:00Z").unwrap();
        let headers = headers(&request, "us-east-1", &whose, now);
        headers.last().unwrap().1.rsplit('=').next().unwrap().to_owned()
    }

    #[test]
    fn signatures_are_those_that_amazon_documents() {
        assert_eq!(
            signature("/", &[("lifecycle", "")], None),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"
        );
        assert_eq!(
            signature("/", &[("prefix", "J"), ("max-keys", "2")], None),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
        );
        assert_ne!(signature("/", &[("lifecycle", "")], Some("token")), signature("/", &[("lifecycle", "")], None));
    }

    #[test]
    fn what_is_no_plain_letter_is_escaped() {
        assert_eq!(escape("a/b c~ü+", "/"), "a/b%20c~%C3%BC%2B");
        assert_eq!(query(&[("b", "1/2"), ("a", ""), ("B", "x")]), "B=x&a=&b=1%2F2");
    }
}
