//! Giving a whole state to another server, part by part, as it asks for them.
//!
//! The state given is the one in memory, which costs nothing to keep as it is: no file is written here.
//! The other asks for the next part when it has dealt with the last, and makes the whole durable as a
//! snapshot of its own before raft hears of it.
//!
//! ```text
//! question = index after:bytes
//! answer   = 0 | 1 records:bytes | 2 records:bytes summary
//! ```

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::base::clock::ClockRef;
use crate::base::seal::SealRef;
use crate::base::service::Scope;
use crate::object::Key;
use crate::store::base::{Base, Loader, Summary, encode_object};
use crate::store::files::DiskRef;
use crate::store::network::{Ask, NetworkError, NetworkRef};
use crate::store::range::KeyRange;
use crate::store::snapshot::{self, SnapshotError};
use crate::store::wire::{Reader, WireError, put_bytes, put_u64};

const PART_BYTES: usize = 512 << 10;
const GONE: u8 = 0;
const MORE: u8 = 1;
const LAST: u8 = 2;
const TRIES_MAX: u32 = 20;
const RETRY: Duration = Duration::from_millis(500);

/// Why a state could not be taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot get the state at index {index}")]
    Network { index: u64, source: NetworkError },
    #[error("the state at index {index} is not there any more")]
    Gone { index: u64 },
    #[error("a part of a state is damaged")]
    Damaged(#[from] WireError),
    #[error("cannot keep the state")]
    Save(#[from] SnapshotError),
}

/// The state that is there for others, if one is.
#[derive(Clone)]
pub(in crate::store) struct Offers {
    clock: ClockRef,
    offer: Arc<Mutex<Option<Arc<Base>>>>,
    /// When somebody last asked, in milliseconds of the clock.
    asked_ms: Arc<AtomicU64>,
}

impl Offers {
    pub fn new(clock: ClockRef) -> Self {
        Self { clock, offer: Arc::default(), asked_ms: Arc::default() }
    }

    pub fn set(&self, base: Option<Base>) {
        *self.offer.lock().unwrap_or_else(PoisonError::into_inner) = base.map(Arc::new);
        self.asked_now();
    }

    pub fn is_open(&self) -> bool {
        self.offer.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// How long nobody has asked.
    pub fn idle(&self) -> Duration {
        let asked = Duration::from_millis(self.asked_ms.load(Ordering::Relaxed));
        self.clock.elapsed().saturating_sub(asked)
    }

    pub fn answer(&self, question: &[u8]) -> Result<Bytes, WireError> {
        self.asked_now();
        let mut reader = Reader::new("a question for a state", question);
        let (index, after) = (reader.u64()?, reader.text()?);
        let after = match after {
            "" => None,
            text => Some(Key::parse(text).ok_or_else(|| reader.value(text.len() as u64))?),
        };
        let offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Ok(match offer.filter(|base| base.state.position().index == index) {
            Some(base) => part(&base, after.as_ref()),
            None => Bytes::from_static(&[GONE]),
        })
    }

    fn asked_now(&self) {
        self.asked_ms.store(self.clock.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

fn part(base: &Base, after: Option<&Key>) -> Bytes {
    let all = KeyRange::all();
    let first = after.is_none().then(|| base.state.range(&all)).into_iter().flatten();
    let rest = after.into_iter().flat_map(|after| base.state.range_after(&all, after));
    let mut records = Vec::with_capacity(PART_BYTES + 4096);
    for object in first.chain(rest) {
        put_bytes(&mut records, &encode_object(object));
        if records.len() >= PART_BYTES {
            let mut answer = vec![MORE];
            put_bytes(&mut answer, &records);
            return answer.into();
        }
    }
    let mut answer = vec![LAST];
    put_bytes(&mut answer, &records);
    answer.extend_from_slice(&Summary::of(base, 0).encode());
    answer.into()
}

/// Where a state comes from and where it is to be kept.
pub(super) struct Fetch {
    pub network: NetworkRef,
    pub from: u64,
    pub index: u64,
    pub disk: DiskRef,
    pub snapshots: std::path::PathBuf,
    pub seal: SealRef,
    /// Only what the state says of itself is wanted, and no objects.
    pub hollow: bool,
}

/// Behind every key: whoever asks for what follows is given the end.
const BEHIND_ALL: &str = "~/~/~";

impl Fetch {
    /// The whole state; it is in a snapshot file by then.
    pub async fn run(self) -> Result<Base, FetchError> {
        let mut loader = Loader::of_plain();
        let mut after = if self.hollow { BEHIND_ALL.to_owned() } else { String::new() };
        loop {
            let answer = self.ask(&after).await?;
            let mut reader = Reader::new("a part of a state", &answer);
            let kind = reader.byte()?;
            if kind == GONE {
                return Err(FetchError::Gone { index: self.index });
            }
            let mut records = Reader::new("a part of a state", reader.bytes()?);
            while !records.is_empty() {
                after = loader.add(records.bytes()?)?.as_str().to_owned();
            }
            if kind == LAST {
                let summary = Summary::decode(reader.take(reader.remaining())?)?;
                let summary = if self.hollow { Summary { objects: 0, ..summary } } else { summary };
                let base = loader.finish_unsummed(summary)?;
                let kept = base.clone();
                Scope::blocking(move || snapshot::save(&*self.disk, &self.snapshots, &kept, &*self.seal.now())).await?;
                return Ok(base);
            }
        }
    }

    async fn ask(&self, after: &str) -> Result<Bytes, FetchError> {
        let mut question = Vec::new();
        put_u64(&mut question, self.index);
        put_bytes(&mut question, after.as_bytes());
        let question = Bytes::from(question);
        let mut tries = 0;
        loop {
            match self.network.ask(self.from, Ask::State, question.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(source) if tries == TRIES_MAX => return Err(FetchError::Network { index: self.index, source }),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
            tries += 1;
        }
    }
}
