//! Lists and sets.

use std::cmp::Ordering;

use super::value::Value;

type Outcome = Result<Value, String>;

pub fn function(name: &str, args: &[Value]) -> Option<Outcome> {
    let (Value::List(a), Value::List(b)) = (args.first()?, args.get(1)?) else { return None };
    let all = |inner: &[Value], outer: &[Value]| inner.iter().all(|item| outer.contains(item));
    let held = match name {
        "sets.contains" => all(b, a),
        "sets.equivalent" => all(a, b) && all(b, a),
        "sets.intersects" => a.iter().any(|item| b.contains(item)),
        _ => return None,
    };
    Some(Ok(Value::Bool(held)))
}

pub fn method(items: &[Value], name: &str, args: &[Value]) -> Option<Outcome> {
    let at = |found: Option<usize>| Some(Ok(Value::Int(found.map_or(-1, |at| at as i64))));
    match (name, args) {
        ("isSorted", []) => {
            Some(Ok(Value::Bool(items.windows(2).all(|pair| pair[0].order(&pair[1]) != Some(Ordering::Greater)))))
        }
        ("sum", []) => Some(sum(items)),
        ("min", []) => Some(extreme(false, items).unwrap_or_else(|| Err("min called on empty list".into()))),
        ("max", []) => Some(extreme(true, items).unwrap_or_else(|| Err("max called on empty list".into()))),
        ("indexOf", [item]) => at(items.iter().position(|own| own == item)),
        ("lastIndexOf", [item]) => at(items.iter().rposition(|own| own == item)),
        ("join", []) => Some(join(items, "")),
        ("join", [Value::String(separator)]) => Some(join(items, separator)),
        ("reverse", []) => Some(Ok(Value::list(items.iter().rev().cloned()))),
        ("distinct", []) => {
            let mut kept: Vec<Value> = Vec::new();
            for item in items {
                if !kept.contains(item) {
                    kept.push(item.clone());
                }
            }
            Some(Ok(Value::list(kept)))
        }
        ("sort", []) => {
            let mut sorted = items.to_vec();
            sorted.sort_by(|a, b| a.order(b).unwrap_or(Ordering::Equal));
            Some(Ok(Value::list(sorted)))
        }
        ("slice", [Value::Int(from), Value::Int(to)]) => {
            let range = usize::try_from(*from).ok().zip(usize::try_from(*to).ok());
            let slice = range.and_then(|(from, to)| items.get(from..to));
            Some(
                slice
                    .map(|slice| Value::list(slice.iter().cloned()))
                    .ok_or_else(|| format!("cannot slice({from}, {to})")),
            )
        }
        ("flatten", []) => Some(Ok(Value::list(items.iter().flat_map(|item| match item {
            Value::List(inner) => inner.to_vec(),
            other => vec![other.clone()],
        })))),
        ("includes", [item]) => Some(Ok(Value::Bool(items.contains(item)))),
        _ => None,
    }
}

/// The greatest or least of values; `None` for none at all.
pub fn extreme(greatest: bool, items: &[Value]) -> Option<Outcome> {
    let items = match items {
        [Value::List(inner)] => inner.as_slice(),
        items => items,
    };
    let mut best = items.first()?;
    for item in items {
        match item.order(best) {
            Some(order) if order == (if greatest { Ordering::Greater } else { Ordering::Less }) => best = item,
            Some(_) => (),
            None => return Some(Err("no such overload".into())),
        }
    }
    Some(Ok(best.clone()))
}

fn sum(items: &[Value]) -> Outcome {
    let mut total = match items.first() {
        None | Some(Value::Int(_)) => Value::Int(0),
        Some(Value::Uint(_)) => Value::Uint(0),
        Some(Value::Double(_)) => Value::Double(0.0),
        Some(Value::Duration(_)) => Value::Duration(0),
        Some(_) => return Err("no such overload".into()),
    };
    for item in items {
        total = match (&total, item) {
            (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_add(*b).ok_or("integer overflow")?),
            (Value::Uint(a), Value::Uint(b)) => Value::Uint(a.checked_add(*b).ok_or("unsigned integer overflow")?),
            (Value::Double(a), Value::Double(b)) => Value::Double(a + b),
            (Value::Duration(a), Value::Duration(b)) => Value::Duration(a + b),
            _ => return Err("no such overload".into()),
        };
    }
    Ok(total)
}

fn join(items: &[Value], separator: &str) -> Outcome {
    let texts: Option<Vec<&str>> = items.iter().map(Value::str).collect();
    texts.map(|texts| Value::from(texts.join(separator))).ok_or_else(|| "no such overload".into())
}
