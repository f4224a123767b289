//! `/metrics/slis`: how the checks of the health pages went, whenever somebody asked for a whole page.
//!
//! What is asked in the process's own interest, or one check alone, is not counted, as by upstream.

use super::metrics::{Counter, Family, Gauge};

pub struct Slis {
    last: Family<Gauge>,
    total: Family<Counter>,
}

impl Default for Slis {
    fn default() -> Self {
        let last = Family::new("kubernetes_healthcheck", "Whether a health check passed.", &["name", "type"]);
        let total = Family::new(
            "kubernetes_healthchecks_total",
            "How often health checks passed and failed.",
            &["name", "type", "status"],
        );
        Self { last, total }
    }
}

impl Slis {
    /// `page` is the one that was asked for, such as `livez`.
    pub fn observe(&self, check: &str, page: &str, passes: bool) {
        self.last.with(&[check, page]).set(passes.into());
        self.total.with(&[check, page, if passes { "success" } else { "error" }]).add(1);
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.last.clear();
        self.total.clear();
    }

    pub fn render(&self, page: &mut String) {
        self.last.render(page);
        self.total.render(page);
    }
}

#[cfg(test)]
mod tests {
    use crate::api::tests::world;
    use crate::object::Tree;

    #[tokio::test]
    async fn whole_pages_are_counted_until_somebody_resets() {
        let world = world().await;
        for path in ["/livez", "/readyz", "/readyz?exclude=ping", "/readyz/ping"] {
            world.send(&format!("GET {path}"), Tree::Null).await;
        }
        let (code, page) = world.send("GET /metrics/slis", Tree::Null).await;
        let page = page.as_str().unwrap_or_default();
        assert_eq!(code, 200);
        let ping: Vec<&str> = page.lines().filter(|line| line.contains("name=\"ping\"")).collect();
        let wanted = [
            r#"kubernetes_healthcheck{name="ping",type="livez"} 1"#,
            r#"kubernetes_healthcheck{name="ping",type="readyz"} 1"#,
            r#"kubernetes_healthchecks_total{name="ping",type="livez",status="success"} 1"#,
            r#"kubernetes_healthchecks_total{name="ping",type="readyz",status="success"} 1"#,
        ];
        assert_eq!(ping, wanted);
        assert!(page.contains("\nprocess_start_time_seconds "), "{page}");
        assert_eq!(world.send("DELETE /metrics/slis", Tree::Null).await, (200, "metrics reset\n".into()));
        let (_, page) = world.send("GET /metrics/slis", Tree::Null).await;
        assert!(!page.as_str().unwrap_or_default().contains("ping"));
        assert_eq!(world.send("DELETE /metrics", Tree::Null).await.0, 405);
    }
}
