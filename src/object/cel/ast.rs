//! Expressions, with the place in the source that each begins at.

use super::value::Value;

#[derive(Debug)]
pub struct Node {
    pub expr: Expr,
    /// Byte offset in the source.
    pub at: usize,
    /// How many nodes are inside of each other here.
    pub nested: usize,
}

#[derive(Debug)]
pub enum Expr {
    Literal(Value),
    Ident(String),
    /// `of.field`, `of.?field`, or with `test` `has(of.field)`.
    Select {
        of: Box<Node>,
        field: String,
        test: bool,
        optional: bool,
    },
    Index {
        of: Box<Node>,
        key: Box<Node>,
        optional: bool,
    },
    Call {
        of: Option<Box<Node>>,
        name: String,
        args: Vec<Node>,
    },
    /// Elements, and whether each is `?element`.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Struct {
        name: String,
        fields: Vec<(String, Node, bool)>,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Choice(Box<Node>, Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    Binary(Op, Box<Node>, Box<Node>),
    /// `of.all(v, …)` and its like; the variables are bound in the bodies.
    Each {
        of: Box<Node>,
        what: Each,
        vars: Vec<String>,
        bodies: Vec<Node>,
    },
    /// `cel.bind(v, value, body)`, `of.optMap(v, body)`, `of.optFlatMap(v, body)`.
    Bind {
        kind: Bind,
        var: String,
        value: Box<Node>,
        body: Box<Node>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Each {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformList,
    TransformMap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bind {
    Value,
    OptMap,
    OptFlatMap,
}

/// Names that stand for types and for the roots of function names.
pub const BUILT_IN: &[&str] = &[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "dyn",
    "cel",
    "optional",
    "optional_type",
    "sets",
    "base64",
    "strings",
    "format",
    "jsonpatch",
    "math",
    "google",
    "Object",
    "JSONPatch",
    "ip",
    "cidr",
];

impl Node {
    pub fn new(expr: Expr, at: usize) -> Self {
        let mut node = Self { expr, at, nested: 0 };
        node.nested = 1 + node.children().iter().map(|child| child.nested).max().unwrap_or_default();
        node
    }

    fn children(&self) -> Vec<&Self> {
        match &self.expr {
            Expr::Literal(_) | Expr::Ident(_) => Vec::new(),
            Expr::Select { of, .. } | Expr::Not(of) | Expr::Negate(of) => vec![of],
            Expr::Index { of, key, .. } => vec![of, key],
            Expr::Call { of, args, .. } => of.iter().map(AsRef::as_ref).chain(args).collect(),
            Expr::List(items) => items.iter().map(|(item, _)| item).collect(),
            Expr::Map(entries) => entries.iter().flat_map(|(key, value, _)| [key, value]).collect(),
            Expr::Struct { fields, .. } => fields.iter().map(|(_, value, _)| value).collect(),
            Expr::And(a, b) | Expr::Or(a, b) | Expr::Binary(_, a, b) => vec![a, b],
            Expr::Choice(a, b, c) => vec![a, b, c],
            Expr::Each { of, bodies, .. } => std::iter::once(of.as_ref()).chain(bodies).collect(),
            Expr::Bind { value, body, .. } => vec![value, body],
        }
    }

    pub fn refers_to(&self, name: &str) -> bool {
        matches!(&self.expr, Expr::Ident(own) if own == name)
            || self.children().iter().any(|child| child.refers_to(name))
    }

    /// Complains of the first name that is not known.
    pub fn check_names(&self, source: &str, known: &mut Vec<String>) -> Result<(), String> {
        match &self.expr {
            Expr::Ident(name) if !known.contains(name) && !BUILT_IN.contains(&name.as_str()) => {
                let message = format!("undeclared reference to '{name}' (in container '')");
                Err(super::parse::complaint(source, self.at, &message))
            }
            Expr::Call { of: None, name, .. } if !super::functions::is_known(name) => {
                let message = format!("undeclared reference to '{name}' (in container '')");
                // Upstream points to the parenthesis.
                Err(super::parse::complaint(source, self.at + name.len(), &message))
            }
            Expr::Each { of, vars, bodies, .. } => {
                of.check_names(source, known)?;
                let before = known.len();
                known.extend(vars.iter().cloned());
                let checked = bodies.iter().try_for_each(|body| body.check_names(source, known));
                known.truncate(before);
                checked
            }
            Expr::Bind { var, value, body, .. } => {
                value.check_names(source, known)?;
                known.push(var.clone());
                let checked = body.check_names(source, known);
                known.pop();
                checked
            }
            _ => self.children().iter().try_for_each(|child| child.check_names(source, known)),
        }
    }
}

impl Node {
    /// The names of a chain such as `self.spec.name`, outermost first; `None` for anything else.
    fn chain(&self) -> Option<Vec<&str>> {
        match &self.expr {
            Expr::Ident(name) => Some(vec![name]),
            Expr::Select { of, field, .. } => {
                let mut chain = of.chain()?;
                chain.push(field);
                Some(chain)
            }
            _ => None,
        }
    }

    /// Complains of the first field below the variable `root` that `is_known` does not know, given the
    /// names on the way to it.
    pub fn check_fields(&self, source: &str, root: &str, is_known: &dyn Fn(&[&str]) -> bool) -> Result<(), String> {
        self.children().iter().try_for_each(|child| child.check_fields(source, root, is_known))?;
        let Expr::Select { field, .. } = &self.expr else { return Ok(()) };
        match self.chain() {
            Some(chain) if chain[0] == root && !is_known(&chain[1..]) => {
                Err(super::parse::complaint(source, self.at, &format!("undefined field '{field}'")))
            }
            _ => Ok(()),
        }
    }
}
