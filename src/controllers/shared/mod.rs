//! What several controllers do alike.

pub mod conditions;
pub mod hash;
pub mod history;
pub mod ownership;
pub mod pods;
pub mod status;
