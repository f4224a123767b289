//! Logs for clients that ask for them over a WebSocket: what the kubelet sends, in messages.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::api::answer::Answer;
use crate::api::body;
use crate::api::flow::Seat;
use crate::api::outgoing::pool::Kept;
use crate::api::pipeline::Api;
use crate::base::websocket;
use crate::object::Status;

const BINARY: &str = "binary.k8s.io";
const BASE64_TEXT: &str = "base64.binary.k8s.io";

/// Answers the handshake; the body of `response` follows, a message for each piece of it.
pub fn send(
    api: &Arc<Api>,
    asked: &HeaderMap,
    response: Response<Kept>,
    client: OnUpgrade,
    seat: Seat,
) -> Result<Answer, Status> {
    let protocol = websocket::chosen(asked, &[BINARY, BASE64_TEXT]);
    if protocol.is_none() && !websocket::offered(asked).is_empty() {
        return Err(Status::bad_request("none of the offered WebSocket protocols is known"));
    }
    let headers = websocket::accept(asked, protocol);
    let headers = headers.ok_or_else(|| Status::bad_request("Sec-WebSocket-Key is missing"))?;
    let (scope, record) = (api.scope.clone(), crate::api::audit::current());
    api.scope.spawn("messages", async move {
        let _held = (seat, record);
        let work = async {
            let Ok(client) = client.await else { return };
            let client = WebSocketStream::from_raw_socket(TokioIo::new(client), Role::Server, None).await;
            copy(response.into_body(), client, protocol == Some(BASE64_TEXT)).await;
        };
        tokio::select! {
            () = work => (),
            () = scope.stopping() => (),
        }
    });
    let mut answer = Response::new(body::full(Bytes::new()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = headers;
    Ok(answer)
}

/// Sends all of `source`; ends sooner when the client goes away.
async fn copy(mut source: Kept, client: WebSocketStream<TokioIo<Upgraded>>, as_text: bool) {
    let (mut to_client, mut from_client) = client.split();
    let message = |bytes: Bytes| match as_text {
        true => Message::text(BASE64.encode(bytes)),
        false => Message::binary(bytes),
    };
    let sending = async {
        // Tells the client that the stream has begun, however long its first line takes.
        to_client.send(message(Bytes::new())).await?;
        while let Some(Ok(frame)) = source.frame().await {
            if let Ok(bytes) = frame.into_data() {
                to_client.send(message(bytes)).await?;
            }
        }
        to_client.close().await
    };
    // Clients have nothing to say but that they leave.
    let listening = async { while let Some(Ok(_)) = from_client.next().await {} };
    tokio::select! {
        done = sending => if let Err(error) = done {
            tracing::debug!(%error, "a log's reader went away");
        },
        () = listening => (),
    }
}
