//! The kernel's table of flows, over netlink: listed, and made to forget.

use std::io;
use std::net::Ipv4Addr;

use rtnetlink::sys::Socket;
use rtnetlink::sys::protocols::NETLINK_NETFILTER;

use super::Flow;
use crate::proxy::model::Endpoint;

const HEADER_LEN: usize = 16;
/// Family, version and resource, before the attributes.
const FAMILY_LEN: usize = 4;
const FAMILY_IPV4: u8 = 2;
/// The subsystem of connection tracking, above what to do.
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const REQUEST: u16 = 0x1;
const ACK: u16 = 0x4;
const DUMP: u16 = 0x300;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const UDP: u8 = 17;
const ENOENT: i32 = 2;

const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PORT_SOURCE: u16 = 2;
const PORT_DESTINATION: u16 = 3;
/// Flags in the upper bits of an attribute's type.
const TYPE_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

pub struct Table {
    socket: Socket,
    sequence: u32,
}

impl Table {
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        Ok(Self { socket, sequence: 0 })
    }

    pub fn udp_flows(&mut self) -> io::Result<Vec<Flow>> {
        self.send(GET, REQUEST | DUMP, &[])?;
        let mut flows = Vec::new();
        self.receive(|body| flows.extend(flow(body)))?;
        Ok(flows)
    }

    /// Forgets a flow; one that is gone already is as good.
    pub fn forget(&mut self, flow: &Flow) -> io::Result<()> {
        self.send(DELETE, REQUEST | ACK, &attribute(NESTED | TUPLE_ORIGINAL, &flow.tuple))?;
        match self.receive(|_| ()) {
            Err(error) if error.raw_os_error() == Some(ENOENT) => Ok(()),
            done => done,
        }
    }

    fn send(&mut self, kind: u16, flags: u16, attributes: &[u8]) -> io::Result<()> {
        self.sequence += 1;
        let mut message = Vec::with_capacity(HEADER_LEN + FAMILY_LEN + attributes.len());
        message.extend(((HEADER_LEN + FAMILY_LEN + attributes.len()) as u32).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(flags.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0u32.to_ne_bytes());
        message.extend([FAMILY_IPV4, 0, 0, 0]);
        message.extend(attributes);
        self.socket.send(&message, 0).map(drop)
    }

    /// Hands out the bodies of what comes, until the kernel says that this was all.
    fn receive(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let (datagram, _) = self.socket.recv_from_full()?;
            let mut rest = datagram.as_slice();
            while let Some(header) = rest.get(..HEADER_LEN) {
                let len = number(&header[..4]) as usize;
                let kind = number(&header[4..6]) as u16;
                let Some(body) = rest.get(HEADER_LEN..len) else { break };
                match kind {
                    DONE => return Ok(()),
                    ERROR => {
                        return match body.get(..4).map_or(0, |code| number(code) as i32) {
                            0 => Ok(()),
                            code => Err(io::Error::from_raw_os_error(-code)),
                        };
                    }
                    _ => each(body),
                }
                rest = rest.get(aligned(len)..).unwrap_or_default();
            }
        }
    }
}

/// A message's flow, if it is one over UDP.
fn flow(body: &[u8]) -> Option<Flow> {
    let attributes = body.get(FAMILY_LEN..)?;
    let tuple = find(attributes, TUPLE_ORIGINAL)?;
    let protocol = *find(find(tuple, TUPLE_PROTOCOL)?, PROTOCOL_NUMBER)?.first()?;
    let to = end(tuple, IP_DESTINATION, PORT_DESTINATION)?;
    let from = end(find(attributes, TUPLE_REPLY)?, IP_SOURCE, PORT_SOURCE)?;
    (protocol == UDP).then(|| Flow { to, from, tuple: tuple.to_vec() })
}

fn end(tuple: &[u8], ip: u16, port: u16) -> Option<Endpoint> {
    let ip: [u8; 4] = find(find(tuple, TUPLE_IP)?, ip)?.try_into().ok()?;
    let port: [u8; 2] = find(find(tuple, TUPLE_PROTOCOL)?, port)?.try_into().ok()?;
    Some(Endpoint { ip: Ipv4Addr::from(ip), port: u16::from_be_bytes(port) })
}

/// What the attribute of type `wanted` holds.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let header = attributes.get(..4)?;
        let (len, kind) = (number(&header[..2]) as usize, number(&header[2..]) as u16);
        let value = attributes.get(4..len)?;
        if kind & TYPE_MASK == wanted {
            return Some(value);
        }
        attributes = attributes.get(aligned(len)..)?;
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(aligned(4 + value.len()));
    bytes.extend(((4 + value.len()) as u16).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(aligned(bytes.len()), 0);
    bytes
}

/// Up to four bytes in the machine's own order.
fn number(bytes: &[u8]) -> u32 {
    let mut wide = [0; 4];
    match bytes.len() {
        2 => u32::from(u16::from_ne_bytes([bytes[0], bytes[1]])),
        len => {
            wide[..len].copy_from_slice(bytes);
            u32::from_ne_bytes(wide)
        }
    }
}

fn aligned(len: usize) -> usize {
    len.div_ceil(4) * 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(from: &str, to: &str, protocol: u8) -> Vec<u8> {
        let half = |text: &str| {
            let (ip, port) = text.split_once(':').unwrap();
            (ip.parse::<Ipv4Addr>().unwrap().octets(), port.parse::<u16>().unwrap().to_be_bytes())
        };
        let ((source, source_port), (destination, port)) = (half(from), half(to));
        let ip = [attribute(IP_SOURCE, &source), attribute(IP_DESTINATION, &destination)].concat();
        let ports = [
            attribute(PROTOCOL_NUMBER, &[protocol]),
            attribute(PORT_SOURCE, &source_port),
            attribute(PORT_DESTINATION, &port),
        ];
        [attribute(NESTED | TUPLE_IP, &ip), attribute(NESTED | TUPLE_PROTOCOL, &ports.concat())].concat()
    }

    fn message(protocol: u8) -> Vec<u8> {
        let original = tuple("10.42.0.9:4000", "10.43.0.10:53", protocol);
        let reply = tuple("10.42.0.5:5353", "10.42.0.9:4000", protocol);
        let attributes =
            [attribute(NESTED | TUPLE_ORIGINAL, &original), attribute(NESTED | TUPLE_REPLY, &reply)].concat();
        [vec![FAMILY_IPV4, 0, 0, 0], attributes].concat()
    }

    #[test]
    fn a_flow_is_read_from_what_the_kernel_sends() {
        let flow = flow(&message(UDP)).unwrap();
        assert_eq!(flow.to, Endpoint { ip: "10.43.0.10".parse().unwrap(), port: 53 });
        assert_eq!(flow.from, Endpoint { ip: "10.42.0.5".parse().unwrap(), port: 5353 });
        assert_eq!(flow.tuple, tuple("10.42.0.9:4000", "10.43.0.10:53", UDP));
    }

    #[test]
    fn other_protocols_and_cut_messages_are_no_flow() {
        assert_eq!(flow(&message(6)), None);
        let whole = message(UDP);
        assert!((0..whole.len()).all(|len| flow(&whole[..len]).is_none()));
    }
}
