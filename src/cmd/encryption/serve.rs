//! Changing keys while servers run, and keeping them the same on all of them.
//!
//! Each server seals for itself, so that it does not matter when another hears of a change; but all have
//! all keys, so that the snapshot of one can be opened by any.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{KEYS, REWRITE, ServerView, Servers, VIEW, Wanted, Wish, now_secs};
use crate::api::extension::Reply;
use crate::base::service::Scope;
use crate::client::remote::Undelivered;
use crate::cmd::cluster::{Carrier, Member};
use crate::object::{Reason, Status};
use crate::security::encryption::{EncryptionError, Keyring};
use crate::store::Store;

const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Writing everything anew takes as long as the disk needs.
const REWRITE_TIMEOUT: Duration = Duration::from_secs(600);
/// How often servers compare their keys.
const COMPARE_EVERY: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct Encryption {
    pub keyring: Arc<Keyring>,
    pub store: Store,
    pub carrier: Carrier,
}

impl Encryption {
    /// Keeps the keys in step with those of the other servers.
    pub fn start(&self, scope: &Scope) {
        let (encryption, inner) = (self.clone(), scope.clone());
        scope.spawn("encryption keys", async move {
            tokio::select! {
                () = encryption.compare() => (),
                () = inner.stopping() => (),
            }
        });
    }

    async fn compare(&self) {
        let mut members = self.store.members();
        loop {
            let alone = members.borrow_and_update().voters.len() < 2;
            if !alone {
                self.exchange().await;
            }
            let wait = async {
                match alone {
                    true => std::future::pending().await,
                    false => tokio::time::sleep(COMPARE_EVERY).await,
                }
            };
            tokio::select! {
                changed = members.changed() => if changed.is_err() { return },
                () = wait => (),
            }
        }
    }

    /// For an administrator.
    pub async fn views(&self) -> Reply {
        let own = ServerView { name: self.own_name(), view: Some(self.keyring.view()), failure: String::new() };
        let others = self.ask_all(VIEW, Bytes::new(), ASK_TIMEOUT, |view, answer| {
            view.view = serde_json::from_slice(answer).ok();
        });
        let mut servers = vec![own];
        servers.extend(others.await);
        Reply::json(&Servers { servers })
    }

    /// For an administrator.
    pub async fn change(&self, body: &[u8]) -> Result<Reply, Status> {
        let wanted: Wanted = serde_json::from_slice(body)
            .map_err(|error| Status::bad_request(format!("this makes no sense: {error}")))?;
        let refused = |error: EncryptionError| match error {
            EncryptionError::Configured | EncryptionError::Disabled => Status::new(Reason::Conflict, error.to_string()),
            error => Status::internal(crate::base::error::Chain(&error)),
        };
        match wanted.wish {
            Wish::Enable => self.keyring.enable(now_secs()).map_err(refused)?,
            Wish::Disable => self.keyring.disable().map_err(refused)?,
            Wish::Rotate => self.keyring.rotate(now_secs()).map_err(refused)?,
            Wish::Reencrypt => (),
        }
        tracing::info!(wish = ?wanted.wish, "encryption at rest was changed");
        let mut servers = self.exchange().await;
        if wanted.wish == Wish::Reencrypt {
            self.rewrite().await?;
            servers = self.ask_all(REWRITE, Bytes::new(), REWRITE_TIMEOUT, |_, _| ()).await;
        }
        Ok(Reply::json(&Servers { servers }))
    }

    /// For another server, at one of the paths that are theirs.
    pub async fn answer_server(&self, path: &str, body: &[u8]) -> Result<Reply, Status> {
        match path {
            KEYS => {
                self.adopt(body).map_err(Status::bad_request)?;
                Ok(Reply::text(self.keyring.text()))
            }
            VIEW => Ok(Reply::json(&self.keyring.view())),
            _ => self.rewrite().await,
        }
    }

    async fn rewrite(&self) -> Result<Reply, Status> {
        self.store.rewrite().await.map_err(Status::internal)?;
        Ok(Reply::text(String::new()))
    }

    async fn exchange(&self) -> Vec<ServerView> {
        let text = self.keyring.text();
        self.ask_all(KEYS, text.into(), ASK_TIMEOUT, |view, answer| {
            if let Err(why) = self.adopt(answer) {
                view.failure = why;
            }
        })
        .await
    }

    fn adopt(&self, text: &[u8]) -> Result<(), String> {
        let text = std::str::from_utf8(text).map_err(|_| "these are no keys".to_owned())?;
        match self.keyring.adopt(text) {
            Ok(true) => tracing::info!("took over another server's encryption keys"),
            Ok(false) => (),
            Err(error) => return Err(crate::base::error::Chain(&error).to_string()),
        }
        Ok(())
    }

    async fn ask_all(
        &self,
        path: &str,
        body: Bytes,
        limit: Duration,
        take: impl Fn(&mut ServerView, &[u8]),
    ) -> Vec<ServerView> {
        let asking = self.others().into_iter().map(|member| {
            let body = body.clone();
            async move {
                let answer = self.carrier.post_to(&member.address, path, body, limit).await;
                (ServerView { name: member.name, ..ServerView::default() }, answer)
            }
        });
        let answers = join_all(asking).await;
        let fill = |(mut view, answer): (ServerView, Result<Bytes, Undelivered>)| {
            match answer {
                Ok(answer) => take(&mut view, &answer),
                Err(failure) => view.failure = failure.status.message,
            }
            view
        };
        answers.into_iter().map(fill).collect()
    }

    fn others(&self) -> Vec<Member> {
        let members = self.store.members().borrow().clone();
        let stored = self.carrier.book().all_stored().into_iter();
        stored.filter(|it| it.number() != self.store.id() && members.contains(it.number())).collect()
    }

    fn own_name(&self) -> String {
        self.carrier.own().map_or_else(String::new, |own| own.name.clone())
    }
}
