//! The JSONPath of custom resources' columns and scale paths: `.spec.replicas`,
//! `.metadata.annotations.example\.com/x`, `.spec.list[0].name`, `.status.conditions[?(@.type=="Ready")].status`.
//!
//! Only what upstream admits there: no recursion, no wildcards, no ranges.

use crate::object::tree::Tree;

#[derive(Debug, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    /// The elements whose field (by its own steps) has this text or number.
    Filter(Vec<Step>, Tree),
}

/// The first value that `path` finds; `None` for nothing, `null`, or a path that does not parse.
pub fn first(path: &str, tree: &Tree) -> Option<Tree> {
    let steps = parse(path)?;
    walk(&steps, tree).filter(|value| !value.is_null()).cloned()
}

/// Whether `path` is one that [`first`] understands.
pub fn is_valid(path: &str) -> bool {
    parse(path).is_some()
}

fn walk<'t>(steps: &[Step], tree: &'t Tree) -> Option<&'t Tree> {
    let Some((step, rest)) = steps.split_first() else { return Some(tree) };
    match step {
        Step::Field(name) => walk(rest, tree.get(name)?),
        Step::Index(at) => {
            let items = tree.as_array()?;
            let at = if *at < 0 { at + items.len() as i64 } else { *at };
            walk(rest, items.get(usize::try_from(at).ok()?)?)
        }
        Step::Filter(field, wanted) => {
            let matching = |item: &&Tree| walk(field, item) == Some(wanted);
            tree.as_array()?.iter().filter(matching).find_map(|item| walk(rest, item))
        }
    }
}

fn parse(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path.trim().strip_prefix('$').unwrap_or(path.trim());
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.') {
            let (name, after) = field(tail);
            if name.is_empty() {
                return None;
            }
            steps.push(Step::Field(name));
            rest = after;
        } else {
            let end = closing(rest)?;
            steps.push(bracket(&rest[1..end])?);
            rest = &rest[end + 1..];
        }
    }
    Some(steps)
}

/// A field's name up to the next `.` or `[`; a backslash takes the next character as it is.
fn field(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            _ => name.push(c),
        }
    }
    (name, "")
}

/// Where the bracket that opens `text` closes, not counting those in quotes.
fn closing(text: &str) -> Option<usize> {
    if !text.starts_with('[') {
        return None;
    }
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if c == open => quote = None,
            (None, ']') => return Some(at),
            _ => (),
        }
    }
    None
}

fn bracket(inside: &str) -> Option<Step> {
    if let Some(condition) = inside.strip_prefix("?(").and_then(|text| text.strip_suffix(')')) {
        let (left, right) = condition.split_once("==")?;
        let field = parse(left.trim().strip_prefix('@')?)?;
        return Some(Step::Filter(field, literal(right.trim())?));
    }
    match literal(inside.trim())? {
        Tree::String(name) => Some(Step::Field(name)),
        number => number.as_i64().map(Step::Index),
    }
}

fn literal(text: &str) -> Option<Tree> {
    let unquoted = ['\'', '"'].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote));
    match unquoted {
        Some(text) => Some(text.into()),
        None => serde_json::from_str(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::tree::json;

    #[test]
    fn fields_indexes_escapes_and_filters_are_found() {
        let tree = json!({
            "metadata": {"annotations": {"example.com/x": "y"}},
            "status": {"conditions": [{"type": "A", "status": "no"}, {"type": "Ready", "status": "True"}]},
        });
        let find = |path: &str| first(path, &tree).unwrap_or_default();
        assert_eq!(find(r".metadata.annotations.example\.com/x"), json!("y"));
        assert_eq!(find(".metadata.annotations['example.com/x']"), json!("y"));
        assert_eq!(find(".status.conditions[0].type"), json!("A"));
        assert_eq!(find(r#".status.conditions[?(@.type=="Ready")].status"#), json!("True"));
        assert_eq!(find(".status.nothing"), Tree::Null);
        assert!(!is_valid("..x") && !is_valid("x") && !is_valid(".a[b"));
    }
}
