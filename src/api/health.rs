//! `/healthz`, `/livez` and `/readyz`: named checks, together or one by one.
//!
//! A check is asked on each request and must answer at once. Why one fails goes into the log, not
//! into the answer: the page is open to everybody.

use std::fmt::Write as _;
use std::sync::RwLock;

/// Which pages a check belongs to. Every check is part of `/healthz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Health,
    Live,
    Ready,
}

impl Page {
    const ALL: [(&'static str, Self); 3] = [("healthz", Self::Health), ("livez", Self::Live), ("readyz", Self::Ready)];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, page)| *page == self).map_or("", |(name, _)| name)
    }
}

/// Says what is wrong, or nothing.
pub type Probe = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

struct Check {
    name: &'static str,
    /// Only readiness depends on it: a restart would not help.
    ready_only: bool,
    probe: Probe,
}

/// The checks of this process, in the order they were added.
pub struct Health(RwLock<Vec<Check>>);

/// The answer to a request for a health page.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub code: u16,
    pub text: String,
}

impl Default for Health {
    fn default() -> Self {
        let health = Self(RwLock::default());
        health.add("ping", false, Box::new(|| Ok(())));
        health.add("log", false, Box::new(|| Ok(())));
        health
    }
}

impl Health {
    pub fn add(&self, name: &'static str, ready_only: bool, probe: Probe) {
        let mut checks = self.0.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        checks.push(Check { name, ready_only, probe });
    }

    /// Answers `path`, such as `/readyz` or `/livez/ping`; none if it is no health page.
    pub fn answer(&self, path: &str, verbose: bool, exclude: &[&str]) -> Option<Verdict> {
        let mut steps = path.strip_prefix('/')?.splitn(2, '/');
        let first = steps.next()?;
        let page = Page::ALL.iter().find(|(name, _)| *name == first)?.1;
        let only = steps.next().filter(|name| !name.is_empty());
        Some(self.judge(page, only, verbose, exclude))
    }

    /// Whether every check of readiness passes.
    pub fn is_ready(&self) -> bool {
        self.judge(Page::Ready, None, false, &[]).code == 200
    }

    fn judge(&self, page: Page, only: Option<&str>, verbose: bool, exclude: &[&str]) -> Verdict {
        let checks = self.0.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let asked: Vec<&Check> = checks
            .iter()
            .filter(|check| page != Page::Live || !check.ready_only)
            .filter(|check| only.is_none_or(|name| name == check.name))
            .collect();
        if asked.is_empty() {
            return Verdict { code: 404, text: "404 page not found\n".into() };
        }
        let mut text = String::new();
        let mut failed = false;
        for check in asked {
            if exclude.contains(&check.name) {
                let _ = writeln!(text, "[+]{} excluded: ok", check.name);
                continue;
            }
            match (check.probe)() {
                Ok(()) => text.push_str(&format!("[+]{} ok\n", check.name)),
                Err(why) => {
                    tracing::warn!(check = check.name, page = page.name(), %why, "health check failed");
                    let _ = writeln!(text, "[-]{} failed: reason withheld", check.name);
                    failed = true;
                }
            }
        }
        let page = page.name();
        match (failed, only) {
            (true, _) => Verdict { code: 500, text: format!("{text}{page} check failed\n") },
            (false, None) if verbose => Verdict { code: 200, text: format!("{text}{page} check passed\n") },
            (false, _) => Verdict { code: 200, text: "ok".into() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_check_fails_its_pages_and_can_be_left_out() {
        let health = Health::default();
        health.add("etcd", true, Box::new(|| Err("disk on fire".into())));
        assert_eq!(health.answer("/livez", false, &[]), Some(Verdict { code: 200, text: "ok".into() }));
        let ready = health.answer("/readyz", false, &[]).unwrap();
        assert_eq!(ready.text, "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\nreadyz check failed\n");
        assert_eq!(health.answer("/readyz", false, &["etcd"]).unwrap().code, 200);
        assert_eq!(health.answer("/readyz/ping", true, &[]).unwrap().text, "ok");
        assert_eq!(health.answer("/healthz/nope", false, &[]).unwrap().code, 404);
        assert_eq!(health.answer("/version", false, &[]), None);
    }
}
