//! `/healthz`, `/livez` and `/readyz`: named checks, together or one by one.
//!
//! What has to happen once in a start is in [`super::started`].
//!
//! A check is asked on each request and must answer at once. Why one fails goes into the log, not
//! into the answer: the page is open to everybody.

use std::fmt::Write as _;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::object::Quoted;

use super::slis::Slis;

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

impl Check {
    fn is_of(&self, page: Page) -> bool {
        page != Page::Live || !self.ready_only
    }
}

/// The check of whether this process stops.
const STOPPING: &str = "shutdown";

/// The checks of this process, in the order they were added, and last of all whether it stops.
pub struct Health {
    checks: RwLock<Vec<Check>>,
    is_stopping: AtomicBool,
    /// How it went when somebody asked.
    pub slis: Slis,
}

/// The answer to a request for a health page.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub code: u16,
    pub text: String,
}

impl Default for Health {
    fn default() -> Self {
        let health = Self { checks: RwLock::default(), is_stopping: AtomicBool::new(false), slis: Slis::default() };
        health.add("ping", false, Box::new(|| Ok(())));
        health.add("log", false, Box::new(|| Ok(())));
        health
    }
}

impl Health {
    pub fn add(&self, name: &'static str, ready_only: bool, probe: Probe) {
        let mut checks = self.checks.write().unwrap_or_else(|poisoned| poisoned.into_inner());
        checks.push(Check { name, ready_only, probe });
    }

    /// Answers `path`, such as `/readyz` or `/livez/ping`; none if it is no health page.
    pub fn answer(&self, path: &str, verbose: bool, exclude: &[&str]) -> Option<Verdict> {
        let mut steps = path.strip_prefix('/')?.splitn(2, '/');
        let first = steps.next()?;
        let page = Page::ALL.iter().find(|(name, _)| *name == first)?.1;
        let only = steps.next().filter(|name| !name.is_empty());
        Some(self.judge(page, only, verbose, exclude, &|check, passes| self.slis.observe(check, page.name(), passes)))
    }

    /// Whether every check of readiness passes.
    pub fn is_ready(&self) -> bool {
        self.judge(Page::Ready, None, false, &[], &|_, _| ()).code == 200
    }

    /// Every path that [`Self::answer`] knows.
    pub fn paths(&self) -> Vec<String> {
        let checks = self.checks.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut paths = vec![format!("/{}/{STOPPING}", Page::Ready.name())];
        for (name, page) in Page::ALL {
            paths.push(format!("/{name}"));
            let of_page = checks.iter().filter(|check| check.is_of(page));
            paths.extend(of_page.map(|check| format!("/{name}/{}", check.name)));
        }
        paths
    }

    /// From now on the server is not ready any more, so that nobody new is sent to it.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
    }

    fn judge(
        &self,
        page: Page,
        only: Option<&str>,
        verbose: bool,
        exclude: &[&str],
        observe: &dyn Fn(&str, bool),
    ) -> Verdict {
        let checks = self.checks.read().unwrap_or_else(|poisoned| poisoned.into_inner());
        let stopping = || match self.is_stopping.load(Ordering::Acquire) {
            true => Err("process is shutting down".to_owned()),
            false => Ok(()),
        };
        let of_page = checks.iter().filter(|check| check.is_of(page));
        let mut asked: Vec<(&str, &dyn Fn() -> Result<(), String>)> =
            of_page.map(|check| (check.name, &*check.probe as &dyn Fn() -> Result<(), String>)).collect();
        if page == Page::Ready {
            asked.push((STOPPING, &stopping));
        }
        if let Some(only) = only {
            return one(asked.iter().find(|(name, _)| *name == only), page);
        }
        let mut text = String::new();
        let mut failed = false;
        for (name, probe) in &asked {
            if exclude.contains(name) {
                let _ = writeln!(text, "[+]{name} excluded: ok");
                continue;
            }
            let found = probe();
            observe(name, found.is_ok());
            match found {
                Ok(()) => {
                    let _ = writeln!(text, "[+]{name} ok");
                }
                Err(why) => {
                    tracing::warn!(check = name, page = page.name(), %why, "health check failed");
                    let _ = writeln!(text, "[-]{name} failed: reason withheld");
                    failed = true;
                }
            }
        }
        let unknown: Vec<String> = exclude
            .iter()
            .filter(|name| !asked.iter().any(|(known, _)| known == *name))
            .map(|name| Quoted(name).to_string())
            .collect();
        if !unknown.is_empty() {
            let names = unknown.join(",");
            let _ = writeln!(text, "warn: some health checks cannot be excluded: no matches for {names}");
        }
        let page = page.name();
        match failed {
            true => Verdict { code: 500, text: format!("{text}{page} check failed\n") },
            false if verbose => Verdict { code: 200, text: format!("{text}{page} check passed\n") },
            false => Verdict { code: 200, text: "ok".into() },
        }
    }
}

/// The page of one check. Only who may see it may see why.
fn one(check: Option<&(&str, &dyn Fn() -> Result<(), String>)>, page: Page) -> Verdict {
    let Some((name, probe)) = check else { return Verdict { code: 404, text: "404 page not found\n".into() } };
    match probe() {
        Ok(()) => Verdict { code: 200, text: "ok".into() },
        Err(why) => {
            tracing::warn!(check = name, page = page.name(), %why, "health check failed");
            Verdict { code: 500, text: format!("internal server error: {why}\n") }
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
        assert_eq!(
            ready.text,
            "[+]ping ok\n[+]log ok\n[-]etcd failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n"
        );
        assert_eq!(health.answer("/readyz/etcd", false, &[]).unwrap().text, "internal server error: disk on fire\n");
        assert_eq!(health.answer("/readyz", false, &["etcd"]).unwrap().code, 200);
        assert_eq!(health.answer("/readyz/ping", true, &[]).unwrap().text, "ok");
        assert_eq!(health.answer("/healthz/nope", false, &[]).unwrap().code, 404);
        assert_eq!(health.answer("/version", false, &[]), None);
    }

    #[test]
    fn a_server_that_stops_is_alive_and_not_ready() {
        let health = Health::default();
        health.stop();
        assert_eq!(health.answer("/livez", false, &[]).unwrap().code, 200);
        let text = health.answer("/readyz", false, &["ping", "nothing"]).unwrap().text;
        let expected = "[+]ping excluded: ok\n[+]log ok\n[-]shutdown failed: reason withheld\n\
            warn: some health checks cannot be excluded: no matches for \"nothing\"\nreadyz check failed\n";
        assert_eq!(text, expected);
    }
}
