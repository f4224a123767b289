//! Raft's messages over the network that the servers share: one courier for each of the others.
//!
//! A courier takes all that waits, asks the other server to take it, and waits for the answer: there is
//! one batch on its way to a server at a time, so messages arrive in order and batches grow with the
//! distance. What cannot be delivered is dropped, and raft told so.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use protobuf::Message as _;
use raft::eraftpb::Message;
use tokio::sync::mpsc;

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

pub(in crate::store) struct Peers {
    pub network: NetworkRef,
    pub scope: Scope,
    pub inbox: Inbox,
    couriers: BTreeMap<u64, mpsc::Sender<Message>>,
}

impl Peers {
    pub fn new(network: NetworkRef, scope: Scope, inbox: Inbox) -> Self {
        Self { network, scope, inbox, couriers: BTreeMap::new() }
    }

    fn courier(&mut self, to: u64) -> &mpsc::Sender<Message> {
        self.couriers.entry(to).or_insert_with(|| {
            let (sender, outbox) = mpsc::channel(OUTBOX_LEN_MAX);
            let courier = Courier { to, network: self.network.clone(), outbox, inbox: self.inbox.clone() };
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
            if self.courier(to).try_send(message).is_err() {
                let _ = self.inbox.try_send(Incoming::Unreachable(to)); // a full inbox learns it later
            }
        }
    }

    fn keep(&mut self, members: &dyn Fn(u64) -> bool) {
        self.couriers.retain(|id, _| members(*id));
    }
}

struct Courier {
    to: u64,
    network: NetworkRef,
    outbox: mpsc::Receiver<Message>,
    inbox: Inbox,
}

impl Courier {
    async fn run(mut self) {
        let mut waiting = Vec::with_capacity(BATCH_LEN_MAX);
        while self.outbox.recv_many(&mut waiting, BATCH_LEN_MAX).await > 0 {
            while !waiting.is_empty() {
                let batch = encode(&mut waiting);
                if let Err(error) = self.network.ask(self.to, Ask::Messages, batch).await {
                    tracing::debug!(%error, "messages were lost");
                    waiting.clear();
                    let _ = self.inbox.send(Incoming::Unreachable(self.to)).await; // nobody is there: we end soon
                    tokio::time::sleep(PAUSE).await;
                    while self.outbox.try_recv().is_ok() {}
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
