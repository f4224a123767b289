//! `$(NAME)` in commands, arguments, environment values and sub-paths.

/// Replaces each `$(NAME)` that `lookup` knows. Unknown references stay as they are; `$$` is `$`.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[at..at + name.len() + 3]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The references in `text` that `lookup` does not know.
pub fn unknown_references(text: &str, lookup: impl Fn(&str) -> bool) -> Vec<String> {
    let missing = std::cell::RefCell::new(Vec::new());
    expand(text, |name| {
        if !lookup(name) {
            missing.borrow_mut().push(name.to_owned());
        }
        None
    });
    missing.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_replaced_and_the_rest_is_left() {
        let lookup = |name: &str| (name == "A").then(|| "x".to_owned());
        for (text, wanted) in [
            ("$(A)-$(A)", "x-x"),
            ("$(B) $$(A) $A $", "$(B) $(A) $A $"),
            ("$(A", "$(A"),
            ("$$$(A)", "$x"),
            ("$($(A))", "$($(A))"),
        ] {
            assert_eq!(expand(text, lookup), wanted);
        }
    }
}
