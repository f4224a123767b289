//! Every fully populated object of the reference data, decoded and encoded again unchanged.
//!
//! `SKIFF_REFERENCE` names the reference data.

use std::path::{Path, PathBuf};

use skiff::object::Tree;
use skiff::object::codec::protobuf::{self, Envelope};
use skiff::object::codec::{json, yaml};
use skiff::object::schema::table::{TABLE, parse};
use skiff::object::schema::{Schema, Types, decode, fill};

/// Types that are no longer served, but still in the reference data.
const LEGACY: &str = include_str!("schemagen/legacy-table.txt");

const META: &str = "apimachinery.pkg.apis.meta.v1";

struct Case {
    /// Path without extension.
    stem: PathBuf,
    name: String,
}

impl Case {
    fn all() -> Vec<Self> {
        let default = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/k8s-1.36");
        let folder = std::env::var_os("SKIFF_REFERENCE").map_or(default, PathBuf::from).join("roundtrip");
        let entries = folder.read_dir().unwrap_or_else(|e| panic!("{}: {e} (set SKIFF_REFERENCE)", folder.display()));
        let mut stems: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path().with_extension("")).collect();
        stems.sort();
        stems.dedup();
        let named = |stem: PathBuf| Self { name: stem.file_name().unwrap().to_string_lossy().into_owned(), stem };
        stems.into_iter().map(named).collect()
    }

    fn read(&self, extension: &str) -> Vec<u8> {
        let path = PathBuf::from(format!("{}.{extension}", self.stem.display()));
        std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// `GROUP.VERSION.KIND` as a type of the table.
    fn schema<'t>(&self, types: &'t Types) -> Schema<'t> {
        let mut parts = self.name.rsplitn(3, '.');
        let (kind, version, group) = (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap());
        let group = match group {
            "internal.apiserver.k8s.io" => "apiserverinternal",
            _ => group.split('.').next().unwrap(),
        };
        let found =
            types.named(&format!("api.{group}.{version}.{kind}")).or_else(|| types.named(&format!("{META}.{kind}")));
        found.unwrap_or_else(|| panic!("no type for {}", self.name))
    }
}

/// Compares texts and shows the first line that differs.
fn compare(case: &Case, what: &str, got: &[u8], wanted: &[u8]) -> Option<String> {
    let (got, wanted) = (String::from_utf8_lossy(got), String::from_utf8_lossy(wanted));
    let differs = got.lines().zip(wanted.lines()).find(|(got, wanted)| got != wanted);
    match differs {
        Some((got, wanted)) => Some(format!("{} {what}: {got:?}, want {wanted:?}", case.name)),
        None if got.lines().count() != wanted.lines().count() => Some(format!("{} {what}: lengths differ", case.name)),
        None => None,
    }
}

fn check(each: impl Fn(&Case, &Types) -> Option<String>) {
    let types = parse(&[TABLE, LEGACY]).unwrap();
    let cases = Case::all();
    assert!(cases.len() > 100, "only {} objects", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(|case| each(case, &types)).collect();
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Decodes JSON, strictly, as the API does.
fn decoded(case: &Case, text: &[u8], schema: Schema<'_>) -> Result<Tree, String> {
    let decoded = decode(text, schema).map_err(|error| format!("{}: {error}", case.name))?;
    match decoded.complaints.as_slice() {
        [] => {
            let mut tree = decoded.tree;
            fill(&mut tree, schema);
            Ok(tree)
        }
        complaints => Err(format!("{}: {complaints:?}", case.name)),
    }
}

#[test]
fn json_is_written_as_it_was_read() {
    check(|case, types| {
        let (text, schema) = (case.read("json"), case.schema(types));
        match decoded(case, &text, schema) {
            Ok(tree) => compare(case, "json", &json::indent(&json::to_json(&tree, Some(schema))), &text),
            Err(error) => Some(error),
        }
    });
}

#[test]
fn yaml_is_written_as_it_was_read() {
    check(|case, types| {
        let (text, schema) = (case.read("yaml"), case.schema(types));
        let read = yaml::to_json(&text).map_err(|error| format!("{}: {error}", case.name));
        match read.and_then(|json| decoded(case, &json, schema)) {
            Ok(tree) => compare(case, "yaml", yaml::to_yaml(&tree).as_bytes(), &text),
            Err(error) => Some(error),
        }
    });
}

#[test]
fn protobuf_says_the_same_as_json_byte_for_byte() {
    check(|case, types| {
        let (bytes, schema) = (case.read("pb"), case.schema(types));
        let wanted = match decoded(case, &case.read("json"), schema) {
            Ok(tree) => tree,
            Err(error) => return Some(error),
        };
        let mut read = match Envelope::open(&bytes).and_then(|envelope| envelope.decode(schema)) {
            Ok(tree) => tree,
            Err(error) => return Some(format!("{}: {error}", case.name)),
        };
        fill(&mut read, schema);
        if read != wanted {
            let lines = |tree: &Tree| json::indent(&json::to_json(tree, Some(schema)));
            return compare(case, "from protobuf", &lines(&read), &lines(&wanted));
        }
        let written = protobuf::encode(&wanted, schema);
        let differs = written.iter().zip(&bytes).position(|(got, want)| got != want);
        (written != bytes).then(|| format!("{} protobuf: differs at {differs:?}", case.name))
    });
}
