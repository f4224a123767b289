//! Where a walk is, kept on the stack and written out only for complaints.

use super::types::NodeId;

#[derive(Clone, Copy)]
pub enum Step<'p> {
    /// A declared field of a struct.
    Field {
        owner: NodeId,
        name: &'p str,
    },
    /// A key of a map.
    Key(&'p str),
    Index(usize),
}

/// A chain of steps, innermost first.
#[derive(Clone, Copy)]
pub struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Option<Step<'p>>,
}

impl<'p> Path<'p> {
    pub const ROOT: Self = Self { parent: None, step: None };

    pub fn then(&'p self, step: Step<'p>) -> Self {
        Self { parent: Some(self), step: Some(step) }
    }

    pub fn field(&'p self, owner: NodeId, name: &'p str) -> Self {
        self.then(Step::Field { owner, name })
    }

    /// All steps: `spec.containers[0].image`.
    pub fn full(&self) -> String {
        let mut out = self.parent.map(Path::full).unwrap_or_default();
        match self.step {
            Some(Step::Field { name, .. } | Step::Key(name)) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
            Some(Step::Index(index)) => out.push_str(&format!("[{index}]")),
            None => (),
        }
        out
    }

    /// The innermost struct, and the names of declared fields alone: what Go's decoder knows of
    /// where it is.
    pub fn fields(&self) -> Option<(NodeId, String)> {
        let above = self.parent.and_then(Path::fields);
        match (self.step, above) {
            (Some(Step::Field { owner, name }), Some((_, above))) => Some((owner, format!("{above}.{name}"))),
            (Some(Step::Field { owner, name }), None) => Some((owner, name.to_owned())),
            (_, above) => above,
        }
    }
}
