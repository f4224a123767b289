//! Takes what fields mean out of the crate `k8s-openapi`: packs it for `kubectl explain`, and puts it where
//! columns of tables say the same as a field.
//!
//! The crate's sources are read, not compiled: they hold each type's JSON schema in one regular form,
//! and compiling them for this alone would take a minute. They are where cargo has put them for the
//! tests. Where they are not, the server is built without descriptions, and says so while building.
//!
//! The first result is one deflated text: every description once, joined by NUL; behind a byte 1, a line for
//! each type (`NAME NUMBER`, the number being that of its description) and, indented by a tab, for each of its
//! fields. The second is `columns.txt` with `=TYPE FIELD` replaced by what the field means.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const CRATE: &str = "k8s-openapi";
const VERSION_DIR: &str = "src/v1_36";
const COLUMNS: &str = "src/resources/schemas/columns.txt";

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=Cargo.lock");
    println!("cargo:rerun-if-changed={COLUMNS}");
    let mut table = Table::default();
    match crate_dir() {
        Some(dir) => {
            for file in sources(&dir.join(VERSION_DIR))? {
                table.read(&fs::read_to_string(file)?);
            }
        }
        None => {
            println!(
                "cargo:warning=without the sources of {CRATE}, `kubectl explain` will not say what fields mean, nor tables what columns do"
            )
        }
    }
    let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    packed.write_all(table.text().as_bytes())?;
    let packed = packed.finish()?;
    println!("cargo:rustc-env=SKIFF_DESCRIPTIONS_LEN={}", packed.len());
    let out = env::var_os("OUT_DIR").map(PathBuf::from).unwrap_or_default();
    fs::write(out.join("descriptions.deflate"), packed)?;
    fs::write(out.join("columns.txt"), table.columns(&fs::read_to_string(COLUMNS)?)?)
}

/// Where cargo has the crate's sources.
fn crate_dir() -> Option<PathBuf> {
    let cargo = env::var_os("CARGO")?;
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    [&["--offline"][..], &[]].iter().find_map(|more| {
        let asked = Command::new(&cargo)
            .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
            .arg(&manifest)
            .args(*more)
            .output()
            .ok()?;
        let text = String::from_utf8(asked.stdout).ok()?;
        // The only path that ends so is the manifest of the package.
        let end = text.match_indices("/Cargo.toml\"").map(|(at, _)| at);
        let paths = end.filter_map(|end| Some(&text[text[..end].rfind('"')? + 1..end]));
        paths.map(Path::new).find(|path| is_wanted(path)).map(Path::to_owned)
    })
}

fn is_wanted(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix(CRATE).is_some_and(|rest| rest.is_empty() || rest.starts_with("-0."))
        && path.join(VERSION_DIR).is_dir()
}

fn sources(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[derive(Default)]
struct Table {
    numbers: HashMap<String, usize>,
    texts: Vec<String>,
    /// Which text a field has, by `TYPE FIELD`.
    fields: HashMap<String, usize>,
    lines: String,
}

impl Table {
    fn text(&self) -> String {
        format!("{}\u{1}{}", self.texts.join("\0"), self.lines)
    }

    /// Reads the schemas in one source file. Indentation tells a type's lines from those of its fields.
    fn read(&mut self, source: &str) {
        let mut name = None;
        let mut field = None;
        for line in source.lines() {
            let text = line.trim_start();
            let indent = line.len() - text.len();
            if let Some(found) = text.strip_prefix("\"io.k8s.").and_then(|rest| rest.strip_suffix("\".into()")) {
                name = Some(found);
                field = None;
            } else if indent == 16 && text.starts_with('"') {
                field = text[1..].split('"').next();
            } else if let Some(description) = description(text) {
                match (indent, name, field) {
                    (12, Some(name), None) => drop(self.add("", name, description)),
                    (20, Some(name), Some(field)) => {
                        let number = self.add("\t", field, description);
                        self.fields.insert(format!("{name} {field}"), number);
                    }
                    _ => (),
                }
            }
        }
    }

    /// The lines of `columns.txt`, all in words. A field that is not there is a mistake, unless none is.
    fn columns(&self, lines: &str) -> io::Result<String> {
        let in_words = |line: &str| {
            let Some((column, field)) = line.split_once("\t=") else { return Ok(format!("{line}\n")) };
            match self.fields.get(field) {
                Some(number) => Ok(format!("{column}\t{}\n", self.texts[*number].replace('\n', "\\n"))),
                None if self.texts.is_empty() => Ok(String::new()),
                None => Err(io::Error::other(format!("{COLUMNS}: {CRATE} knows no field {field}"))),
            }
        };
        lines.lines().map(in_words).collect()
    }

    /// Tells the number of the description.
    fn add(&mut self, indent: &str, name: &str, description: String) -> usize {
        let next = self.texts.len();
        let number = *self.numbers.entry(description).or_insert_with_key(|text| {
            self.texts.push(text.clone());
            next
        });
        let _ = writeln!(self.lines, "{indent}{name} {number}");
        number
    }
}

/// The description that a line of a schema sets, if it does.
fn description(line: &str) -> Option<String> {
    let literal = line
        .strip_prefix("\"description\": ")
        .or_else(|| line.strip_prefix("schema_obj.ensure_object().insert(\"description\".into(), "))?;
    let mut text = String::new();
    let mut chars = literal.strip_prefix('"')?.chars();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => match chars.next()? {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'r' => text.push('\r'),
                'u' => {
                    let code: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    text.push(u32::from_str_radix(&code, 16).ok().and_then(char::from_u32)?);
                }
                other => text.push(other),
            },
            c => text.push(c),
        }
    }
}
