//! The built-in store's end for those who hold a [`crate::store::Store`].

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::driver::RewriteError;
use super::membership::{Change, ChangeError};
use super::offers::Offers;
use super::peers::decode;
use super::queue::{Input, Proposal};
use super::renewals::Renewals;
use super::status::Status;
use super::transport::{Inbox, Incoming};
use crate::store::command::{Command, Outcome};
use crate::store::entry;
use crate::store::network::Ask;
use crate::store::wire::WireError;
use crate::store::{BARRIER_MAX, ProposeError};

/// The way to the driver. Clones share it.
#[derive(Clone)]
pub(in crate::store) struct Handle {
    pub inputs: mpsc::Sender<Input>,
    pub inbox: Inbox,
    pub offers: Offers,
}

impl Handle {
    pub async fn propose(&self, command: Command) -> Result<Outcome, ProposeError> {
        let (reply, answer) = oneshot::channel();
        let proposal = Proposal { encoded: entry::encode_command(&command), volatile: command.volatile, reply };
        drop(command);
        self.inputs.send(Input::Propose(proposal)).await.map_err(|_| ProposeError::Closed)?;
        answer.await.unwrap_or(Err(ProposeError::Unknown))
    }

    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Input::Barrier(reply)).await.map_err(|_| ProposeError::Closed)?;
        match tokio::time::timeout(BARRIER_MAX, answer).await {
            Ok(answered) => answered.unwrap_or(Err(ProposeError::Closed)),
            Err(_) => Err(ProposeError::NotLeader { leader: None }),
        }
    }

    pub fn answer(&self, ask: Ask, question: &[u8]) -> Result<Bytes, WireError> {
        match ask {
            Ask::Messages => {
                for message in decode(question)? {
                    let _ = self.inbox.try_send(Incoming::Message(message)); // raft repeats what does not fit
                }
                Ok(Bytes::new())
            }
            Ask::Renewals => {
                let renewals = Renewals::decode(&Bytes::copy_from_slice(question))?;
                let _ = self.inbox.try_send(Incoming::Renewals(renewals)); // the next ones say the same
                Ok(Bytes::new())
            }
            Ask::State => self.offers.answer(question),
        }
    }

    pub async fn change_members(&self, change: Change) -> Result<(), ChangeError> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Input::Change(change, reply)).await.map_err(|_| ChangeError::Closed)?;
        answer.await.unwrap_or(Err(ChangeError::Unknown))
    }

    pub async fn rewrite(&self) -> Result<(), RewriteError> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Input::Rewrite(reply)).await.map_err(|_| RewriteError::Closed)?;
        answer.await.unwrap_or(Err(RewriteError::Closed))
    }

    pub fn set_witnesses(&self, ids: Vec<u64>) {
        let _ = self.inputs.try_send(Input::Witnesses(ids)); // told again whenever members change
    }

    pub async fn status(&self) -> Option<Status> {
        let (reply, answer) = oneshot::channel();
        self.inputs.send(Input::Status(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Asks for another leader; whether there is one shows in the role.
    pub async fn hand_over(&self) -> Result<(), ProposeError> {
        self.inputs.send(Input::HandOver).await.map_err(|_| ProposeError::Closed)
    }

    pub async fn closed(&self) {
        self.inputs.closed().await;
    }
}
