//! Removes certificate requests that are over and done with: an hour after they were decided, a day
//! after they were made if nobody did.

use std::time::Duration;

use crate::client::Snapshot;
use crate::controllers::runtime::{Controller, Plan};
use crate::object::Key;
use crate::object::kind::CERTIFICATE_SIGNING_REQUEST;
use crate::object::view::CertificateSigningRequest;

pub static CONTROLLER: Controller = Controller {
    name: "certificate-controller",
    component: "csrcleaner",
    kind: Some(&CERTIFICATE_SIGNING_REQUEST),
    woken_by: &[],
    reconcile,
};

const DECIDED: Duration = Duration::from_secs(3_600);
const PENDING: Duration = Duration::from_secs(24 * 3_600);

fn reconcile(snap: &Snapshot, key: &Key, plan: &mut Plan) {
    let Some(request) = snap.get::<CertificateSigningRequest>(key).filter(|request| !request.is_deleting()) else {
        return;
    };
    let is_issued = !request.status.certificate.is_empty();
    let mut ends = Vec::new();
    if request.status.conditions.is_empty() {
        ends.extend(request.meta().creation_timestamp.map(|made| made + PENDING));
    }
    for condition in &request.status.conditions {
        let limit = match (condition.kind.as_str(), is_issued) {
            ("Denied" | "Failed", _) | ("Approved", true) => DECIDED,
            ("Approved", false) => PENDING,
            _ => continue,
        };
        ends.extend(condition.last_update_time.map(|decided| decided + limit));
    }
    let Some(end) = ends.into_iter().min() else { return };
    match end > snap.now() {
        true => plan.again_after(end.since(snap.now())),
        false => plan.delete(&request, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::testing::check;
    use expect_test::expect;

    #[test]
    fn a_request_goes_an_hour_after_it_was_decided() {
        let denied = |when: &str| {
            format!(r#"csr r status.conditions=[{{"type":"Denied","status":"True","lastUpdateTime":"{when}"}}]"#)
        };
        check(
            &CONTROLLER,
            &denied("2027-01-15T06:59:00Z"),
            expect![[r#"
                delete certificatesigningrequest/r
            "#]],
        );
        check(
            &CONTROLLER,
            &denied("2027-01-15T07:30:00Z"),
            expect![[r#"
                again after 1800s
            "#]],
        );
    }

    #[test]
    fn one_that_nobody_decides_about_goes_after_a_day() {
        check(
            &CONTROLLER,
            "csr r metadata.creationTimestamp=2027-01-14T07:59:00Z",
            expect![[r#"
                delete certificatesigningrequest/r
            "#]],
        );
    }
}
