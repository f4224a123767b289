//! The disk as the log and the snapshots see it: few operations, so that tests and the simulator can
//! stand in for it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files by path. Nothing is durable before [`DiskFile::sync`], no name before [`Disk::sync_dir`].
pub trait Disk: Send + Sync + 'static {
    /// An empty file for reading and writing, in place of what was there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// A file that exists.
    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn DiskFile>>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Moves a file, or a folder with all that is in it, to where nothing is. What is damaged need not be durable.
    fn move_away(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }
}

pub type DiskRef = Arc<dyn Disk>;

pub trait DiskFile: Send + Sync {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes data and length durable.
    fn sync(&self) -> io::Result<()>;
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Reserves space so that writing into it changes no metadata.
    fn allocate(&self, offset: u64, len: u64) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
}

/// Where [`quarantine`] puts it.
pub(super) fn aside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    aside.into()
}

/// Moves what is damaged out of the way, for whoever wants to look at it. Tells where it is now; what
/// was put there before is gone.
pub(super) fn quarantine(disk: &dyn Disk, path: &Path) -> io::Result<PathBuf> {
    let aside = aside(path);
    remove_all(&aside)?;
    disk.move_away(path, &aside)?;
    Ok(aside)
}

/// Takes away the file or the folder at `path`, if there is one.
pub(super) fn remove_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => std::fs::remove_file(path),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies a folder of files next to itself before what is in it changes. Tells where the copy is.
pub(super) fn copy_aside(dir: &Path) -> io::Result<PathBuf> {
    let aside = aside(dir);
    std::fs::create_dir_all(&aside)?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), aside.join(entry.file_name()))?;
        }
    }
    std::fs::set_permissions(&aside, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    Ok(aside)
}

/// The machine's disk.
pub struct SystemDisk;

impl SystemDisk {
    pub fn shared() -> DiskRef {
        Arc::new(Self)
    }
}

impl Disk for SystemDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(path)?;
        Ok(Box::new(file))
    }

    fn open(&self, path: &Path, writable: bool) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(OpenOptions::new().read(true).write(writable).open(path)?))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

impl DiskFile for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn allocate(&self, offset: u64, len: u64) -> io::Result<()> {
        use nix::fcntl::{FallocateFlags, fallocate};
        let too_large = |_| io::Error::from(io::ErrorKind::FileTooLarge);
        let (offset, len) = (offset.try_into().map_err(too_large)?, len.try_into().map_err(too_large)?);
        match fallocate(self, FallocateFlags::empty(), offset, len) {
            Err(nix::errno::Errno::EOPNOTSUPP) | Ok(()) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}
