//! CEL, the language of rules in definitions, policies and hooks, as Kubernetes speaks it.
//!
//! [`Program::compile`] reads an expression and checks that it only names what exists;
//! [`Program::run`] evaluates it with a budget, so that no rule can hold a request up. Own code rather
//! than a crate, because rules need limits while they run, positions in complaints and
//! Kubernetes' own library, none of which can be added from outside.

mod ast;
mod authorizer;
mod check;
mod cost;
mod declared;
mod eval;
mod functions;
mod kinds;
mod lex;
mod lists;
mod parse;
mod signatures;
mod strings;
mod time;
mod value;

use std::collections::BTreeMap;

pub use authorizer::{Authorizer, Question};
pub use check::{Scope, Type};
pub use cost::Decl;
pub use eval::unescape;
pub use value::{Key, Value};

use ast::Node;

/// Longer expressions are refused, as are deeper ones by the parser.
const SOURCE_BYTES_MAX: usize = 100_000;

/// A compiled expression.
#[derive(Debug)]
pub struct Program {
    root: Node,
}

/// What an expression may refer to while it runs.
#[derive(Default)]
pub struct Env<'a> {
    pub vars: BTreeMap<String, Value>,
    /// Worked out when first asked for: `variables.x`.
    pub lazy: Option<&'a dyn Fn(&str) -> Option<Result<Value, String>>>,
    pub authorizer: Option<&'a dyn Authorizer>,
}

/// What an expression that costs too much by itself fails with.
pub const OVER_LIMIT: &str = "operation cancelled: actual cost limit exceeded";
/// What the expression fails with with which a set of them costs too much.
pub const OVER_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// Upstream's limit for one run of an expression.
const RUN_COST_MAX: u64 = 1_000_000;

/// How much a set of evaluations may cost yet, together.
pub struct Budget(std::cell::Cell<u64>);

impl Budget {
    /// Upstream's limit for all rules that are tried on one object.
    pub const PER_OBJECT: u64 = 10_000_000;
    /// Upstream's limit for the conditions of one hook or policy.
    pub const OF_CONDITIONS: u64 = 2_500_000;

    pub fn new(cost: u64) -> Self {
        Self(std::cell::Cell::new(cost))
    }

    /// Whether there is still `cost` to spend, which then is spent.
    fn spend(&self, cost: u64) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(cost));
        left >= cost
    }
}

impl Program {
    /// Reads `source`, in which only `names` may be referred to. The error is upstream's text.
    pub fn compile(source: &str, names: &[&str]) -> Result<Self, String> {
        let program = Self::read(source)?;
        program.root.check_names(source, &mut names.iter().map(|name| (*name).to_owned()).collect())?;
        Ok(program)
    }

    fn read(source: &str) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!("expression is longer than {SOURCE_BYTES_MAX} bytes"));
        }
        Ok(Self { root: parse::parse(source)? })
    }

    /// Complains of fields below the variable `root` that do not exist; `is_known` is given the names on
    /// the way to each, without `root`.
    pub fn check_fields(&self, source: &str, root: &str, is_known: &dyn Fn(&[&str]) -> bool) -> Result<(), String> {
        self.root.check_fields(source, root, is_known)
    }

    /// The expression's value. The error is what went wrong, as upstream words it; [`OVER_LIMIT`] and
    /// [`OVER_BUDGET`] are two that callers tell apart.
    pub fn run(&self, env: &Env<'_>, budget: &Budget) -> Result<Value, String> {
        let mut run = eval::Run { env, spent: 0, locals: Vec::new() };
        let outcome = run.eval(&self.root);
        if budget.spend(run.spent) { outcome } else { Err(OVER_BUDGET.into()) }
    }

    /// Whether the expression refers to the variable `name`.
    pub fn refers_to(&self, name: &str) -> bool {
        self.root.refers_to(name)
    }
}

#[cfg(test)]
mod tests;
