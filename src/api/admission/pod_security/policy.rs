//! What a namespace's labels ask for: a level and a version for each mode.

use std::fmt;

use crate::object::StringMap;

const PREFIX: &str = "pod-security.kubernetes.io/";

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    #[default]
    Privileged,
    Baseline,
    Restricted,
}

/// A level as of a minor version of Kubernetes; none is the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard {
    pub level: Level,
    pub version: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub enforce: Standard,
    /// Violations go into the audit log.
    pub audit: Standard,
    pub warn: Standard,
}

/// A label that says nothing: its name, its value, and what would be right.
pub type Wrong = (String, String, &'static str);

const LEVELS: &[(&str, Level)] =
    &[("privileged", Level::Privileged), ("baseline", Level::Baseline), ("restricted", Level::Restricted)];

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = LEVELS.iter().find(|(_, level)| *level == self.level).map_or("", |(name, _)| name);
        match self.version {
            Some(minor) => write!(f, "{level}:v1.{minor}"),
            None => write!(f, "{level}:latest"),
        }
    }
}

impl Policy {
    /// Reads the labels, and what is wrong with them.
    pub fn of(labels: &StringMap) -> (Self, Vec<Wrong>) {
        let mut wrong = Vec::new();
        let enforce = read(labels, "enforce", Level::Restricted, &mut wrong);
        let audit = read(labels, "audit", Level::Privileged, &mut wrong);
        let mut warn = read(labels, "warn", Level::Privileged, &mut wrong);
        let has = |name: &str| labels.contains_key(&format!("{PREFIX}{name}"));
        let is_sound = labels.get(&format!("{PREFIX}enforce")).is_some_and(|level| level_of(level).is_some());
        // What is not let in is warned of where only a template asks for it.
        if !has("warn") && is_sound && enforce.level > warn.level {
            warn.level = enforce.level;
            if !has("warn-version") {
                warn.version = enforce.version;
            }
        }
        (Self { enforce, audit, warn }, wrong)
    }
}

/// Reads one mode; a level that does not exist counts as `fallback`.
fn read(labels: &StringMap, mode: &str, fallback: Level, wrong: &mut Vec<Wrong>) -> Standard {
    let mut standard = Standard::default();
    let (level, version) = (format!("{PREFIX}{mode}"), format!("{PREFIX}{mode}-version"));
    if let Some(text) = labels.get(&level) {
        standard.level = level_of(text).unwrap_or_else(|| {
            wrong.push((level, text.to_owned(), "must be one of privileged, baseline, restricted"));
            fallback
        });
    }
    if let Some(text) = labels.get(&version) {
        match version_of(text) {
            Some(version) => standard.version = version,
            None => wrong.push((version, text.to_owned(), "must be \"latest\" or \"v1.x\"")),
        }
    }
    standard
}

fn level_of(text: &str) -> Option<Level> {
    LEVELS.iter().find(|(name, _)| *name == text).map(|(_, level)| *level)
}

fn version_of(text: &str) -> Option<Option<u32>> {
    if text == "latest" {
        return Some(None);
    }
    let minor = text.strip_prefix("v1.")?;
    let is_plain = minor == "0" || !minor.starts_with('0');
    minor.parse().ok().filter(|_| is_plain && minor.bytes().all(|c| c.is_ascii_digit())).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(labels: &[(&str, &str)]) -> (String, String, usize) {
        let labels = labels.iter().map(|(name, value)| (format!("{PREFIX}{name}"), (*value).to_owned())).collect();
        let (policy, wrong) = Policy::of(&labels);
        (policy.enforce.to_string(), policy.warn.to_string(), wrong.len())
    }

    #[test]
    fn warnings_follow_what_is_enforced_unless_they_have_a_level_of_their_own() {
        assert_eq!(policy(&[]), ("privileged:latest".into(), "privileged:latest".into(), 0));
        let enforced = [("enforce", "baseline"), ("enforce-version", "v1.30")];
        assert_eq!(policy(&enforced), ("baseline:v1.30".into(), "baseline:v1.30".into(), 0));
        let both = [("enforce", "restricted"), ("warn", "baseline")];
        assert_eq!(policy(&both), ("restricted:latest".into(), "baseline:latest".into(), 0));
    }

    #[test]
    fn levels_and_versions_that_do_not_exist_are_told() {
        assert_eq!(policy(&[("enforce", "x"), ("warn-version", "v2.0"), ("audit-version", "v1.01")]).2, 3);
    }
}
