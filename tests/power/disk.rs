//! A disk in memory whose power can be cut: what was not synced is lost, or there in part.
//!
//! Stricter than most file systems: an fsync of a file makes its content durable and not its name, names
//! become durable with their folder only. What was synced is never harmed. Pure: knows nothing of FUSE.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;
use skiff::base::rand::{Rand, RandRef, SystemRand};

pub const ROOT: u64 = 1;
/// What survives of a write survives in pieces of this size.
const SECTOR: usize = 512;

pub struct Disk {
    nodes: BTreeMap<u64, Node>,
    last: u64,
    /// What was done to names since their folders were synced, in order.
    pending: Vec<Renaming>,
    rand: RandRef,
    /// So many operations later the power fails.
    cut_after: Option<u64>,
    is_dead: bool,
    pub syncs: u64,
}

#[derive(Clone, Default)]
pub struct Node {
    pub is_folder: bool,
    pub mode: u16,
    pub names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pub content: Vec<u8>,
    durable: Vec<u8>,
    dirty: Vec<Change>,
}

#[derive(Clone, Copy)]
enum Change {
    Write { at: usize, len: usize },
    Len(usize),
}

/// One change of names, which happens as a whole: a name goes, a name comes, or both.
#[derive(Clone)]
struct Renaming {
    gone: Option<(u64, String)>,
    set: Option<(u64, String, u64)>,
}

impl Disk {
    pub fn new(seed: u64) -> Self {
        let root = Node { is_folder: true, mode: 0o700, ..Node::default() };
        let rand = SystemRand::seeded(seed);
        let nodes = BTreeMap::from([(ROOT, root)]);
        Self { nodes, last: ROOT, pending: Vec::new(), rand, cut_after: None, is_dead: false, syncs: 0 }
    }

    pub fn below(&self, sides: u64) -> u64 {
        self.rand.next_u64() % sides.max(1)
    }

    /// Lets the power fail in the middle of what is done next.
    pub fn cut_after(&mut self, operations: u64) {
        self.cut_after = Some(operations);
    }

    /// Lets the power fail now.
    pub fn cut_now(&mut self) {
        self.lose_power();
    }

    /// The power does not fail after all.
    pub fn spare(&mut self) {
        self.cut_after = None;
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead
    }

    /// The power comes back: what is durable is all there is.
    pub fn restart(&mut self) {
        self.lose_power();
        (self.is_dead, self.cut_after) = (false, None);
        let (mut found, mut next) = (BTreeSet::new(), vec![ROOT]);
        while let Some(ino) = next.pop() {
            found.insert(ino);
            next.extend(self.nodes[&ino].durable_names.values());
        }
        self.nodes.retain(|ino, _| found.contains(ino));
        for node in self.nodes.values_mut() {
            node.content = node.durable.clone();
            node.names = node.durable_names.clone();
        }
    }

    fn lose_power(&mut self) {
        if std::mem::replace(&mut self.is_dead, true) {
            return;
        }
        let kept = self.below(self.pending.len() as u64 + 1) as usize;
        for renaming in std::mem::take(&mut self.pending).into_iter().take(kept) {
            self.keep(&renaming);
        }
        let rand = self.rand.clone();
        self.nodes.values_mut().for_each(|node| node.lose_power(&*rand));
    }

    /// An operation that changes something begins.
    fn operate(&mut self) -> Result<(), Errno> {
        match self.cut_after.as_mut().map(|left| left.checked_sub(1).map(|less| *left = less)) {
            Some(None) => self.lose_power(),
            Some(Some(())) | None => (),
        }
        if self.is_dead { Err(Errno::EIO) } else { Ok(()) }
    }

    pub fn node(&self, ino: u64) -> Result<&Node, Errno> {
        self.nodes.get(&ino).ok_or(Errno::ENOENT)
    }

    fn node_mut(&mut self, ino: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&ino).ok_or(Errno::ENOENT)
    }

    pub fn find(&self, parent: u64, name: &str) -> Result<u64, Errno> {
        self.node(parent)?.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub fn create(&mut self, parent: u64, name: &str, mode: u16, is_folder: bool) -> Result<u64, Errno> {
        self.operate()?;
        if self.find(parent, name).is_ok() {
            return Err(Errno::EEXIST);
        }
        self.last += 1;
        let ino = self.last;
        self.nodes.insert(ino, Node { is_folder, mode, ..Node::default() });
        self.rename_all(Renaming { gone: None, set: Some((parent, name.to_owned(), ino)) })?;
        Ok(ino)
    }

    pub fn remove(&mut self, parent: u64, name: &str) -> Result<(), Errno> {
        self.operate()?;
        let ino = self.find(parent, name)?;
        if !self.node(ino)?.names.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.rename_all(Renaming { gone: Some((parent, name.to_owned())), set: None })
    }

    pub fn rename(&mut self, from: (u64, &str), to: (u64, &str)) -> Result<(), Errno> {
        self.operate()?;
        let ino = self.find(from.0, from.1)?;
        let gone = Some((from.0, from.1.to_owned()));
        self.rename_all(Renaming { gone, set: Some((to.0, to.1.to_owned(), ino)) })
    }

    fn rename_all(&mut self, renaming: Renaming) -> Result<(), Errno> {
        if let Some((parent, name)) = &renaming.gone {
            self.node_mut(*parent)?.names.remove(name);
        }
        if let Some((parent, name, ino)) = &renaming.set {
            self.node_mut(*parent)?.names.insert(name.clone(), *ino);
        }
        self.pending.push(renaming);
        Ok(())
    }

    fn keep(&mut self, renaming: &Renaming) {
        if let Some((parent, name)) = &renaming.gone
            && let Some(node) = self.nodes.get_mut(parent)
        {
            node.durable_names.remove(name);
        }
        if let Some((parent, name, ino)) = &renaming.set
            && let Some(node) = self.nodes.get_mut(parent)
        {
            node.durable_names.insert(name.clone(), *ino);
        }
    }

    pub fn set_mode(&mut self, ino: u64, mode: u16) -> Result<(), Errno> {
        self.operate()?;
        self.node_mut(ino)?.mode = mode;
        Ok(())
    }

    pub fn write(&mut self, ino: u64, at: usize, bytes: &[u8]) -> Result<(), Errno> {
        self.operate()?;
        let node = self.node_mut(ino)?;
        let end = at + bytes.len();
        node.content.resize(node.content.len().max(end), 0);
        node.content[at..end].copy_from_slice(bytes);
        node.dirty.push(Change::Write { at, len: bytes.len() });
        Ok(())
    }

    pub fn resize(&mut self, ino: u64, len: usize) -> Result<(), Errno> {
        self.operate()?;
        let node = self.node_mut(ino)?;
        node.content.resize(len, 0);
        node.dirty.push(Change::Len(len));
        Ok(())
    }

    pub fn sync(&mut self, ino: u64) -> Result<(), Errno> {
        self.operate()?;
        self.syncs += 1;
        let node = self.node_mut(ino)?;
        for change in std::mem::take(&mut node.dirty) {
            node.persist(change);
        }
        Ok(())
    }

    pub fn sync_folder(&mut self, ino: u64) -> Result<(), Errno> {
        self.operate()?;
        self.syncs += 1;
        for renaming in std::mem::take(&mut self.pending) {
            let parents = [renaming.gone.as_ref().map(|it| it.0), renaming.set.as_ref().map(|it| it.0)];
            match parents.contains(&Some(ino)) {
                true => self.keep(&renaming),
                false => self.pending.push(renaming),
            }
        }
        Ok(())
    }
}

impl Node {
    fn persist(&mut self, change: Change) {
        match change {
            Change::Len(len) => self.durable.resize(len, 0),
            Change::Write { at, len } => self.copy(at, len),
        }
    }

    /// What is in the file by now, which may have been cut off since.
    fn copy(&mut self, at: usize, len: usize) {
        let end = (at + len).min(self.content.len());
        if at < end {
            self.durable.resize(self.durable.len().max(end), 0);
            self.durable[at..end].copy_from_slice(&self.content[at..end]);
        }
    }

    fn lose_power(&mut self, rand: &dyn Rand) {
        let below = |sides: usize| (rand.next_u64() % sides.max(1) as u64) as usize;
        let dirty = std::mem::take(&mut self.dirty);
        let kept = match below(10) {
            0..4 => 0,
            4..6 => dirty.len(),
            _ => below(dirty.len() + 1),
        };
        let is_scattered = below(100) < 20;
        for (n, change) in dirty.into_iter().enumerate() {
            match change {
                Change::Write { at, len } if n == kept || (is_scattered && n < kept) => {
                    let stop = at + below(len + 1);
                    let spoils = below(100) < 25;
                    let mut next = at;
                    while next < at + len {
                        let until = ((next / SECTOR + 1) * SECTOR).min(at + len);
                        if if is_scattered { below(2) == 0 } else { until <= stop } {
                            self.copy(next, until - next);
                        } else if spoils {
                            self.spoil(next, until, rand);
                        }
                        next = until;
                    }
                }
                change if n < kept => self.persist(change),
                _ => (),
            }
        }
    }

    /// Rubbish where nothing was yet: what is there already is not this write's to harm.
    fn spoil(&mut self, at: usize, end: usize, rand: &dyn Rand) {
        let mut rubbish = vec![0; end - at];
        rand.fill(&mut rubbish);
        let is_free = self.durable.get(at..).is_none_or(|rest| rest.iter().all(|byte| *byte == 0));
        if is_free {
            self.durable.resize(self.durable.len().max(end), 0);
            self.durable[at..end].copy_from_slice(&rubbish);
        }
    }
}

#[test]
fn what_was_synced_survives_every_cut_and_the_rest_only_some() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let mut disk = Disk::new(seed);
        let file = disk.create(ROOT, "a", 0o600, false).unwrap();
        disk.write(file, 0, b"synced").unwrap();
        disk.sync(file).unwrap();
        disk.sync_folder(ROOT).unwrap();
        disk.write(file, 6, b"not").unwrap();
        disk.rename((ROOT, "a"), (ROOT, "b")).unwrap();
        disk.restart();
        let names: Vec<&String> = disk.node(ROOT).unwrap().names.keys().collect();
        assert!(names == ["a"] || names == ["b"], "a rename is done as a whole: {names:?}");
        let content = &disk.node(file).unwrap().content;
        assert!(content.starts_with(b"synced"));
        seen.insert((names[0].clone(), content.len(), content.ends_with(b"not")));
    }
    assert!(seen.len() >= 6, "lost, there, and spoilt, each under both names: {seen:?}");
}
