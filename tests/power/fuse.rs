//! The disk as a mounted file system.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk::Disk;

/// Nothing is kept by the kernel longer than it must be.
const TTL: Duration = Duration::ZERO;
const BLOCK: u64 = 4_096;

/// Clones are the same disk.
#[derive(Clone)]
pub struct Mounted(pub Arc<Mutex<Disk>>);

type Outcome<T> = Result<T, nix::errno::Errno>;

impl Mounted {
    pub fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn mount(&self, at: &Path) -> std::io::Result<BackgroundSession> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("skiff-power".into())];
        fuser::spawn_mount(self.clone(), at, &config)
    }

    fn attributes(&self, ino: u64) -> Outcome<FileAttr> {
        let disk = self.lock();
        let node = disk.node(ino)?;
        let size = node.content.len() as u64;
        let kind = if node.is_folder { FileType::Directory } else { FileType::RegularFile };
        Ok(FileAttr {
            ino: INodeNo(ino),
            size,
            blocks: size.div_ceil(512),
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: node.mode & 0o7777,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: BLOCK as u32,
            flags: 0,
        })
    }

    fn made(&self, parent: INodeNo, name: &OsStr, mode: u32, is_folder: bool) -> Outcome<FileAttr> {
        let ino = self.lock().create(parent.0, text(name)?, mode as u16 & 0o7777, is_folder)?;
        self.attributes(ino)
    }
}

fn text(name: &OsStr) -> Outcome<&str> {
    name.to_str().ok_or(nix::errno::Errno::EINVAL)
}

fn errno(errno: nix::errno::Errno) -> Errno {
    Errno::from_i32(errno as i32)
}

fn answer_entry(made: Outcome<FileAttr>, reply: ReplyEntry) {
    match made {
        Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
        Err(error) => reply.error(errno(error)),
    }
}

fn answer(done: Outcome<()>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(errno(error)),
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = text(name).and_then(|name| self.lock().find(parent.0, name));
        answer_entry(found.and_then(|ino| self.attributes(ino)), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.attributes(ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let done = mode.map_or(Ok(()), |mode| self.lock().set_mode(ino.0, mode as u16));
        let done = done.and_then(|()| size.map_or(Ok(()), |size| self.lock().resize(ino.0, size as usize)));
        match done.and_then(|()| self.attributes(ino.0)) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, reply: ReplyEntry) {
        answer_entry(self.made(parent, name, mode, true), reply);
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, _: u32, _: i32, reply: ReplyCreate) {
        match self.made(parent, name, mode, false) {
            Ok(attributes) => reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(text(name).and_then(|name| self.lock().remove(parent.0, name)), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(text(name).and_then(|name| self.lock().remove(parent.0, name)), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        to: INodeNo,
        new: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let names = text(name).and_then(|name| Ok((name, text(new)?)));
        answer(names.and_then(|(name, new)| self.lock().rename((parent.0, name), (to.0, new))), reply);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.lock().node(ino.0) {
            Ok(node) => {
                let rest = node.content.get(offset as usize..).unwrap_or_default();
                reply.data(&rest[..rest.len().min(size as usize)]);
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.lock().write(ino.0, offset as usize, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn fallocate(&self, _: &Request, ino: INodeNo, _: FileHandle, at: u64, len: u64, mode: i32, reply: ReplyEmpty) {
        let mut disk = self.lock();
        let grown = match mode {
            0 => disk.node(ino.0).map(|node| node.content.len().max((at + len) as usize)),
            _ => Err(nix::errno::Errno::EOPNOTSUPP),
        };
        answer(grown.and_then(|len| disk.resize(ino.0, len)), reply);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.lock().sync(ino.0), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        answer(self.lock().sync_folder(ino.0), reply);
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = self.lock();
        let Ok(node) = disk.node(ino.0) else { return reply.error(Errno::ENOENT) };
        let own = [(ino.0, "."), (ino.0, "..")].into_iter();
        let all = own.chain(node.names.iter().map(|(name, ino)| (*ino, name.as_str())));
        for (place, (ino, name)) in all.enumerate().skip(offset as usize) {
            let is_folder = disk.node(ino).is_ok_and(|node| node.is_folder);
            let kind = if is_folder { FileType::Directory } else { FileType::RegularFile };
            if reply.add(INodeNo(ino), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = (4 << 30) / BLOCK;
        reply.statfs(blocks, blocks / 2, blocks / 2, 1 << 20, 1 << 19, BLOCK as u32, 255, BLOCK as u32);
    }
}
