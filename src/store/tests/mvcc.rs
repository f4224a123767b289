//! What one command does to a state.

use expect_test::{Expect as Golden, expect};

use super::super::mvcc::apply;
use super::*;

/// Applies the lines in order to an empty store in term 1, and shows outcomes and the end.
fn check(lines: &str, golden: Golden) {
    let mut state = State::default();
    let mut shown = Vec::new();
    for (line, index) in lines.lines().map(str::trim).filter(|line| !line.is_empty()).zip(1..) {
        let (line, term) = line.split_once(" in term ").unwrap_or((line, ""));
        let command = Command { term: term.parse().ok(), ..command(line) };
        shown.push(show_outcome(&apply(&mut state, Position { index, term: 1 }, command).outcome));
    }
    shown.push(format!("= {}\n", show_state(&state)));
    golden.assert_eq(&shown.join("\n"));
}

#[test]
fn each_committed_command_takes_the_next_revision() {
    check(
        "
        create a/x 1
        create a/y 1
        update a/x@1 2
        replace a/y 2
        put a/z 1
    ",
        expect![[r#"
            1: pods/a/x@1=1
            2: pods/a/y@2=1
            3: pods/a/x@3=2
            4: pods/a/y@4=2
            5: pods/a/z@5=1
            = 5: pods/a/x@3=2 pods/a/y@4=2 pods/a/z@5=1
        "#]],
    );
}

#[test]
fn what_is_not_as_expected_fails_and_changes_nothing() {
    check(
        "
        create a/x 1
        create a/x 2
        update a/x@7 2
        update a/y@1 2
        replace a/y 2
        delete a/x@2
        remove a/y
    ",
        expect![[r#"
            1: pods/a/x@1=1
            failed at 0, found pods/a/x@1=1
            failed at 0, found pods/a/x@1=1
            failed at 0, found nothing
            failed at 0, found nothing
            failed at 0, found pods/a/x@1=1
            failed at 0, found nothing
            = 1: pods/a/x@1=1
        "#]],
    );
}

#[test]
fn writes_of_one_command_happen_together_or_not_at_all() {
    check(
        "
        create a/x 1 & create a/y 1
        create a/z 1 & update a/x@9 2
        update a/x@1 2 & remove a/y & create a/z 1
        put a/x 3 & put a/x 4
    ",
        expect![[r#"
            1: pods/a/x@1=1 pods/a/y@1=1
            failed at 1, found pods/a/x@1=1
            2: pods/a/x@2=2 pods/a/y@2=1 pods/a/z@2=1
            failed at 1, found pods/a/x@2=2
            = 2: pods/a/x@2=2 pods/a/z@2=1
        "#]],
    );
}

#[test]
fn a_deleted_object_is_shown_as_of_its_deletion() {
    check(
        "
        create a/x 1
        delete a/x@1
        create a/x 2
    ",
        expect![[r#"
            1: pods/a/x@1=1
            2: pods/a/x@2=1
            3: pods/a/x@3=2
            = 3: pods/a/x@3=2
        "#]],
    );
}

#[test]
fn a_deposed_leaders_write_fails() {
    check(
        "
        create a/x 1 in term 1
        update a/x@1 2 in term 2
    ",
        expect![[r#"
            1: pods/a/x@1=1
            deposed in term 1
            = 1: pods/a/x@1=1
        "#]],
    );
}

#[test]
fn commands_over_a_limit_are_refused_before_they_are_proposed() {
    let object = |len: usize| Payload { bytes: vec![b' '; len].into(), revision_at: 1 };
    let create = |payload| Command::create(key("a/x"), payload);
    assert!(create(object(command::OBJECT_BYTES_MAX)).check().is_ok());
    let error = create(object(command::OBJECT_BYTES_MAX + 1)).check().unwrap_err();
    assert_eq!(error.to_string(), "object pods/a/x of 1572865 bytes is over the limit of 1572864");
    assert!(matches!(create(Payload { revision_at: 9, ..object(3) }).check(), Err(CommandError::NoRevision { .. })));
    assert_eq!(Command::default().check(), Err(CommandError::Writes { len: 0 }));
    let long = Key::of("pods", "a", &"x".repeat(2000));
    assert!(matches!(Command::create(long, object(3)).check(), Err(CommandError::Key { .. })));
    let many = Command::new(
        (0..5)
            .map(|n| Write {
                key: key(&format!("a/x{n}")),
                expect: Expect::Any,
                action: Action::Put(object(command::OBJECT_BYTES_MAX)),
            })
            .collect(),
    );
    assert!(matches!(many.check(), Err(CommandError::TooLarge { .. })));
}

#[test]
fn ranges_list_in_the_order_of_keys_and_go_on_behind_any_key() {
    let mut state = State::default();
    for (name, index) in ["pods/a/x", "pods/a/y", "pods/ab/x", "pods.other/a/x", "nodes//n"].into_iter().zip(1..) {
        apply(&mut state, Position { index, term: 1 }, command(&format!("create {name} 1")));
    }
    let pods = crate::object::GroupResource::new("", "pods");
    let list = |range: &KeyRange, after: Option<&str>| {
        let after = after.map(key);
        let found: Vec<String> = match &after {
            None => state.range(range).map(|object| object.key().to_string()).collect(),
            Some(after) => state.range_after(range, after).map(|object| object.key().to_string()).collect(),
        };
        found.join(" ")
    };
    assert_eq!(list(&KeyRange::resource(&pods), None), "pods/a/x pods/a/y pods/ab/x");
    assert_eq!(list(&KeyRange::namespace(&pods, "a"), None), "pods/a/x pods/a/y");
    assert_eq!(list(&KeyRange::namespace(&pods, "a"), Some("pods/a/x")), "pods/a/y");
    assert_eq!(list(&KeyRange::resource(&pods), Some("pods/a/xx")), "pods/a/y pods/ab/x");
    assert_eq!(list(&KeyRange::namespace(&pods, "a"), Some("nodes//n")), "pods/a/x pods/a/y");
    assert_eq!(list(&KeyRange::key(&key("a/y")), None), "pods/a/y");
    assert_eq!(list(&KeyRange::key(&key("a/n")), None), "");
}
