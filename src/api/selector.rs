//! Selectors of queries: `labelSelector=a in (b,c),!d` and `fieldSelector=spec.nodeName=n1`.
//!
//! Grammar and complaints are upstream's, down to the places where it stops reading.

use std::collections::BTreeSet;

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, json};
use crate::object::{Status, StringMap};
use crate::resources::names::{is_label_value, is_qualified_name};

/// Requirements on labels, all of which must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelQuery(Vec<Requirement>);

#[derive(Clone, Debug, PartialEq)]
struct Requirement {
    key: String,
    operator: Operator,
    values: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    In,
    NotIn,
    Equals,
    NotEquals,
    Exists,
    DoesNotExist,
    Greater,
    Less,
}

const OPERATORS: &str = "in, notin, =, ==, !=, gt, lt";

impl LabelQuery {
    pub fn parse(text: &str) -> Result<Self, Status> {
        Parser { tokens: tokens(text), at: 0 }.parse().map(Self).map_err(Status::bad_request)
    }

    pub fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The requirements as access reviews have them; those they have no word for are left out.
    pub fn as_requirements(&self) -> Vec<Tree> {
        self.0.iter().filter_map(Requirement::as_tree).collect()
    }

    pub fn matches(&self, labels: &StringMap) -> bool {
        self.0.iter().all(|requirement| requirement.matches(labels))
    }
}

impl Requirement {
    fn as_tree(&self) -> Option<Tree> {
        let operator = match self.operator {
            Operator::In | Operator::Equals => "In",
            Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::NotEquals | Operator::Greater | Operator::Less => return None,
        };
        let mut requirement = json!({"key": self.key, "operator": operator});
        if !self.values.is_empty() {
            requirement["values"] = json!(self.values);
        }
        Some(requirement)
    }

    fn matches(&self, labels: &StringMap) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In | Operator::Equals => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn | Operator::NotEquals => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Greater => self.compare(value, |have, want| have > want),
            Operator::Less => self.compare(value, |have, want| have < want),
        }
    }

    fn compare(&self, value: Option<&str>, holds: impl Fn(i64, i64) -> bool) -> bool {
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
        number(value).zip(number(self.values.first().map(String::as_str))).is_some_and(|(have, want)| holds(have, want))
    }

    fn checked(key: String, operator: Operator, values: BTreeSet<String>) -> Result<Self, String> {
        let mut errors = FieldErrors::default();
        for complaint in is_qualified_name(&key) {
            errors.invalid("<nil>", key.as_str(), complaint);
        }
        if matches!(operator, Operator::Greater | Operator::Less) {
            for (at, value) in values.iter().enumerate().filter(|(_, value)| value.parse::<i64>().is_err()) {
                let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.invalid(format!("values[{at}]"), value.as_str(), why);
            }
        }
        for (at, value) in values.iter().enumerate() {
            for complaint in is_label_value(value) {
                errors.invalid(format!("values[{at}][{key}]"), value.as_str(), complaint);
            }
        }
        match errors.list.as_slice() {
            [] => Ok(Self { key, operator, values }),
            [one] => Err(format!("{}: {}", one.field, one.body)),
            many => {
                let lines: Vec<String> = many.iter().map(|error| format!("{}: {}", error.field, error.body)).collect();
                Err(format!("[{}]", lines.join(", ")))
            }
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token<'a> {
    Word(&'a str),
    /// One of `( ) , ! = == != < >`.
    Sign(&'a str),
    End,
}

impl<'a> Token<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::Word(text) | Self::Sign(text) => text,
            Self::End => "",
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    const SIGNS: &[char] = &['=', '!', '(', ')', ',', '>', '<'];
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let len = match rest.starts_with(SIGNS) {
            true if rest.starts_with("==") || rest.starts_with("!=") => 2,
            true => 1,
            false => rest.find(|c: char| c.is_whitespace() || SIGNS.contains(&c)).unwrap_or(rest.len()),
        };
        let (token, tail) = rest.split_at(len);
        found.push(if token.starts_with(SIGNS) { Token::Sign(token) } else { Token::Word(token) });
        rest = tail.trim_start();
    }
    found
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn look(&self) -> Token<'a> {
        self.tokens.get(self.at).cloned().unwrap_or(Token::End)
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.look();
        self.at += 1;
        token
    }

    fn parse(mut self) -> Result<Vec<Requirement>, String> {
        let mut requirements = Vec::new();
        loop {
            match self.look() {
                Token::End => return Ok(requirements),
                Token::Word(_) | Token::Sign("!") => (),
                other => return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.text())),
            }
            requirements.push(self.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?);
            match self.take() {
                Token::End => return Ok(requirements),
                Token::Sign(",") => match self.look() {
                    Token::Word(_) | Token::Sign("!") => (),
                    other => return Err(format!("found '{}', expected: identifier after ','", other.text())),
                },
                other => return Err(format!("found '{}', expected: ',' or 'end of string'", other.text())),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let negated = self.look() == Token::Sign("!");
        if negated {
            self.take();
        }
        let key = match self.take() {
            Token::Word(key) => key.to_owned(),
            other => return Err(format!("found '{}', expected: identifier", other.text())),
        };
        let alone = matches!(self.look(), Token::End | Token::Sign(","));
        if negated || alone {
            let operator = if negated { Operator::DoesNotExist } else { Operator::Exists };
            return Requirement::checked(key, operator, BTreeSet::new());
        }
        Requirement::checked(key.clone(), Operator::Exists, BTreeSet::new())?;
        let operator = match self.take() {
            Token::Word("in") => Operator::In,
            Token::Word("notin") => Operator::NotIn,
            Token::Sign("=" | "==") => Operator::Equals,
            Token::Sign("!=") => Operator::NotEquals,
            Token::Sign(">") => Operator::Greater,
            Token::Sign("<") => Operator::Less,
            other => return Err(format!("found '{}', expected: {OPERATORS}", other.text())),
        };
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => self.value()?,
        };
        Requirement::checked(key, operator, values)
    }

    fn value(&mut self) -> Result<BTreeSet<String>, String> {
        match self.look() {
            Token::End | Token::Sign(",") => Ok([String::new()].into()),
            Token::Word(value) => {
                self.take();
                Ok([value.to_owned()].into())
            }
            other => Err(format!("found '{}', expected: identifier", other.text())),
        }
    }

    fn values(&mut self) -> Result<BTreeSet<String>, String> {
        match self.take() {
            Token::Sign("(") => (),
            other => return Err(format!("found '{}' expected: '('", other.text())),
        }
        let mut values = BTreeSet::new();
        match self.look() {
            Token::Word(_) | Token::Sign(",") => (),
            Token::Sign(")") => {
                self.take();
                return Ok(values);
            }
            other => return Err(format!("found '{}', expected: ',', ')' or identifier", other.text())),
        }
        loop {
            match self.take() {
                Token::Word(value) => {
                    values.insert(value.to_owned());
                    match self.look() {
                        Token::Sign(",") => (),
                        Token::Sign(")") => break,
                        other => return Err(format!("found '{}', expected: ',' or ')'", other.text())),
                    }
                }
                Token::Sign(",") => {
                    if values.is_empty() {
                        values.insert(String::new());
                    }
                    match self.look() {
                        Token::Sign(")") => {
                            values.insert(String::new());
                            break;
                        }
                        Token::Sign(",") => {
                            self.take();
                            values.insert(String::new());
                        }
                        _ => (),
                    }
                }
                other => return Err(format!("found '{}', expected: ',', or identifier", other.text())),
            }
        }
        self.take();
        Ok(values)
    }
}

/// One term of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    pub field: String,
    pub value: String,
    /// `!=`.
    pub negated: bool,
}

/// Takes a field selector apart. Which fields there are is not known here.
pub fn field_terms(text: &str) -> Result<Vec<FieldTerm>, Status> {
    split_terms(text).into_iter().filter(|term| !term.is_empty()).map(|term| field_term(text, term)).collect()
}

/// Splits at commas that no backslash protects.
fn split_terms(text: &str) -> Vec<&str> {
    let mut terms = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..at]);
                start = at + 1;
            }
            _ => (),
        }
    }
    terms.push(&text[start..]);
    terms
}

fn field_term(whole: &str, term: &str) -> Result<FieldTerm, Status> {
    let bad = || Status::bad_request(format!("invalid selector: '{whole}'; can't understand '{term}'"));
    let at = term.find(['=', '!']).ok_or_else(bad)?;
    let (operator, len) = match &term[at..] {
        tail if tail.starts_with("!=") => (true, 2),
        tail if tail.starts_with("==") => (false, 2),
        tail if tail.starts_with('=') => (false, 1),
        _ => return Err(bad()),
    };
    let value = unescape(&term[at + len..])?;
    Ok(FieldTerm { field: term[..at].to_owned(), value, negated: operator })
}

/// Resolves `\\`, `\,` and `\=`; nothing else may be escaped, and those must be.
fn unescape(text: &str) -> Result<String, Status> {
    let bad =
        |c: char| Status::bad_request(format!("invalid field selector: unescaped character in value: {}", c as u32));
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let shown = other.map(String::from).unwrap_or_default();
                    let why = format!("invalid field selector: invalid escape sequence: \\{shown}");
                    return Err(Status::bad_request(why));
                }
            },
            ',' | '=' => return Err(bad(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &[(&str, &str)]) -> bool {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        LabelQuery::parse(selector).unwrap().matches(&labels)
    }

    #[test]
    fn all_requirements_must_hold() {
        assert!(selects("", &[]));
        assert!(selects("a=1,b in (x,y),!c,d notin (z),e!=2", &[("a", "1"), ("b", "y")]));
        assert!(!selects("a,!b", &[("a", ""), ("b", "")]));
        assert!(selects("n>3", &[("n", "4")]) && !selects("n<3", &[("n", "x")]));
        assert!(selects("in in (in)", &[("in", "in")]));
    }

    #[test]
    fn bad_selectors_are_explained_in_upstreams_words() {
        let said = |selector: &str| LabelQuery::parse(selector).unwrap_err().message;
        assert_eq!(said("a===b"), "unable to parse requirement: found '=', expected: identifier");
        assert_eq!(said("in ("), format!("unable to parse requirement: found '(', expected: {OPERATORS}"));
        assert_eq!(said("a in b"), "unable to parse requirement: found 'b' expected: '('");
        assert_eq!(said(","), "found ',', expected: !, identifier, or 'end of string'");
        assert_eq!(said("a,,b"), "found ',', expected: identifier after ','");
    }

    #[test]
    fn fields_are_compared_and_commas_escaped() {
        let terms = field_terms("spec.nodeName=n1,metadata.name!=a\\,b").unwrap();
        assert_eq!(terms[0], FieldTerm { field: "spec.nodeName".into(), value: "n1".into(), negated: false });
        assert_eq!((terms[1].value.as_str(), terms[1].negated), ("a,b", true));
        assert!(field_terms("metadata.name in (a)").is_err());
    }
}
