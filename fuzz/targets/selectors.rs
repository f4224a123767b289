//! Label and field selectors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::api::selector::{LabelQuery, field_terms};

fuzz_target!(|text: &str| {
    if let Ok(query) = LabelQuery::parse(text) {
        query.matches(&Default::default());
    }
    let _ = field_terms(text);
});
