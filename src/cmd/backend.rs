//! The API of this process as a client's backend: no socket, no TLS, the same pipeline. Writes go to
//! the server that leads, wherever that is.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::cluster::Leader;
use crate::api::Api;
use crate::api::aggregate::remote;
use crate::api::elsewhere::{LEADERLESS_MAX, NoAnswer, is_not_leader};
use crate::client::remote::request::Wire;
use crate::client::{Backend, Events};
use crate::object::{Answer, Call, Reply, Status};

const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct InProcess {
    pub api: Arc<Api>,
    pub leader: Arc<Leader>,
}

impl InProcess {
    async fn write(&self, call: Call) -> Result<Answer, Status> {
        let deadline = tokio::time::Instant::now() + LEADERLESS_MAX;
        loop {
            let untouched = if self.api.store.decides() {
                match self.api.handle(call.clone()).await {
                    Err(status) if is_not_leader(&status) => status,
                    answer => return answer,
                }
            } else {
                match self.leader.call(&call).await {
                    Ok(answer) => return Ok(answer),
                    Err(NoAnswer::Lost(status)) => return Err(status),
                    Err(NoAnswer::Untouched(status)) => status,
                }
            };
            if tokio::time::Instant::now() > deadline {
                return Err(untouched);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Backend for InProcess {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Status>> {
        Box::pin(async move {
            match call.verb.is_read() || self.api.store.is_alone() {
                true => self.api.handle(call).await,
                false => self.write(call).await,
            }
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Events, Status>> {
        Box::pin(async move {
            self.api.fresh(&call.options.resource_version).await?;
            self.api.watch(call)
        })
    }
}

/// Reads what somebody else serves, in the caller's name; `None` for what is ours. Nobody in this process
/// writes there.
async fn read_elsewhere(api: &Api, call: &Call) -> Option<Result<Answer, Status>> {
    let remote = api.aggregator.serving(&call.target).filter(|_| call.verb.is_read())?;
    let read = async {
        api.authorize(call)?;
        let tree = remote::read(api, &remote, &call.user, &Wire::of(call)?.path).await?;
        Ok(Answer { reply: Reply::Tree { tree, created: false }, warnings: Vec::new() })
    };
    Some(read.await)
}

/// The same, of this server only: what loops write after their server stopped leading goes nowhere.
pub struct OnLeader(pub Arc<Api>);

impl Backend for OnLeader {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Status>> {
        Box::pin(async move {
            match read_elsewhere(&self.0, &call).await {
                Some(answer) => answer,
                None => self.0.handle(call).await,
            }
        })
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Events, Status>> {
        Box::pin(async move { self.0.watch(call) })
    }
}
