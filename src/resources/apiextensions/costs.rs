//! What the rules of a definition may cost: each for itself, times how often its place can be in an object,
//! and all together.

use crate::object::cel::Decl;
use crate::object::field::FieldErrors;
use crate::resources::check::At;

/// Upstream's limit for one expression.
const RULE_MAX: u64 = 10_000_000;
/// Upstream's limit for all rules of a schema.
const TOTAL_MAX: u64 = 100_000_000;
/// Of the rules that make a total too large, the worst are named.
const NAMED_MAX: usize = 4;

/// What the place of a schema means for its rules.
#[derive(Clone)]
pub struct Around {
    /// How many values of the schema one object has at most; `None` if only the size of a request limits it.
    count_max: Option<u64>,
    /// Where the values' former selves begin to be unknown.
    pub uncorrelated: Option<String>,
}

/// A step from a schema to one inside of it.
#[derive(Clone, Copy, PartialEq)]
pub enum Step {
    Field,
    Values,
    Items,
}

impl Around {
    pub fn root() -> Self {
        Self { count_max: Some(1), uncorrelated: None }
    }

    pub fn below(&self, schema: &At, step: Step) -> Self {
        let limit = |field: &str| schema.child(field).int().map(|max| u64::try_from(max).unwrap_or_default());
        let factor = match schema.text("type") {
            "array" => limit("maxItems"),
            "object" if schema.has("additionalProperties") => limit("maxProperties"),
            _ => Some(1),
        };
        let count_max = self.count_max.zip(factor).map(|(count, factor)| count.saturating_mul(factor));
        let is_lost = match step {
            Step::Field => schema.text("x-kubernetes-map-type") == "atomic",
            Step::Items => schema.text("x-kubernetes-list-type") != "map",
            Step::Values => false,
        };
        let uncorrelated = self.uncorrelated.clone().or_else(|| is_lost.then(|| schema.path.to_string()));
        Self { count_max, uncorrelated }
    }

    pub fn count_max(&self, decl: &Decl) -> u64 {
        self.count_max.unwrap_or_else(|| decl.count_max())
    }
}

/// What is found about the rules of a schema, on top of what is wrong with the schema itself.
#[derive(Default)]
pub struct Total {
    pub errors: FieldErrors,
    cost: u64,
    /// The worst first.
    worst: Vec<(u64, String)>,
}

impl Total {
    /// Counts an expression, and complains if it alone costs too much.
    pub fn add(&mut self, what: &str, place: String, cost: u64) {
        if cost > RULE_MAX {
            self.errors.forbidden(place.as_str(), exceeds(what, cost, RULE_MAX));
        }
        self.cost = self.cost.saturating_add(cost);
        if cost >= TOTAL_MAX / 100 {
            let at = self.worst.iter().position(|(known, _)| *known < cost).unwrap_or(self.worst.len());
            self.worst.insert(at, (cost, place));
            self.worst.truncate(NAMED_MAX);
        }
    }

    /// Hands over all complaints, at last the one about the sum.
    pub fn finish(self, schema: &At, errors: &mut FieldErrors) {
        errors.list.extend(self.errors.list);
        if self.cost <= TOTAL_MAX {
            return;
        }
        for (_, place) in self.worst {
            let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
            errors.forbidden(place, detail);
        }
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.forbidden(&*schema.path, exceeds(what, self.cost, TOTAL_MAX));
    }
}

fn exceeds(what: &str, cost: u64, max: u64) -> String {
    let factor = cost as f64 / max as f64;
    let factor = match factor {
        _ if factor > 100.0 => "more than 100x".to_owned(),
        _ if factor < 1.5 => format!("{factor:.6}x"),
        _ => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}
