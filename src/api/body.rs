//! Bodies of answers: whole, spliced together from stored objects, or a stream that goes on.
//!
//! A list is never built as one text: chunks are put together from the objects' stored bytes as the
//! connection asks for them, so that a list of 30 MB costs its client's speed and not our memory.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::Stream;
use http_body::{Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of every answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, BoxError>;

const CHUNK_BYTES: usize = 128 * 1024;

/// Answers at least this long are compressed for clients that ask for it.
pub const GZIP_BYTES_MIN: u64 = 128 * 1024;

pub fn full(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

pub fn stream(chunks: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> AnswerBody {
    use futures_util::TryStreamExt;
    StreamBody::new(chunks.map_ok(Frame::data)).boxed_unsync()
}

/// A body with which something lives that is dropped at its end.
pub fn holding(body: AnswerBody, held: impl Send + Unpin + 'static) -> AnswerBody {
    if http_body::Body::size_hint(&body).exact().is_some_and(|bytes| bytes < GZIP_BYTES_MIN) {
        return body; // as good as sent
    }
    Holding { body, _held: held }.boxed_unsync()
}

struct Holding<H> {
    body: AnswerBody,
    _held: H,
}

impl<H: Unpin> http_body::Body for Holding<H> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A sequence of byte slices that is made one by one.
pub trait Parts: Send + Unpin + 'static {
    /// Appends the next part to `chunk`; false when there is none.
    fn next(&mut self, chunk: &mut BytesMut) -> bool;
}

/// Parts joined into chunks of a reasonable size, compressed on the way if wished.
pub struct Spliced<P> {
    parts: P,
    len: Option<u64>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    done: bool,
}

/// A body of `parts` that are `len` bytes long together.
pub fn spliced(parts: impl Parts, len: u64, gzip: bool) -> AnswerBody {
    let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::new(1)));
    let len = gzip.is_none().then_some(len);
    Spliced { parts, len, gzip, done: false }.boxed_unsync()
}

/// As [`spliced`], when nobody knows how long it will be.
pub fn unsized_splice(parts: impl Parts, gzip: bool) -> AnswerBody {
    let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::new(1)));
    Spliced { parts, len: None, gzip, done: false }.boxed_unsync()
}

impl<P: Parts> Spliced<P> {
    fn chunk(&mut self) -> Result<Option<Bytes>, std::io::Error> {
        loop {
            if self.done {
                return Ok(None);
            }
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
            while chunk.len() < CHUNK_BYTES {
                if !self.parts.next(&mut chunk) {
                    self.done = true;
                    break;
                }
            }
            let Some(gzip) = &mut self.gzip else {
                return Ok((!chunk.is_empty()).then(|| chunk.freeze()));
            };
            gzip.write_all(&chunk)?;
            if self.done {
                gzip.try_finish()?;
            }
            let packed = std::mem::take(gzip.get_mut());
            if !packed.is_empty() {
                return Ok(Some(packed.into()));
            }
        }
    }
}

impl<P: Parts> http_body::Body for Spliced<P> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let chunk = self.get_mut().chunk().transpose();
        Poll::Ready(chunk.map(|chunk| chunk.map(Frame::data).map_err(BoxError::from)))
    }

    fn size_hint(&self) -> SizeHint {
        match self.len {
            Some(len) if !self.done => SizeHint::with_exact(len),
            _ => SizeHint::default(),
        }
    }
}

/// One text in one part.
pub struct Whole(pub Option<Bytes>);

impl Parts for Whole {
    fn next(&mut self, chunk: &mut BytesMut) -> bool {
        match self.0.take() {
            Some(bytes) => {
                chunk.extend_from_slice(&bytes);
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    struct Numbers(u32);

    impl Parts for Numbers {
        fn next(&mut self, chunk: &mut BytesMut) -> bool {
            self.0 += 1;
            chunk.extend_from_slice(format!("{},", self.0).as_bytes());
            self.0 < 50_000
        }
    }

    #[tokio::test]
    async fn chunks_join_to_the_whole_compressed_or_not() {
        let plain = spliced(Numbers(0), 288_894, false).collect().await.unwrap().to_bytes();
        let packed = spliced(Numbers(0), 288_894, true).collect().await.unwrap().to_bytes();
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&*packed).read_to_end(&mut unpacked).unwrap();
        assert_eq!(plain, unpacked);
        assert!(packed.len() < plain.len() / 2);
        assert!(plain.starts_with(b"1,2,3,") && plain.ends_with(b",50000,"));
    }
}
