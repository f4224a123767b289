//! SPDY/3.1, as far as a client of the runtime's streaming server needs it.
//!
//! We open streams and send and take data. Header blocks must be compressed; ours are wrapped in
//! stored blocks, which every decompressor takes. Those of the other side only say that a stream
//! was accepted, so that they are skipped unread. Neither side uses flow control.

use std::io;

use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: u16 = 0x8003;
const SYN_STREAM: u16 = 1;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GO_AWAY: u16 = 7;
const FLAG_FIN: u8 = 1;
const HEADER_LEN: usize = 8;
/// A zlib stream without a dictionary, at the lowest level.
const ZLIB_HEADER: [u8; 2] = [0x78, 0x01];
/// Larger frames are refused: nobody sends them.
const FRAME_BYTES_MAX: usize = 1 << 24;

/// Something the other side sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Data {
        stream: u32,
        data: Bytes,
        is_last: bool,
    },
    Reset {
        stream: u32,
    },
    /// To be sent back as it is.
    Ping {
        raw: Bytes,
    },
    GoAway,
    /// Nothing that concerns us.
    Other,
}

/// Writes frames.
#[derive(Debug, Default)]
pub struct Writer {
    has_begun: bool,
}

impl Writer {
    /// Opens `stream` with these headers, whose names are in lower case.
    pub fn open(&mut self, stream: u32, headers: &[(&str, &str)]) -> Bytes {
        let mut block = BytesMut::new();
        block.put_u32(headers.len() as u32);
        for (name, value) in headers {
            for text in [name, value] {
                block.put_u32(text.len() as u32);
                block.put_slice(text.as_bytes());
            }
        }
        let compressed = self.stored(&block);
        let mut frame = control(SYN_STREAM, 10 + compressed.len());
        frame.put_u32(stream);
        frame.put_u32(0); // no associated stream
        frame.put_u16(0); // highest priority, no slot
        frame.put_slice(&compressed);
        frame.freeze()
    }

    /// The block as deflate's stored blocks, which go on where the last ones ended. The empty one at
    /// the end makes decompressors hand out what they have.
    fn stored(&mut self, block: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            out.put_slice(&ZLIB_HEADER);
        }
        for chunk in block.chunks(usize::from(u16::MAX)).chain([&[][..]]) {
            let length = chunk.len() as u16;
            out.put_u8(0); // stored, more to come
            out.put_u16_le(length);
            out.put_u16_le(!length);
            out.put_slice(chunk);
        }
        out
    }
}

/// Data for `stream`; the last if `is_last`.
pub fn data(stream: u32, data: &[u8], is_last: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_LEN + data.len());
    frame.put_u32(stream & 0x7fff_ffff);
    let flags = if is_last { FLAG_FIN } else { 0 };
    frame.put_u32(u32::from(flags) << 24 | data.len() as u32 & 0xff_ffff);
    frame.put_slice(data);
    frame.freeze()
}

fn control(kind: u16, length: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(HEADER_LEN + length);
    frame.put_u16(VERSION);
    frame.put_u16(kind);
    frame.put_u32(length as u32 & 0xff_ffff);
    frame
}

/// Takes the next whole frame out of `buffer`; `None` while it is not all there.
pub fn read(buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    if buffer.len() < HEADER_LEN {
        return Ok(None);
    }
    let word = (&buffer[..4]).get_u32();
    let tail = (&buffer[4..8]).get_u32();
    let (flags, length) = ((tail >> 24) as u8, (tail & 0xff_ffff) as usize);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a SPDY frame is too long"));
    }
    if buffer.len() < HEADER_LEN + length {
        buffer.reserve(HEADER_LEN + length - buffer.len());
        return Ok(None);
    }
    let raw = buffer.split_to(HEADER_LEN + length).freeze();
    let body = raw.slice(HEADER_LEN..);
    if word & 0x8000_0000 == 0 {
        return Ok(Some(Frame::Data { stream: word, data: body, is_last: flags & FLAG_FIN != 0 }));
    }
    Ok(Some(match (word & 0xffff) as u16 {
        RST_STREAM if body.len() >= 4 => Frame::Reset { stream: (&body[..]).get_u32() & 0x7fff_ffff },
        PING => Frame::Ping { raw },
        GO_AWAY => Frame::GoAway,
        _ => Frame::Other,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn data_frames_survive_being_cut_up() {
        let sent = [data(3, b"hello", false), data(3, b"", true)].concat();
        let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
        for byte in sent {
            buffer.put_u8(byte);
            got.extend(read(&mut buffer).unwrap());
        }
        assert_eq!(got[0], Frame::Data { stream: 3, data: Bytes::from("hello"), is_last: false });
        assert_eq!(got[1], Frame::Data { stream: 3, data: Bytes::new(), is_last: true });
    }

    #[test]
    fn header_blocks_decompress_as_one_stream() {
        let mut writer = Writer::default();
        let blocks: Vec<u8> = ["stdin", "error"]
            .iter()
            .flat_map(|kind| writer.open(1, &[("streamtype", kind)])[HEADER_LEN + 10..].to_vec())
            .collect();
        let mut plain = [0; 2 * (4 + 4 + 10 + 4 + 5)];
        flate2::read::ZlibDecoder::new(&blocks[..]).read_exact(&mut plain).unwrap();
        assert!(plain.ends_with(b"\0\0\0\x05error"));
    }
}
