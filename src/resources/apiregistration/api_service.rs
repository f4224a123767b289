//! APIService: who serves a group version.

use crate::object::field::FieldErrors;
use crate::object::tree::{Tree, TreePath, json};
use crate::resources::check::At;
use crate::resources::{Column, ResourceDef, Rules, Subresource, Version};
use crate::resources::{names, webhooks};

pub static DEF: ResourceDef = ResourceDef {
    categories: &["api-extensions"],
    subresources: &[Subresource::Status],
    columns: &[Column::NAME, Column::with("Service", service), Column::with("Available", available), Column::AGE],
    rules: &ApiService,
    ..ResourceDef::cluster(
        "apiregistration.k8s.io",
        "APIService",
        "apiservices",
        "apiservice",
        &[Version::on("v1", "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService")],
    )
};

/// `namespace/name` of who serves it.
fn service(object: &Tree) -> Tree {
    match object.at("spec.service").filter(|service| service.is_object()) {
        Some(service) => format!("{}/{}", service.text("namespace"), service.text("name")).into(),
        None => "Local".into(),
    }
}

/// Status of the condition `Available`, with the reason unless it is true.
fn available(object: &Tree) -> Tree {
    let conditions = object.items("status.conditions");
    let Some(condition) = conditions.iter().find(|condition| condition.text("type") == "Available") else {
        return "Unknown".into();
    };
    match (condition.text("status"), condition.text("reason")) {
        (status, reason) if status == "True" || reason.is_empty() => status.into(),
        (status, reason) => format!("{status} ({reason})").into(),
    }
}

pub struct ApiService;

impl Rules for ApiService {
    fn default(&self, new: &mut Tree) {
        if let Some(spec) = new.at_mut("spec") {
            webhooks::default_client(spec);
        }
    }

    fn prepare_create(&self, new: &mut Tree) {
        if !new.has("spec.service") {
            let created = new.text("metadata.creationTimestamp").to_owned();
            let available = json!({
                "type": "Available",
                "status": "True",
                "lastTransitionTime": created,
                "reason": "Local",
                "message": "Local APIServices are always available",
            });
            new.set("status.conditions", json!([available]));
        }
    }

    fn validate_name(&self, name: &str, is_prefix: bool) -> Vec<String> {
        names::path_segment(name, is_prefix)
    }

    fn validate(&self, new: &Tree, _old: Option<&Tree>, errors: &mut FieldErrors) {
        let (group, version) = (new.text("spec.group"), new.text("spec.version"));
        let name = At::root(new).child("metadata.name");
        let wanted = format!("{version}.{group}");
        if name.str() != wanted && names::path_segment(name.str(), false).is_empty() {
            name.invalid_text(errors, format!("must be `spec.version+\".\"+spec.group`: {wanted:?}"));
        }
        check_spec(&At::root(new).child("spec"), errors);
    }

    fn validate_status(&self, new: &Tree, _old: &Tree, errors: &mut FieldErrors) {
        for condition in At::root(new).child("status.conditions").items() {
            let status = condition.child("status");
            if !["True", "False", "Unknown"].contains(&status.str()) {
                status.not_supported(errors, &["True", "False", "Unknown"]);
            }
        }
    }
}

fn check_spec(spec: &At, errors: &mut FieldErrors) {
    let (group, version) = (spec.child("group"), spec.child("version"));
    if !group.is_empty() {
        group.format(errors, names::is_dns1123_subdomain(group.str()));
    } else if version.str() != "v1" {
        group.required(errors, "only v1 may have an empty group and it better be legacy kube");
    }
    for complaint in names::is_dns1035_label(version.str()) {
        version.invalid_text(errors, complaint);
    }
    for (field, max) in [("groupPriorityMinimum", 20000), ("versionPriority", 1000)] {
        let number = spec.child(field).int().unwrap_or_default();
        if !(1..=max).contains(&number) {
            errors.invalid(spec.path_to(field), number, format!("must be positive and less than {max}"));
        }
    }
    let (bundle, insecure) = (spec.child("caBundle"), spec.child("insecureSkipTLSVerify"));
    let service = spec.child("service");
    if !service.exists() {
        if !bundle.is_empty() {
            let text = bundle.str();
            let bytes = text.len() / 4 * 3 - text.bytes().filter(|&c| c == b'=').count();
            errors.invalid(&*bundle.path, format!("{bytes} bytes"), "local APIServices may not have a caBundle");
        }
        if insecure.flag() {
            insecure.invalid(errors, "local APIServices may not have insecureSkipTLSVerify");
        }
        return;
    }
    for field in ["namespace", "name"] {
        if service.text(field).is_empty() {
            errors.required(service.path_to(field), "");
        }
    }
    webhooks::check_port(&service.child("port"), errors);
    if insecure.flag() && !bundle.is_empty() {
        insecure.invalid(errors, "may not be true if caBundle is present");
    }
}
