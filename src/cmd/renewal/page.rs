//! Until when the certificates of a server are good, for whoever watches over it.

use std::fmt::Write as _;

use crate::security::pki::Pki;

/// In the text format of Prometheus.
pub fn page(pki: &Pki) -> String {
    let held: Vec<_> =
        pki.held().map(|held| (held.name(), held.current().ends_secs(), held.current().failures())).collect();
    let authorities = pki.authorities().map(|(name, authority)| (name, authority.ends_secs()));
    let mut page = String::from(
        "# HELP skiff_certificate_expiration_timestamp_seconds When a certificate or an authority ends, in seconds \
         since 1970.\n# TYPE skiff_certificate_expiration_timestamp_seconds gauge\n",
    );
    for (name, ends_secs) in held.iter().map(|(name, ends_secs, _)| (*name, *ends_secs)).chain(authorities) {
        let _ = writeln!(page, "skiff_certificate_expiration_timestamp_seconds{{name=\"{name}\"}} {ends_secs}");
    }
    page.push_str(
        "# HELP skiff_certificate_renewal_errors_total Tries to renew a certificate that failed.\n\
         # TYPE skiff_certificate_renewal_errors_total counter\n",
    );
    for (name, _, failures) in &held {
        let _ = writeln!(page, "skiff_certificate_renewal_errors_total{{name=\"{name}\"}} {failures}");
    }
    page
}
