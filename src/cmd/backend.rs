//! The API of this process as a client's backend: no socket, no TLS, the same pipeline.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::api::Api;
use crate::client::{Backend, Events};
use crate::object::{Answer, Call, Status};

pub struct InProcess(pub Arc<Api>);

impl Backend for InProcess {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Status>> {
        Box::pin(self.0.handle(call))
    }

    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Events, Status>> {
        Box::pin(async move { self.0.watch(call) })
    }
}
