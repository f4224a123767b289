//! Types of expressions, as far as schemas and literals tell: finds fields that do not exist and
//! operators that do not take what they are given.
//!
//! `dyn` is what upstream calls `dyn`: known only when the expression runs. Where upstream knows more than is known
//! here the type is unknown, which fits everywhere: a complaint is always right, silence is no promise.
//! Complaints are upstream's, in the order of the source.

use super::Program;
use super::ast::{BUILT_IN, Bind, Each, Expr, Node, Op};
use super::parse::complaint;
use super::signatures::{self, AUTHORIZER, RESOURCE_CHECK};
use super::value::Value;
use crate::object::schema::{Schema, Shape, Unknown};

/// What is known of a value.
#[derive(Clone)]
pub enum Type<'t> {
    Dyn,
    /// Upstream may know better than we do.
    Unknown,
    /// Of elements of an empty list: whatever is wanted of it.
    Free,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Duration,
    Timestamp,
    List(Box<Type<'t>>),
    Optional(Box<Type<'t>>),
    /// A kind of the library's own, such as `kubernetes.Quantity`.
    Opaque(&'static str),
    Map(Box<Type<'t>>, Box<Type<'t>>),
    /// An object with the fields of a schema, and the name that complaints have for it.
    Object(Schema<'t>, String),
    /// `variables`, `request` and the like: names with their types.
    Names(Vec<(String, Type<'t>)>),
    /// What an expression makes itself: `Object{}`, `Object.spec{}`, `JSONPatch{}`.
    Made(String),
}

impl<'t> Type<'t> {
    /// The type of values of a schema. `name` is for complaints.
    pub fn of(schema: Schema<'t>, name: &str) -> Self {
        match schema.shape() {
            Shape::Struct { unknown: Unknown::Keep, .. } => Self::Dyn,
            Shape::Struct { .. } => Self::Object(schema, name.to_owned()),
            Shape::Map { values, .. } => {
                Self::Map(Box::new(Self::String), Box::new(Self::of(schema.to(*values), &format!("{name}.@elem"))))
            }
            Shape::List { items, .. } => Self::List(Box::new(Self::of(schema.to(*items), &format!("{name}.@idx")))),
            Shape::String | Shape::Quantity | Shape::Duration => Self::String,
            Shape::Bytes => Self::Bytes,
            Shape::Int32 | Shape::Int64 => Self::Int,
            Shape::Number => Self::Double,
            Shape::Bool => Self::Bool,
            Shape::Time | Shape::MicroTime => Self::Timestamp,
            Shape::IntOrString | Shape::Any(_) | Shape::SchemaOr { .. } => Self::Dyn,
        }
    }

    /// Of the variable that asks for rights.
    pub fn authorizer() -> Self {
        Self::Opaque(AUTHORIZER)
    }

    fn name(&self) -> String {
        match self {
            Self::Dyn | Self::Unknown | Self::Free => "dyn".into(),
            Self::Null => "null".into(),
            Self::Bool => "bool".into(),
            Self::Int => "int".into(),
            Self::Uint => "uint".into(),
            Self::Double => "double".into(),
            Self::String => "string".into(),
            Self::Bytes => "bytes".into(),
            Self::Duration => "google.protobuf.Duration".into(),
            Self::Timestamp => "google.protobuf.Timestamp".into(),
            Self::List(of) => format!("list({})", of.name()),
            Self::Optional(of) => format!("optional_type({})", of.name()),
            Self::Opaque(name) => (*name).into(),
            Self::Map(key, value) => format!("map({}, {})", key.name(), value.name()),
            Self::Object(_, name) => name.clone(),
            Self::Names(_) => "kubernetes.variables".into(),
            Self::Made(name) => name.clone(),
        }
    }

    /// The name that results of an expression go by.
    pub fn result_name(&self) -> String {
        if matches!(self, Self::Null) { "null_type".into() } else { self.name() }
    }

    /// Without what it is a list or an optional of.
    pub fn kind_name(&self) -> String {
        let name = self.name();
        match self {
            Self::List(_) | Self::Optional(_) | Self::Map(..) => {
                name[..name.find('(').unwrap_or(name.len())].to_owned()
            }
            Self::Object(..) => "map".into(),
            _ => name,
        }
    }

    /// Whether nothing is to be said of it.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::List(of) | Self::Optional(of) => of.is_unknown(),
            Self::Map(key, value) => key.is_unknown() || value.is_unknown(),
            _ => false,
        }
    }

    /// This, where it follows from `other` if that is known.
    pub fn unless_unknown(self, other: &Self) -> Self {
        if other.is_unknown() && matches!(self, Self::Dyn) { Self::Unknown } else { self }
    }

    fn is_open(&self) -> bool {
        matches!(self, Self::Dyn | Self::Unknown | Self::Free)
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether one may stand where the other is expected.
    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (a, b) if a.is_open() || b.is_open() => true,
            (Self::Null, Self::Object(..) | Self::Duration | Self::Timestamp)
            | (Self::Object(..) | Self::Duration | Self::Timestamp, Self::Null) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.fits(b),
            (Self::Opaque(a), Self::Opaque(b)) => a == b,
            (Self::Map(a, x), Self::Map(b, y)) => a.fits(b) && x.fits(y),
            // Objects compare as maps do.
            (Self::Object(..), Self::Object(..) | Self::Map(..)) | (Self::Map(..), Self::Object(..)) => true,
            (Self::Made(a), Self::Made(b)) => a == b,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }

    /// What elements of different origin have in common.
    pub fn join(self, other: &Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Free, other) => other.clone(),
            (own, Self::Free) => own,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.join(b))),
            (Self::Optional(a), Self::Optional(b)) => Self::Optional(Box::new(a.join(b))),
            (Self::Map(a, x), Self::Map(b, y)) => Self::Map(Box::new(a.join(b)), Box::new(x.join(y))),
            (own, other) => match own.name() == other.name() {
                true => own,
                false => Self::Dyn,
            },
        }
    }
}

/// Functions that tell of a string whether it is one of a kind.
const ASKS: &[&str] = &["isQuantity", "isIP", "isCIDR", "isURL", "isSemver"];

/// What names mean in an expression.
#[derive(Clone, Default)]
pub struct Scope<'t> {
    pub names: Vec<(String, Type<'t>)>,
}

impl Program {
    /// Checks the expression against what names are; gives its type and, one after the other, what is
    /// wrong with it.
    pub fn check<'t>(&self, source: &str, scope: &Scope<'t>) -> (Type<'t>, Vec<String>) {
        self.checked(source, scope, false)
    }

    /// Reads an expression that may only name what is in `scope`, and gives its type. The error is
    /// upstream's text: all that is wrong with it, in the order of the source.
    pub fn compile_typed<'t>(source: &str, scope: &Scope<'t>) -> Result<(Self, Type<'t>), String> {
        let program = Self::read(source)?;
        let (of, found) = program.checked(source, scope, true);
        if found.is_empty() { Ok((program, of)) } else { Err(found.join("\n")) }
    }

    fn checked<'t>(&self, source: &str, scope: &Scope<'t>, is_complete: bool) -> (Type<'t>, Vec<String>) {
        let mut checker = Checker { names: scope.names.clone(), is_complete, found: Vec::new() };
        let of = checker.type_of(&self.root);
        checker.found.sort_by_key(|(at, _)| *at);
        (of, checker.found.into_iter().map(|(at, message)| complaint(source, at, &message)).collect())
    }
}

struct Checker<'t> {
    /// The innermost last.
    names: Vec<(String, Type<'t>)>,
    /// Whether there are no other names.
    is_complete: bool,
    found: Vec<(usize, String)>,
}

impl<'t> Checker<'t> {
    fn type_of(&mut self, node: &Node) -> Type<'t> {
        match &node.expr {
            Expr::Literal(value) => literal(value),
            Expr::Ident(name) => {
                let found = self.names.iter().rev().find(|(known, _)| known == name).map(|(_, of)| of.clone());
                if found.is_none() && !BUILT_IN.contains(&name.as_str()) {
                    self.undeclared(node.at, name);
                }
                found.unwrap_or(Type::Unknown)
            }
            Expr::Select { of, field, test, optional } => {
                let of = self.type_of(of);
                // `has` itself is where it begins; upstream points to its parenthesis.
                let at = if *test { node.at + "has".len() } else { node.at };
                let selected = self.select(&of, field, at);
                match (test, optional) {
                    (true, _) => Type::Bool,
                    (_, true) if !matches!(selected, Type::Optional(_)) => Type::Optional(Box::new(selected)),
                    _ => selected,
                }
            }
            Expr::Index { of, key, optional } => {
                let (of, key) = (self.type_of(of), self.type_of(key));
                let found = match &of {
                    Type::List(item) if key.fits(&Type::Int) => (**item).clone(),
                    Type::Map(own, value) if key.fits(own) => (**value).clone(),
                    Type::Dyn => Type::Dyn,
                    Type::Unknown | Type::Free | Type::Object(..) | Type::Names(_) | Type::Optional(_) => Type::Unknown,
                    _ => self.mismatch(node.at, "_[_]", &[&of, &key]),
                };
                if *optional { Type::Optional(Box::new(found)) } else { found }
            }
            Expr::Call { of, name, args } => self.call(node.at, of.as_deref(), name, args),
            Expr::List(items) => {
                let types: Vec<Type<'t>> = items.iter().map(|(item, _)| self.type_of(item)).collect();
                Type::List(Box::new(common(types)))
            }
            Expr::Map(entries) => {
                let keys = entries.iter().map(|(key, ..)| self.type_of(key)).collect();
                let values = entries.iter().map(|(_, value, _)| self.type_of(value)).collect();
                Type::Map(Box::new(common(keys)), Box::new(common(values)))
            }
            Expr::Struct { name, fields } => {
                fields.iter().for_each(|(_, value, _)| drop(self.type_of(value)));
                Type::Made(name.clone())
            }
            Expr::And(a, b) => self.logic(node.at, "_&&_", &[a, b]),
            Expr::Or(a, b) => self.logic(node.at, "_||_", &[a, b]),
            Expr::Not(of) => self.logic(node.at, "!_", &[of]),
            Expr::Negate(of) => {
                let of = self.type_of(of);
                match of {
                    Type::Dyn | Type::Unknown | Type::Int | Type::Double => of,
                    of => self.mismatch(node.at, "-_", &[&of]),
                }
            }
            Expr::Choice(condition, a, b) => {
                let (condition, a, b) = (self.type_of(condition), self.type_of(a), self.type_of(b));
                if !condition.fits(&Type::Bool) || !a.fits(&b) {
                    return self.mismatch(node.at, "_?_:_", &[&condition, &a, &b]);
                }
                a.join(&b)
            }
            Expr::Binary(op, a, b) => {
                let (a, b) = (self.type_of(a), self.type_of(b));
                match result(*op, &a, &b) {
                    Some(of) => of,
                    None => self.mismatch(node.at, sign(*op), &[&a, &b]),
                }
            }
            Expr::Each { of, what, vars, bodies } => {
                let of = self.type_of(of);
                let bound = bound(&of, vars);
                let before = self.names.len();
                self.names.extend(bound);
                let last = bodies.iter().map(|body| self.type_of(body)).last().unwrap_or(Type::Dyn);
                self.names.truncate(before);
                match what {
                    Each::All | Each::Exists | Each::ExistsOne => Type::Bool,
                    Each::Map | Each::TransformList => Type::List(Box::new(last)),
                    Each::Filter => match of {
                        Type::List(item) => Type::List(item),
                        Type::Map(key, _) => Type::List(key),
                        Type::Dyn => Type::List(Box::new(Type::Dyn)),
                        _ => Type::Unknown,
                    },
                    Each::TransformMap => Type::Unknown,
                }
            }
            Expr::Bind { kind, var, value, body } => {
                let value = self.type_of(value);
                let value = match (kind, value) {
                    (Bind::Value, value) => value,
                    (_, Type::Optional(inner)) => *inner,
                    (_, Type::Dyn) => Type::Dyn,
                    _ => Type::Unknown,
                };
                self.names.push((var.clone(), value));
                let of = self.type_of(body);
                self.names.pop();
                if *kind == Bind::OptMap { Type::Optional(Box::new(of)) } else { of }
            }
        }
    }

    fn select(&mut self, of: &Type<'t>, field: &str, at: usize) -> Type<'t> {
        let found = match of {
            Type::Dyn => Some(Type::Dyn),
            Type::Unknown | Type::Free => Some(Type::Unknown),
            Type::Optional(inner) => match self.select(inner, field, at) {
                Type::Optional(selected) => Some(Type::Optional(selected)),
                selected => Some(Type::Optional(Box::new(selected))),
            },
            Type::Opaque(AUTHORIZER) if field == "requestResource" => Some(Type::Opaque(RESOURCE_CHECK)),
            Type::Map(_, value) => Some((**value).clone()),
            Type::Object(schema, name) => {
                let field = super::unescape(field);
                schema.field(&field).map(|known| Type::of(schema.to(known.node), &format!("{name}.{field}")))
            }
            Type::Names(names) => names.iter().find(|(known, _)| known == field).map(|(_, of)| of.clone()),
            other => {
                self.found.push((at, format!("type '{}' does not support field selection", other.name())));
                return Type::Unknown;
            }
        };
        found.unwrap_or_else(|| {
            self.found.push((at, format!("undefined field '{field}'")));
            Type::Unknown
        })
    }

    fn logic(&mut self, at: usize, sign: &str, sides: &[&Node]) -> Type<'t> {
        let types: Vec<Type<'t>> = sides.iter().map(|side| self.type_of(side)).collect();
        if !types.iter().all(|of| of.fits(&Type::Bool)) {
            self.mismatch(at, sign, &types.iter().collect::<Vec<_>>());
        }
        Type::Bool
    }

    fn undeclared(&mut self, at: usize, name: &str) {
        if self.is_complete {
            self.found.push((at, format!("undeclared reference to '{name}' (in container '')")));
        }
    }

    /// Functions with simple types take what they take; of the others it is only known what they give.
    fn call(&mut self, at: usize, of: Option<&Node>, name: &str, args: &[Node]) -> Type<'t> {
        let of = of.map(|of| self.type_of(of));
        let args: Vec<Type<'t>> = args.iter().map(|arg| self.type_of(arg)).collect();
        if of.is_none() && !super::functions::is_known(name) {
            self.undeclared(at + name.len(), name);
            return Type::Unknown;
        }
        let sized = |of: &Type<'_>| {
            of.is_open() || matches!(of, Type::String | Type::Bytes | Type::List(_) | Type::Map(..) | Type::Object(..))
        };
        let all: Vec<&Type<'t>> = of.iter().chain(&args).collect();
        let strings = || all.iter().all(|arg| arg.fits(&Type::String));
        let joins = || {
            let listed = all[0].fits(&Type::List(Box::new(Type::String)));
            listed && all[1..].iter().all(|arg| arg.fits(&Type::String))
        };
        let (takes, gives) = match (name, all.len()) {
            ("size", 1) => (sized(all[0]), Type::Int),
            ("startsWith" | "endsWith" | "contains" | "matches", 2) if of.is_some() => (strings(), Type::Bool),
            ("matches", 2) => (strings(), Type::Bool),
            ("lowerAscii" | "upperAscii" | "trim" | "reverse", 1) if of.is_some() => (strings(), Type::String),
            ("replace", 3) => (strings(), Type::String),
            ("split", 2) if of.is_some() => (strings(), Type::List(Box::new(Type::String))),
            ("join", 1 | 2) if of.is_some() => (joins(), Type::String),
            (known, 1) if of.is_none() && ASKS.contains(&known) => (strings(), Type::Bool),
            ("string", 1) => (true, Type::String),
            ("int", 1) => (true, Type::Int),
            ("uint", 1) => (true, Type::Uint),
            ("double", 1) => (true, Type::Double),
            ("bool", 1) => (true, Type::Bool),
            ("duration", 1) => (true, Type::Duration),
            ("timestamp", 1) => (true, Type::Timestamp),
            _ => {
                return match &of {
                    Some(of) => signatures::method(of, name, &args),
                    None => signatures::function(name, &args),
                };
            }
        };
        if takes {
            return gives;
        }
        // Upstream points to the parenthesis.
        let at = at + name.len() + usize::from(of.is_some());
        let names: Vec<String> = args.iter().map(Type::name).collect();
        let args = format!("({})", names.join(", "));
        let shown = of.map_or(args.clone(), |of| format!("{}.{args}", of.name()));
        self.found.push((at, format!("found no matching overload for '{name}' applied to '{shown}'")));
        gives
    }

    fn mismatch(&mut self, at: usize, sign: &str, types: &[&Type<'t>]) -> Type<'t> {
        let names: Vec<String> = types.iter().map(|of| of.name()).collect();
        self.found.push((at, format!("found no matching overload for '{sign}' applied to '({})'", names.join(", "))));
        Type::Unknown
    }
}

fn literal<'t>(value: &Value) -> Type<'t> {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::String(_) => Type::String,
        Value::Bytes(_) => Type::Bytes,
        _ => Type::Unknown,
    }
}

fn common(types: Vec<Type<'_>>) -> Type<'_> {
    let mut types = types.into_iter();
    let Some(first) = types.next() else { return Type::Free };
    types.fold(first, |all, next| all.join(&next))
}

/// The variables of a macro, for the elements of `of`.
fn bound<'t>(of: &Type<'t>, vars: &[String]) -> Vec<(String, Type<'t>)> {
    let types = match (of, vars.len()) {
        (Type::List(item), 1) => vec![(**item).clone()],
        (Type::List(item), _) => vec![Type::Int, (**item).clone()],
        (Type::Map(key, _), 1) => vec![(**key).clone()],
        (Type::Map(key, value), _) => vec![(**key).clone(), (**value).clone()],
        (Type::Dyn, _) => vec![Type::Dyn; vars.len()],
        _ => vec![Type::Unknown; vars.len()],
    };
    vars.iter().cloned().zip(types).collect()
}

fn sign(op: Op) -> &'static str {
    match op {
        Op::Add => "_+_",
        Op::Sub => "_-_",
        Op::Mul => "_*_",
        Op::Div => "_/_",
        Op::Rem => "_%_",
        Op::Eq => "_==_",
        Op::Ne => "_!=_",
        Op::Lt => "_<_",
        Op::Le => "_<=_",
        Op::Gt => "_>_",
        Op::Ge => "_>=_",
        Op::In => "@in",
    }
}

/// The type of `a op b`, if there is such a thing.
fn result<'t>(op: Op, a: &Type<'t>, b: &Type<'t>) -> Option<Type<'t>> {
    use Type::{Bool, Bytes, Duration, Dyn, Int, List, Map, Object, String, Timestamp, Uint, Unknown};
    match op {
        Op::Eq | Op::Ne => (a.fits(b) || a.is_number() && b.is_number()).then_some(Bool),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            let ordered = |of: &Type<'_>| {
                of.is_number() || of.is_open() || matches!(of, Bool | String | Bytes | Duration | Timestamp)
            };
            (ordered(a) && ordered(b) && (a.fits(b) || a.is_number() && b.is_number())).then_some(Bool)
        }
        Op::In => match b {
            open if open.is_open() => Some(Bool),
            List(item) => a.fits(item).then_some(Bool),
            Map(key, _) => a.fits(key).then_some(Bool),
            Object(..) => a.fits(&String).then_some(Bool),
            _ => None,
        },
        _ if a.is_open() && b.is_open() => Some(if a.is_unknown() || b.is_unknown() { Unknown } else { Dyn }),
        _ if a.is_open() || b.is_open() => with_dyn(op, a, b).map(|of| of.unless_unknown(a).unless_unknown(b)),
        Op::Add => match (a, b) {
            (Timestamp, Duration) | (Duration, Timestamp) => Some(Timestamp),
            (String, String) | (Bytes, Bytes) | (Duration, Duration) => Some(a.clone()),
            (List(x), List(y)) => x.fits(y).then(|| List(Box::new((**x).clone().join(y)))),
            _ => same_number(a, b),
        },
        Op::Sub => match (a, b) {
            (Timestamp, Timestamp) | (Duration, Duration) => Some(Duration),
            (Timestamp, Duration) => Some(Timestamp),
            _ => same_number(a, b),
        },
        Op::Mul | Op::Div => same_number(a, b),
        Op::Rem => matches!((a, b), (Int, Int) | (Uint, Uint)).then(|| a.clone()),
    }
}

/// As `result` where one side is open: what the operator can mean with the other, if that is one thing.
fn with_dyn<'t>(op: Op, a: &Type<'t>, b: &Type<'t>) -> Option<Type<'t>> {
    use Type::{Bytes, Duration, Dyn, Int, List, String, Timestamp, Uint};
    let (known, is_left) = if a.is_open() { (b, false) } else { (a, true) };
    match (op, known) {
        (Op::Rem, Int | Uint) => Some(known.clone()),
        (Op::Rem, _) => None,
        (_, of) if of.is_number() => Some(known.clone()),
        (Op::Add, String | Bytes | List(_) | Timestamp) => Some(known.clone()),
        (Op::Add, Duration) => Some(Dyn),
        (Op::Sub, Timestamp) => Some(if is_left { Dyn } else { Duration }),
        (Op::Sub, Duration) => Some(if is_left { Duration } else { Dyn }),
        _ => None,
    }
}

fn same_number<'t>(a: &Type<'t>, b: &Type<'t>) -> Option<Type<'t>> {
    (a.is_number() && a.fits(b)).then(|| a.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::schema::builtin;

    /// An expression about a Deployment, and what is wrong with it: columns and messages.
    fn check(source: &str, expected: &[&str]) {
        let schema = builtin().kind("apps/v1", "Deployment").unwrap();
        let object = Type::of(schema, "Deployment");
        let variables = Type::Names(vec![("replicas".into(), Type::Int)]);
        let names = vec![("object".into(), object), ("variables".into(), variables)];
        let program = Program::compile(source, &["object", "variables", "params"]).unwrap();
        let (_, found) = program.check(source, &Scope { names });
        let short =
            |text: &String| text.lines().next().unwrap_or_default().trim_start_matches("ERROR: <input>:").to_owned();
        assert_eq!(found.iter().map(short).collect::<Vec<_>>(), expected, "{source}");
    }

    #[test]
    fn fields_must_exist() {
        check("object.spec.replicas > 1 && object.metadata.name.startsWith('a')", &[]);
        check("object.spec.foo > 1", &["1:12: undefined field 'foo'"]);
        check("has(object.foo)", &["1:4: undefined field 'foo'"]);
        check("object.spec.template.spec.containers.all(c, c.imagee != '')", &["1:46: undefined field 'imagee'"]);
        check("object.metadata.labels.any == 'x' && object.metadata.labels['y'] == 'z'", &[]);
        check("object.spec.replicas.foo", &["1:21: type 'int' does not support field selection"]);
        check("variables.replicas > 1 && params.what == 2", &[]);
        check("variables.nothing > 1", &["1:10: undefined field 'nothing'"]);
    }

    #[test]
    fn operators_must_fit() {
        let no = "found no matching overload for";
        check("object.spec.replicas > '1'", &[&format!("1:22: {no} '_>_' applied to '(int, string)'")]);
        check("object.spec.replicas == '1'", &[&format!("1:22: {no} '_==_' applied to '(int, string)'")]);
        check("object.spec.replicas > 1.5", &[]);
        check("object.spec.paused == null", &[&format!("1:20: {no} '_==_' applied to '(bool, null)'")]);
        check("object.spec.strategy == null || 'a' in object.metadata.labels", &[]);
        check("1 in ['a']", &[&format!("1:3: {no} '@in' applied to '(int, list(string))'")]);
        check("object.spec.replicas && true", &[&format!("1:22: {no} '_&&_' applied to '(int, bool)'")]);
        check("object.metadata.name + 1 == 'x'", &[&format!("1:22: {no} '_+_' applied to '(string, int)'")]);
        check("true ? 1 : 'a'", &[&format!("1:6: {no} '_?_:_' applied to '(bool, int, string)'")]);
        check("object.spec.template.spec.containers[0].ports.exists(p, p.containerPort > 80)", &[]);
        check("object.spec.replicas.startsWith('a')", &[&format!("1:32: {no} 'startsWith' applied to 'int.(string)'")]);
        check("!object.spec.replicas", &[&format!("1:1: {no} '!_' applied to '(int)'")]);
    }
}
