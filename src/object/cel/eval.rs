//! Evaluation, within a budget.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ast::{Bind, Each, Expr, Node, Op};
use super::value::{Key, Value};
use super::{Env, OVER_BUDGET, OVER_LIMIT, RUN_COST_MAX, functions};

/// What is made while an expression runs costs as much as upstream counts for it.
const LIST_COST: u64 = 10;
const MAP_COST: u64 = 30;
const STRUCT_COST: u64 = 40;

pub struct Run<'a> {
    pub env: &'a Env<'a>,
    /// What it has cost so far.
    pub spent: u64,
    /// Variables of macros, the innermost last.
    pub locals: Vec<(String, Value)>,
}

type Outcome = Result<Value, String>;

impl Run<'_> {
    pub fn eval(&mut self, node: &Node) -> Outcome {
        self.pay(own_cost(&node.expr))?;
        match &node.expr {
            Expr::Literal(value) => Ok(value.clone()),
            Expr::Ident(name) => self.variable(name),
            Expr::Select { of, field, test, optional } => self.select(of, field, *test, *optional),
            Expr::Index { of, key, optional } => {
                let (of, key) = (self.eval(of)?, self.eval(key)?);
                self.index(of, &key, *optional)
            }
            Expr::Call { of, name, args } => self.call(of.as_deref(), name, args),
            Expr::List(items) => self.list(items),
            Expr::Map(entries) => self.map(entries),
            Expr::Struct { name, fields } => self.object(name, fields),
            Expr::And(a, b) => self.both(a, b, false),
            Expr::Or(a, b) => self.both(a, b, true),
            Expr::Choice(condition, yes, no) => match self.eval(condition)? {
                Value::Bool(true) => self.eval(yes),
                Value::Bool(false) => self.eval(no),
                _ => Err("no such overload".into()),
            },
            Expr::Not(inner) => match self.eval(inner)? {
                Value::Bool(flag) => Ok(Value::Bool(!flag)),
                _ => Err("no such overload".into()),
            },
            Expr::Negate(inner) => match self.eval(inner)? {
                Value::Int(number) => number.checked_neg().map(Value::Int).ok_or_else(|| "integer overflow".into()),
                Value::Double(number) => Ok(Value::Double(-number)),
                Value::Duration(nanos) => Ok(Value::Duration(-nanos)),
                _ => Err("no such overload".into()),
            },
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.eval(a)?, self.eval(b)?);
                self.pay(a.size_cost().min(b.size_cost()))?;
                binary(*op, &a, &b)
            }
            Expr::Each { of, what, vars, bodies } => self.each(of, *what, vars, bodies),
            Expr::Bind { kind, var, value, body } => self.bind(*kind, var, value, body),
        }
    }

    fn pay(&mut self, cost: u64) -> Result<(), String> {
        self.spent = self.spent.saturating_add(cost);
        if self.spent > RUN_COST_MAX { Err(OVER_LIMIT.into()) } else { Ok(()) }
    }

    fn variable(&mut self, name: &str) -> Outcome {
        if let Some((_, value)) = self.locals.iter().rev().find(|(own, _)| own == name) {
            return Ok(value.clone());
        }
        if let Some(value) = self.env.vars.get(name) {
            return Ok(value.clone());
        }
        match name {
            "bool" | "int" | "uint" | "double" | "string" | "bytes" | "list" | "map" | "null_type" | "type" => {
                Ok(Value::Type(name.into()))
            }
            _ => Err(format!("no such attribute(s): {name}")),
        }
    }

    fn select(&mut self, of: &Node, field: &str, test: bool, optional: bool) -> Outcome {
        if let (Expr::Ident(root), Some(lazy)) = (&of.expr, self.env.lazy)
            && root == "variables"
            && !self.env.vars.contains_key("variables")
        {
            return match lazy(field) {
                Some(_) if test => Ok(Value::Bool(true)),
                Some(outcome) => outcome,
                None => Err(format!("no such key: {field}")),
            };
        }
        let value = self.eval(of)?;
        match value {
            Value::Optional(None) if test => Ok(Value::Bool(false)),
            Value::Optional(None) => Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => {
                let found = field_of(&inner, field).cloned();
                if test { Ok(Value::Bool(found.is_some())) } else { Ok(Value::Optional(found.map(Arc::new))) }
            }
            Value::Map(_) | Value::Object(..) => match field_of(&value, field) {
                found if test => Ok(Value::Bool(found.is_some())),
                found if optional => Ok(Value::Optional(found.cloned().map(Arc::new))),
                Some(found) => Ok(found.clone()),
                None => Err(format!("no such key: {field}")),
            },
            _ => Err("no such overload".into()),
        }
    }

    fn index(&mut self, of: Value, key: &Value, optional: bool) -> Outcome {
        let (of, optional) = match of {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (inner.as_ref().clone(), true),
            other => (other, optional),
        };
        let (found, missing) = match (&of, key) {
            (Value::List(items), key) => {
                let at = match key.key() {
                    Some(Key::Int(at)) => at,
                    _ => return Err(format!("unsupported index type '{}' in list", key.type_name())),
                };
                let found = usize::try_from(at).ok().and_then(|at| items.get(at)).cloned();
                (found, format!("index out of bounds: {at}"))
            }
            (Value::Map(map) | Value::Object(_, map), key) => {
                let found = key.key().and_then(|key| map.get(&key)).cloned();
                (found, format!("no such key: {key}"))
            }
            _ => return Err("no such overload".into()),
        };
        match (found, optional) {
            (found, true) => Ok(Value::Optional(found.map(Arc::new))),
            (Some(found), false) => Ok(found),
            (None, false) => Err(missing),
        }
    }

    /// `&&` and `||`: an error on one side does not matter if the other decides.
    fn both(&mut self, a: &Node, b: &Node, decides: bool) -> Outcome {
        let left = self.eval(a).and_then(|value| value.bool().ok_or_else(|| "no such overload".to_owned()));
        if left == Ok(decides) {
            return Ok(Value::Bool(decides));
        }
        let right = self.eval(b).and_then(|value| value.bool().ok_or_else(|| "no such overload".to_owned()));
        match (left, right) {
            (_, Ok(flag)) if flag == decides => Ok(Value::Bool(decides)),
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
            _ => Ok(Value::Bool(!decides)),
        }
    }

    fn call(&mut self, of: Option<&Node>, name: &str, args: &[Node]) -> Outcome {
        let mut values = Vec::with_capacity(args.len() + 1);
        if let Some(of) = of {
            values.push(self.eval(of)?);
        }
        for arg in args {
            values.push(self.eval(arg)?);
        }
        self.pay(values.iter().map(Value::size_cost).sum())?;
        let called = match of {
            Some(_) => functions::method(name, &values, self.env.authorizer),
            None => functions::function(name, &values),
        };
        called.unwrap_or_else(|| Err("no such overload".into()))
    }

    fn list(&mut self, items: &[(Node, bool)]) -> Outcome {
        let mut list = Vec::with_capacity(items.len());
        for (item, optional) in items {
            match (self.eval(item)?, optional) {
                (Value::Optional(None), true) => (),
                (Value::Optional(Some(inner)), true) => list.push(inner.as_ref().clone()),
                (value, _) => list.push(value),
            }
        }
        Ok(Value::List(Arc::new(list)))
    }

    fn map(&mut self, entries: &[(Node, Node, bool)]) -> Outcome {
        let mut map = BTreeMap::new();
        for (key, value, optional) in entries {
            let key = self.eval(key)?;
            let key = key.key().ok_or_else(|| format!("unsupported key type: {}", key.type_name()))?;
            self.put(&mut map, key, value, *optional)?;
        }
        Ok(Value::Map(Arc::new(map)))
    }

    fn object(&mut self, name: &str, fields: &[(String, Node, bool)]) -> Outcome {
        let mut map = BTreeMap::new();
        for (field, value, optional) in fields {
            self.put(&mut map, Key::String(field.as_str().into()), value, *optional)?;
        }
        Ok(Value::Object(name.into(), Arc::new(map)))
    }

    fn put(&mut self, map: &mut BTreeMap<Key, Value>, key: Key, value: &Node, optional: bool) -> Result<(), String> {
        match (self.eval(value)?, optional) {
            (Value::Optional(None), true) => (),
            (Value::Optional(Some(inner)), true) => drop(map.insert(key, inner.as_ref().clone())),
            (value, _) => drop(map.insert(key, value)),
        }
        Ok(())
    }

    fn each(&mut self, of: &Node, what: Each, vars: &[String], bodies: &[Node]) -> Outcome {
        let of = self.eval(of)?;
        let is_map = matches!(of, Value::Map(_) | Value::Object(..));
        let items: Vec<(Value, Value)> = match &of {
            Value::List(items) => {
                items.iter().enumerate().map(|(at, item)| (Value::Int(at as i64), item.clone())).collect()
            }
            Value::Map(map) | Value::Object(_, map) => {
                map.iter().map(|(key, value)| (Value::from(key.clone()), value.clone())).collect()
            }
            _ => return Err("no such overload".into()),
        };
        let mut collected = Collected::new(what);
        for (key, value) in items {
            self.pay(step_cost(what))?;
            let before = self.locals.len();
            match vars {
                [one] => self.locals.push((one.clone(), if is_map { key.clone() } else { value.clone() })),
                [first, second, ..] => {
                    self.locals.push((first.clone(), key.clone()));
                    self.locals.push((second.clone(), value.clone()));
                }
                [] => (),
            }
            let item = if is_map { key.clone() } else { value };
            let outcome = self.step(what, &key, item, bodies, &mut collected);
            self.locals.truncate(before);
            if outcome? {
                break;
            }
        }
        collected.finish()
    }

    /// One element; says whether the rest does not matter any more.
    fn step(
        &mut self,
        what: Each,
        key: &Value,
        item: Value,
        bodies: &[Node],
        into: &mut Collected,
    ) -> Result<bool, String> {
        let Some((last, filters)) = bodies.split_last() else { return Ok(true) };
        if matches!(what, Each::Map | Each::TransformList | Each::TransformMap) {
            for filter in filters {
                if self.eval(filter)? != Value::Bool(true) {
                    return Ok(false);
                }
            }
            let value = self.eval(last)?;
            match key.key() {
                Some(key) if what == Each::TransformMap => drop(into.map.insert(key, value)),
                _ => into.list.push(value),
            }
            return Ok(false);
        }
        let held = self.eval(last).and_then(|value| value.bool().ok_or_else(|| "no such overload".to_owned()));
        match (what, held) {
            (Each::All, Ok(false)) => into.decided = Some(false),
            (Each::Exists, Ok(true)) => into.decided = Some(true),
            (Each::ExistsOne, Ok(true)) => into.count += 1,
            (Each::Filter, Ok(true)) => into.list.push(item),
            (Each::All | Each::Exists, Err(error)) if error != OVER_LIMIT && error != OVER_BUDGET => {
                into.error.get_or_insert(error);
            }
            (_, Err(error)) => return Err(error),
            _ => (),
        }
        Ok(into.decided.is_some())
    }

    fn bind(&mut self, kind: Bind, var: &str, value: &Node, body: &Node) -> Outcome {
        let value = self.eval(value)?;
        let bound = match (kind, value) {
            (Bind::Value, value) => value,
            (_, Value::Optional(Some(inner))) => inner.as_ref().clone(),
            (_, Value::Optional(None)) => return Ok(Value::Optional(None)),
            _ => return Err("no such overload".into()),
        };
        self.locals.push((var.to_owned(), bound));
        let outcome = self.eval(body);
        self.locals.pop();
        match kind {
            Bind::OptMap => outcome.map(|value| Value::Optional(Some(Arc::new(value)))),
            _ => outcome,
        }
    }
}

/// What an expression costs besides its parts.
fn own_cost(expr: &Expr) -> u64 {
    match expr {
        Expr::Literal(_) | Expr::And(..) | Expr::Or(..) | Expr::Choice(..) | Expr::Each { .. } | Expr::Bind { .. } => 0,
        Expr::Select { test, .. } => u64::from(!test),
        Expr::List(_) => LIST_COST,
        Expr::Map(_) => MAP_COST,
        Expr::Struct { .. } => STRUCT_COST,
        Expr::Ident(_) | Expr::Index { .. } | Expr::Call { .. } => 1,
        Expr::Not(_) | Expr::Negate(_) | Expr::Binary(..) => 1,
    }
}

/// What a macro costs for each element, besides its body: the names and calls that upstream puts around that.
fn step_cost(what: Each) -> u64 {
    match what {
        Each::All => 3,
        Each::Exists => 4,
        Each::ExistsOne | Each::TransformMap => 2,
        Each::Map | Each::Filter | Each::TransformList => LIST_COST + 2,
    }
}

/// What a macro has found so far.
struct Collected {
    what: Each,
    list: Vec<Value>,
    map: BTreeMap<Key, Value>,
    count: usize,
    decided: Option<bool>,
    error: Option<String>,
}

impl Collected {
    fn new(what: Each) -> Self {
        Self { what, list: Vec::new(), map: BTreeMap::new(), count: 0, decided: None, error: None }
    }

    fn finish(self) -> Outcome {
        match (self.what, self.decided, self.error) {
            (_, Some(decided), _) => Ok(Value::Bool(decided)),
            (_, None, Some(error)) => Err(error),
            (Each::All, ..) => Ok(Value::Bool(true)),
            (Each::Exists, ..) => Ok(Value::Bool(false)),
            (Each::ExistsOne, ..) => Ok(Value::Bool(self.count == 1)),
            (Each::TransformMap, ..) => Ok(Value::Map(Arc::new(self.map))),
            _ => Ok(Value::List(Arc::new(self.list))),
        }
    }
}

/// A field under its own name, or under the name that Kubernetes gives it in CEL.
fn field_of<'v>(value: &'v Value, field: &str) -> Option<&'v Value> {
    let (Value::Map(map) | Value::Object(_, map)) = value else { return None };
    let get = |name: &str| map.get(&Key::String(name.into()));
    get(field).or_else(|| if field.contains("__") { get(&unescape(field)) } else { None })
}

/// `__dash__` and its like stand for characters that names in CEL cannot have, `__if__` for words
/// that mean something else in CEL.
pub fn unescape(name: &str) -> String {
    const SIGNS: &[(&str, &str)] =
        &[("__underscores__", "__"), ("__dot__", "."), ("__dash__", "-"), ("__slash__", "/")];
    let mut out = String::new();
    let mut rest = name;
    'next: while !rest.is_empty() {
        for (escaped, plain) in SIGNS {
            if let Some(after) = rest.strip_prefix(escaped) {
                out.push_str(plain);
                rest = after;
                continue 'next;
            }
        }
        let c = rest.chars().next().unwrap_or_default();
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    match out.strip_prefix("__").and_then(|inner| inner.strip_suffix("__")) {
        Some(word) if !word.is_empty() => word.to_owned(),
        _ => out,
    }
}

fn binary(op: Op, a: &Value, b: &Value) -> Outcome {
    use std::cmp::Ordering;
    let compare = |test: fn(Ordering) -> bool| {
        a.order(b).map(|order| Value::Bool(test(order))).ok_or_else(|| "no such overload".to_owned())
    };
    match op {
        Op::Eq => Ok(Value::Bool(a == b)),
        Op::Ne => Ok(Value::Bool(a != b)),
        Op::Lt => compare(Ordering::is_lt),
        Op::Le => compare(Ordering::is_le),
        Op::Gt => compare(Ordering::is_gt),
        Op::Ge => compare(Ordering::is_ge),
        Op::In => match b {
            Value::List(items) => Ok(Value::Bool(items.contains(a))),
            Value::Map(map) | Value::Object(_, map) => {
                Ok(Value::Bool(a.key().is_some_and(|key| map.contains_key(&key))))
            }
            _ => Err("no such overload".into()),
        },
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Rem => arithmetic(op, a, b),
    }
}

fn arithmetic(op: Op, a: &Value, b: &Value) -> Outcome {
    let overflow = || "integer overflow".to_owned();
    match (op, a, b) {
        (Op::Div | Op::Rem, Value::Int(_), Value::Int(0)) | (Op::Div | Op::Rem, Value::Uint(_), Value::Uint(0)) => {
            Err(if op == Op::Div { "division by zero" } else { "modulus by zero" }.into())
        }
        (_, Value::Int(a), Value::Int(b)) => match op {
            Op::Add => a.checked_add(*b),
            Op::Sub => a.checked_sub(*b),
            Op::Mul => a.checked_mul(*b),
            Op::Div => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Int)
        .ok_or_else(overflow),
        (_, Value::Uint(a), Value::Uint(b)) => match op {
            Op::Add => a.checked_add(*b),
            Op::Sub => a.checked_sub(*b),
            Op::Mul => a.checked_mul(*b),
            Op::Div => a.checked_div(*b),
            _ => a.checked_rem(*b),
        }
        .map(Value::Uint)
        .ok_or_else(|| "unsigned integer overflow".to_owned()),
        (Op::Add, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a + b)),
        (Op::Sub, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a - b)),
        (Op::Mul, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a * b)),
        (Op::Div, Value::Double(a), Value::Double(b)) => Ok(Value::Double(a / b)),
        (Op::Add, Value::String(a), Value::String(b)) => Ok(Value::from(format!("{a}{b}"))),
        (Op::Add, Value::Bytes(a), Value::Bytes(b)) => Ok(Value::Bytes([a.as_ref(), b.as_ref()].concat().into())),
        (Op::Add, Value::List(a), Value::List(b)) => Ok(Value::list(a.iter().chain(b.iter()).cloned())),
        (Op::Add, Value::Timestamp(a), Value::Duration(b)) | (Op::Add, Value::Duration(b), Value::Timestamp(a)) => {
            Ok(Value::Timestamp(a + b))
        }
        (Op::Add, Value::Duration(a), Value::Duration(b)) => Ok(Value::Duration(a + b)),
        (Op::Sub, Value::Timestamp(a), Value::Timestamp(b)) | (Op::Sub, Value::Duration(a), Value::Duration(b)) => {
            Ok(Value::Duration(a - b))
        }
        (Op::Sub, Value::Timestamp(a), Value::Duration(b)) => Ok(Value::Timestamp(a - b)),
        _ => Err("no such overload".into()),
    }
}
