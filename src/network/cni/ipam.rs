//! Which pod has which address of this node's subnet.
//!
//! One file for each address, named by it, holds the container that has it. Files outlive
//! processes and crashes, and creating one exclusively is the allocation, so two plugin calls can
//! never hand out the same address. Addresses are handed out in turn, not lowest first: one that
//! was just freed may still be in somebody's cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use nix::fcntl::{Flock, FlockArg};

/// The addresses of one subnet, remembered in one directory.
pub struct Ipam {
    dir: PathBuf,
    subnet: Ipv4Net,
    _lock: Flock<File>,
}

/// Why no address could be had.
#[derive(Debug, thiserror::Error)]
pub enum IpamError {
    #[error("all {0} pod addresses of {1} are in use; delete pods or give the node a larger subnet")]
    Exhausted(u32, Ipv4Net),
    #[error("cannot keep pod addresses in {}", .0.display())]
    State(PathBuf, #[source] io::Error),
}

const LAST: &str = "last";

impl Ipam {
    /// Opens the directory, waiting for other plugin calls that hold it.
    pub fn open(dir: &Path, subnet: Ipv4Net) -> Result<Self, IpamError> {
        let failed = |error| IpamError::State(dir.into(), error);
        fs::create_dir_all(dir).map_err(failed)?;
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).open(dir.join("lock")).map_err(failed)?;
        let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| failed(errno.into()))?;
        Ok(Self { dir: dir.into(), subnet, _lock: lock })
    }

    /// The address of `owner`: the one it has already, else the next free one.
    pub fn allocate(&self, owner: &str) -> Result<Ipv4Addr, IpamError> {
        let failed = |error| IpamError::State(self.dir.clone(), error);
        if let Some(held) = self.held(owner).map_err(failed)?.first() {
            return Ok(*held);
        }
        // Network address, gateway and broadcast are not for pods.
        let (first, count) = (
            u32::from(self.subnet.network()) + 2,
            u32::from(self.subnet.broadcast()) - u32::from(self.subnet.network()) - 2,
        );
        let last = fs::read_to_string(self.dir.join(LAST)).ok().and_then(|text| text.trim().parse::<Ipv4Addr>().ok());
        let start = last.map_or(0, |last| u32::from(last).wrapping_sub(first).wrapping_add(1));
        for step in 0..count {
            let address = Ipv4Addr::from(first + start.wrapping_add(step) % count);
            match OpenOptions::new().write(true).create_new(true).open(self.dir.join(address.to_string())) {
                Ok(mut file) => {
                    file.write_all(owner.as_bytes()).map_err(failed)?;
                    fs::write(self.dir.join(LAST), address.to_string()).map_err(failed)?;
                    return Ok(address);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(IpamError::Exhausted(count, self.subnet))
    }

    /// Frees what `owner` holds; nothing held is fine, as DEL may be repeated.
    pub fn release(&self, owner: &str) -> Result<Vec<Ipv4Addr>, IpamError> {
        let failed = |error| IpamError::State(self.dir.clone(), error);
        let held = self.held(owner).map_err(failed)?;
        for address in &held {
            fs::remove_file(self.dir.join(address.to_string())).map_err(failed)?;
        }
        Ok(held)
    }

    fn held(&self, owner: &str) -> io::Result<Vec<Ipv4Addr>> {
        let mut held = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let Some(address) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if fs::read(entry.path())? == owner.as_bytes() {
                held.push(address);
            }
        }
        Ok(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Ipam {
        Ipam::open(dir, "10.42.0.0/29".parse().unwrap()).unwrap()
    }

    #[test]
    fn addresses_are_given_in_turn_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let ipam = open(dir.path());
        assert_eq!(ipam.allocate("a").unwrap().to_string(), "10.42.0.2");
        assert_eq!(ipam.allocate("b").unwrap().to_string(), "10.42.0.3");
        assert_eq!(ipam.allocate("a").unwrap().to_string(), "10.42.0.2");
        assert_eq!(ipam.release("a").unwrap().len(), 1);
        assert!(ipam.release("a").unwrap().is_empty());
        drop(ipam);
        assert_eq!(open(dir.path()).allocate("c").unwrap().to_string(), "10.42.0.4");
    }

    #[test]
    fn a_full_subnet_says_so_and_a_freed_address_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let ipam = open(dir.path());
        for owner in 0..5 {
            ipam.allocate(&owner.to_string()).unwrap();
        }
        assert!(matches!(ipam.allocate("more"), Err(IpamError::Exhausted(5, _))));
        ipam.release("3").unwrap();
        assert_eq!(ipam.allocate("more").unwrap().to_string(), "10.42.0.5");
    }
}
