//! Answers, and how their connections come back to the pool.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::{Body, Incoming};

use super::{Line, Peer, Shared};

/// The body of an answer, whose connection is kept once it has been read.
pub struct Kept {
    body: Incoming,
    is_read: bool,
    back: Option<Back>,
}

/// Where a connection goes then.
pub(super) struct Back {
    pub(super) pool: Arc<Shared>,
    pub(super) peer: Peer,
    pub(super) line: Line,
}

impl Kept {
    pub(super) fn new(body: Incoming, back: Option<Back>) -> Self {
        Self { is_read: body.is_end_stream(), body, back }
    }

    /// The body of an answer whose connection is not used again.
    pub fn once(body: Incoming) -> Self {
        Self { body, is_read: false, back: None }
    }
}

impl Body for Kept {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.is_read |= matches!(frame, Poll::Ready(None)) || self.body.is_end_stream();
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(Back { pool, peer, line }) = self.back.take_if(|_| self.is_read) {
            pool.keep(&peer, line);
        }
    }
}
