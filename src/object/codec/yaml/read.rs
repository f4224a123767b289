//! YAML documents to JSON text.
//!
//! An alias is a copy of the JSON that its anchor stands for. The text may not outgrow [`BYTES_MAX`], which
//! is how alias bombs end.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;

use libyaml_safer::{Encoding, Error, ErrorKind, Event, EventData, Parser, ScalarStyle};

use super::super::super::schema::DecodeError;
use super::super::super::tree::Tree;
use super::super::json::{to_json as json_of, write_string};
use super::super::reader::DEPTH_MAX;
use super::anchors::Anchors;
use super::resolve::{Scalar, resolve};

/// The most JSON that one stream may become.
const BYTES_MAX: usize = 16 << 20;
const TEXT_TAG: &str = "tag:yaml.org,2002:str";

/// The first document as JSON text; `null` if there is none.
pub fn to_json(text: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut input = text;
    let first = Reader::over(&mut input).document()?;
    Ok(first.unwrap_or_else(|| b"null".to_vec()))
}

/// The keys that a mapping of the first document has twice, each with its line, in upstream's words.
pub fn repeated_keys(text: &[u8]) -> Vec<String> {
    let mut input = text;
    let mut reader = Reader::over(&mut input);
    // What cannot be read at all is somebody else's complaint.
    let _ = reader.document();
    reader.repeated
}

/// Every document that is not empty, as JSON text.
pub fn documents(text: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut input = text;
    let mut reader = Reader::over(&mut input);
    let mut documents = Vec::new();
    while let Some(document) = reader.document()? {
        if document != b"null" {
            documents.push(document);
        }
    }
    Ok(documents)
}

type Read<T> = Result<T, DecodeError>;

struct Reader<'r> {
    parser: Parser<&'r mut &'r [u8]>,
    out: Vec<u8>,
    anchors: Anchors,
    repeated: Vec<String>,
}

const UTF8_MARK: &[u8] = "\u{feff}".as_bytes();

fn bad(why: impl std::fmt::Display) -> DecodeError {
    DecodeError::Syntax(format!("error converting YAML to JSON: yaml: {why}"))
}

/// A parser's complaint as upstream's library words it.
fn complaint(error: &Error) -> DecodeError {
    let line_of = |mark: Option<libyaml_safer::Mark>| mark.map(|mark| mark.line).filter(|line| *line != 0);
    let is_scanner = error.kind() == ErrorKind::Scanner;
    let problem_line = line_of(error.problem_mark()).map(|line| line + u64::from(is_scanner));
    match problem_line.or_else(|| line_of(error.context_mark())) {
        Some(line) => bad(format!("line {line}: {}", error.problem())),
        None => bad(error.problem()),
    }
}

impl<'r> Reader<'r> {
    fn over(input: &'r mut &'r [u8]) -> Self {
        let mut parser = Parser::new();
        // The library takes every text that begins with this byte, as one in full-width letters does, for one with
        // a damaged mark.
        if input.starts_with(&UTF8_MARK[..1]) && !input.starts_with(UTF8_MARK) {
            parser.set_encoding(Encoding::Utf8);
        }
        parser.set_input(input);
        Self { parser, out: Vec::new(), anchors: Anchors::default(), repeated: Vec::new() }
    }

    /// The parser's next event. The library gives up with a panic at a tag that ends in a comma (`{a: !t, b: c}`);
    /// that is a complaint like any other, and the parser is not used again.
    fn next(&mut self) -> Read<Event> {
        let parsed = std::panic::catch_unwind(AssertUnwindSafe(|| self.parser.parse()));
        let parsed = parsed.map_err(|_| bad("did not find expected whitespace or line break"))?;
        parsed.map_err(|error| complaint(&error))
    }

    /// The next document; `None` at the end of the stream.
    fn document(&mut self) -> Read<Option<Vec<u8>>> {
        loop {
            match self.next()?.data {
                EventData::StreamEnd => return Ok(None),
                EventData::DocumentStart { .. } => {
                    let first = self.next()?;
                    self.node(first, 0)?;
                    self.anchors = Anchors::default();
                    return Ok(Some(std::mem::take(&mut self.out)));
                }
                _ => (), // the stream's start, or the end of a document
            }
        }
    }

    fn node(&mut self, event: Event, depth: u32) -> Read<()> {
        if depth > DEPTH_MAX {
            return Err(bad("exceeded max depth"));
        }
        if self.out.len() > BYTES_MAX {
            return Err(bad("document contains excessive aliasing"));
        }
        let start = self.out.len();
        let anchor = match event.data {
            EventData::Alias { anchor } => {
                let json = self.aliased(&anchor)?.to_vec();
                self.out.extend(json);
                None
            }
            EventData::Scalar { anchor, tag, value, style, .. } => {
                self.scalar(&value, style == ScalarStyle::Plain && tag.as_deref() != Some(TEXT_TAG))?;
                anchor
            }
            EventData::SequenceStart { anchor, .. } => {
                self.sequence(depth)?;
                anchor
            }
            EventData::MappingStart { anchor, .. } => {
                self.mapping(depth)?;
                anchor
            }
            _ => None,
        };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, start..self.out.len());
        }
        Ok(())
    }

    fn scalar(&mut self, text: &str, is_plain: bool) -> Read<()> {
        match if is_plain { resolve(text) } else { Scalar::Text } {
            Scalar::NoNumber => return Err(bad(format!("json: unsupported value: {text}"))),
            Scalar::Text => write_string(&mut self.out, text),
            scalar => self.out.extend(shown(&scalar)),
        }
        Ok(())
    }

    fn sequence(&mut self, depth: u32) -> Read<()> {
        self.out.push(b'[');
        let start = self.out.len();
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::SequenceEnd) {
                self.out.push(b']');
                return Ok(());
            }
            if self.out.len() > start {
                self.out.push(b',');
            }
            self.node(event, depth + 1)?;
        }
    }

    fn mapping(&mut self, depth: u32) -> Read<()> {
        self.out.push(b'{');
        let start = self.out.len();
        let (mut keys, mut merged) = (HashSet::new(), Vec::new());
        loop {
            let event = self.next()?;
            let line = event.start_mark.line + 1;
            let (key, is_merge) = match event.data {
                EventData::MappingEnd => break,
                EventData::Scalar { anchor, value, style, tag, .. } => {
                    let is_plain = style == ScalarStyle::Plain && tag.as_deref() != Some(TEXT_TAG);
                    if let Some(anchor) = anchor {
                        let before = self.out.len();
                        self.scalar(&value, is_plain)?;
                        self.anchors.insert_aside(anchor, &self.out[before..]);
                        self.out.truncate(before);
                    }
                    (key(&value, is_plain), is_plain && value == "<<")
                }
                EventData::Alias { anchor } => (self.aliased_key(&anchor)?, false),
                _ => return Err(bad("invalid map key")),
            };
            let before = self.out.len();
            if !is_merge {
                if before > start {
                    self.out.push(b',');
                }
                write_string(&mut self.out, &key);
                self.out.push(b':');
            }
            let (value_start, anchors) = (self.out.len(), self.anchors.count());
            let event = self.next()?;
            self.node(event, depth + 1)?;
            if is_merge {
                merged.push(serde_json::from_slice::<Tree>(&self.out[value_start..]).unwrap_or_default());
                self.put_aside(value_start, anchors)?;
                self.out.truncate(before);
            } else {
                if keys.contains(&key) {
                    self.repeated.push(format!("line {line}: key {key:?} already set in map"));
                }
                keys.insert(key);
            }
        }
        for source in merged {
            self.merge(source, start, &mut keys)?;
        }
        self.out.push(b'}');
        Ok(())
    }

    /// What was merged does not stay, but what its anchors stand for does: those behind the first `count`.
    fn put_aside(&mut self, start: usize, count: usize) -> Read<()> {
        self.anchors.put_aside(count, &self.out, start);
        if self.anchors.bytes_aside() > BYTES_MAX {
            return Err(bad("document contains excessive aliasing"));
        }
        Ok(())
    }

    /// Adds the entries of `<<` that the mapping does not have itself.
    fn merge(&mut self, source: Tree, start: usize, keys: &mut HashSet<String>) -> Read<()> {
        let maps = match source {
            Tree::Object(map) => vec![Tree::Object(map)],
            Tree::Array(list) => list,
            _ => Vec::new(),
        };
        if maps.is_empty() || !maps.iter().all(Tree::is_object) {
            return Err(bad("map merge requires map or sequence of maps as the value"));
        }
        for (key, value) in maps.iter().filter_map(Tree::as_object).flatten() {
            if !keys.insert(key.to_string()) {
                continue;
            }
            if self.out.len() > start {
                self.out.push(b',');
            }
            write_string(&mut self.out, key);
            self.out.push(b':');
            self.out.extend(json_of(value, None));
        }
        Ok(())
    }

    fn aliased(&self, anchor: &str) -> Read<&[u8]> {
        let json = self.anchors.json(anchor, &self.out);
        json.ok_or_else(|| bad(format!("unknown anchor '{anchor}' referenced")))
    }

    fn aliased_key(&self, anchor: &str) -> Read<String> {
        match serde_json::from_slice(self.aliased(anchor)?) {
            Ok(Tree::String(text)) => Ok(text),
            Ok(scalar @ (Tree::Bool(_) | Tree::Number(_))) => Ok(scalar.to_string()),
            _ => Err(bad("invalid map key")),
        }
    }
}

/// A key as text: other scalars become the text that upstream makes of them.
fn key(text: &str, is_plain: bool) -> String {
    match if is_plain { resolve(text) } else { Scalar::Text } {
        Scalar::Text | Scalar::NoNumber => text.to_owned(),
        scalar => String::from_utf8_lossy(&shown(&scalar)).into_owned(),
    }
}

fn shown(scalar: &Scalar) -> Vec<u8> {
    match scalar {
        Scalar::Bool(flag) => flag.to_string().into_bytes(),
        Scalar::Int(value) => value.to_string().into_bytes(),
        Scalar::Unsigned(value) => value.to_string().into_bytes(),
        Scalar::Float(value) => json_of(&(*value).into(), None),
        Scalar::Null | Scalar::NoNumber | Scalar::Text => b"null".to_vec(),
    }
}
