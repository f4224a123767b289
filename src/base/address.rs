//! Hosts and ports as they are written together.

use std::fmt::Display;

/// `host:port`, with brackets around an IPv6 address.
pub fn join(host: &str, port: impl Display) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::join;

    #[test]
    fn only_ipv6_has_brackets() {
        assert_eq!([join("h.example.com", 443), join("192.0.2.1", 80)], ["h.example.com:443", "192.0.2.1:80"]);
        assert_eq!(join("2001:db8::1", 443), "[2001:db8::1]:443");
    }
}
