//! Where a client's calls go.

use std::pin::Pin;

use futures_util::Stream;
use futures_util::future::BoxFuture;

use crate::object::{Answer, Call, Event, Status};

/// The changes of a watched collection. An `Err` is the last item; a plain end means watch again
/// from the last seen revision. [`crate::object::Reason::Expired`] means list again.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

/// Something that answers API calls: the pipeline in this process, or a server far away.
pub trait Backend: Send + Sync + 'static {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Answer, Status>>;

    /// `call.verb` is [`crate::object::Verb::Watch`].
    fn watch(&self, call: Call) -> BoxFuture<'_, Result<Events, Status>>;
}
