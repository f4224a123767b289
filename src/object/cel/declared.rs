//! Types of values of a definition's schema, as its rules see them.

use super::check::Type;
use crate::object::schema::custom::Props;

impl Type<'static> {
    /// The type of what `schema` describes. Where upstream knows more of it, it is unknown.
    pub fn declared(schema: &Props) -> Self {
        if schema.int_or_string {
            return Self::Dyn;
        }
        match (schema.r#type.as_str(), schema.format.as_str()) {
            ("boolean", _) => Self::Bool,
            ("integer", _) => Self::Int,
            ("number", _) => Self::Double,
            ("string", "byte") => Self::Bytes,
            ("string", "duration") => Self::Duration,
            ("string", "date" | "date-time") => Self::Timestamp,
            ("string", _) => Self::String,
            ("array", _) => Self::List(Box::new(schema.items.as_deref().map_or(Self::Unknown, Self::declared))),
            ("object", _) => match schema.values() {
                Some(values) => Self::Map(Box::new(Self::String), Box::new(Self::declared(values))),
                None => {
                    let fields = schema.properties.iter();
                    Self::Names(fields.map(|(name, field)| (name.clone(), Self::declared(field))).collect())
                }
            },
            _ => Self::Unknown,
        }
    }
}
