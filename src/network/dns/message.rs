//! DNS messages: what was asked, and how an answer looks on the wire.

use hickory_proto::op::{Edns, Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::zone::{self, Asked, Data, Records};

/// How long clients may keep an answer; short, because endpoints come and go.
const TTL_SECS: u32 = 5;
/// The largest answer sent in one datagram, whatever the client says it can take.
const DATAGRAM_BYTES_MAX: u16 = 1232;

/// A question that can be answered.
pub struct Question {
    message: Message,
    /// Lower-case, without the final dot.
    pub name: String,
    pub asked: Asked,
}

/// What is to be said about it.
pub enum Verdict {
    Records(Records),
    NoSuchName,
    /// Nobody upstream answered.
    Failed,
    Refused,
}

impl Question {
    /// Reads a query with one question; `Err` holds the answer to one that cannot be read, if it deserves one.
    pub fn read(bytes: &[u8]) -> Result<Self, Option<Vec<u8>>> {
        let message = Message::from_vec(bytes).map_err(|_| None)?;
        let Some(query) = message.queries.first().filter(|_| {
            message.metadata.message_type == MessageType::Query
                && message.metadata.op_code == OpCode::Query
                && message.queries.len() == 1
        }) else {
            let bad = Message::error_msg(message.metadata.id, message.metadata.op_code, ResponseCode::FormErr);
            return Err((message.metadata.message_type == MessageType::Query).then(|| bad.to_vec().unwrap_or_default()));
        };
        let asked = match (query.query_class(), query.query_type()) {
            (DNSClass::IN, RecordType::A) => Asked::A,
            (DNSClass::IN, RecordType::SRV) => Asked::Srv,
            (DNSClass::IN, RecordType::PTR) => Asked::Ptr,
            (DNSClass::IN, RecordType::TXT) => Asked::Txt,
            (DNSClass::IN, RecordType::CNAME) => Asked::Cname,
            (DNSClass::IN, RecordType::ANY) => Asked::Any,
            _ => Asked::Other,
        };
        let name = query.name().to_lowercase().to_ascii().trim_end_matches('.').to_owned();
        Ok(Self { message, name, asked })
    }

    /// The same question about another name, for following an alias.
    pub fn about(&self, name: &str) -> Option<Vec<u8>> {
        let mut message = self.message.clone();
        message.queries.first_mut()?.set_name(fqdn(name)?);
        message.metadata.recursion_desired = true;
        message.to_vec().ok()
    }

    /// The answer's bytes; cut to what a datagram carries unless `over_tcp`.
    pub fn reply(&self, verdict: &Verdict, extra: &[Record], domain: &str, over_tcp: bool) -> Vec<u8> {
        let asked = &self.message;
        let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
        reply.metadata.recursion_desired = asked.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.authoritative = matches!(verdict, Verdict::Records(_) | Verdict::NoSuchName);
        reply.add_queries(asked.queries.iter().cloned());
        match verdict {
            Verdict::Records(records) => {
                reply.add_answers(records.answers.iter().filter_map(record));
                reply.add_answers(extra.iter().cloned());
                reply.add_additionals(records.additional.iter().filter_map(record));
            }
            Verdict::NoSuchName => reply.metadata.response_code = ResponseCode::NXDomain,
            Verdict::Failed => reply.metadata.response_code = ResponseCode::ServFail,
            Verdict::Refused => reply.metadata.response_code = ResponseCode::Refused,
        }
        if reply.metadata.authoritative && reply.answers.is_empty() {
            reply.authorities.extend(soa(domain));
        }
        if asked.edns.is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM_BYTES_MAX);
            reply.set_edns(edns);
        }
        let bytes = reply.to_vec().unwrap_or_default();
        let limit = asked.max_payload().clamp(512, DATAGRAM_BYTES_MAX);
        if over_tcp || bytes.len() <= usize::from(limit) {
            bytes
        } else {
            reply.truncate().to_vec().unwrap_or_default()
        }
    }
}

/// The records of an upstream answer.
pub fn answers_in(bytes: &[u8]) -> Vec<Record> {
    Message::from_vec(bytes).map(|message| message.answers).unwrap_or_default()
}

fn record(record: &zone::Record) -> Option<Record> {
    let data = match &record.data {
        Data::A(ip) => RData::A(A(*ip)),
        Data::Srv { port, weight, target } => RData::SRV(SRV::new(0, *weight, *port, fqdn(target)?)),
        Data::Ptr(name) => RData::PTR(PTR(fqdn(name)?)),
        Data::Txt(text) => RData::TXT(TXT::new(vec![text.clone()])),
        Data::Cname(name) => RData::CNAME(CNAME(fqdn(name)?)),
    };
    Some(Record::from_rdata(fqdn(&record.name)?, TTL_SECS, data))
}

/// Says how long clients may remember that something is not there.
fn soa(domain: &str) -> Option<Record> {
    let server = fqdn(&format!("ns.dns.{domain}"))?;
    let mailbox = fqdn(&format!("hostmaster.{domain}"))?;
    let data = SOA::new(server, mailbox, 1, 7200, 1800, 86400, TTL_SECS);
    Some(Record::from_rdata(fqdn(domain)?, TTL_SECS, RData::SOA(data)))
}

fn fqdn(name: &str) -> Option<Name> {
    Name::from_ascii(format!("{name}.")).ok()
}
