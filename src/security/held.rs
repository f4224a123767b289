//! A certificate of our own authorities' making, kept in two files and renewed while it is in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ca::{Authority, Subject};
use super::current::Current;
use super::{Identity, SecurityError};

/// One certificate of this server: its files, what it has to say, and who shows it.
pub struct Held {
    name: &'static str,
    folder: PathBuf,
    authority: Arc<Authority>,
    subject: Subject,
    current: Arc<Current>,
}

impl Held {
    /// Takes `NAME.crt` and `NAME.key` from `folder`, made anew if they are missing, due or for another subject.
    pub fn open(
        authority: &Arc<Authority>,
        folder: &Path,
        name: &'static str,
        subject: Subject,
        now_secs: i64,
    ) -> Result<Self, SecurityError> {
        let identity = keep(authority, folder, name, &subject, now_secs)?;
        let current = Current::new(identity)?;
        Ok(Self { name, folder: folder.to_owned(), authority: authority.clone(), subject, current })
    }

    /// Makes it anew if it is due, for all who show it; tells whether it was. Reads two small files, and writes
    /// nothing if it is not due.
    pub fn look(&self, now_secs: i64) -> Result<bool, SecurityError> {
        let looked = self.renewed(now_secs);
        if looked.is_err() {
            self.current.count_failure();
        }
        looked
    }

    fn renewed(&self, now_secs: i64) -> Result<bool, SecurityError> {
        let identity = keep(&self.authority, &self.folder, self.name, &self.subject, now_secs)?;
        if identity.certificate == self.current.identity().certificate {
            return Ok(false);
        }
        self.current.replace(identity).map(|()| true)
    }

    /// Shows a certificate, also in its file, that ends soon.
    #[cfg(test)]
    pub fn shorten(&self, life: std::time::Duration, now_secs: i64) {
        let Identity { key, .. } = self.current.identity();
        let request = super::ca::request(&key).unwrap();
        let certificate = self.authority.sign_request(&request, &self.subject, life, now_secs).unwrap();
        std::fs::write(self.path(), &certificate).unwrap();
        self.current.replace(Identity { certificate, key }).unwrap();
    }

    /// Of its files.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.crt", self.name))
    }

    pub fn current(&self) -> &Arc<Current> {
        &self.current
    }
}

fn keep(
    authority: &Authority,
    folder: &Path,
    name: &str,
    subject: &Subject,
    now_secs: i64,
) -> Result<Identity, SecurityError> {
    let at = |end: &str| folder.join(format!("{name}.{end}"));
    authority.keep(&at("crt"), &at("key"), subject, now_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    const NOW: i64 = 1_800_000_000;
    const DAY: i64 = 24 * 3600;

    struct Rig {
        folder: tempfile::TempDir,
        authority: Arc<Authority>,
    }

    fn rig() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = Arc::new(Authority::open(&at("ca.crt"), &at("ca.key"), "test-ca", NOW).unwrap());
        Rig { folder, authority }
    }

    impl Rig {
        fn open(&self, now: i64) -> Held {
            let subject = Subject::server("web", vec!["web".into()]);
            Held::open(&self.authority, self.folder.path(), "web", subject, now).unwrap()
        }

        /// Inodes of both files: one that is written anew is another.
        fn files(&self) -> Vec<u64> {
            ["web.crt", "web.key"].map(|name| std::fs::metadata(self.folder.path().join(name)).unwrap().ino()).into()
        }
    }

    #[test]
    fn a_year_without_a_restart_is_three_certificates() {
        let rig = rig();
        let held = rig.open(NOW);
        let mut renewed = Vec::new();
        for day in 0..=730 {
            let before = rig.files();
            let now = NOW + day * DAY;
            if held.look(now).unwrap() {
                renewed.push(day);
            }
            assert_eq!(rig.files() != before, renewed.last() == Some(&day), "it is written when it is renewed");
            assert!(held.current().ends_secs() - now > 121 * DAY, "less than a third is left on day {day}");
        }
        assert_eq!(renewed, [244, 488]);
        for name in ["web.crt", "web.key"] {
            let mode = std::fs::metadata(rig.folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(std::fs::read_dir(rig.folder.path()).unwrap().count(), 4, "no drafts are left");
    }

    #[test]
    fn a_clock_that_jumps_back_and_forth_renews_once() {
        let rig = rig();
        let held = rig.open(NOW);
        let looks = [(-40 * 365, false), (0, false), (3 * 365, true), (0, false), (-365, false), (3 * 365, false)];
        for (days, is_renewed) in looks {
            assert_eq!(held.look(NOW + days * DAY).unwrap(), is_renewed, "at {days} days");
        }
        assert_eq!(held.current().failures(), 0);
    }

    /// An authority's certificates begin when it did, so that how long they are good says nothing of their life.
    #[test]
    fn what_an_old_authority_makes_is_not_due_at_once() {
        let rig = rig();
        let held = rig.open(NOW + 6 * 365 * DAY);
        assert!(!held.look(NOW + 6 * 365 * DAY + 200 * DAY).unwrap());
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_the_old_one_stays() {
        let rig = rig();
        let held = rig.open(NOW);
        let old = held.current().identity().certificate;
        std::fs::remove_file(held.path()).unwrap();
        std::fs::create_dir(held.path()).unwrap(); // neither read nor replaced, whoever asks
        for failures in 1..=2 {
            assert!(held.look(NOW + 300 * DAY).is_err());
            assert_eq!(held.current().failures(), failures);
            assert_eq!(held.current().identity().certificate, old);
        }
        std::fs::remove_dir(held.path()).unwrap();
        assert!(held.look(NOW + 300 * DAY).unwrap());
    }
}
