//! Raft's messages over the network that the servers share: one courier for each of the others.
//!
//! A courier takes all that waits, asks the other server to take it, and waits for the answer: so batches
//! grow with the distance. Entries need their order, and have one batch on its way at a time. Votes,
//! heartbeats and answers do not: they have couriers of their own, several on their way where the other
//! server is far, since who hears of a leader too late takes its place. What cannot be delivered is
//! dropped, and raft told so.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use protobuf::Message as _;
use raft::eraftpb::{Message, MessageType};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::transport::{Inbox, Incoming, Transport};
use crate::base::service::Scope;
use crate::store::network::{Ask, NetworkRef};
use crate::store::wire::{Reader, WireError, put_bytes};

/// Messages that may wait for a courier; raft repeats what does not fit.
const OUTBOX_LEN_MAX: usize = 1_024;
const BATCH_LEN_MAX: usize = 128;
const BATCH_BYTES_MAX: usize = 8 << 20;
/// How long a server that did not answer is left alone.
const PAUSE: Duration = Duration::from_millis(100);
/// A batch that is on its way for so long is no reason for the next one to wait, where order does not matter.
const FAR: Duration = Duration::from_millis(25);
const ON_WAY_MAX: usize = 16;

/// What a message is to its courier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Arrives in order.
    Entries,
    /// Arrives soon.
    Word,
}

impl Kind {
    fn of(message: &Message) -> Self {
        match message.get_msg_type() {
            MessageType::MsgAppend | MessageType::MsgSnapshot => Self::Entries,
            _ => Self::Word,
        }
    }

    fn on_way_max(self) -> usize {
        match self {
            Self::Entries => 1,
            Self::Word => ON_WAY_MAX,
        }
    }
}

pub(in crate::store) struct Peers {
    pub network: NetworkRef,
    pub scope: Scope,
    pub inbox: Inbox,
    couriers: BTreeMap<(u64, Kind), mpsc::Sender<Message>>,
}

impl Peers {
    pub fn new(network: NetworkRef, scope: Scope, inbox: Inbox) -> Self {
        Self { network, scope, inbox, couriers: BTreeMap::new() }
    }

    fn courier(&mut self, to: u64, kind: Kind) -> &mpsc::Sender<Message> {
        self.couriers.entry((to, kind)).or_insert_with(|| {
            let (sender, outbox) = mpsc::channel(OUTBOX_LEN_MAX);
            let on_way_max = kind.on_way_max();
            let courier = Courier { to, on_way_max, network: self.network.clone(), outbox, inbox: self.inbox.clone() };
            let scope = self.scope.clone();
            self.scope.spawn("courier", async move {
                tokio::select! {
                    biased;
                    () = courier.run() => (),
                    () = scope.stopping() => (),
                }
            });
            sender
        })
    }
}

impl Transport for Peers {
    fn send(&mut self, messages: Vec<Message>) {
        for message in messages {
            let to = message.to;
            if self.courier(to, Kind::of(&message)).try_send(message).is_err() {
                let _ = self.inbox.try_send(Incoming::Unreachable(to)); // a full inbox learns it later
            }
        }
    }

    fn keep(&mut self, members: &dyn Fn(u64) -> bool) {
        self.couriers.retain(|(id, _), _| members(*id));
    }
}

struct Courier {
    to: u64,
    on_way_max: usize,
    network: NetworkRef,
    outbox: mpsc::Receiver<Message>,
    inbox: Inbox,
}

impl Courier {
    async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH_LEN_MAX);
        let mut on_way = FuturesUnordered::new();
        let mut next = Instant::now();
        loop {
            let is_free = on_way.len() < self.on_way_max;
            let may_go = is_free && (on_way.is_empty() || Instant::now() >= next);
            if may_go && !waiting.is_empty() {
                on_way.push(self.network.ask(self.to, Ask::Messages, encode(&mut waiting)));
                next = Instant::now() + FAR;
                continue;
            }
            tokio::select! {
                biased;
                Some(sent) = on_way.next(), if !on_way.is_empty() => {
                    if let Err(error) = sent {
                        tracing::debug!(%error, "messages were lost");
                        waiting.clear();
                        let _ = self.inbox.send(Incoming::Unreachable(self.to)).await; // nobody is there: we end soon
                        tokio::time::sleep(PAUSE).await;
                        while self.outbox.try_recv().is_ok() {}
                    }
                }
                () = tokio::time::sleep_until(next), if is_free && !may_go => (),
                count = self.outbox.recv_many(&mut waiting, BATCH_LEN_MAX), if may_go => {
                    if count == 0 {
                        return;
                    }
                }
            }
        }
    }
}

/// As many of the first messages as fit into a batch; one at least.
fn encode(messages: &mut Vec<Message>) -> Bytes {
    let (mut batch, mut count) = (Vec::new(), 0);
    for message in messages.iter() {
        let Ok(encoded) = message.write_to_bytes() else { continue };
        if count > 0 && batch.len() + encoded.len() > BATCH_BYTES_MAX {
            break;
        }
        put_bytes(&mut batch, &encoded);
        count += 1;
    }
    messages.drain(..count.max(1));
    batch.into()
}

pub(in crate::store) fn decode(batch: &[u8]) -> Result<Vec<Message>, WireError> {
    let mut reader = Reader::new("a batch of messages", batch);
    let mut messages = Vec::new();
    while !reader.is_empty() {
        let mut message = Message::default();
        let encoded = reader.bytes()?;
        message.merge_from_bytes(encoded).map_err(|_| reader.value(encoded.len() as u64))?;
        messages.push(message);
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::store::network::{Network, NetworkError};

    const DISTANCE: Duration = Duration::from_millis(200);

    /// Takes its time in both directions; remembers what arrived, and when.
    #[derive(Clone, Default)]
    struct Far(Arc<Mutex<Vec<(Duration, u64)>>>);

    impl Network for Far {
        fn ask(&self, _: u64, _: Ask, batch: Bytes) -> BoxFuture<'static, Result<Bytes, NetworkError>> {
            let arrived = self.0.clone();
            Box::pin(async move {
                tokio::time::sleep(DISTANCE).await;
                let messages = decode(&batch).expect("messages");
                let now = Instant::now();
                arrived.lock().expect("a list").extend(messages.iter().map(|it| (age(now), it.index)));
                tokio::time::sleep(DISTANCE).await;
                Ok(Bytes::new())
            })
        }
    }

    thread_local! { static BEGAN: std::cell::Cell<Option<Instant>> = const { std::cell::Cell::new(None) }; }

    fn age(now: Instant) -> Duration {
        now - BEGAN.get().expect("a beginning")
    }

    /// Sends one message every 100 ms, ten in all; tells when each arrived after it was sent.
    async fn delays(kind: MessageType) -> Vec<Duration> {
        BEGAN.set(Some(Instant::now()));
        let (far, scope, (inbox, _incoming)) = (Far::default(), Scope::root("test"), mpsc::channel(8));
        let mut peers = Peers::new(Arc::new(far.clone()), scope.clone(), inbox);
        for index in 0..10 {
            let mut message = Message { to: 2, index, ..Message::default() };
            message.set_msg_type(kind);
            peers.send(vec![message]);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        scope.cancel();
        let mut arrived = far.0.lock().expect("a list").clone();
        arrived.sort_by_key(|(_, index)| *index);
        assert_eq!(arrived.len(), 10);
        arrived.iter().map(|(at, index)| *at - Duration::from_millis(100) * *index as u32).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_word_is_not_held_up_by_the_one_before_it_and_entries_are() {
        let words = delays(MessageType::MsgHeartbeat).await;
        assert!(words.iter().all(|delay| *delay < DISTANCE + FAR), "{words:?}");
        let entries = delays(MessageType::MsgAppend).await;
        assert!(entries.iter().any(|delay| *delay >= DISTANCE * 2), "one batch at a time: {entries:?}");
    }
}
