//! Telling the service manager how we are (`sd_notify`), where there is one.

use std::os::unix::net::UnixDatagram;

/// Started: whoever waits for the service may go on.
pub fn ready() {
    send("READY=1");
}

pub fn stopping() {
    send("STOPPING=1");
}

fn send(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    // Nobody listening is no reason to do anything else.
    let sent = UnixDatagram::unbound().and_then(|socket| {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        match path.as_bytes() {
            [b'@', name @ ..] => {
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(state.as_bytes(), &address)
            }
            _ => socket.send_to(state.as_bytes(), &path),
        }
    });
    if let Err(error) = sent {
        tracing::debug!(%error, "cannot notify the service manager");
    }
}
