//! PriorityLevelConfiguration: how many requests of a level run at once.

use super::{check_conditions, check_fixed};
use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::{At, at};
use crate::resources::podspec::update::put_back;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};

pub static DEF: ResourceDef = ResourceDef {
    subresources: &[Subresource::Status],
    columns: &[
        Column::NAME,
        Column::path("Type", "spec.type"),
        Column::with("NominalConcurrencyShares", |o| or_none(o, "spec.limited.nominalConcurrencyShares")),
        Column::with("Queues", |o| or_none(o, "spec.limited.limitResponse.queuing.queues")),
        Column::with("HandSize", |o| or_none(o, "spec.limited.limitResponse.queuing.handSize")),
        Column::with("QueueLengthLimit", |o| or_none(o, "spec.limited.limitResponse.queuing.queueLengthLimit")),
        Column::AGE,
    ],
    rules: &PriorityLevelConfiguration,
    ..ResourceDef::cluster(
        "flowcontrol.apiserver.k8s.io",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        "prioritylevelconfiguration",
        &[Version::on("v1", "io.k8s.api.flowcontrol.v1.PriorityLevelConfiguration")],
    )
};

fn or_none(object: &Tree, path: &str) -> Tree {
    object.at(path).cloned().unwrap_or_else(|| "<none>".into())
}

pub struct PriorityLevelConfiguration;

impl Rules for PriorityLevelConfiguration {
    fn default(&self, new: &mut Tree) {
        for (kind, shares) in [("exempt", 0), ("limited", 30)] {
            if let Some(part) = new.at_mut(&format!("spec.{kind}")) {
                part.set_default("nominalConcurrencyShares", shares);
                part.set_default("lendablePercent", 0);
            }
        }
        if let Some(queuing) = new.at_mut("spec.limited.limitResponse.queuing") {
            for (field, value) in [("handSize", 8), ("queues", 64), ("queueLengthLimit", 50)] {
                if queuing.int(field).unwrap_or_default() == 0 {
                    queuing.set(field, value);
                }
            }
        }
    }

    fn has_generation(&self) -> bool {
        true
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        const ZERO: &str = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares";
        if new.map("metadata.annotations").is_some_and(|annotations| annotations.contains_key(ZERO)) {
            errors.forbidden("metadata.annotations", format!("annotation '{ZERO}' is forbidden"));
        }
        let name = new.text("metadata.name");
        check_spec(name, &At::root(new).child("spec"), errors);
        check_mandatory(name, at(new, "spec"), errors);
        check_conditions(&At::root(new).child("status.conditions"), errors);
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        check_conditions(&At::root(new).child("status.conditions"), errors);
    }
}

/// Two levels are part of how the server works: one can only be tuned, the other not changed at all.
fn check_mandatory(name: &str, spec: &Tree, errors: &mut FieldErrors) {
    const KIND: &str = "PriorityLevelConfigurationSpec";
    match name {
        "exempt" => {
            let mut fixed = json!({"type": "Exempt"});
            put_back(&mut fixed, spec, "exempt");
            check_fixed(KIND, spec, &fixed, "spec of 'exempt' except the 'spec.exempt' field", errors);
        }
        "catch-all" => {
            let limited = json!({
                "nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"},
            });
            let fixed = json!({"type": "Limited", "limited": limited});
            check_fixed(KIND, spec, &fixed, "spec of 'catch-all'", errors);
        }
        _ => (),
    }
}

fn check_spec(name: &str, spec: &At, errors: &mut FieldErrors) {
    let kind = spec.child("type");
    let (limited, exempt) = (spec.child("limited"), spec.child("exempt"));
    if (name == "exempt") != (kind.str() == "Exempt") {
        kind.invalid_text(errors, "must be 'Exempt' if and only if `name` is 'exempt'");
    }
    match kind.str() {
        "Exempt" => {
            if limited.exists() {
                limited.forbidden(errors, "must be nil if the type is not Limited");
            }
            check_shares(&exempt, errors);
            check_lendable(&exempt, errors);
        }
        "Limited" => {
            if exempt.exists() {
                exempt.forbidden(errors, "must be nil if the type is Limited");
            }
            if limited.exists() {
                check_limited(&limited, errors);
            } else {
                limited.required(errors, "must not be empty when type is Limited");
            }
        }
        other => errors.not_supported(&*kind.path, other, &["Exempt", "Limited"]),
    }
}

fn check_shares(place: &At, errors: &mut FieldErrors) {
    let shares = place.child("nominalConcurrencyShares");
    if shares.int().is_some_and(|shares| shares < 0) {
        shares.invalid(errors, "must be a non-negative integer");
    }
}

fn check_lendable(place: &At, errors: &mut FieldErrors) {
    let percent = place.child("lendablePercent");
    if percent.int().is_some_and(|percent| !(0..=100).contains(&percent)) {
        percent.invalid(errors, "must be between 0 and 100, inclusive");
    }
}

fn check_limited(limited: &At, errors: &mut FieldErrors) {
    check_shares(limited, errors);
    let response = limited.child("limitResponse");
    let queuing = response.child("queuing");
    match response.text("type") {
        "Reject" if queuing.exists() => {
            queuing.forbidden(errors, "must be nil if limited.limitResponse.type is not Limited");
        }
        "Reject" => {}
        "Queue" if queuing.exists() => check_queuing(&queuing, errors),
        "Queue" => queuing.required(errors, "must not be empty if limited.limitResponse.type is Limited"),
        other => errors.not_supported(response.path_to("type"), other, &["Queue", "Reject"]),
    }
    check_lendable(limited, errors);
    let borrowing = limited.child("borrowingLimitPercent");
    if borrowing.int().is_some_and(|percent| percent < 0) {
        borrowing.invalid(errors, "if specified, must be a non-negative integer");
    }
}

fn check_queuing(queuing: &At, errors: &mut FieldErrors) {
    const MAX_QUEUES: i64 = 10_000_000;
    const MAX_HASH_BITS: i64 = 60;
    let [length, queues, hand] = ["queueLengthLimit", "queues", "handSize"].map(|field| queuing.child(field));
    let [long, wide, size] = [&length, &queues, &hand].map(|place| place.int().unwrap_or_default());
    if long <= 0 {
        length.invalid(errors, "must be positive");
    }
    if wide <= 0 {
        queues.invalid(errors, "must be positive");
    } else if wide > MAX_QUEUES {
        queues.invalid(errors, format!("must not be greater than {MAX_QUEUES}"));
    }
    let bits = entropy_bits(wide, size);
    if size <= 0 {
        hand.invalid(errors, "must be positive");
    } else if size > wide {
        hand.invalid(errors, format!("should not be greater than queues ({wide})"));
    } else if bits > MAX_HASH_BITS {
        let detail = "should not be greater than";
        hand.invalid(
            errors,
            format!("required entropy bits of deckSize {wide} and handSize {size} {detail} {MAX_HASH_BITS}"),
        );
    }
}

/// How many random bits it takes to deal a hand of this size.
fn entropy_bits(queues: i64, hand: i64) -> i64 {
    let bits: f64 = (0..hand.clamp(0, queues).min(64)).map(|dealt| ((queues - dealt) as f64).log2()).sum();
    bits.ceil() as i64
}
