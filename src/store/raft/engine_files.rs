//! The log library's file system, over our [`Disk`].
//!
//! The library panics when an fsync fails, and must never be allowed to try again: the kernel may
//! have thrown the unwritten pages away and say yes the second time. So a failed fsync is remembered
//! here for good and reported as done; whoever writes asks [`EngineFiles::failure`] before believing.
//!
//! The library forgets to make the name of its first file durable. Here every name is, as it is made.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use raft_engine::env::{FileSystem, Handle, Permission, WriteExt};

use crate::store::files::{DiskFile, DiskRef};

pub(super) struct EngineFiles {
    disk: DiskRef,
    written: Arc<AtomicU64>,
    failure: Arc<OnceLock<Arc<str>>>,
}

pub(super) struct EngineFile {
    file: Box<dyn DiskFile>,
    written: Arc<AtomicU64>,
    failure: Arc<OnceLock<Arc<str>>>,
}

/// A place in a file.
pub(super) struct Cursor {
    file: Arc<EngineFile>,
    offset: u64,
}

impl EngineFiles {
    pub fn new(disk: DiskRef) -> Self {
        Self { disk, written: Arc::default(), failure: Arc::default() }
    }

    /// How many bytes were written since this was made.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Why something that was written may not be durable.
    pub fn failure(&self) -> Option<Arc<str>> {
        self.failure.get().cloned()
    }

    /// Makes what was done to the name durable.
    fn sync_name(&self, path: &Path) -> io::Result<()> {
        let synced = self.disk.sync_dir(path.parent().unwrap_or(Path::new("/")));
        if let Err(error) = &synced {
            self.failure.get_or_init(|| format!("fsync of the folder: {error}").into());
        }
        synced
    }

    fn handle(&self, file: Box<dyn DiskFile>) -> EngineFile {
        EngineFile { file, written: self.written.clone(), failure: self.failure.clone() }
    }
}

impl FileSystem for EngineFiles {
    type Handle = EngineFile;
    type Reader = Cursor;
    type Writer = Cursor;

    fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<EngineFile> {
        let file = self.disk.create(path.as_ref())?;
        self.sync_name(path.as_ref())?;
        Ok(self.handle(file))
    }

    fn open<P: AsRef<Path>>(&self, path: P, permission: Permission) -> io::Result<EngineFile> {
        Ok(self.handle(self.disk.open(path.as_ref(), permission == Permission::ReadWrite)?))
    }

    fn delete<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        if let Some(reason) = self.failure() {
            return Err(io::Error::other(reason.to_string())); // where its content was moved to may not last
        }
        self.disk.remove(path.as_ref())
    }

    fn rename<P: AsRef<Path>>(&self, from: P, to: P) -> io::Result<()> {
        self.disk.rename(from.as_ref(), to.as_ref())?;
        self.sync_name(to.as_ref())
    }

    fn new_reader(&self, file: Arc<EngineFile>) -> io::Result<Cursor> {
        Ok(Cursor { file, offset: 0 })
    }

    fn new_writer(&self, file: Arc<EngineFile>) -> io::Result<Cursor> {
        Ok(Cursor { file, offset: 0 })
    }
}

impl Handle for EngineFile {
    fn truncate(&self, len: usize) -> io::Result<()> {
        self.file.truncate(len as u64)
    }

    fn file_size(&self) -> io::Result<usize> {
        usize::try_from(self.file.size()?).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn sync(&self) -> io::Result<()> {
        if let Err(error) = self.file.sync() {
            self.failure.get_or_init(|| format!("fsync: {error}").into());
        }
        Ok(())
    }
}

impl Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = self.file.file.read_at(into, self.offset)?;
        self.offset += len as u64;
        Ok(len)
    }
}

impl Write for Cursor {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = self.file.file.write_at(bytes, self.offset)?;
        self.file.written.fetch_add(len as u64, Ordering::Relaxed);
        self.offset += len as u64;
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Cursor {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let out_of_range = || io::Error::from(io::ErrorKind::InvalidInput);
        self.offset = match to {
            SeekFrom::Start(offset) => offset,
            SeekFrom::Current(by) => self.offset.checked_add_signed(by).ok_or_else(out_of_range)?,
            SeekFrom::End(by) => self.file.file.size()?.checked_add_signed(by).ok_or_else(out_of_range)?,
        };
        Ok(self.offset)
    }
}

impl WriteExt for Cursor {
    fn truncate(&mut self, len: usize) -> io::Result<()> {
        self.file.file.truncate(len as u64)?;
        self.offset = len as u64;
        Ok(())
    }

    fn allocate(&mut self, offset: usize, len: usize) -> io::Result<()> {
        self.file.file.allocate(offset as u64, len as u64)
    }
}
