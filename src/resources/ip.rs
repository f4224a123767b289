//! IP addresses and networks as texts: what upstream accepts, and its complaints.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

use crate::object::field::FieldErrors;

use super::check::At;

/// Reads an address as Go used to: octets may have leading zeros.
pub fn parse_sloppy(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let octets: Vec<u8> = text.split('.').map(octet).collect::<Option<_>>()?;
    <[u8; 4]>::try_from(octets).ok().map(|octets| IpAddr::V4(Ipv4Addr::from(octets)))
}

fn octet(text: &str) -> Option<u8> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits
        .then(|| text.trim_start_matches('0'))
        .and_then(|rest| if rest.is_empty() { Some(0) } else { rest.parse().ok() })
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

/// An address in an old field: leading zeros and mapped addresses are refused, other spellings accepted.
pub fn check_legacy(place: &At, errors: &mut FieldErrors) -> Option<IpAddr> {
    let text = place.str();
    let Some(address) = parse_sloppy(text) else {
        place.invalid_text(errors, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return None;
    };
    if text.parse::<IpAddr>().is_err() {
        place.invalid_text(errors, "must not have leading 0s");
    }
    if is_mapped(address) {
        place.invalid_text(errors, "must not be an IPv4-mapped IPv6 address");
    }
    Some(address)
}

/// An address in its canonical spelling.
pub fn check_strict(place: &At, errors: &mut FieldErrors) -> Option<IpAddr> {
    let before = errors.list.len();
    let address = check_legacy(place, errors)?;
    if errors.list.len() == before && address.to_string() != place.str() {
        place.invalid_text(errors, format!("must be in canonical form (\"{address}\")"));
    }
    Some(address)
}

/// Reads a network; octets may have leading zeros.
pub fn parse_network_sloppy(text: &str) -> Option<IpNet> {
    let (address, length) = text.split_once('/')?;
    let plain = !length.is_empty() && length.len() <= 3 && length.bytes().all(|c| c.is_ascii_digit());
    IpNet::new(parse_sloppy(address)?, plain.then(|| length.parse().ok())??).ok()
}

/// A network in an old field.
pub fn check_network_legacy(place: &At, errors: &mut FieldErrors) -> Option<IpNet> {
    let text = place.str();
    let Some(network) = parse_network_sloppy(text) else {
        place.invalid_text(errors, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        return None;
    };
    let (address, length) = text.split_once('/').unwrap_or_default();
    if address.parse::<IpAddr>().is_err() || (length.len() > 1 && length.starts_with('0')) {
        place.invalid_text(errors, "must not have leading 0s in IP or prefix length");
    } else if is_mapped(network.addr()) {
        place.invalid_text(errors, "must not have an IPv4-mapped IPv6 address");
    }
    if network.addr() != network.network() {
        place.invalid_text(errors, "must not have bits set beyond the prefix length");
    }
    Some(network)
}

/// A network in its canonical spelling.
pub fn check_network_strict(place: &At, errors: &mut FieldErrors) -> Option<IpNet> {
    let before = errors.list.len();
    let network = check_network_legacy(place, errors)?;
    if errors.list.len() == before && network.to_string() != place.str() {
        place.invalid_text(errors, format!("must be in canonical form (\"{network}\")"));
    }
    Some(network)
}

/// An address that others can reach: not unspecified, loopback or link-local.
pub fn check_reachable(place: &At, errors: &mut FieldErrors) {
    let Some(address) = parse_sloppy(place.str()) else {
        return place.invalid_text(errors, "must be a valid IP address");
    };
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02),
    };
    if address.is_unspecified() {
        place.invalid_text(errors, format!("may not be unspecified ({})", place.str()));
    }
    if address.is_loopback() {
        place.invalid_text(errors, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    if link_local {
        place.invalid_text(errors, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        place.invalid_text(errors, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

/// Whether two families are among the addresses.
pub fn is_dual_stack(addresses: &[IpAddr]) -> bool {
    addresses.iter().any(IpAddr::is_ipv4) && addresses.iter().any(IpAddr::is_ipv6)
}

/// What to say about an address that could be spelled better.
pub fn warning(place: &At) -> Option<String> {
    let (path, text) = (&place.path, place.str());
    let address = parse_sloppy(text)?;
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => (v6.to_string() != text)
            .then(|| format!("{path}: IPv6 address {text:?} should be in RFC 5952 canonical format (\"{v6}\")")),
        Ok(IpAddr::V4(_)) => None,
        _ => {
            let plain = address.to_canonical();
            Some(format!("{path}: non-standard IP address {text:?} is invalid: use \"{plain}\""))
        }
    }
}
