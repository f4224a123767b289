//! Types of expressions, as far as schemas and literals tell: finds fields that do not exist and
//! operators that do not take what they are given.
//!
//! What is not known has the type `dyn`, which fits everywhere: a complaint is always right, silence is
//! no promise. Complaints are upstream's, in the order of the source.

use super::Program;
use super::ast::{BUILT_IN, Bind, Each, Expr, Node, Op};
use super::parse::complaint;
use super::value::Value;
use crate::object::schema::{Schema, Shape, Unknown};

/// What is known of a value.
#[derive(Clone)]
pub enum Type<'t> {
    Dyn,
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

    fn name(&self) -> String {
        match self {
            Self::Dyn => "dyn".into(),
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

    /// Whether it is only known when the expression runs.
    pub fn is_dyn(&self) -> bool {
        match self {
            Self::Dyn => true,
            Self::List(of) => of.is_dyn(),
            _ => false,
        }
    }

    fn is_number(&self) -> bool {
        matches!(self, Self::Int | Self::Uint | Self::Double)
    }

    /// Whether one may stand where the other is expected.
    fn fits(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Dyn, _) | (_, Self::Dyn) => true,
            (Self::Null, Self::Object(..) | Self::Duration | Self::Timestamp)
            | (Self::Object(..) | Self::Duration | Self::Timestamp, Self::Null) => true,
            (Self::List(a), Self::List(b)) => a.fits(b),
            (Self::Map(a, x), Self::Map(b, y)) => a.fits(b) && x.fits(y),
            // Objects compare as maps do.
            (Self::Object(..), Self::Object(..) | Self::Map(..)) | (Self::Map(..), Self::Object(..)) => true,
            (Self::Made(a), Self::Made(b)) => a == b,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b),
        }
    }

    /// What elements of different origin have in common.
    fn join(self, other: &Self) -> Self {
        let same = std::mem::discriminant(&self) == std::mem::discriminant(other) && self.name() == other.name();
        if same { self } else { Self::Dyn }
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
                found.unwrap_or(Type::Dyn)
            }
            Expr::Select { of, field, test, optional } => {
                let of = self.type_of(of);
                // `has` itself is where it begins; upstream points to its parenthesis.
                let at = if *test { node.at + "has".len() } else { node.at };
                let selected = self.select(&of, field, at);
                match (test, optional) {
                    (true, _) => Type::Bool,
                    (_, true) => Type::Dyn,
                    _ => selected,
                }
            }
            Expr::Index { of, key, optional } => {
                let (of, key) = (self.type_of(of), self.type_of(key));
                let found = match &of {
                    Type::List(item) if key.fits(&Type::Int) => (**item).clone(),
                    Type::Map(own, value) if key.fits(own) => (**value).clone(),
                    Type::Dyn | Type::Object(..) | Type::Names(_) => Type::Dyn,
                    _ => self.mismatch(node.at, "_[_]", &[&of, &key]),
                };
                if *optional { Type::Dyn } else { found }
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
                    Type::Dyn | Type::Int | Type::Double => of,
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
                        _ => Type::Dyn,
                    },
                    Each::TransformMap => Type::Dyn,
                }
            }
            Expr::Bind { kind, var, value, body } => {
                let value = self.type_of(value);
                let value = if *kind == Bind::Value { value } else { Type::Dyn };
                self.names.push((var.clone(), value));
                let of = self.type_of(body);
                self.names.pop();
                if *kind == Bind::Value { of } else { Type::Dyn }
            }
        }
    }

    fn select(&mut self, of: &Type<'t>, field: &str, at: usize) -> Type<'t> {
        let found = match of {
            Type::Dyn => Some(Type::Dyn),
            Type::Map(_, value) => Some((**value).clone()),
            Type::Object(schema, name) => {
                let field = super::unescape(field);
                schema.field(&field).map(|known| Type::of(schema.to(known.node), &format!("{name}.{field}")))
            }
            Type::Names(names) => names.iter().find(|(known, _)| known == field).map(|(_, of)| of.clone()),
            other => {
                self.found.push((at, format!("type '{}' does not support field selection", other.name())));
                return Type::Dyn;
            }
        };
        found.unwrap_or_else(|| {
            self.found.push((at, format!("undefined field '{field}'")));
            Type::Dyn
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

    /// Functions with simple types. Of the others nothing is known.
    fn call(&mut self, at: usize, of: Option<&Node>, name: &str, args: &[Node]) -> Type<'t> {
        let of = of.map(|of| self.type_of(of));
        let args: Vec<Type<'t>> = args.iter().map(|arg| self.type_of(arg)).collect();
        if of.is_none() && !super::functions::is_known(name) {
            self.undeclared(at + name.len(), name);
            return Type::Dyn;
        }
        let sized = |of: &Type<'_>| {
            matches!(of, Type::Dyn | Type::String | Type::Bytes | Type::List(_) | Type::Map(..) | Type::Object(..))
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
            _ => return Type::Dyn,
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
        Type::Dyn
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
        _ => Type::Dyn,
    }
}

fn common(types: Vec<Type<'_>>) -> Type<'_> {
    let mut types = types.into_iter();
    let Some(first) = types.next() else { return Type::Dyn };
    types.fold(first, |all, next| all.join(&next))
}

/// The variables of a macro, for the elements of `of`.
fn bound<'t>(of: &Type<'t>, vars: &[String]) -> Vec<(String, Type<'t>)> {
    let types = match (of, vars.len()) {
        (Type::List(item), 1) => vec![(**item).clone()],
        (Type::List(item), _) => vec![Type::Int, (**item).clone()],
        (Type::Map(key, _), 1) => vec![(**key).clone()],
        (Type::Map(key, value), _) => vec![(**key).clone(), (**value).clone()],
        _ => vec![Type::Dyn; vars.len()],
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
    use Type::{Bool, Bytes, Duration, Dyn, Int, List, Map, Object, String, Timestamp, Uint};
    let is_dyn = matches!(a, Dyn) || matches!(b, Dyn);
    match op {
        Op::Eq | Op::Ne => (a.fits(b) || a.is_number() && b.is_number()).then_some(Bool),
        Op::Lt | Op::Le | Op::Gt | Op::Ge => {
            let ordered =
                |of: &Type<'_>| of.is_number() || matches!(of, Dyn | Bool | String | Bytes | Duration | Timestamp);
            (ordered(a) && ordered(b) && (a.fits(b) || a.is_number() && b.is_number())).then_some(Bool)
        }
        Op::In => match b {
            Dyn => Some(Bool),
            List(item) => a.fits(item).then_some(Bool),
            Map(key, _) => a.fits(key).then_some(Bool),
            Object(..) => a.fits(&String).then_some(Bool),
            _ => None,
        },
        _ if is_dyn => Some(Dyn),
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
