//! Links of proxied pages, made to lead through the proxy again.
//!
//! A page that lives at `/` on its own server lives below `…/proxy/` here, so its absolute links would
//! leave the proxy. Only what stands in the attributes that hold addresses is changed; everything else
//! goes through byte for byte. Works on a stream: no more than one tag is held back.

use http::Uri;

/// Attributes that hold an address, by tag.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["src", "formaction", "usemap"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];
/// A tag longer than this goes through as it is.
const TAG_BYTES_MAX: usize = 64 * 1024;

/// Where a page is proxied from, and where to.
#[derive(Clone, Debug)]
pub struct Place {
    /// The path of the proxy, without a slash at its end.
    pub base: String,
    /// Hosts that mean the proxied server: its own, and the one the client asked.
    pub hosts: [String; 2],
}

impl Place {
    /// The link as it is below the proxy; `None` if it is good as it is.
    pub fn rewrite(&self, link: &str) -> Option<String> {
        let uri: Uri = link.parse().ok()?;
        let foreign = uri.authority().is_some_and(|host| !self.hosts.iter().any(|known| known == host.as_str()));
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let is_absolute = uri.authority().is_some() || link.starts_with('/');
        if foreign || !is_absolute || link.starts_with("//") || (link.starts_with('/') && path.starts_with(&self.base))
        {
            return None;
        }
        let fragment = link.find('#').map_or("", |at| &link[at..]);
        Some(format!("{}{path}{fragment}", self.base))
    }
}

/// A page on its way through.
pub struct Page {
    place: Place,
    /// The beginning of what cannot be judged yet: a tag without its end.
    held: Vec<u8>,
}

impl Page {
    pub fn new(place: Place) -> Self {
        Self { place, held: Vec::new() }
    }

    /// Takes in more of the page; gives back what is ready.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(chunk);
        let page = std::mem::take(&mut self.held);
        let (mut out, mut rest) = (Vec::with_capacity(page.len()), page.as_slice());
        while let Some(start) = rest.iter().position(|byte| *byte == b'<') {
            out.extend_from_slice(&rest[..start]);
            rest = &rest[start..];
            match tag_len(rest) {
                Some(len) => {
                    self.tag(&rest[..len], &mut out);
                    rest = &rest[len..];
                }
                None if rest.len() < TAG_BYTES_MAX => {
                    self.held = rest.to_vec();
                    return out;
                }
                None => break,
            }
        }
        out.extend_from_slice(rest);
        out
    }

    /// What was held back, when nothing more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.held)
    }

    fn tag(&self, tag: &[u8], out: &mut Vec<u8>) {
        let changed = std::str::from_utf8(tag).ok().and_then(|tag| self.changed(tag));
        match changed {
            Some(changed) => out.extend_from_slice(changed.as_bytes()),
            None => out.extend_from_slice(tag),
        }
    }

    /// The tag with its links changed; `None` if there are none to change.
    fn changed(&self, tag: &str) -> Option<String> {
        let name_end = tag[1..].find(|c: char| !c.is_ascii_alphanumeric()).map(|at| at + 1)?;
        let name = tag[1..name_end].to_ascii_lowercase();
        let (_, links) = LINKS.iter().find(|(known, _)| *known == name)?;
        let (mut out, mut done) = (String::new(), 0);
        for (attribute, value) in attributes(tag, name_end) {
            let is_link = links.iter().any(|link| tag[attribute.clone()].eq_ignore_ascii_case(link));
            let link = tag[value.clone()].replace("&amp;", "&");
            if let Some(new) = self.place.rewrite(&link).filter(|_| is_link) {
                out.push_str(&tag[done..value.start]);
                out.push_str(&new.replace('&', "&amp;").replace('"', "&#34;").replace('\'', "&#39;"));
                done = value.end;
            }
        }
        out.push_str(&tag[done..]);
        (done > 0).then_some(out)
    }
}

/// How long the tag is that begins here, up to and with its `>`; quotes may hold others.
fn tag_len(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') if text.get(1).is_some_and(u8::is_ascii_alphabetic) => quote = Some(*byte),
            (Some(open), byte) if open == *byte => quote = None,
            _ => (),
        }
    }
    None
}

type Span = std::ops::Range<usize>;

/// Where the names and the values of a tag's attributes are.
fn attributes(tag: &str, from: usize) -> Vec<(Span, Span)> {
    let bytes = tag.as_bytes();
    let is_space = |at: usize| bytes.get(at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b'/');
    let skip = |mut at: usize, holds: &dyn Fn(usize) -> bool| {
        while at < bytes.len() && holds(at) {
            at += 1;
        }
        at
    };
    let mut found = Vec::new();
    let mut at = from;
    loop {
        let name_start = skip(at, &is_space);
        let name_end = skip(name_start, &|at| !is_space(at) && !matches!(bytes[at], b'=' | b'>'));
        if name_end == name_start && bytes.get(name_start) != Some(&b'=') {
            return found;
        }
        let equals = skip(name_end, &is_space);
        if bytes.get(equals) != Some(&b'=') {
            at = equals;
            continue;
        }
        let value_start = skip(equals + 1, &|at| bytes[at].is_ascii_whitespace());
        let value = match bytes.get(value_start) {
            Some(quote @ (b'"' | b'\'')) => value_start + 1..skip(value_start + 1, &|at| bytes[at] != *quote),
            _ => value_start..skip(value_start, &|at| !bytes[at].is_ascii_whitespace() && bytes[at] != b'>'),
        };
        at = (value.end + 1).max(value_start + 1).min(bytes.len());
        if bytes.get(value.end) == Some(&b'>') {
            at = value.end;
        }
        found.push((name_start..name_end, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place { base: "/p/proxy".into(), hosts: ["10.42.0.2:80".into(), "api:6443".into()] }
    }

    #[track_caller]
    fn check(page: &str, expected: &str) {
        let mut at_once = Page::new(place());
        let whole = [at_once.push(page.as_bytes()), at_once.finish()].concat();
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
        let mut bytewise = Page::new(place());
        let mut out: Vec<u8> = page.bytes().flat_map(|byte| bytewise.push(&[byte])).collect();
        out.extend(bytewise.finish());
        assert_eq!(String::from_utf8(out).unwrap(), expected, "byte by byte");
    }

    #[test]
    fn absolute_links_lead_through_the_proxy() {
        check("<a href=\"/x\">t</a>", "<a href=\"/p/proxy/x\">t</a>");
        check("<IMG alt='a > b' src=/i.png?a=1&amp;b=2>", "<IMG alt='a > b' src=/p/proxy/i.png?a=1&amp;b=2>");
        check("<a href='http://10.42.0.2:80/y#z'>", "<a href='/p/proxy/y#z'>");
        check("<link rel=x href=\"/s/\"/>", "<link rel=x href=\"/p/proxy/s/\"/>");
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for page in [
            "<a href=\"x/y\">",
            "<a href=\"http://elsewhere/x\">",
            "<a href=\"/p/proxy/x\">",
            "<a title=\"/x\" disabled>",
            "<p href=\"/x\">a < b & c</p><!-- <it's> -->",
            "<a href=\"/x",
            "<a href=\"//other/x\">",
            "plain",
        ] {
            check(page, page);
        }
    }
}
