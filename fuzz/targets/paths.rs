//! Request lines, what a request accepts, JSONPath of columns, and links in proxied pages.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skiff::api::negotiate;
use skiff::api::request::RequestLine;
use skiff::object::tree::json;
use skiff::resources::jsonpath;

fuzz_target!(|text: &str| {
    let mut parts = text.splitn(3, '\n');
    let (path, query, accept) = (parts.next(), parts.next(), parts.next());
    for method in ["GET", "POST", "DELETE", "CONNECT"] {
        let line = RequestLine::read(method, path.unwrap_or_default(), query.unwrap_or_default());
        line.flag("watch");
    }
    let _ = negotiate::accept(accept.unwrap_or_default(), false);
    let tree = json!({"spec": {"list": [{"name": "a"}], "x.y": 1}});
    jsonpath::first(path.unwrap_or_default(), &tree);
});
