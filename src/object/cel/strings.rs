//! Texts: searching, cutting, joining, formatting, regular expressions.

use super::value::Value;
use crate::object::schema::custom::compile_pattern;

type Outcome = Result<Value, String>;

pub fn function(name: &str, args: &[Value]) -> Option<Outcome> {
    match (name, args) {
        ("strings.quote", [Value::String(text)]) => Some(Ok(Value::from(format!("{text:?}")))),
        ("matches" | "contains" | "startsWith" | "endsWith", [Value::String(text), rest @ ..]) => {
            method(text, name, rest)
        }
        _ => None,
    }
}

pub fn method(text: &str, name: &str, args: &[Value]) -> Option<Outcome> {
    let some = |value: Value| Some(Ok(value));
    match (name, args) {
        ("contains", [Value::String(part)]) => some(Value::Bool(text.contains(part.as_ref()))),
        ("startsWith", [Value::String(part)]) => some(Value::Bool(text.starts_with(part.as_ref()))),
        ("endsWith", [Value::String(part)]) => some(Value::Bool(text.ends_with(part.as_ref()))),
        ("matches", [Value::String(pattern)]) => Some(regex(pattern).map(|regex| Value::Bool(regex.is_match(text)))),
        ("find", [Value::String(pattern)]) => {
            Some(regex(pattern).map(|regex| Value::from(regex.find(text).map_or("", |found| found.as_str()))))
        }
        ("findAll", [Value::String(pattern)]) => Some(find_all(text, pattern, None)),
        ("findAll", [Value::String(pattern), Value::Int(limit)]) => {
            Some(find_all(text, pattern, usize::try_from(*limit).ok()))
        }
        ("charAt", [Value::Int(at)]) => Some(char_at(text, *at)),
        ("indexOf", [Value::String(part)]) => some(index(text, part, 0, false)),
        ("indexOf", [Value::String(part), Value::Int(from)]) => some(index(text, part, *from, false)),
        ("lastIndexOf", [Value::String(part)]) => some(index(text, part, 0, true)),
        ("lowerAscii", []) => some(Value::from(text.to_ascii_lowercase())),
        ("upperAscii", []) => some(Value::from(text.to_ascii_uppercase())),
        ("reverse", []) => some(Value::from(text.chars().rev().collect::<String>())),
        ("trim", []) => some(Value::from(text.trim())),
        ("replace", [Value::String(from), Value::String(to)]) => some(Value::from(text.replace(from.as_ref(), to))),
        ("replace", [Value::String(from), Value::String(to), Value::Int(limit)]) => {
            some(match usize::try_from(*limit) {
                Ok(limit) => Value::from(text.replacen(from.as_ref(), to, limit)),
                Err(_) => Value::from(text.replace(from.as_ref(), to)),
            })
        }
        ("split", [Value::String(separator)]) => some(split(text, separator, -1)),
        ("split", [Value::String(separator), Value::Int(limit)]) => some(split(text, separator, *limit)),
        ("substring", [Value::Int(from)]) => Some(substring(text, *from, text.chars().count() as i64)),
        ("substring", [Value::Int(from), Value::Int(to)]) => Some(substring(text, *from, *to)),
        ("format", [Value::List(args)]) => Some(format(text, args)),
        _ => None,
    }
}

fn regex(pattern: &str) -> Result<regex::Regex, String> {
    compile_pattern(pattern).map_err(|error| format!("error parsing regexp: {error}"))
}

fn find_all(text: &str, pattern: &str, limit: Option<usize>) -> Outcome {
    let regex = regex(pattern)?;
    let all = regex.find_iter(text).map(|found| Value::from(found.as_str()));
    Ok(Value::list(all.take(limit.unwrap_or(usize::MAX))))
}

fn char_at(text: &str, at: i64) -> Outcome {
    let len = text.chars().count() as i64;
    match usize::try_from(at) {
        Ok(_) if at == len => Ok(Value::from("")),
        Ok(index) if at < len => Ok(Value::from(text.chars().skip(index).take(1).collect::<String>())),
        _ => Err(format!("index out of range: {at}")),
    }
}

/// Where `part` is, counted in characters; -1 for nowhere.
fn index(text: &str, part: &str, from: i64, last: bool) -> Value {
    let start = text.char_indices().nth(usize::try_from(from).unwrap_or(0)).map_or(text.len(), |(at, _)| at);
    let rest = &text[start..];
    let found = if last { rest.rfind(part) } else { rest.find(part) };
    Value::Int(found.map_or(-1, |at| text[..start + at].chars().count() as i64))
}

fn split(text: &str, separator: &str, limit: i64) -> Value {
    let pieces = |iterator: &mut dyn Iterator<Item = &str>| Value::list(iterator.map(Value::from));
    match (separator, usize::try_from(limit)) {
        (_, Ok(0)) => Value::list([]),
        ("", _) => Value::list(text.chars().map(|c| Value::from(c.to_string()))),
        (_, Ok(limit)) => pieces(&mut text.splitn(limit, separator)),
        (_, Err(_)) => pieces(&mut text.split(separator)),
    }
}

fn substring(text: &str, from: i64, to: i64) -> Outcome {
    let len = text.chars().count() as i64;
    if from < 0 || to > len || from > to {
        return Err(format!("invalid substring range. start: {from}, end: {to}"));
    }
    Ok(Value::from(text.chars().skip(from as usize).take((to - from) as usize).collect::<String>()))
}

/// `'%s is %d'.format([a, b])`.
fn format(template: &str, args: &[Value]) -> Outcome {
    let mut out = String::new();
    let mut chars = template.chars().peekable();
    let mut next = args.iter();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut precision = None;
        if chars.peek() == Some(&'.') {
            chars.next();
            let digits: String = std::iter::from_fn(|| chars.next_if(char::is_ascii_digit)).collect();
            precision = digits.parse::<usize>().ok();
        }
        let verb = chars.next().ok_or("unexpected end of format string")?;
        if verb == '%' {
            out.push('%');
            continue;
        }
        let arg = next.next().ok_or_else(|| format!("index {} out of range", args.len()))?;
        let number = match arg {
            Value::Int(number) => *number as f64,
            Value::Uint(number) => *number as f64,
            Value::Double(number) => *number,
            _ => 0.0,
        };
        out.push_str(&match (verb, arg) {
            ('s', arg) => arg.to_string(),
            ('d', Value::Int(_) | Value::Uint(_)) => arg.to_string(),
            ('f', Value::Int(_) | Value::Uint(_) | Value::Double(_)) => format!("{number:.*}", precision.unwrap_or(6)),
            ('e', Value::Int(_) | Value::Uint(_) | Value::Double(_)) => format!("{number:.*e}", precision.unwrap_or(6)),
            ('b', Value::Int(number)) => format!("{number:b}"),
            ('b', Value::Bool(flag)) => u8::from(*flag).to_string(),
            ('x', Value::Int(number)) => format!("{number:x}"),
            ('X', Value::Int(number)) => format!("{number:X}"),
            ('x', Value::String(text)) => text.bytes().map(|b| format!("{b:02x}")).collect(),
            ('o', Value::Int(number)) => format!("{number:o}"),
            _ => return Err(format!("could not convert argument of type {} with %{verb}", arg.type_name())),
        });
    }
    Ok(Value::from(out))
}
