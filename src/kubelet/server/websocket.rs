//! WebSocket clients of exec and attach, whose channels become streams of the runtime's SPDY server.
//!
//! Each message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize. In version
//! 5, `255, n` says that channel `n` ends, which closes stdin without closing the rest.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::spdy::{self, Frame};

/// Protocols translated here, the best first.
pub const PROTOCOLS: [&str; 2] = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
/// The protocol in which SPDY itself is carried in messages.
pub const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

const STDIN: u8 = 0;
const CLOSE: u8 = 255;
const READ_BYTES: usize = 32 << 10;

/// Streams by channel; the place in the list is the channel.
const STREAMS: [&str; 5] = ["stdin", "stdout", "stderr", "error", "resize"];

/// Which streams an exec or attach has.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub stdin: bool,
    pub stdout: bool,
    pub stderr: bool,
    pub tty: bool,
}

impl Wanted {
    fn has(self, channel: usize) -> bool {
        [self.stdin, self.stdout, self.stderr && !self.tty, true, self.tty][channel]
    }

    /// Stream ids are odd and count up in the order of opening; the error stream comes first.
    fn streams(self) -> Vec<(usize, u32)> {
        let order = [3, 0, 1, 2, 4].into_iter().filter(|channel| self.has(*channel));
        order.zip((1..).step_by(2)).collect()
    }
}

/// Joins a client's channels with a runtime's streams until either side is done.
pub async fn translate<C, R>(client: WebSocketStream<C>, runtime: R, wanted: Wanted) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite + Unpin,
{
    let streams = wanted.streams();
    let (mut from_runtime, mut to_runtime) = tokio::io::split(runtime);
    let (mut to_client, mut from_client) = client.split();
    let mut writer = spdy::Writer::default();
    for (channel, stream) in &streams {
        to_runtime.write_all(&writer.open(*stream, &[("streamtype", STREAMS[*channel])])).await?;
    }
    let stream_of = |channel: u8| streams.iter().find(|(known, _)| *known == usize::from(channel)).map(|(_, id)| *id);
    let mut open: Vec<u32> =
        streams.iter().filter(|(channel, _)| matches!(channel, 1..=3)).map(|(_, id)| *id).collect();
    let mut buffer = BytesMut::new();
    loop {
        tokio::select! {
            message = next_message(&mut from_client) => match message {
                Some(message) => {
                    if let Some(bytes) = to_frame(&message, stream_of) {
                        to_runtime.write_all(&bytes).await?;
                    }
                }
                None => return Ok(()),
            },
            read = read_some(&mut from_runtime, &mut buffer) => {
                if read? == 0 {
                    break;
                }
                while let Some(frame) = spdy::read(&mut buffer)? {
                    match frame {
                        Frame::Data { stream, data, is_last } => {
                            let channel = streams.iter().find(|(_, id)| *id == stream).map(|(channel, _)| *channel);
                            if let Some(channel) = channel.filter(|_| !data.is_empty()) {
                                let message = [&[channel as u8], &data[..]].concat();
                                to_client.send(Message::Binary(message.into())).await.map_err(io::Error::other)?;
                            }
                            if is_last {
                                open.retain(|id| *id != stream);
                            }
                        }
                        Frame::Reset { stream } => open.retain(|id| *id != stream),
                        Frame::Ping { raw } => to_runtime.write_all(&raw).await?,
                        Frame::GoAway | Frame::Other => (),
                    }
                }
                if open.is_empty() {
                    break;
                }
            }
        }
    }
    let _ = to_client.send(Message::Close(Some(normal_close()))).await;
    Ok(())
}

/// Clients take any other end for a failure.
fn normal_close() -> CloseFrame {
    CloseFrame { code: CloseCode::Normal, reason: "".into() }
}

async fn read_some(from: &mut (impl AsyncRead + Unpin), buffer: &mut BytesMut) -> io::Result<usize> {
    buffer.reserve(READ_BYTES);
    from.read_buf(buffer).await
}

/// The bytes of the next message; `None` when the client is done.
async fn next_message(client: &mut (impl Stream<Item = Result<Message, WsError>> + Unpin)) -> Option<Bytes> {
    loop {
        match client.next().await {
            Some(Ok(Message::Binary(bytes))) => return Some(bytes),
            Some(Ok(Message::Text(text))) => return Some(Bytes::from(text)),
            // Pings are answered by the library.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => (),
            Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
        }
    }
}

/// What a client's message means to the runtime.
fn to_frame(message: &[u8], stream_of: impl Fn(u8) -> Option<u32>) -> Option<Bytes> {
    match message {
        [CLOSE, channel, ..] => Some(spdy::data(stream_of(*channel)?, &[], true)),
        [channel, data @ ..] if matches!(*channel, STDIN | 4) && !data.is_empty() => {
            Some(spdy::data(stream_of(*channel)?, data, false))
        }
        _ => None,
    }
}

/// Carries a byte stream in binary messages, both ways.
pub async fn tunnel<C, R>(client: WebSocketStream<C>, runtime: R) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    R: AsyncRead + AsyncWrite + Unpin,
{
    let (mut from_runtime, mut to_runtime) = tokio::io::split(runtime);
    let (mut to_client, mut from_client) = client.split();
    let mut buffer = BytesMut::new();
    loop {
        tokio::select! {
            message = next_message(&mut from_client) => match message {
                Some(bytes) => to_runtime.write_all(&bytes).await?,
                None => return Ok(()),
            },
            read = read_some(&mut from_runtime, &mut buffer) => {
                if read? == 0 {
                    let _ = to_client.send(Message::Close(Some(normal_close()))).await;
                    return Ok(());
                }
                to_client.send(Message::Binary(buffer.split().freeze())).await.map_err(io::Error::other)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_no_stderr_and_can_be_resized() {
        let wanted = Wanted { stdin: true, stdout: true, stderr: true, tty: true };
        assert_eq!(wanted.streams(), [(3, 1), (0, 3), (1, 5), (4, 7)]);
    }

    #[test]
    fn clients_only_write_to_what_is_theirs() {
        let stream_of = |channel: u8| (channel < 5).then_some(u32::from(channel) * 2 + 1);
        assert_eq!(to_frame(b"\x00hi", stream_of), Some(spdy::data(1, b"hi", false)));
        assert_eq!(to_frame(b"\xff\x00", stream_of), Some(spdy::data(1, b"", true)));
        assert_eq!(to_frame(b"\x01hi", stream_of), None);
    }
}
