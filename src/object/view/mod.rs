//! Views: one small struct for each resource that loops read, with only the fields they use.
//!
//! A view is parsed once for each revision and shared by every loop; see [`super::View`]. Add a
//! field when a loop needs it. Pod templates and other things passed through stay raw JSON.
