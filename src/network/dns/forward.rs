//! Questions that are not ours, passed on to the machine's own name servers.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long one name server has to answer before the next is asked.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// More than this many name servers are not tried: the client has given up by then.
const SERVERS_MAX: usize = 3;

/// The name servers of a `resolv.conf`, read again for each question: it may change any time, and
/// reading a small file costs less than being wrong.
#[derive(Clone)]
pub struct Upstream {
    resolv_conf: PathBuf,
}

impl Upstream {
    /// Uses `/etc/resolv.conf`, or systemd-resolved's own where that one only points to its stub.
    pub fn of_this_machine() -> Self {
        let behind_stub = Path::new("/run/systemd/resolve/resolv.conf");
        let usual = Path::new("/etc/resolv.conf");
        let only_stub = servers_in(&std::fs::read_to_string(usual).unwrap_or_default()).iter().all(IpAddr::is_loopback);
        let path = if only_stub && behind_stub.exists() { behind_stub } else { usual };
        Self { resolv_conf: path.into() }
    }

    /// The bytes of the first answer that any server gives to `query`.
    pub async fn ask(&self, query: &[u8], over_tcp: bool) -> Option<Vec<u8>> {
        let servers = servers_in(&tokio::fs::read_to_string(&self.resolv_conf).await.ok()?);
        for server in servers.into_iter().take(SERVERS_MAX) {
            let server = SocketAddr::new(server, 53);
            let asked = async { if over_tcp { ask_tcp(server, query).await } else { ask_udp(server, query).await } };
            match timeout(ANSWER_TIMEOUT, asked).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "name server failed"),
                Err(_) => tracing::debug!(%server, "name server did not answer in time"),
            }
        }
        None
    }
}

/// Addresses on the `nameserver` lines.
fn servers_in(resolv_conf: &str) -> Vec<IpAddr> {
    let server = |line: &str| line.trim().strip_prefix("nameserver")?.trim().parse().ok();
    resolv_conf.lines().filter_map(server).collect()
}

/// Asks from a port of its own, and takes only the answer to this very question.
async fn ask_udp(server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let any: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    socket.send(query).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if len >= 12 && buffer[..2] == query[..2] {
            buffer.truncate(len);
            return Ok(buffer);
        }
    }
}

async fn ask_tcp(server: SocketAddr, query: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    stream.write_u16(query.len() as u16).await?;
    stream.write_all(query).await?;
    let len = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(len)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_name_server_lines_count() {
        let servers =
            servers_in("# nameserver 1.1.1.1\nsearch a.b\nnameserver 10.0.0.2\nnameserver bad\n nameserver ::1");
        assert_eq!(servers, ["10.0.0.2".parse::<IpAddr>().unwrap(), "::1".parse().unwrap()]);
    }
}
