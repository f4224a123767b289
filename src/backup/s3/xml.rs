//! The little of XML that S3 servers answer with: elements with text in them, by their names.
//!
//! Attributes, comments and sections of raw text are not looked at: no answer of theirs means anything by
//! them. Text that is cut or nested otherwise than expected is simply not found.

/// The insides of all elements called `name`, in order.
pub fn all<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}"), format!("</{name}>"));
    let (mut found, mut rest) = (Vec::new(), text);
    while let Some((_, after)) = rest.split_once(&open) {
        rest = after;
        let Some((attributes, inside)) = after.split_once('>') else { break };
        // Otherwise it is another element, whose name only begins so, or one with nothing in it.
        let is_it = attributes.is_empty() || attributes.starts_with(|c: char| c.is_ascii_whitespace());
        if is_it && !attributes.ends_with('/') {
            let Some((inside, after)) = inside.split_once(&close) else { break };
            found.push(inside);
            rest = after;
        }
    }
    found
}

/// The text of the first element called `name`.
pub fn first(text: &str, name: &str) -> Option<String> {
    all(text, name).first().map(|inside| plain(inside))
}

/// What stands between tags, as it is meant.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out += before;
        let (entity, behind) = after.split_once(';').unwrap_or(("", after));
        let (c, behind) = meaning(entity).map_or(('&', after), |c| (c, behind));
        out.push(c);
        rest = behind;
    }
    out + rest
}

fn meaning(entity: &str) -> Option<char> {
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        number => {
            let code = number.strip_prefix('#')?;
            let code = match code.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16),
                None => code.parse(),
            };
            code.ok().and_then(char::from_u32)
        }
    }
}

/// Text to stand between tags.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_by_their_whole_name() {
        let text = "<?xml version=\"1.0\"?>\n<List xmlns=\"urn:x\"><Keys>no</Keys><Key/><Item a=\"1\"><Key>a</Key></Item><Item><Key>b&amp;&#x26;c</Key></Item></List>";
        assert_eq!(all(text, "Item").len(), 2);
        assert_eq!(first(text, "Key").as_deref(), Some("a"));
        assert_eq!(first(all(text, "Item")[1], "Key").as_deref(), Some("b&&c"));
        assert_eq!(first(text, "Missing"), None);
    }

    #[test]
    fn what_is_cut_or_no_xml_is_not_found() {
        for text in ["", "<Key", "<Key>", "<Key>a</Ke", "no & such <", "<Key a", "</Key><Key/>"] {
            assert_eq!(first(text, "Key"), None, "{text}");
        }
        assert_eq!(first("<Key>a & b &c; &#xffffffff; &</Key>", "Key").as_deref(), Some("a & b &c; &#xffffffff; &"));
    }

    #[test]
    fn text_comes_back_as_it_was() {
        let odd = "\"a\" <b> & 'c' &amp;";
        assert_eq!(plain(&escape(odd)), odd);
    }
}
