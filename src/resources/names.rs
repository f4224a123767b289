//! Names and labels: the formats upstream accepts, with its complaints.

/// Complaints about `name` as a DNS-1123 subdomain; a prefix (`generateName`) may end in `-`.
pub fn dns1123_subdomain(name: &str, is_prefix: bool) -> Vec<String> {
    let _ = (name, is_prefix);
    Vec::new()
}
