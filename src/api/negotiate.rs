//! What the client can read, and what it sends: `Accept` and `Content-Type`.
//!
//! Upstream takes the first of the client's wishes, by weight, that it can serve; an unknown
//! parameter of `as` is only an error when nothing else fits.

use crate::object::status::Details;
use crate::object::{Encoding, PatchKind, Reason, Status};
use crate::resources::{Resource, Verbs};

/// How an answer is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub encoding: Encoding,
    pub shape: Shape,
    /// The version of `meta.k8s.io` that shapes are written in.
    pub meta: &'static str,
    pub pretty: bool,
}

/// Which reading of the object the client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    #[default]
    Whole,
    /// Rows and columns for people.
    Table,
    /// Metadata only: of one object, or of the objects in a list.
    PartialObject,
    PartialList,
}

impl Format {
    pub const JSON: Self = Self { encoding: Encoding::Json, shape: Shape::Whole, meta: "v1", pretty: false };

    pub fn content_type(self) -> &'static str {
        content_type(self.encoding)
    }
}

pub fn content_type(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Json => "application/json",
        Encoding::Yaml => "application/yaml",
        Encoding::Protobuf => "application/vnd.kubernetes.protobuf",
    }
}

/// One wish of an `Accept` header.
#[derive(Debug)]
struct Wish<'a> {
    media: &'a str,
    weight: f32,
    params: Vec<(&'a str, &'a str)>,
}

impl Wish<'_> {
    fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value)
    }
}

/// The format to answer in. An empty header means JSON.
pub fn accept(header: &str, pretty: bool) -> Result<Format, Status> {
    accept_among(header, pretty, |_| true)
}

/// As [`accept`], for a resource: there is no protobuf of whole custom objects, only of their metadata, and
/// whoever would take JSON instead gets that.
pub fn accept_for(resource: &Resource, header: &str, pretty: bool) -> Result<Format, Status> {
    accept_among(header, pretty, |format| {
        let has_no_protobuf = resource.is_custom && format.shape == Shape::Whole;
        // Reviews are stored nowhere, and make no table.
        let has_no_table = resource.verbs == Verbs::CreateOnly;
        !(has_no_protobuf && format.encoding == Encoding::Protobuf || has_no_table && format.shape == Shape::Table)
    })
}

/// As [`accept`], where not everything can be written in every way.
fn accept_among(header: &str, pretty: bool, has: impl Fn(Format) -> bool) -> Result<Format, Status> {
    if header.trim().is_empty() {
        return Ok(Format { pretty, ..Format::JSON });
    }
    let mut wishes: Vec<Wish<'_>> = header.split(',').map(read_wish).collect();
    wishes.sort_by(|a, b| b.weight.total_cmp(&a.weight));
    if let Some(format) = wishes.iter().filter_map(|wish| format_for(wish, pretty)).find(|format| has(*format)) {
        return Ok(format);
    }
    let readable = wishes.iter().any(|wish| encoding_of(wish.media).is_some());
    Err(if readable { no_such_shape() } else { no_such_encoding() })
}

fn read_wish(text: &str) -> Wish<'_> {
    let mut parts = text.split(';').map(str::trim);
    let mut wish = Wish { media: parts.next().unwrap_or_default(), weight: 1.0, params: Vec::new() };
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name {
            "q" => wish.weight = value.parse().unwrap_or(1.0),
            _ => wish.params.push((name, value)),
        }
    }
    wish
}

fn format_for(wish: &Wish<'_>, pretty: bool) -> Option<Format> {
    let encoding = encoding_of(wish.media)?;
    let shape = match wish.param("as") {
        "" => Shape::Whole,
        kind => shape_of(kind, wish.param("g"), wish.param("v"))?,
    };
    // Tables are for people; upstream does not write them as protobuf either.
    if (encoding, shape) == (Encoding::Protobuf, Shape::Table) {
        return None;
    }
    let meta = if wish.param("v") == "v1beta1" { "v1beta1" } else { "v1" };
    Some(Format { encoding, shape, meta, pretty: pretty || wish.param("pretty") == "1" })
}

fn encoding_of(media: &str) -> Option<Encoding> {
    Some(match media {
        "application/json" | "*/*" => Encoding::Json,
        "application/yaml" => Encoding::Yaml,
        "application/vnd.kubernetes.protobuf" => Encoding::Protobuf,
        _ => return None,
    })
}

fn shape_of(kind: &str, group: &str, version: &str) -> Option<Shape> {
    let served = group == "meta.k8s.io" && matches!(version, "v1" | "v1beta1");
    match kind {
        "Table" if served => Some(Shape::Table),
        "PartialObjectMetadata" if served => Some(Shape::PartialObject),
        "PartialObjectMetadataList" if served => Some(Shape::PartialList),
        _ => None,
    }
}

const READABLE: [&str; 3] = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// None of the wished-for encodings is one we write.
fn no_such_encoding() -> Status {
    let message = format!("406: Not Acceptable\n\nAvailable representations: {}", READABLE.join(", "));
    Status::new(Reason::NotAcceptable, message).with_details(Details::default())
}

/// An encoding fits, but not with that `as`.
pub fn no_such_shape() -> Status {
    let message = format!("only the following media types are accepted: {}", READABLE.join(", "));
    Status::new(Reason::NotAcceptable, message)
}

/// The encoding of a body. An absent or empty type means JSON.
pub fn body_encoding(content_type: &str) -> Result<Encoding, Status> {
    match media_type(content_type) {
        "" | "application/json" => Ok(Encoding::Json),
        "application/yaml" => Ok(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Encoding::Protobuf),
        _ => Err(unsupported(&READABLE)),
    }
}

const PATCHES: &[(&str, PatchKind)] = &[
    ("application/json-patch+json", PatchKind::Json),
    ("application/merge-patch+json", PatchKind::Merge),
    ("application/strategic-merge-patch+json", PatchKind::Strategic),
    ("application/apply-patch+yaml", PatchKind::Apply),
];

/// The kind of a patch. Custom resources take no strategic merge patches, and say so in other words.
pub fn patch_kind(content_type: &str, custom: bool) -> Result<PatchKind, Status> {
    let taken = || PATCHES.iter().filter(|(_, kind)| !custom || *kind != PatchKind::Strategic);
    let media = content_type.split(';').next().unwrap_or_default();
    if let Some((_, kind)) = taken().find(|(name, _)| *name == media) {
        return Ok(*kind);
    }
    if custom {
        return Err(unsupported(&taken().map(|(name, _)| *name).collect::<Vec<_>>()));
    }
    Err(Status::new(Reason::UnsupportedMediaType, "415: Unsupported Media Type").with_details(Details::default()))
}

fn media_type(header: &str) -> &str {
    header.split(';').next().unwrap_or_default().trim()
}

fn unsupported(accepted: &[&str]) -> Status {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        accepted.join(", ")
    );
    Status::new(Reason::UnsupportedMediaType, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(header: &str, encoding: Encoding, shape: Shape) {
        assert_eq!(accept(header, false), Ok(Format { encoding, shape, ..Format::JSON }), "{header}");
    }

    #[test]
    fn the_heaviest_wish_that_can_be_served_wins() {
        check("", Encoding::Json, Shape::Whole);
        check("application/json;q=0.5,application/yaml", Encoding::Yaml, Shape::Whole);
        check("text/plain, */*;q=0.1", Encoding::Json, Shape::Whole);
        check(
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
            Encoding::Json,
            Shape::Table,
        );
        check("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Encoding::Json, Shape::Whole);
        let table = "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io";
        check(&format!("{table},application/json"), Encoding::Json, Shape::Whole);
        assert!(accept(table, false).is_err());
        assert!(accept("application/*", false).is_err());
        assert!(accept("garbage", false).is_err());
    }

    /// Upstream's namespace controller likes protobuf better when it empties a namespace, of whatever.
    #[test]
    fn custom_objects_have_protobuf_of_their_metadata_only() {
        let pods = crate::resources::Registry::built_in().find_any("", "pods").unwrap();
        let mut foos = std::sync::Arc::into_inner(pods).unwrap();
        foos.is_custom = true;
        let encoding = |header: &str| accept_for(&foos, header, false).map(|format| format.encoding);
        let protobuf = "application/vnd.kubernetes.protobuf";
        assert_eq!(encoding(&format!("{protobuf},application/json")), Ok(Encoding::Json));
        let metadata = format!("{protobuf};as=PartialObjectMetadata;g=meta.k8s.io;v=v1,application/json");
        assert_eq!(encoding(&metadata), Ok(Encoding::Protobuf));
        assert_eq!(encoding(protobuf), Err(no_such_shape()));
    }
}
