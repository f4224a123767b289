//! What functions and methods of the library give, by what they are called on.
//!
//! Whatever is not in the tables gives [`Type::Unknown`]: nothing is said of it.

use super::check::Type;

/// The result of a method.
#[derive(Clone, Copy, PartialEq)]
enum Gives {
    Bool,
    Int,
    Double,
    String,
    Strings,
    /// What it is called on.
    Same,
    /// An element of the list, or what is inside of the optional.
    Inner,
    /// The same or the argument.
    SameOr,
    InnerOr,
    Kind(&'static str),
}

pub const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
pub const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
const GROUP_CHECK: &str = "kubernetes.authorization.GroupCheck";
const PATH_CHECK: &str = "kubernetes.authorization.PathCheck";
const DECISION: &str = "kubernetes.authorization.Decision";
const QUANTITY: &str = "kubernetes.Quantity";
const SEMVER: &str = "kubernetes.Semver";
const URL: &str = "kubernetes.URL";
const IP: &str = "net.IP";
const CIDR: &str = "net.CIDR";
const TIMESTAMP: &str = "google.protobuf.Timestamp";
const DURATION: &str = "google.protobuf.Duration";

/// Kinds of receivers, their methods with the same numbers of arguments, and what those give.
const METHODS: &[(&[&str], &[&str], &[usize], Gives)] = {
    use Gives::*;
    &[
        (&["string", "bytes", "list", "map"], &["size"], &[0], Int),
        (&["string"], &["contains", "startsWith", "endsWith", "matches"], &[1], Bool),
        (&["string"], &["find", "charAt", "format"], &[1], String),
        (&["string"], &["findAll", "split"], &[1, 2], Strings),
        (&["string"], &["lowerAscii", "upperAscii", "trim", "reverse"], &[0], String),
        (&["string"], &["replace"], &[2, 3], String),
        (&["string"], &["substring"], &[1, 2], String),
        (&["string"], &["indexOf", "lastIndexOf"], &[1, 2], Int),
        (&["list"], &["indexOf", "lastIndexOf"], &[1], Int),
        (&["list"], &["isSorted"], &[0], Bool),
        (&["list"], &["sum", "min", "max"], &[0], Inner),
        (&["list"], &["join"], &[0, 1], String),
        (&["list"], &["reverse", "distinct", "sort"], &[0], Same),
        (&["list"], &["slice"], &[2], Same),
        (&[TIMESTAMP], &["getFullYear", "getMonth", "getDate", "getDayOfMonth"], &[0, 1], Int),
        (&[TIMESTAMP], &["getDayOfYear", "getDayOfWeek"], &[0, 1], Int),
        (&[TIMESTAMP, DURATION], &["getHours", "getMinutes", "getSeconds", "getMilliseconds"], &[0, 1], Int),
        (&["optional_type"], &["hasValue"], &[0], Bool),
        (&["optional_type"], &["value"], &[0], Inner),
        (&["optional_type"], &["orValue"], &[1], InnerOr),
        (&["optional_type"], &["or"], &[1], SameOr),
        (&[QUANTITY, SEMVER], &["compareTo"], &[1], Int),
        (&[QUANTITY, SEMVER], &["isLessThan", "isGreaterThan"], &[1], Bool),
        (&[QUANTITY], &["sign", "asInteger"], &[0], Int),
        (&[QUANTITY], &["isInteger"], &[0], Bool),
        (&[QUANTITY], &["asApproximateFloat"], &[0], Double),
        (&[QUANTITY], &["add", "sub"], &[1], Same),
        (&[SEMVER], &["major", "minor", "patch"], &[0], Int),
        (&[URL], &["getScheme", "getHost", "getHostname", "getPort", "getEscapedPath"], &[0], String),
        (&[IP], &["family"], &[0], Int),
        (&[IP], &["isUnspecified", "isLoopback", "isLinkLocalMulticast"], &[0], Bool),
        (&[IP], &["isLinkLocalUnicast", "isGlobalUnicast"], &[0], Bool),
        (&[CIDR], &["containsIP", "containsCIDR"], &[1], Bool),
        (&[CIDR], &["prefixLength"], &[0], Int),
        (&[CIDR], &["ip"], &[0], Kind(IP)),
        (&[CIDR], &["masked"], &[0], Same),
        (&[AUTHORIZER], &["path"], &[1], Kind(PATH_CHECK)),
        (&[AUTHORIZER], &["group"], &[1], Kind(GROUP_CHECK)),
        (&[AUTHORIZER], &["serviceAccount"], &[2], Same),
        (&[GROUP_CHECK], &["resource"], &[1], Kind(RESOURCE_CHECK)),
        (&[RESOURCE_CHECK], &["subresource", "namespace", "name", "fieldSelector", "labelSelector"], &[1], Same),
        (&[RESOURCE_CHECK, PATH_CHECK], &["check"], &[1], Kind(DECISION)),
        (&[DECISION], &["allowed", "errored"], &[0], Bool),
        (&[DECISION], &["reason", "error"], &[0], String),
    ]
};

/// What `of.name(…)` gives with so many arguments.
pub fn method<'t>(of: &Type<'t>, name: &str, args: &[Type<'t>]) -> Type<'t> {
    let rows = METHODS.iter().filter(|(_, names, counts, _)| names.contains(&name) && counts.contains(&args.len()));
    let receiver = match of {
        Type::Dyn | Type::Free | Type::Unknown => None,
        of => Some(of.kind_name()),
    };
    let Some(receiver) = receiver else {
        let mut results = rows.map(|(.., gives)| *gives);
        return match results.next() {
            None => Type::Unknown,
            // All that may be meant must agree.
            Some(first) if results.all(|gives| gives == first) => first.of(&Type::Dyn, args),
            Some(_) => Type::Dyn,
        }
        .unless_unknown(of);
    };
    let mut fitting = rows.filter(|(receivers, ..)| receivers.contains(&receiver.as_str()));
    fitting.next().map_or(Type::Unknown, |(.., gives)| gives.of(of, args))
}

impl Gives {
    fn of<'t>(self, receiver: &Type<'t>, args: &[Type<'t>]) -> Type<'t> {
        match self {
            Self::Bool => Type::Bool,
            Self::Int => Type::Int,
            Self::Double => Type::Double,
            Self::String => Type::String,
            Self::Strings => Type::List(Box::new(Type::String)),
            Self::Same => receiver.clone(),
            Self::Inner => match receiver {
                Type::List(inner) | Type::Optional(inner) => (**inner).clone(),
                _ => Type::Dyn,
            },
            Self::InnerOr => args.iter().fold(Self::Inner.of(receiver, args), Type::join),
            Self::SameOr => args.iter().fold(receiver.clone(), Type::join),
            Self::Kind(name) => Type::Opaque(name),
        }
    }
}

/// What `name(args…)` gives.
pub fn function<'t>(name: &str, args: &[Type<'t>]) -> Type<'t> {
    match (name, args) {
        ("bytes" | "base64.decode", [_]) => Type::Bytes,
        ("dyn", [_]) => Type::Dyn,
        ("optional.of" | "optional.ofNonZeroValue", [of]) => Type::Optional(Box::new(of.clone())),
        ("optional.none", []) => Type::Optional(Box::new(Type::Free)),
        ("url", [_]) => Type::Opaque(URL),
        ("quantity", [_]) => Type::Opaque(QUANTITY),
        ("ip", [_]) => Type::Opaque(IP),
        ("cidr", [_]) => Type::Opaque(CIDR),
        ("semver", [_] | [_, _]) => Type::Opaque(SEMVER),
        ("isSemver", [_, _]) | ("ip.isCanonical", [_]) => Type::Bool,
        ("sets.contains" | "sets.equivalent" | "sets.intersects", [_, _]) => Type::Bool,
        ("base64.encode" | "strings.quote" | "jsonpatch.escapeKey", [_]) => Type::String,
        _ => Type::Unknown,
    }
}
