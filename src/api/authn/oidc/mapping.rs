//! From the claims of a token to a user.

use std::collections::BTreeMap;

use crate::object::User;
use crate::object::cel::{Budget, Env, Program, Value};
use crate::object::tree::{Tree, json};

/// An expression with its source, for complaints.
#[derive(Debug)]
pub struct Expression {
    pub text: String,
    pub program: Program,
}

/// Where an attribute of a user comes from.
#[derive(Debug)]
pub enum Source {
    Claim { claim: String, prefix: String },
    Expression(Expression),
}

/// Something that must hold.
#[derive(Debug)]
pub struct Check {
    pub expression: Expression,
    pub message: String,
}

/// What the claims of an issuer's tokens mean.
#[derive(Debug, Default)]
pub struct Mapping {
    pub username: Option<Source>,
    pub groups: Option<Source>,
    pub uid: Option<Source>,
    pub extra: Vec<(String, Expression)>,
    /// Claims that must be there, with this text.
    pub required: Vec<(String, String)>,
    pub claim_checks: Vec<Check>,
    pub user_checks: Vec<Check>,
}

impl Mapping {
    /// The user that a token with these claims is for. The error is for the log.
    pub fn user(&self, claims: &Tree) -> Result<User, String> {
        let value = Value::from(claims);
        let seen = Seen { claims, value: &value };
        let mut user = User { name: seen.username(self.username.as_ref())?, ..User::default() };
        user.groups = seen.groups(self.groups.as_ref())?;
        user.uid = match &self.uid {
            None => String::new(),
            Some(Source::Claim { claim, .. }) => seen.text(claim)?,
            Some(Source::Expression(expression)) => text_of(&seen.evaluate(expression)?, "uid")?,
        };
        if let Some(jti) = claims.get("jti").and_then(Tree::as_str) {
            user.extra.insert("authentication.kubernetes.io/credential-id".into(), vec![format!("JTI={jti}")]);
        }
        for (key, expression) in &self.extra {
            let values = list_of(&seen.evaluate(expression)?)?;
            if !values.is_empty() {
                user.extra.insert(key.clone(), values);
            }
        }
        for (claim, wanted) in &self.required {
            let got = seen.text(claim).map_err(|_| format!("required claim {claim} not present in ID token"))?;
            if got != *wanted {
                return Err(format!("required claim {claim} value does not match. Got = {got}, want = {wanted}"));
            }
        }
        check(&self.claim_checks, "claims", &value)?;
        check(&self.user_checks, "user", &shown(&user))?;
        Ok(user)
    }
}

struct Seen<'a> {
    claims: &'a Tree,
    value: &'a Value,
}

impl Seen<'_> {
    fn text(&self, claim: &str) -> Result<String, String> {
        let value = self.claims.get(claim).ok_or_else(|| format!("claim {claim} not present"))?;
        value.as_str().map(str::to_owned).ok_or_else(|| format!("claim {claim} is no string"))
    }

    fn username(&self, from: Option<&Source>) -> Result<String, String> {
        let name = match from {
            None => return Err("no username is mapped".into()),
            Some(Source::Expression(expression)) => text_of(&self.evaluate(expression)?, "username")?,
            Some(Source::Claim { claim, prefix }) => {
                let name = self.text(claim)?;
                // An address that nobody has checked is anybody's.
                if claim == "email" && self.claims.get("email_verified").is_some_and(|flag| *flag != Tree::Bool(true)) {
                    return Err("email not verified".into());
                }
                format!("{prefix}{name}")
            }
        };
        if name.is_empty() { Err("the username is empty".into()) } else { Ok(name) }
    }

    fn groups(&self, from: Option<&Source>) -> Result<Vec<String>, String> {
        let (claim, prefix) = match from {
            None => return Ok(Vec::new()),
            Some(Source::Expression(expression)) => return list_of(&self.evaluate(expression)?),
            Some(Source::Claim { claim, prefix }) => (claim, prefix),
        };
        let text = |value: &Tree| value.as_str().map(|group| format!("{prefix}{group}"));
        match self.claims.get(claim) {
            None | Some(Tree::Null) => Some(Vec::new()),
            Some(Tree::Array(items)) => items.iter().map(text).collect::<Option<_>>(),
            Some(one) => text(one).map(|group| vec![group]),
        }
        .ok_or_else(|| format!("parse groups claim {claim:?}: it is neither a string nor a list of strings"))
    }

    fn evaluate(&self, expression: &Expression) -> Result<Value, String> {
        evaluate(expression, "claims", self.value)
    }
}

fn evaluate(expression: &Expression, name: &str, value: &Value) -> Result<Value, String> {
    let env = Env { vars: BTreeMap::from([(name.to_owned(), value.clone())]), ..Env::default() };
    let outcome = expression.program.run(&env, &Budget::new(Budget::PER_OBJECT));
    outcome.map_err(|why| format!("expression '{}' resulted in error: {why}", expression.text))
}

fn check(checks: &[Check], name: &str, value: &Value) -> Result<(), String> {
    for Check { expression, message } in checks {
        match evaluate(expression, name, value)? {
            Value::Bool(true) => (),
            Value::Bool(false) => return Err(format!("validation expression '{}' failed: {message}", expression.text)),
            _ => return Err("validation expression must return a boolean".into()),
        }
    }
    Ok(())
}

fn text_of(value: &Value, what: &str) -> Result<String, String> {
    value.str().map(str::to_owned).ok_or_else(|| format!("{what} claim expression must return a string"))
}

/// One text or several; empty ones count as not there.
fn list_of(value: &Value) -> Result<Vec<String>, String> {
    let wrong = || "expression must return a string or a list of strings".to_owned();
    let mut list = match value {
        Value::Null => Vec::new(),
        Value::String(one) => vec![one.to_string()],
        Value::List(items) => {
            items.iter().map(|item| item.str().map(str::to_owned).ok_or_else(wrong)).collect::<Result<_, _>>()?
        }
        _ => return Err(wrong()),
    };
    list.retain(|text| !text.is_empty());
    Ok(list)
}

fn shown(user: &User) -> Value {
    Value::from(&json!({"username": user.name, "uid": user.uid, "groups": user.groups, "extra": user.extra}))
}
