//! Many small writes to a connection, sent as one.
//!
//! An HTTP/2 connection writes frame by frame, and with TLS each write is a record and a system call,
//! on both sides. What is written while the connection is polled is gathered here, and sent when the
//! poll is over: while requests are under way on it, one turn of the run queue later, so that those that are
//! about to write, such as the answers to the writes of one batch of the log, go along.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered before the peer has to take some of it.
const GATHERED_MAX: usize = 64 * 1024;
/// What is this large is not copied, if nothing waits before it.
const DIRECT_MIN: usize = 8 * 1024;

/// A connection that gathers what is written to it while [`Gather::drive`] runs.
pub struct Gather<S>(Arc<Mutex<Shared<S>>>);

struct Shared<S> {
    io: S,
    gathered: Vec<u8>,
    /// How much of it has been sent.
    sent: usize,
    /// Why nothing more can be sent. What failed while nobody asked is told at the next write.
    broken: Option<io::ErrorKind>,
    /// Somebody sends what is gathered, so that it need not be sent at once.
    is_driven: bool,
}

impl<S> Clone for Gather<S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Gather<S> {
    pub fn new(io: S) -> Self {
        Self(Arc::new(Mutex::new(Shared { io, gathered: Vec::new(), sent: 0, broken: None, is_driven: false })))
    }

    /// Runs `work`, which writes to this connection, and sends what it has written whenever it rests:
    /// after a turn for others to write, if there are any.
    /// Writes after its end, as of a protocol that took the connection over, are sent at once.
    pub async fn drive<F: Future>(&self, work: F, has_others: impl Fn() -> bool) -> F::Output {
        let mut work = std::pin::pin!(work);
        self.lock().is_driven = true;
        let mut has_waited = false;
        let output = std::future::poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            let mut shared = self.lock();
            if polled.is_ready() || shared.gathered.is_empty() {
                return polled;
            }
            if !has_waited && has_others() {
                has_waited = true;
                context.waker().wake_by_ref();
            } else if shared.poll_send(context).is_ready() {
                has_waited = false;
            }
            polled
        })
        .await;
        // Not waited for: who took the connection over sends the rest, else there is nobody to take it.
        let mut shared = self.lock();
        shared.is_driven = false;
        let _ = shared.poll_send(&mut Context::from_waker(Waker::noop()));
        output
    }

    fn lock(&self) -> MutexGuard<'_, Shared<S>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl<S: AsyncWrite + Unpin> Shared<S> {
    /// Sends all that is gathered. After an error nothing is left of it, and every later write fails like it.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.gathered.len() {
            let error = match ready!(Pin::new(&mut self.io).poll_write(context, &self.gathered[self.sent..])) {
                Ok(written @ 1..) => {
                    self.sent += written;
                    continue;
                }
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Err(error) => error,
            };
            self.broken = Some(error.kind());
            (self.gathered, self.sent) = (Vec::new(), 0);
            return Poll::Ready(Err(error));
        }
        self.sent = 0;
        // A connection that has sent much is not made to keep room for as much again.
        match self.gathered.capacity() > GATHERED_MAX / 4 {
            true => self.gathered = Vec::new(),
            false => self.gathered.clear(),
        }
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_put(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if let Some(kind) = self.broken {
            return Poll::Ready(Err(kind.into()));
        }
        let len: usize = parts.iter().map(|part| part.len()).sum();
        if self.gathered.is_empty() && (len >= DIRECT_MIN || !self.is_driven) {
            return Pin::new(&mut self.io).poll_write_vectored(context, parts);
        }
        if self.gathered.len() + len > GATHERED_MAX {
            ready!(self.poll_send(context))?;
        }
        parts.iter().for_each(|part| self.gathered.extend_from_slice(part));
        Poll::Ready(Ok(len))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Gather<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        if !shared.is_driven && !shared.gathered.is_empty() {
            // What it answers may be among it. An error is the writer's to see.
            let _ = shared.poll_send(context);
        }
        Pin::new(&mut shared.io).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gather<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.lock().poll_put(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.lock().poll_put(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.lock().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        if shared.is_driven { Poll::Ready(Ok(())) } else { shared.poll_send(context) }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.lock();
        ready!(shared.poll_send(context))?;
        Pin::new(&mut shared.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// Counts the writes that arrive.
    struct Counted(tokio::io::DuplexStream, Arc<Mutex<Vec<usize>>>);

    impl AsyncRead for Counted {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(context, buffer)
        }
    }

    impl AsyncWrite for Counted {
        fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let written = ready!(Pin::new(&mut self.0).poll_write(context, bytes))?;
            self.1.lock().unwrap().push(written);
            Poll::Ready(Ok(written))
        }

        fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(context)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(context)
        }
    }

    fn pair(room: usize) -> (Gather<Counted>, tokio::io::DuplexStream, Arc<Mutex<Vec<usize>>>) {
        let (ours, theirs) = tokio::io::duplex(room);
        let writes = Arc::default();
        (Gather::new(Counted(ours, Arc::clone(&writes))), theirs, writes)
    }

    #[tokio::test]
    async fn what_is_written_in_one_poll_goes_in_one_write() {
        one_write(|| true).await;
        one_write(|| false).await;
    }

    async fn one_write(has_others: fn() -> bool) {
        let (gather, mut peer, writes) = pair(1 << 20);
        let mut io = gather.clone();
        let (go_on, wait) = tokio::sync::oneshot::channel::<()>();
        let work = async move {
            for part in ["a", "bc", "def"] {
                io.write_all(part.as_bytes()).await.unwrap();
                io.flush().await.unwrap();
            }
            let _ = wait.await;
            io.write_all(b"later").await.unwrap();
        };
        let check = async {
            let mut read = [0; 6];
            peer.read_exact(&mut read).await.unwrap();
            assert_eq!((&read, writes.lock().unwrap().as_slice()), (b"abcdef", [6].as_slice()));
            go_on.send(()).unwrap();
            let mut read = [0; 5];
            peer.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"later");
        };
        tokio::join!(gather.drive(work, has_others), check);
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_holds_up_the_writer() {
        let (gather, mut peer, _) = pair(1024);
        let mut io = gather.clone();
        let all: Vec<u8> = (0..400_000u32).map(|at| at as u8).collect();
        let sent = all.clone();
        let work = async move {
            for part in sent.chunks(700) {
                io.write_all(part).await.unwrap();
                io.flush().await.unwrap();
            }
            io.shutdown().await.unwrap();
        };
        let check = async {
            tokio::task::yield_now().await;
            assert!(gather.lock().gathered.len() <= GATHERED_MAX);
            let mut read = Vec::new();
            peer.read_to_end(&mut read).await.unwrap();
            assert!(read == all, "every byte arrives once and in order");
        };
        tokio::join!(gather.drive(work, || true), check);
    }

    #[tokio::test]
    async fn who_takes_the_connection_over_writes_at_once() {
        let (gather, mut peer, _) = pair(1 << 20);
        gather.drive(async { gather.clone().write_all(b"101 ").await.unwrap() }, || false).await;
        let mut io = gather.clone();
        io.write_all(b"frame").await.unwrap();
        io.flush().await.unwrap();
        let mut read = [0; 9];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"101 frame");
    }

    #[tokio::test]
    async fn a_peer_that_left_is_an_error_and_not_a_wait() {
        let (gather, peer, _) = pair(1024);
        drop(peer);
        let mut io = gather.clone();
        let work = async {
            io.write_all(&[0; 100]).await.unwrap();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            io.write_all(&[0; 100]).await
        };
        let later = gather.drive(work, || false).await;
        assert_eq!(later.unwrap_err().kind(), io::ErrorKind::BrokenPipe, "told to who writes next, though driven");
        assert!(gather.clone().write_all(&[0; 100]).await.is_err());
    }
}
