//! What an expression may cost at most, worked out from schemas before it ever runs.
//!
//! Definitions are refused for it, so the figures are upstream's to the last digit, with what is odd
//! about them: the size of a value is looked up by the path that leads to it from `self`, and what was made
//! on the way (a filtered list, a literal) has a path that begins anew.

mod decl;
mod library;
mod range;

use super::Program;
use super::ast::{Bind, Each, Expr, Node, Op};
use super::value::Value;
use range::{Range, TRAVERSAL, UNKNOWN, just};

pub use decl::Decl;
use decl::{KEY, Kind};

const MAP: u64 = 30;
const STRUCT: u64 = 40;
const LIST: u64 = 10;

/// What kind of value an expression gives, as far as costs depend on it.
#[derive(Clone, Debug)]
enum Of<'d> {
    Dyn,
    Bool,
    Scalar,
    String,
    Bytes,
    List(Box<Of<'d>>),
    Map(Box<Of<'d>>),
    Declared(&'d Decl),
}

impl<'d> Of<'d> {
    fn declared(decl: &'d Decl) -> Self {
        match &decl.kind {
            Kind::Dyn => Self::Dyn,
            Kind::Bool => Self::Bool,
            Kind::Scalar => Self::Scalar,
            Kind::String => Self::String,
            Kind::Bytes => Self::Bytes,
            Kind::List(items) => Self::list(Self::declared(items)),
            Kind::Map(values) => Self::Map(Box::new(Self::declared(values))),
            Kind::Object(_) => Self::Declared(decl),
        }
    }

    fn list(items: Self) -> Self {
        Self::List(Box::new(items))
    }

    /// Of the elements or values.
    fn items(&self) -> Self {
        match self {
            Self::List(items) | Self::Map(items) => (**items).clone(),
            _ => Self::Dyn,
        }
    }

    fn is_list(&self) -> bool {
        matches!(self, Self::List(_))
    }

    fn is_text(&self) -> bool {
        matches!(self, Self::String | Self::Bytes)
    }

    fn is_scalar(&self) -> bool {
        matches!(self, Self::Bool | Self::Scalar)
    }
}

/// Where a value stands, counted from the object that the rule is about.
#[derive(Clone, Copy, Debug)]
enum Place<'d> {
    /// It was made by the expression.
    Nowhere,
    At(&'d Decl),
    /// The schema knows no such place.
    Lost,
}

/// What is known of an expression.
#[derive(Clone, Debug)]
struct Estimate<'d> {
    cost: Range,
    of: Of<'d>,
    place: Place<'d>,
    size: Option<Range>,
    /// Of the elements of a list that was made, or of the values of a map.
    entries: Option<Range>,
    /// The number, if it is one that stands there.
    count: Option<u64>,
}

impl Estimate<'_> {
    /// Of an element of the list, by its place if it has one.
    fn element_size(&self) -> Range {
        match self.place {
            Place::At(decl) => decl.items().map_or(UNKNOWN, |items| Range { min: 0, max: items.max }),
            _ if self.of.items().is_scalar() => just(1),
            _ => UNKNOWN,
        }
    }
}

impl Program {
    /// What the expression may cost at most, about a `self` (and `oldSelf`) as declared.
    pub fn cost_max(&self, about: &Decl) -> u64 {
        Coster { root: about, locals: Vec::new() }.estimate(&self.root).cost.max
    }
}

/// A variable of a macro.
struct Local<'d> {
    name: String,
    of: Of<'d>,
    place: Place<'d>,
    size: Option<Range>,
    entries: Option<Range>,
}

struct Coster<'d> {
    root: &'d Decl,
    /// The innermost last.
    locals: Vec<Local<'d>>,
}

impl<'d> Coster<'d> {
    fn estimate(&mut self, node: &Node) -> Estimate<'d> {
        match &node.expr {
            Expr::Literal(value) => self.made(just(0), literal(value), Some(just(literal_size(value)))).counted(value),
            Expr::Ident(name) => self.ident(name),
            Expr::Select { of, field, test, optional } => {
                let inner = self.estimate(of);
                if *test {
                    return self.made(inner.cost, Of::Bool, None);
                }
                if *optional {
                    return self.made(inner.cost.plus(just(1)), Of::Dyn, None);
                }
                self.select(inner, field)
            }
            Expr::Index { of, key, .. } => {
                let (of, key) = (self.estimate(of), self.estimate(key));
                let cost = just(1).plus(of.cost).plus(key.cost);
                let place = self.step(of.place, Decl::items);
                let placed = self.placed(place, of.of.items(), None);
                Estimate { cost, size: of.entries.or(placed.size), ..placed }
            }
            Expr::Call { of, name, args } => self.call(of.as_deref(), name, args),
            Expr::List(items) => {
                let items: Vec<Estimate<'d>> = items.iter().map(|(item, _)| self.estimate(item)).collect();
                let cost = items.iter().fold(just(LIST), |sum, item| sum.plus(item.cost));
                let of = Of::list(items.first().map_or(Of::Dyn, |item| item.of.clone()));
                let entries = items.iter().map(|item| item.size.unwrap_or(UNKNOWN)).reduce(Range::or);
                let size = just(items.len() as u64);
                Estimate { entries: Some(entries.unwrap_or(just(0))), ..self.made(cost, of, Some(size)) }
            }
            Expr::Map(entries) => {
                let (mut cost, mut values, mut of) = (just(MAP), None::<Range>, Of::Dyn);
                for (key, value, _) in entries {
                    let (key, value) = (self.estimate(key), self.estimate(value));
                    cost = cost.plus(key.cost).plus(value.cost);
                    let size = value.size.unwrap_or(UNKNOWN);
                    values = Some(values.map_or(size, |known| known.or(size)));
                    of = value.of;
                }
                let size = just(entries.len() as u64);
                let made = self.made(cost, Of::Map(Box::new(of)), Some(size));
                Estimate { entries: Some(values.unwrap_or(just(0))), ..made }
            }
            Expr::Struct { fields, .. } => {
                let cost = fields.iter().fold(just(STRUCT), |sum, (_, value, _)| sum.plus(self.estimate(value).cost));
                self.made(cost, Of::Dyn, None)
            }
            Expr::And(a, b) | Expr::Or(a, b) => {
                let (a, b) = (self.estimate(a), self.estimate(b));
                // The second may never be looked at.
                let cost = Range { min: a.cost.min, max: a.cost.max.saturating_add(b.cost.max) };
                self.made(cost, Of::Bool, None)
            }
            Expr::Not(of) => {
                let cost = self.estimate(of).cost.plus(just(1));
                self.made(cost, Of::Bool, None)
            }
            Expr::Negate(of) if matches!(of.expr, Expr::Literal(_)) => self.made(just(0), Of::Scalar, Some(just(1))),
            Expr::Negate(of) => {
                let cost = self.estimate(of).cost.plus(just(1));
                self.made(cost, Of::Scalar, None)
            }
            Expr::Choice(condition, a, b) => {
                let [condition, a, b] = [condition, a, b].map(|node| self.estimate(node));
                let cost = condition.cost.plus(a.cost.or(b.cost));
                let size = a.size.unwrap_or(UNKNOWN).or(b.size.unwrap_or(UNKNOWN));
                let entries = a.entries.zip(b.entries).map(|(a, b)| a.or(b));
                Estimate { entries, ..self.made(cost, a.of, Some(size)) }
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.estimate(a), self.estimate(b));
                self.binary(*op, a, b)
            }
            Expr::Each { of, what, vars, bodies } => self.each(of, *what, vars, bodies),
            Expr::Bind { kind, var, value, body } => self.bind(*kind, var, value, body),
        }
    }

    /// A value that the expression made.
    fn made(&self, cost: Range, of: Of<'d>, size: Option<Range>) -> Estimate<'d> {
        let size = size.or_else(|| of.is_scalar().then_some(just(1)));
        Estimate { cost, of, place: Place::Nowhere, size, entries: None, count: None }
    }

    /// A value that stands somewhere; what the schema says of its size goes before what is known otherwise.
    fn placed(&self, place: Place<'d>, of: Of<'d>, known: Option<Range>) -> Estimate<'d> {
        let declared = match place {
            Place::At(decl) => Some(Range { min: 0, max: decl.max }),
            Place::Nowhere | Place::Lost => None,
        };
        let size = declared.or_else(|| of.is_scalar().then_some(just(1))).or(known);
        Estimate { cost: just(0), of, place, size, entries: None, count: None }
    }

    /// One step down from a place. What stands nowhere begins anew, at the root.
    fn step(&self, place: Place<'d>, down: impl Fn(&'d Decl) -> Option<&'d Decl>) -> Place<'d> {
        match place {
            Place::Nowhere => Place::At(self.root),
            Place::At(decl) => down(decl).map_or(Place::Lost, Place::At),
            Place::Lost => Place::Lost,
        }
    }

    fn ident(&self, name: &str) -> Estimate<'d> {
        match self.locals.iter().rev().find(|local| local.name == name) {
            Some(local) => Estimate {
                cost: just(1),
                entries: local.entries,
                ..self.placed(local.place, local.of.clone(), local.size)
            },
            None => Estimate { cost: just(1), ..self.placed(Place::At(self.root), Of::declared(self.root), None) },
        }
    }

    fn select(&self, inner: Estimate<'d>, field: &str) -> Estimate<'d> {
        let name = super::unescape(field);
        let of = match &inner.of {
            Of::Declared(decl) => decl.field(&name).map_or(Of::Dyn, Of::declared),
            Of::Map(values) => (**values).clone(),
            _ => Of::Dyn,
        };
        let cost = if matches!(inner.of, Of::Declared(_) | Of::Map(_)) { just(1) } else { just(0) };
        let place = self.step(inner.place, |decl| decl.field(&name));
        Estimate { cost: inner.cost.plus(cost), ..self.placed(place, of, None) }
    }

    fn call(&mut self, target: Option<&Node>, name: &str, args: &[Node]) -> Estimate<'d> {
        let args: Vec<Estimate<'d>> = args.iter().map(|arg| self.estimate(arg)).collect();
        if let ("dyn", None, [of]) = (name, target, args.as_slice()) {
            return Estimate { cost: of.cost.plus(just(1)), of: Of::Dyn, place: Place::Nowhere, ..of.clone() };
        }
        let target = target.map(|target| self.estimate(target));
        let called = library::call(name, target.as_ref(), &args);
        let cost = target.iter().chain(&args).fold(called.cost, |sum, part| sum.plus(part.cost));
        self.made(cost, called.of, called.size)
    }

    fn binary(&self, op: Op, a: Estimate<'d>, b: Estimate<'d>) -> Estimate<'d> {
        let sides = a.cost.plus(b.cost);
        let (left, right) = (a.size.unwrap_or(UNKNOWN), b.size.unwrap_or(UNKNOWN));
        let compared = || {
            let max = left.max.min(right.max);
            Range { min: u64::from(max > 0), max }.scaled(TRAVERSAL)
        };
        let is_open = matches!(a.of, Of::Dyn) && matches!(b.of, Of::Dyn);
        let is_text = a.of.is_text() || b.of.is_text();
        match op {
            Op::Eq | Op::Ne => self.made(sides.plus(compared()), Of::Bool, None),
            Op::Lt | Op::Le | Op::Gt | Op::Ge => {
                let own = if is_text {
                    compared()
                } else if is_open {
                    compared().or(just(1))
                } else {
                    just(1)
                };
                self.made(sides.plus(own), Of::Bool, None)
            }
            Op::In => {
                let own = match &b.of {
                    of if of.is_list() => right,
                    Of::Dyn => right.or(just(1)),
                    _ => just(1),
                };
                self.made(sides.plus(own), Of::Bool, None)
            }
            Op::Add => {
                let joined = left.plus(right);
                let entries = a.entries.zip(b.entries).map(|(a, b)| a.or(b));
                let is_list = a.of.is_list() || b.of.is_list();
                let (own, size) = match (is_text, is_list) {
                    (true, _) => (joined.scaled(TRAVERSAL), Some(joined)),
                    (false, true) => (just(1), Some(joined)),
                    _ if is_open => (joined.scaled(TRAVERSAL).or(just(1)), Some(joined)),
                    _ => (just(1), None),
                };
                let of = if matches!(a.of, Of::Dyn) { b.of } else { a.of };
                Estimate { entries, ..self.made(sides.plus(own), of, size) }
            }
            Op::Sub | Op::Mul | Op::Div | Op::Rem => self.made(sides.plus(just(1)), Of::Scalar, None),
        }
    }

    /// A macro over elements costs its steps, each the accumulator's condition and what the macro does to it.
    fn each(&mut self, of: &Node, what: Each, vars: &[String], bodies: &[Node]) -> Estimate<'d> {
        let over = self.estimate(of);
        let keys = Local { name: String::new(), of: Of::String, place: Place::Nowhere, size: None, entries: None };
        let is_list = over.of.is_list();
        let element = |name: &str| Local {
            name: name.to_owned(),
            of: over.of.items(),
            place: self.step(over.place, Decl::items),
            size: over.entries,
            ..keys.clone()
        };
        let key = |name: &str| {
            let to_key = |decl: &'d Decl| matches!(decl.kind, Kind::Map(_)).then_some(&KEY);
            let of = if is_list { Of::Scalar } else { Of::String };
            Local { name: name.to_owned(), of, place: self.step(over.place, to_key), ..keys.clone() }
        };
        let bound: Vec<Local<'d>> = match vars {
            [one] if is_list || matches!(over.of, Of::Dyn) => vec![element(one)],
            [one] => vec![key(one)],
            [first, second, ..] => vec![key(first), element(second)],
            [] => Vec::new(),
        };
        let before = self.locals.len();
        self.locals.extend(bound);
        let bodies: Vec<Estimate<'d>> = bodies.iter().map(|body| self.estimate(body)).collect();
        let variable = vars.first().map(|name| self.ident(name));
        self.locals.truncate(before);

        let count = over.size.unwrap_or(UNKNOWN);
        let last = bodies.last().map_or(just(0), |body| body.cost);
        let condition = bodies.first().map_or(just(0), |body| body.cost);
        let if_so = |does: Range| condition.plus(does.or(just(1)));
        let (own, step) = match what {
            Each::All => (1, Range { min: 1, max: last.max.saturating_add(1) }.plus(just(2))),
            Each::Exists => (1, Range { min: 1, max: last.max.saturating_add(1) }.plus(just(3))),
            Each::ExistsOne => (2, if_so(just(2))),
            Each::Filter => (LIST + 1, if_so(just(LIST + 3))),
            Each::Map | Each::TransformList if bodies.len() > 1 => (LIST + 1, if_so(last.plus(just(LIST + 2)))),
            Each::Map | Each::TransformList => (LIST + 1, last.plus(just(LIST + 2))),
            Each::TransformMap => (MAP + 1, last.plus(just(3))),
        };
        let cost = over.cost.plus(just(own)).plus(count.times(step));
        let made = |of: Of<'d>, from: Option<&Estimate<'d>>| {
            let entries = from.map(|from| just(0).or(from.size.unwrap_or(UNKNOWN)));
            Estimate { entries, ..self.made(cost, of, Some(count)) }
        };
        match what {
            Each::All | Each::Exists | Each::ExistsOne => self.made(cost, Of::Bool, Some(just(1))),
            Each::Filter => made(Of::list(over.of.items()), variable.as_ref()),
            Each::Map | Each::TransformList => {
                let of = bodies.last().map_or(Of::Dyn, |body| body.of.clone());
                made(Of::list(of), bodies.last())
            }
            Each::TransformMap => {
                let of = bodies.last().map_or(Of::Dyn, |body| body.of.clone());
                self.made(cost, Of::Map(Box::new(of)), Some(count))
            }
        }
    }

    fn bind(&mut self, kind: Bind, var: &str, value: &Node, body: &Node) -> Estimate<'d> {
        let value = self.estimate(value);
        let is_plain = kind == Bind::Value;
        self.locals.push(Local {
            name: var.to_owned(),
            of: if is_plain { value.of.clone() } else { Of::Dyn },
            place: if is_plain { value.place } else { Place::Nowhere },
            size: value.size.filter(|_| is_plain),
            entries: value.entries.filter(|_| is_plain),
        });
        let inner = self.estimate(body);
        self.locals.pop();
        let cost = value.cost.plus(inner.cost).plus(just(LIST));
        if is_plain {
            return Estimate { cost, place: Place::Nowhere, count: None, ..inner };
        }
        // It is asked whether there is a value, which is then taken out and what was made of it wrapped.
        let wrapped = if kind == Bind::OptMap { 1 } else { 0 };
        let cost = value.cost.plus(just(1)).plus(just(1).or(cost.plus(just(1 + wrapped))));
        self.made(cost, Of::Dyn, None)
    }
}

impl Estimate<'_> {
    fn counted(mut self, value: &Value) -> Self {
        self.count = match value {
            Value::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        };
        self
    }
}

impl Clone for Local<'_> {
    fn clone(&self) -> Self {
        Self { name: self.name.clone(), of: self.of.clone(), ..*self }
    }
}

fn literal<'d>(value: &Value) -> Of<'d> {
    match value {
        Value::Bool(_) => Of::Bool,
        Value::String(_) => Of::String,
        Value::Bytes(_) => Of::Bytes,
        Value::Int(_) | Value::Uint(_) | Value::Double(_) => Of::Scalar,
        _ => Of::Dyn,
    }
}

fn literal_size(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.chars().count() as u64,
        Value::Bytes(bytes) => bytes.len() as u64,
        _ => 1,
    }
}

#[cfg(test)]
mod tests;
