//! The syntax of flag values. Each `FromStr` error says what would be right; clap adds the flag
//! and the value.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use crate::store::Endpoint;

/// A lower-case DNS name (`node-1`, `cluster.local`), or an IP address where those are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DnsName(pub String);

impl FromStr for DnsName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let label = |label: &str| {
            let inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
            (1..=63).contains(&label.len())
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_name = text.len() <= 253 && text.strip_prefix("*.").unwrap_or(text).split('.').all(label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            return Ok(Self(text.into()));
        }
        Err("want a DNS name of lower-case letters, digits, '-' and '.', such as node-1.example.com".into())
    }
}

/// A range of ports, `FIRST-LAST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRange(pub RangeInclusive<u16>);

impl FromStr for PortRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ports = text.split_once('-').and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        match ports {
            Some((first, last)) if 0 < first && first <= last => Ok(Self(first..=last)),
            _ => Err("want FIRST-LAST with 1 <= FIRST <= LAST <= 65535, such as 30000-32767".into()),
        }
    }
}

/// A length of time, such as `60s` or `1h30m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<jiff::SignedDuration>().ok().and_then(|span| Duration::try_from(span).ok());
        parsed.map(Self).ok_or_else(|| "want a length of time, such as 30s or 1h30m".into())
    }
}

/// Permissions in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode & 0o400 != 0 && mode <= 0o777 => Ok(Self(mode)),
            _ => Err("want an octal mode that lets the owner read, such as 600 or 644".into()),
        }
    }
}

/// `KEY=VALUE`, as a label of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLabel {
    pub key: String,
    pub value: String,
}

impl FromStr for NodeLabel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("want KEY=VALUE, such as disk=ssd")?;
        qualified_name(key)?;
        label_value(value)?;
        Ok(Self { key: key.into(), value: value.into() })
    }
}

/// `KEY=VALUE:EFFECT` or `KEY:EFFECT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTaint {
    pub key: String,
    pub value: String,
    pub effect: String,
}

const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];

impl FromStr for NodeTaint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("want KEY=VALUE:EFFECT or KEY:EFFECT, with EFFECT one of {}", EFFECTS.join(", "));
        let (name, effect) = text.rsplit_once(':').ok_or_else(wanted)?;
        if !EFFECTS.contains(&effect) {
            return Err(wanted());
        }
        let (key, value) = name.split_once('=').unwrap_or((name, ""));
        qualified_name(key)?;
        label_value(value)?;
        Ok(Self { key: key.into(), value: value.into(), effect: effect.into() })
    }
}

/// Where a server is: `https://HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    pub host: String,
    pub port: u16,
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<http::Uri>().ok().filter(|uri| uri.scheme_str() == Some("https"));
        let authority = parsed.as_ref().filter(|uri| matches!(uri.path(), "" | "/")).and_then(http::Uri::authority);
        let Some(authority) = authority else { return Err("want https://HOST:PORT".into()) };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        Ok(Self { host: host.into(), port: authority.port_u16().unwrap_or(6443) })
    }
}

/// Where an etcd listens for clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdUrl(pub Endpoint);

impl FromStr for EtcdUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "want https://HOST:2379 or http://HOST:2379 of an etcd".to_owned();
        let uri = text.parse::<http::Uri>().ok().filter(|uri| matches!(uri.path(), "" | "/")).ok_or_else(wanted)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wanted()),
        };
        let authority = uri.authority().filter(|it| !it.as_str().contains('@')).ok_or_else(wanted)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self(Endpoint { is_tls, host, port: authority.port_u16().unwrap_or(2379) }))
    }
}

/// What keys in etcd begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdPrefix(pub String);

impl FromStr for EtcdPrefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        match text.strip_prefix('/') {
            Some(rest) if text.len() <= 200 && rest.split('/').all(is_part) => Ok(Self(text.into())),
            _ => Err("want /NAME or /NAME/NAME of letters, digits, '-', '_' and '.'".into()),
        }
    }
}

/// Text that no log may show.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(pub String);

impl FromStr for SecretText {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "" => Err("want a token that is not empty".into()),
            long if long.len() > 4096 => Err("want a token of at most 4096 bytes".into()),
            token => Ok(Self(token.into())),
        }
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

fn qualified_name(text: &str) -> Result<(), String> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(prefix, name)| (Some(prefix), name));
    if prefix.is_some_and(|prefix| prefix.parse::<DnsName>().is_err()) || name.is_empty() || !is_label_text(name) {
        return Err(format!("{text:?} is no key: want NAME or DOMAIN/NAME, such as example.com/disk"));
    }
    Ok(())
}

fn label_value(text: &str) -> Result<(), String> {
    if is_label_text(text) {
        return Ok(());
    }
    Err(format!(
        "{text:?} is no value: want at most 63 letters, digits, '-', '_' and '.', none of these three at an end"
    ))
}

fn is_label_text(text: &str) -> bool {
    let ends_well = |end: Option<u8>| end.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
        && ends_well(text.bytes().next())
        && ends_well(text.bytes().last())
}
