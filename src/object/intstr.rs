//! Numbers that may be given as percentages (`metav1.IntOrString`), such as `maxSurge`.

use serde::{Deserialize, Serialize};

use super::tree::Tree;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    Int(i32),
    String(String),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl IntOrString {
    pub fn from_tree(tree: &Tree) -> Option<Self> {
        match tree {
            Tree::String(text) => Some(Self::String(text.clone())),
            other => other.as_i64().and_then(|int| i32::try_from(int).ok()).map(Self::Int),
        }
    }

    /// The number, a percentage being of `total`. `None` for text that is no percentage.
    pub fn scaled(&self, total: i32, round_up: bool) -> Option<i32> {
        match self {
            Self::Int(value) => Some(*value),
            Self::String(text) => {
                let percent: i64 = text.strip_suffix('%')?.parse().ok()?;
                let product = percent * i64::from(total);
                let value = if round_up { (product + 99).div_euclid(100) } else { product.div_euclid(100) };
                i32::try_from(value).ok()
            }
        }
    }

    /// The number of a plain number or of text that is one; 0 for other text, as upstream has it.
    pub fn int_value(&self) -> i32 {
        match self {
            Self::Int(value) => *value,
            Self::String(text) => text.parse().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_the_way_that_is_asked() {
        let quarter = IntOrString::String("25%".into());
        assert_eq!((quarter.scaled(10, true), quarter.scaled(10, false)), (Some(3), Some(2)));
        assert_eq!(IntOrString::Int(4).scaled(10, true), Some(4));
        assert_eq!(IntOrString::String("web".into()).scaled(10, true), None);
    }
}
