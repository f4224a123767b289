//! SPDY frames of a runtime, and messages of a WebSocket client, through the translation between them.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use skiff::kubelet::server::spdy;
use skiff::kubelet::server::websocket::{self, Wanted};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

fuzz_target!(|input: &[u8]| {
    let mut buffer = BytesMut::from(input);
    while let Ok(Some(_)) = spdy::read(&mut buffer) {}
    assert!(buffer.capacity() <= (1 << 24) + 64, "a length in a frame reserves memory");

    let Some((how, bytes)) = input.split_first() else { return };
    let at = bytes.len() * usize::from(how >> 4) / 15;
    let (from_client, from_runtime) = bytes.split_at(at);
    let flag = |bit: u8| how & bit != 0;
    let wanted = Wanted { stdin: flag(1), stdout: flag(2), stderr: flag(4), tty: flag(8) };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let (mut client, ours) = tokio::io::duplex(1 << 20);
        let (mut cri, other) = tokio::io::duplex(1 << 20);
        let _ = client.write_all(from_client).await;
        let _ = cri.write_all(from_runtime).await;
        let _ = client.shutdown().await;
        let _ = cri.shutdown().await;
        let socket = WebSocketStream::from_raw_socket(ours, Role::Server, None).await;
        let _ = match flag(1) && flag(8) {
            true => websocket::tunnel(socket, other).await,
            false => websocket::translate(socket, other, wanted).await,
        };
    });
});
