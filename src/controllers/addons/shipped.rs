//! What ships with skiff: manifests that every server lays into its own folder when it starts.

use std::path::Path;

use crate::base::fs::{self, FileError};

/// A packaged component: its name, for `--disable`, and its manifest.
const SHIPPED: &[(&str, &str)] = &[("dns", include_str!("../../../manifests/dns.yaml"))];

/// Names that `--disable` knows.
pub fn names() -> impl Iterator<Item = &'static str> {
    SHIPPED.iter().map(|(name, _)| *name)
}

/// Makes the folder, writes what ships unless it is disabled, and takes away what is disabled.
/// `values` stand in the manifests as `%{NAME}%`.
pub fn lay_out(folder: &Path, is_disabled: impl Fn(&str) -> bool, values: &[(&str, String)]) -> Result<(), FileError> {
    fs::private_dir(folder)?;
    for (name, template) in SHIPPED {
        let path = folder.join(format!("{name}.yaml"));
        if is_disabled(name) {
            fs::remove_if_there(&path)?;
            continue;
        }
        let text = filled(template, values);
        if fs::read_if_there(&path)?.as_deref() != Some(&text) {
            fs::write_atomic(&path, text.as_bytes(), 0o600)?;
        }
    }
    Ok(())
}

fn filled(template: &str, values: &[(&str, String)]) -> String {
    values.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("%{{{name}}}%"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ships_is_written_filled_in_and_what_is_disabled_goes() {
        let folder = tempfile::tempdir().unwrap();
        let values = [("CLUSTER_DNS", "10.1.0.10".to_owned())];
        lay_out(folder.path(), |_| false, &values).unwrap();
        let text = std::fs::read_to_string(folder.path().join("dns.yaml")).unwrap();
        assert!(text.contains("clusterIP: \"10.1.0.10\"") && !text.contains("%{"), "{text}");
        lay_out(folder.path(), |name| name == "dns", &values).unwrap();
        assert!(!folder.path().join("dns.yaml").exists());
    }
}
