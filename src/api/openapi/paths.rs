//! Paths and their operations, from the registry's rows.

use crate::object::gvk::Gvk;
use crate::object::tree::{Map, Tree, json};
use crate::resources::{Resource, ResourceVersion, Subresource};

use super::{Form, definition_name, list_definition_name};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const PRODUCES: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMS: &[&str] = &["application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

type Parameter = (&'static str, &'static str, &'static str);
const WRITE: &[Parameter] = &[
    ("dryRun", "string", "When present, indicates that modifications should not be persisted: `All`."),
    ("fieldManager", "string", "A name associated with the actor that makes the changes."),
    ("fieldValidation", "string", "What to do about unknown or duplicate fields: `Ignore`, `Warn` or `Strict`."),
];
const FORCE: &[Parameter] = &[("force", "boolean", "Take over fields that others own. Only for apply patches.")];
const DELETE: &[Parameter] = &[
    ("dryRun", "string", "When present, indicates that modifications should not be persisted: `All`."),
    ("gracePeriodSeconds", "integer", "Seconds before the object is deleted; zero deletes at once."),
    ("orphanDependents", "boolean", "Deprecated: use propagationPolicy."),
    ("propagationPolicy", "string", "What becomes of dependents: `Orphan`, `Background` or `Foreground`."),
];
const LIST: &[Parameter] = &[
    ("allowWatchBookmarks", "boolean", "Ask for watch events of type BOOKMARK."),
    ("continue", "string", "Where the previous page ended."),
    ("fieldSelector", "string", "Only objects with these fields."),
    ("labelSelector", "string", "Only objects with these labels."),
    ("limit", "integer", "The most objects to return at once."),
    ("resourceVersion", "string", "Which state to read."),
    ("resourceVersionMatch", "string", "How resourceVersion is meant."),
    ("sendInitialEvents", "boolean", "Begin a watch with the objects that are there."),
    ("timeoutSeconds", "integer", "How long the call may last."),
    ("watch", "boolean", "Watch for changes instead of returning the list."),
];

/// One operation, as both versions of OpenAPI describe it.
struct Operation<'o> {
    /// `get`, `post`, …
    method: &'static str,
    /// `x-kubernetes-action`.
    action: &'static str,
    id: String,
    parameters: Vec<&'static [Parameter]>,
    /// The definition of what is sent.
    takes: Option<&'o str>,
    /// The definition of what comes back.
    gives: &'o str,
    codes: &'static [(&'static str, &'static str)],
}

const OK: &[(&str, &str)] = &[("200", "OK")];
const CREATED: &[(&str, &str)] = &[("200", "OK"), ("201", "Created"), ("202", "Accepted")];
const UPDATED: &[(&str, &str)] = &[("200", "OK"), ("201", "Created")];
const DELETED: &[(&str, &str)] = &[("200", "OK"), ("202", "Accepted")];

/// Every path of a resource at a version.
pub fn of(resource: &Resource, at: &ResourceVersion, form: Form) -> Map {
    let writer = Writer { resource, at, form };
    let mut paths = Map::new();
    let root = match &*resource.group {
        "" => format!("/api/{}", at.name),
        group => format!("/apis/{group}/{}", at.name),
    };
    let scope = if resource.is_namespaced() { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{scope}/{}", resource.plural);
    let verbs = resource.verbs.names();
    let kind = resource.gvk(&at.name);
    let (one, many) = (definition_name(resource, at), list_definition_name(resource, at));
    let (status, options, patch) = (format!("{META}.Status"), format!("{META}.DeleteOptions"), format!("{META}.Patch"));
    let scoped = if resource.is_namespaced() { "Namespaced" } else { "" };
    let id = |verb: &str, tail: &str| format!("{verb}{}{scoped}{}{tail}", writer.prefix(), resource.kind);

    let on_many = [
        (
            "create",
            Operation {
                method: "post",
                action: "post",
                id: id("create", ""),
                parameters: vec![WRITE],
                takes: Some(&one),
                gives: &one,
                codes: CREATED,
            },
        ),
        (
            "deletecollection",
            Operation {
                method: "delete",
                action: "deletecollection",
                id: format!("delete{}Collection{scoped}{}", writer.prefix(), resource.kind),
                parameters: vec![DELETE, LIST],
                takes: Some(&options),
                gives: &status,
                codes: OK,
            },
        ),
        (
            "list",
            Operation {
                method: "get",
                action: "list",
                id: id("list", ""),
                parameters: vec![LIST],
                takes: None,
                gives: &many,
                codes: OK,
            },
        ),
    ];
    let on_one = [
        (
            "delete",
            Operation {
                method: "delete",
                action: "delete",
                id: id("delete", ""),
                parameters: vec![DELETE],
                takes: Some(&options),
                gives: &status,
                codes: DELETED,
            },
        ),
        (
            "get",
            Operation {
                method: "get",
                action: "get",
                id: id("read", ""),
                parameters: vec![],
                takes: None,
                gives: &one,
                codes: OK,
            },
        ),
        (
            "patch",
            Operation {
                method: "patch",
                action: "patch",
                id: id("patch", ""),
                parameters: vec![WRITE, FORCE],
                takes: Some(&patch),
                gives: &one,
                codes: UPDATED,
            },
        ),
        (
            "update",
            Operation {
                method: "put",
                action: "put",
                id: id("replace", ""),
                parameters: vec![WRITE],
                takes: Some(&one),
                gives: &one,
                codes: UPDATED,
            },
        ),
    ];
    let served = |list: &[(&str, Operation<'_>)], is_named: bool| {
        let list: Vec<&Operation<'_>> =
            list.iter().filter(|(verb, _)| verbs.contains(verb)).map(|(_, operation)| operation).collect();
        (!list.is_empty()).then(|| writer.item(&list, &kind, is_named, resource.is_namespaced()))
    };
    paths.extend(served(&on_many, false).map(|item| (collection.clone(), item)));
    paths.extend(served(&on_one, true).map(|item| (format!("{collection}/{{name}}"), item)));
    if resource.is_namespaced() && verbs.contains(&"list") {
        let everywhere = Operation {
            method: "get",
            action: "list",
            id: format!("list{}{}ForAllNamespaces", writer.prefix(), resource.kind),
            parameters: vec![LIST],
            takes: None,
            gives: &many,
            codes: OK,
        };
        paths.insert(format!("{root}/{}", resource.plural).into(), writer.item(&[&everywhere], &kind, false, false));
    }
    for subresource in &at.subresources {
        let Some(kind) = kind_of(subresource, resource, at) else { continue };
        let definition = if kind == resource.gvk(&at.name) { one.clone() } else { subresource_definition(&kind) };
        let tail = camel(subresource.name());
        let all = [
            ("create", "post", "post", "create", vec![WRITE], Some(&definition), CREATED),
            ("get", "get", "get", "read", vec![], None, OK),
            ("patch", "patch", "patch", "patch", vec![WRITE, FORCE], Some(&patch), UPDATED),
            ("update", "put", "put", "replace", vec![WRITE], Some(&definition), UPDATED),
        ];
        let operations: Vec<Operation<'_>> = (all.into_iter())
            .filter(|(verb, ..)| subresource.verbs().contains(verb))
            .map(|(_, method, action, word, parameters, takes, codes)| Operation {
                method,
                action,
                id: id(word, &tail),
                parameters,
                takes: takes.map(String::as_str),
                gives: &definition,
                codes,
            })
            .collect();
        let operations: Vec<&Operation<'_>> = operations.iter().collect();
        let path = format!("{collection}/{{name}}/{}", subresource.name());
        paths.insert(path.into(), writer.item(&operations, &kind, true, resource.is_namespaced()));
    }
    paths
}

/// The kind that a subresource takes and gives; `None` for those that are no objects (logs, exec).
pub fn kind_of(subresource: &Subresource, resource: &Resource, at: &ResourceVersion) -> Option<Gvk> {
    match subresource {
        Subresource::Status => Some(resource.gvk(&at.name)),
        Subresource::Scale(_) => Some(Gvk::fixed("autoscaling", "v1", "Scale")),
        Subresource::Special(special) if special.kind.ends_with("Options") => None,
        Subresource::Special(special) if special.version.is_empty() => {
            let own = resource.gvk(&at.name);
            Some(Gvk { kind: special.kind.into(), ..own })
        }
        Subresource::Special(special) => Some(Gvk::fixed(special.group, special.version, special.kind)),
    }
}

fn subresource_definition(kind: &Gvk) -> String {
    let schema = crate::object::schema::builtin().kind(&kind.api_version(), &kind.kind);
    let name = schema.map_or("apimachinery.pkg.apis.meta.v1.Status", |schema| &schema.node().name);
    format!("io.k8s.{name}")
}

/// A word or a dotted or dashed name with every part capitalised.
fn camel(name: &str) -> String {
    let parts = name.split(['.', '-']).filter(|part| !part.is_empty());
    parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect()
}

struct Writer<'w> {
    resource: &'w Resource,
    at: &'w ResourceVersion,
    form: Form,
}

impl Writer<'_> {
    /// `AppsV1`, `CoreV1`, `RbacAuthorizationV1`: what operation ids have after their verb.
    fn prefix(&self) -> String {
        camel(self.group()) + &camel(&self.at.name)
    }

    fn group(&self) -> &str {
        match &*self.resource.group {
            "" => "core",
            group => group.strip_suffix(".k8s.io").unwrap_or(group),
        }
    }

    fn tag(&self) -> String {
        let group = camel(self.group());
        format!("{}{}_{}", group[..1].to_lowercase(), &group[1..], self.at.name)
    }

    fn item(&self, operations: &[&Operation<'_>], kind: &Gvk, is_named: bool, is_namespaced: bool) -> Tree {
        let mut item: Map =
            operations.iter().map(|operation| (operation.method.to_owned(), self.operation(operation, kind))).collect();
        let mut parameters = Vec::new();
        if is_named {
            let what = format!("name of the {}", self.resource.kind);
            parameters.push(self.parameter("name", "string", &what, "path"));
        }
        if is_namespaced {
            let what = "object name and auth scope, such as for teams and projects";
            parameters.push(self.parameter("namespace", "string", what, "path"));
        }
        parameters.push(self.parameter("pretty", "string", "If 'true', the output is pretty printed.", "query"));
        item.insert("parameters".into(), parameters.into());
        Tree::Object(item)
    }

    fn parameter(&self, name: &str, kind: &str, description: &str, place: &str) -> Tree {
        let mut parameter = json!({"name": name, "in": place, "description": description});
        if place == "path" {
            parameter["required"] = true.into();
        }
        match self.form {
            Form::V2 => {
                parameter["type"] = kind.into();
                parameter["uniqueItems"] = true.into();
            }
            Form::V3 => parameter["schema"] = json!({"type": kind, "uniqueItems": true}),
        }
        parameter
    }

    fn operation(&self, operation: &Operation<'_>, kind: &Gvk) -> Tree {
        let query = operation.parameters.iter().flat_map(|list| list.iter());
        let mut parameters: Vec<Tree> =
            query.map(|(name, kind, what)| self.parameter(name, kind, what, "query")).collect();
        let is_list = operation.action == "list";
        let produced: Vec<&str> = PRODUCES.iter().chain(if is_list { STREAMS } else { &[] }).copied().collect();
        let gives = self.form.reference(operation.gives);
        let response = |(code, words): &(&str, &str)| {
            let described = match self.form {
                Form::V2 => json!({"description": words, "schema": gives}),
                Form::V3 => json!({"description": words, "content": content(&produced, &gives)}),
            };
            ((*code).to_owned(), described)
        };
        let mut responses: Map = operation.codes.iter().map(response).collect();
        responses.insert("401".into(), json!({"description": "Unauthorized"}));
        let mut written = json!({
            "description": format!("{} {}", describe(operation.action), self.resource.kind),
            "operationId": operation.id,
            "tags": [self.tag()],
            "responses": responses,
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": {"group": kind.group, "kind": kind.kind, "version": kind.version},
        });
        let patches = PATCHES.iter().filter(|patch| !self.resource.is_custom || !patch.contains("strategic"));
        let consumed: Vec<&str> = if operation.action == "patch" { patches.copied().collect() } else { vec!["*/*"] };
        if let Some(takes) = operation.takes {
            let (schema, is_required) = (self.form.reference(takes), !operation.action.starts_with("delete"));
            match self.form {
                Form::V2 => {
                    let mut body = json!({"name": "body", "in": "body", "schema": schema});
                    if is_required {
                        body["required"] = true.into();
                    }
                    parameters.insert(0, body);
                }
                Form::V3 => {
                    written["requestBody"] = json!({"content": content(&consumed, &schema)});
                    if is_required {
                        written["requestBody"]["required"] = true.into();
                    }
                }
            }
        }
        if self.form == Form::V2 {
            written["consumes"] = consumed.into();
            written["produces"] = produced.into();
            written["schemes"] = json!(["https"]);
        }
        if !parameters.is_empty() {
            written["parameters"] = parameters.into();
        }
        written
    }
}

fn content(types: &[&str], schema: &Tree) -> Map {
    types.iter().map(|media| ((*media).to_owned(), json!({"schema": schema}))).collect()
}

fn describe(action: &str) -> &'static str {
    match action {
        "get" => "read the specified",
        "list" => "list or watch objects of kind",
        "post" => "create a",
        "put" => "replace the specified",
        "patch" => "partially update the specified",
        "delete" => "delete a",
        _ => "delete collection of",
    }
}
