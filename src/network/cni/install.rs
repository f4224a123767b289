//! Making containerd find the plugin: its configuration and the names under which the binary is called.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::config::{self, Network};

/// Links `binary` into `bin_dir` under the plugins' names and writes the network list into `conf_dir`.
///
/// Safe to repeat; what is right already is left alone, so that containerd, which watches the
/// directory, reloads only on a change.
pub fn install(binary: &Path, bin_dir: &Path, conf_dir: &Path, network: &Network) -> io::Result<()> {
    fs::create_dir_all(bin_dir)?;
    fs::create_dir_all(conf_dir)?;
    for name in [super::PLUGIN, super::LOOPBACK] {
        let link = bin_dir.join(name);
        if fs::read_link(&link).ok().as_deref() != Some(binary) {
            let fresh = bin_dir.join(format!(".{name}"));
            let _ = fs::remove_file(&fresh);
            symlink(binary, &fresh)?;
            fs::rename(&fresh, &link)?;
        }
    }
    let wanted = config::conflist(network).to_string();
    let path = conf_dir.join("10-skiff.conflist");
    if fs::read_to_string(&path).ok().as_deref() != Some(&wanted) {
        let fresh = conf_dir.join(".10-skiff.conflist");
        fs::write(&fresh, wanted)?;
        fs::rename(&fresh, &path)?;
    }
    Ok(())
}
