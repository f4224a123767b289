//! Telling apart what a server that stops has certainly not begun.
//!
//! Such a server says how far it got (GOAWAY): what is behind that it has not looked at. The HTTP client also
//! gives up, with the same error, what it had just begun to send; so that nothing of that can be a whole
//! request, none ends with its headers.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;

/// A body that ends in a frame of its own, also if it is empty.
pub struct Whole(pub Full<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// Whether the request that ended so was not begun by the server.
pub fn never_began(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    causes.any(|cause| {
        let http2 = cause.downcast_ref::<h2::Error>();
        http2.is_some_and(|it| it.is_go_away() && it.is_remote() && it.reason() == Some(h2::Reason::NO_ERROR))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request is told whose server has ended the connection for `reason`.
    async fn told(reason: h2::Reason) -> h2::Error {
        let (near, far) = tokio::io::duplex(1 << 16);
        let (client, server) = tokio::join!(h2::client::handshake(near), h2::server::handshake(far));
        let ((mut client, connection), mut server): (_, h2::server::Connection<_, Bytes>) =
            (client.unwrap(), server.unwrap());
        server.abrupt_shutdown(reason);
        let closed = std::future::poll_fn(|cx| server.poll_closed(cx));
        let _ = tokio::join!(closed, connection); // however it ends
        client.send_request(http::Request::new(()), true).expect_err("the connection is over")
    }

    #[tokio::test]
    async fn only_a_server_that_stops_in_order_says_what_it_has_not_begun() {
        assert!(never_began(&told(h2::Reason::NO_ERROR).await));
        assert!(!never_began(&told(h2::Reason::INTERNAL_ERROR).await));
    }
}
