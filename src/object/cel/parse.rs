//! Tokens into expressions; macros become nodes of their own.

use super::ast::{Bind, Each, Expr, Node, Op};
use super::lex::{Token, tokens};
use super::value::Value;

/// Deeper expressions are refused.
const DEPTH_MAX: usize = 96;
/// As are those with more nested in each other without parentheses (`a.b.c`, `1 + 1 + 1`): whoever walks
/// the tree needs stack for it. (`&&` and `||` make flat trees.)
const NESTED_MAX: usize = 200;

/// Operators that stand between two operands, by how tightly they bind.
const LEVELS: &[&[(&str, Op)]] = &[
    &[("==", Op::Eq), ("!=", Op::Ne), ("<=", Op::Le), (">=", Op::Ge), ("<", Op::Lt), (">", Op::Gt)],
    &[("+", Op::Add), ("-", Op::Sub)],
    &[("*", Op::Mul), ("/", Op::Div), ("%", Op::Rem)],
];

/// A complaint about a place in the source, as upstream shows it.
pub fn complaint(source: &str, at: usize, message: &str) -> String {
    let before = &source[..at.min(source.len())];
    let line = before.matches('\n').count();
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
    let text = source.split('\n').nth(line).unwrap_or_default();
    format!("ERROR: <input>:{}:{}: {message}\n | {text}\n | {}^", line + 1, column + 1, ".".repeat(column))
}

pub fn parse(source: &str) -> Result<Node, String> {
    let told = |(at, message): (usize, String)| complaint(source, at, &message);
    let tokens = tokens(source).map_err(told)?;
    let mut parser = Parser { tokens, next: 0, depth: 0 };
    let root = parser.expr().map_err(told)?;
    match parser.peek() {
        Token::End => Ok(root),
        token => Err(told((parser.at(), unexpected(token)))),
    }
}

type Parsed<T> = Result<T, (usize, String)>;

struct Parser {
    tokens: Vec<(Token, usize)>,
    next: usize,
    depth: usize,
}

fn unexpected(token: &Token) -> String {
    match token {
        Token::End => "Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}".into(),
        Token::Sign(sign) => format!("Syntax error: extraneous input '{sign}' expecting <EOF>"),
        Token::Ident(name) => format!("Syntax error: extraneous input '{name}' expecting <EOF>"),
        Token::Literal(_) => "Syntax error: extraneous input expecting <EOF>".into(),
    }
}

fn boxed(node: Node) -> Box<Node> {
    Box::new(node)
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)].0
    }

    fn at(&self) -> usize {
        self.tokens[self.next.min(self.tokens.len() - 1)].1
    }

    fn take(&mut self, sign: &str) -> bool {
        let is_it = matches!(self.peek(), Token::Sign(own) if *own == sign);
        self.next += usize::from(is_it);
        is_it
    }

    fn expect(&mut self, sign: &str) -> Parsed<()> {
        if self.take(sign) {
            return Ok(());
        }
        let got = match self.peek() {
            Token::End => "<EOF>".to_owned(),
            Token::Sign(own) => (*own).to_owned(),
            Token::Ident(name) => name.clone(),
            Token::Literal(_) => "literal".into(),
        };
        Err((self.at(), format!("Syntax error: mismatched input '{got}' expecting '{sign}'")))
    }

    fn ident(&mut self) -> Parsed<String> {
        match self.peek().clone() {
            Token::Ident(name) => {
                self.next += 1;
                Ok(name)
            }
            _ => Err((self.at(), "Syntax error: no viable alternative at input".into())),
        }
    }

    fn expr(&mut self) -> Parsed<Node> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((self.at(), format!("expression recursion limit exceeded: {DEPTH_MAX}")));
        }
        let parsed = self.choice();
        self.depth -= 1;
        parsed
    }

    fn choice(&mut self) -> Parsed<Node> {
        let condition = self.or()?;
        let at = self.at();
        if !self.take("?") {
            return Ok(condition);
        }
        let yes = self.or()?;
        self.expect(":")?;
        let no = self.expr()?;
        Ok(Node::new(Expr::Choice(boxed(condition), boxed(yes), boxed(no)), at))
    }

    fn or(&mut self) -> Parsed<Node> {
        self.row("||", Self::and, Expr::Or)
    }

    fn and(&mut self) -> Parsed<Node> {
        self.row("&&", |parser| parser.binary(0), Expr::And)
    }

    /// Any number of sides between signs, as a flat tree.
    fn row(
        &mut self,
        sign: &str,
        side: impl Fn(&mut Self) -> Parsed<Node>,
        make: fn(Box<Node>, Box<Node>) -> Expr,
    ) -> Parsed<Node> {
        let mut sides = vec![side(self)?];
        let mut signs = Vec::new();
        loop {
            let at = self.at();
            if !self.take(sign) {
                return Ok(balanced(sides, &signs, make));
            }
            signs.push(at);
            sides.push(side(self)?);
        }
    }

    /// Refuses what is nested too deeply.
    fn within(&self, node: Node) -> Parsed<Node> {
        match node.nested {
            0..=NESTED_MAX => Ok(node),
            _ => Err((self.at(), format!("expression recursion limit exceeded: {NESTED_MAX}"))),
        }
    }

    fn binary(&mut self, level: usize) -> Parsed<Node> {
        let Some(operators) = LEVELS.get(level) else { return self.unary() };
        let mut left = self.binary(level + 1)?;
        loop {
            let at = self.at();
            let found = operators.iter().find(|(sign, _)| self.take(sign)).map(|(_, op)| *op);
            let op = match found {
                Some(op) => op,
                None if level == 0 && *self.peek() == Token::Ident("in".into()) => {
                    self.next += 1;
                    Op::In
                }
                None => return Ok(left),
            };
            let right = self.binary(level + 1)?;
            left = self.within(Node::new(Expr::Binary(op, boxed(left), boxed(right)), at))?;
        }
    }

    fn unary(&mut self) -> Parsed<Node> {
        let at = self.at();
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((at, format!("expression recursion limit exceeded: {DEPTH_MAX}")));
        }
        let parsed = if self.take("!") {
            Node::new(Expr::Not(boxed(self.unary()?)), at)
        } else if self.take("-") {
            match self.unary()? {
                Node { expr: Expr::Literal(Value::Int(number)), .. } => {
                    Node::new(Expr::Literal(Value::Int(number.wrapping_neg())), at)
                }
                operand => Node::new(Expr::Negate(boxed(operand)), at),
            }
        } else {
            self.member()?
        };
        self.depth -= 1;
        Ok(parsed)
    }

    fn member(&mut self) -> Parsed<Node> {
        let mut node = self.primary()?;
        loop {
            let at = self.at();
            if self.take(".") {
                let optional = self.take("?");
                let field = self.ident()?;
                let of = boxed(node);
                node = if !optional && self.take("(") {
                    let args = self.args(")")?;
                    method(of, field, args, at)?
                } else if !optional && starts_struct(&of, &field) && self.take("{") {
                    let name = format!("{}.{field}", path_of(&of).unwrap_or_default());
                    Node::new(self.fields(name)?, at)
                } else {
                    Node::new(Expr::Select { of, field, test: false, optional }, at)
                };
            } else if self.take("[?") || self.take("[") {
                let optional = matches!(self.tokens[self.next - 1].0, Token::Sign("[?"));
                let key = boxed(self.expr()?);
                self.expect("]")?;
                node = Node::new(Expr::Index { of: boxed(node), key, optional }, at);
            } else {
                return Ok(node);
            }
            node = self.within(node)?;
        }
    }

    fn primary(&mut self) -> Parsed<Node> {
        let at = self.at();
        let token = self.peek().clone();
        self.next += 1;
        let expr = match token {
            Token::Literal(value) => Expr::Literal(value),
            Token::Ident(name) if self.take("(") => {
                let args = self.args(")")?;
                return function(name, args, at);
            }
            Token::Ident(name) if name.starts_with(|c: char| c.is_ascii_uppercase()) && self.take("{") => {
                self.fields(name)?
            }
            Token::Ident(name) => Expr::Ident(name),
            Token::Sign("(") => {
                let inner = self.expr()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Sign("[") => Expr::List(self.elements()?),
            Token::Sign("[?") => {
                let first = (self.expr()?, true);
                let mut items = vec![first];
                if self.take(",") {
                    items.extend(self.elements()?);
                } else {
                    self.expect("]")?;
                }
                Expr::List(items)
            }
            Token::Sign("{") => Expr::Map(self.entries()?),
            Token::Sign(".") => return self.primary(),
            token => {
                self.next -= 1;
                return Err((at, unexpected(&token)));
            }
        };
        Ok(Node::new(expr, at))
    }

    fn args(&mut self, end: &str) -> Parsed<Vec<Node>> {
        let mut args = Vec::new();
        while !self.take(end) {
            if !args.is_empty() {
                self.expect(",")?;
            }
            args.push(self.expr()?);
        }
        Ok(args)
    }

    fn elements(&mut self) -> Parsed<Vec<(Node, bool)>> {
        let mut items = Vec::new();
        while !self.take("]") {
            let optional = self.take("?");
            items.push((self.expr()?, optional));
            if !self.take(",") {
                self.expect("]")?;
                break;
            }
        }
        Ok(items)
    }

    fn entries(&mut self) -> Parsed<Vec<(Node, Node, bool)>> {
        let mut entries = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expr()?;
            self.expect(":")?;
            entries.push((key, self.expr()?, optional));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(entries)
    }

    fn fields(&mut self, name: String) -> Parsed<Expr> {
        let mut fields = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let field = self.ident()?;
            self.expect(":")?;
            fields.push((field, self.expr()?, optional));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(Expr::Struct { name, fields })
    }
}

/// Joins `sides` two by two; there is a sign between each and the next.
fn balanced(mut sides: Vec<Node>, signs: &[usize], make: fn(Box<Node>, Box<Node>) -> Expr) -> Node {
    let half = sides.len() / 2;
    let right = sides.split_off(half.max(1));
    match (sides.pop(), right.is_empty()) {
        (Some(only), true) => only,
        (last, _) => {
            sides.extend(last);
            let at = signs[sides.len() - 1];
            let (left_signs, right_signs) = (&signs[..sides.len() - 1], &signs[sides.len()..]);
            let left = balanced(sides, left_signs, make);
            Node::new(make(boxed(left), boxed(balanced(right, right_signs, make))), at)
        }
    }
}

/// `a.b.c` as text, if the node is nothing but names.
fn path_of(node: &Node) -> Option<String> {
    match &node.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select { of, field, test: false, optional: false } => Some(format!("{}.{field}", path_of(of)?)),
        _ => None,
    }
}

/// Only types of objects that mutations make are written with fields.
fn starts_struct(of: &Node, _field: &str) -> bool {
    path_of(of).is_some_and(|path| path.starts_with("Object"))
}

fn var(node: Node) -> Parsed<String> {
    match node.expr {
        Expr::Ident(name) => Ok(name),
        _ => Err((node.at, "argument must be a simple name".into())),
    }
}

fn function(name: String, mut args: Vec<Node>, at: usize) -> Parsed<Node> {
    if name == "has" && args.len() == 1 {
        return match args.remove(0) {
            Node { expr: Expr::Select { of, field, .. }, .. } => {
                Ok(Node::new(Expr::Select { of, field, test: true, optional: false }, at))
            }
            other => Err((other.at, "invalid argument to has() macro".into())),
        };
    }
    Ok(Node::new(Expr::Call { of: None, name, args }, at))
}

fn method(of: Box<Node>, name: String, mut args: Vec<Node>, at: usize) -> Parsed<Node> {
    // Functions in a namespace of their own: `sets.contains(a, b)`.
    if let Expr::Ident(space) = &of.expr {
        if space == "cel" && name == "bind" && args.len() == 3 {
            let body = args.pop().map(boxed);
            let value = args.pop().map(boxed);
            if let (Some(body), Some(value)) = (body, value) {
                return Ok(Node::new(Expr::Bind { kind: Bind::Value, var: var(args.remove(0))?, value, body }, at));
            }
        }
        let full = format!("{space}.{name}");
        if super::functions::is_known(&full) {
            return Ok(Node::new(Expr::Call { of: None, name: full, args }, at));
        }
    }
    let each = match (name.as_str(), args.len()) {
        ("all", 2 | 3) => Some((Each::All, args.len() - 1)),
        ("exists", 2 | 3) => Some((Each::Exists, args.len() - 1)),
        ("exists_one" | "existsOne", 2 | 3) => Some((Each::ExistsOne, args.len() - 1)),
        ("filter", 2) => Some((Each::Filter, 1)),
        ("map", 2 | 3) => Some((Each::Map, 1)),
        ("transformList", 3 | 4) => Some((Each::TransformList, 2)),
        ("transformMap", 3 | 4) => Some((Each::TransformMap, 2)),
        _ => None,
    };
    if let Some((what, count)) = each {
        let bodies = args.split_off(count);
        let vars = args.into_iter().map(var).collect::<Parsed<Vec<_>>>()?;
        return Ok(Node::new(Expr::Each { of, what, vars, bodies }, at));
    }
    let bind = match name.as_str() {
        "optMap" => Some(Bind::OptMap),
        "optFlatMap" => Some(Bind::OptFlatMap),
        _ => None,
    };
    if let (Some(kind), 2) = (bind, args.len()) {
        let body = boxed(args.remove(1));
        return Ok(Node::new(Expr::Bind { kind, var: var(args.remove(0))?, value: of, body }, at));
    }
    Ok(Node::new(Expr::Call { of: Some(of), name, args }, at))
}
