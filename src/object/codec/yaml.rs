//! YAML, in and out, as upstream's library reads and writes it: YAML 1.1, where `yes` is true and
//! `0644` is octal.
//!
//! Reading turns documents into JSON text, which then goes the way of all JSON.

mod anchors;
mod read;
mod resolve;
mod write;

pub use read::{documents, repeated_keys, to_json};
pub use write::to_yaml;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_become_json_and_empty_ones_are_left_out() {
        let text = b"# nothing\n---\na: {b: [1, 2.5, x, null, \"true\"], 1: yes, n: 0644}\n---\n---\n- c\n";
        let read = documents(text).unwrap();
        assert_eq!(read, [&br#"{"a":{"b":[1,2.5,"x",null,"true"],"1":true,"false":420}}"#[..], br#"["c"]"#]);
    }

    #[test]
    fn keys_that_come_twice_are_told_with_their_lines() {
        assert_eq!(repeated_keys(b"a: 1\nb:\n  c: 1\n  c: 2\n"), ["line 4: key \"c\" already set in map"]);
    }

    #[test]
    fn anchors_and_merge_keys_are_followed() {
        let text = b"base: &b {x: 1, z: 2}\nuse:\n  <<: *b\n  z: 3\nsame: *b\n";
        assert_eq!(to_json(text).unwrap(), br#"{"base":{"x":1,"z":2},"use":{"z":3,"x":1},"same":{"x":1,"z":2}}"#);
    }

    #[test]
    fn complaints_are_worded_as_upstream_words_them() {
        let complaint = |text: &[u8]| to_json(text).unwrap_err().to_string();
        assert_eq!(
            complaint(b"a: ["),
            "error converting YAML to JSON: yaml: line 1: did not find expected node content"
        );
        assert_eq!(complaint(b"a: *b"), "error converting YAML to JSON: yaml: unknown anchor 'b' referenced");
    }

    #[test]
    fn a_tag_before_a_comma_is_refused_and_no_panic() {
        let words = "error converting YAML to JSON: yaml: did not find expected whitespace or line break";
        assert_eq!(to_json(b"{a: !t, b: c}").unwrap_err().to_string(), words);
        assert!(documents(b"a: 1\n---\n[!, x]\n").is_err());
        assert_eq!(repeated_keys(b"a: 1\na: 2\nx: y\nb: {c: !t, d: e}"), ["line 2: key \"a\" already set in map"]);
    }

    #[test]
    fn anchors_in_what_is_merged_stay_known() {
        let text = b"<<:\n- &x {a: 1}\n- {b: &y two}\nc: *x\nd: [*y]\n";
        assert_eq!(to_json(text).unwrap(), br#"{"c":{"a":1},"d":["two"],"a":1,"b":"two"}"#);
        assert_eq!(to_json(b"<<: {k: &k key}\n*k : 1").unwrap(), br#"{"key":1,"k":"key"}"#);
    }

    #[test]
    fn a_key_may_be_an_anchor() {
        assert_eq!(to_json(b"&a x: 1\n&b 2: *a\nc: *b\n").unwrap(), br#"{"x":1,"2":"x","c":2}"#);
        assert_eq!(to_json(b"<<: {&a x: 1}\n*a : 2\n").unwrap(), br#"{"x":2}"#);
    }

    #[test]
    fn a_text_may_begin_with_any_letter() {
        for text in ["\u{ff21}", "\u{f5d0}: 1", "\u{feff}a: 1"] {
            let json = to_json(text.as_bytes()).unwrap();
            let tree = serde_json::from_slice(&json).unwrap();
            let again = to_json(to_yaml(&tree).as_bytes()).unwrap();
            assert_eq!(again, json, "{text:?}");
        }
        assert_eq!(to_json("\u{feff}a: 1".as_bytes()).unwrap(), br#"{"a":1}"#);
    }

    #[test]
    fn alias_bombs_and_nonsense_are_refused() {
        let mut bomb = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..10 {
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(","));
        }
        assert!(to_json(bomb.as_bytes()).is_err());
        assert!(to_json(b"a: [").is_err());
    }

    #[test]
    fn strings_are_quoted_only_where_they_would_mean_something_else() {
        let tree = crate::object::tree::json!({
            "plain": "some text: no", "bool": "yes", "number": "1e3", "empty": "", "date": "2026-01-02", "colon": "a:b",
            "lines": "one\ntwo\n", "chomped": "one\n\ntwo", "hash": "a #b", "star": "*a", "quote": "'", "tab": "a\tb", "space": " a",
            "list": [{"a": 1, "b": [[]]}, {}, [1]], "none": null, "dash": "-", "version": "1.2.3", "key yes": {"on": true},
        });
        expect_test::expect![[r#"
            bool: "yes"
            chomped: |-
              one

              two
            colon: a:b
            dash: '-'
            date: "2026-01-02"
            empty: ""
            hash: 'a #b'
            key yes:
              "on": true
            lines: |
              one
              two
            list:
            - a: 1
              b:
              - []
            - {}
            - - 1
            none: null
            number: "1e3"
            plain: 'some text: no'
            quote: ''''
            space: ' a'
            star: '*a'
            tab: "a\tb"
            version: 1.2.3
        "#]]
        .assert_eq(&to_yaml(&tree));
    }

    #[test]
    fn long_lines_are_folded_at_spaces() {
        let words = vec!["0123456789"; 12].join(" ");
        let text = to_yaml(&crate::object::tree::json!({ "message": words }));
        assert_eq!(text.lines().count(), 2);
        assert_eq!(to_json(text.as_bytes()).unwrap(), format!(r#"{{"message":"{words}"}}"#).as_bytes());
    }
}
