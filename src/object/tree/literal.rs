//! `json!`: trees written down as JSON, with expressions in the place of values.

/// A tree from something that looks like JSON. Values may be expressions of any type that has
/// [`ToTree`](crate::object::tree::ToTree), keys may be expressions that make a text.
#[macro_export]
macro_rules! tree_literal {
    (null) => { $crate::object::tree::Tree::Null };
    ([ $($items:tt)* ]) => { $crate::tree_literal!(@list [] $($items)*) };
    ({}) => { $crate::object::tree::Tree::Object($crate::object::tree::Map::new()) };
    ({ $($entries:tt)+ }) => {{
        let mut map = $crate::object::tree::Map::new();
        $crate::tree_literal!(@map map () $($entries)+);
        $crate::object::tree::Tree::Object(map)
    }};
    ($value:expr) => { $crate::object::tree::ToTree::to_tree(&$value) };

    // Elements, one by one: what is one token of JSON first, since it is no expression.
    (@list [$($done:expr,)*]) => { $crate::object::tree::Tree::Array(vec![$($done),*]) };
    (@list [$($done:expr,)*] null $(, $($rest:tt)*)?) => {
        $crate::tree_literal!(@list [$($done,)* $crate::tree_literal!(null),] $($($rest)*)?)
    };
    (@list [$($done:expr,)*] [$($inner:tt)*] $(, $($rest:tt)*)?) => {
        $crate::tree_literal!(@list [$($done,)* $crate::tree_literal!([$($inner)*]),] $($($rest)*)?)
    };
    (@list [$($done:expr,)*] {$($inner:tt)*} $(, $($rest:tt)*)?) => {
        $crate::tree_literal!(@list [$($done,)* $crate::tree_literal!({$($inner)*}),] $($($rest)*)?)
    };
    (@list [$($done:expr,)*] $next:expr $(, $($rest:tt)*)?) => {
        $crate::tree_literal!(@list [$($done,)* $crate::tree_literal!($next),] $($($rest)*)?)
    };

    // Entries: tokens are collected as the key until a colon comes.
    (@map $map:ident ()) => {};
    (@map $map:ident ($key:expr) : null $(, $($rest:tt)*)?) => {
        $map.insert(($key).into(), $crate::tree_literal!(null));
        $crate::tree_literal!(@map $map () $($($rest)*)?);
    };
    (@map $map:ident ($key:expr) : [$($inner:tt)*] $(, $($rest:tt)*)?) => {
        $map.insert(($key).into(), $crate::tree_literal!([$($inner)*]));
        $crate::tree_literal!(@map $map () $($($rest)*)?);
    };
    (@map $map:ident ($key:expr) : {$($inner:tt)*} $(, $($rest:tt)*)?) => {
        $map.insert(($key).into(), $crate::tree_literal!({$($inner)*}));
        $crate::tree_literal!(@map $map () $($($rest)*)?);
    };
    (@map $map:ident ($key:expr) : $value:expr $(, $($rest:tt)*)?) => {
        $map.insert(($key).into(), $crate::tree_literal!($value));
        $crate::tree_literal!(@map $map () $($($rest)*)?);
    };
    (@map $map:ident () $key:literal : $($rest:tt)*) => {
        $crate::tree_literal!(@map $map ($key) : $($rest)*);
    };
    (@map $map:ident () ($key:expr) : $($rest:tt)*) => {
        $crate::tree_literal!(@map $map ($key) : $($rest)*);
    };
    (@map $map:ident () $key:path : $($rest:tt)*) => {
        $crate::tree_literal!(@map $map ($key) : $($rest)*);
    };
}
