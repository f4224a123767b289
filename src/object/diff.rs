//! What differs between two texts, line by line, in the unified form.
//!
//! Matches lines as Python's `difflib` does (the longest common run first, then what is left and
//! right of it; lines that are frequent in a long text start no run), because the libraries that
//! upstream uses do, and which lines are shown depends on it.

use std::collections::HashMap;

/// Unchanged lines around each change.
const CONTEXT: usize = 3;
/// From this many lines on, frequent lines do not count as common ones.
const LONG_LINES: usize = 200;

#[derive(Clone, Copy, PartialEq)]
struct Run {
    a: usize,
    b: usize,
    len: usize,
}

#[derive(Clone, Copy)]
struct Op {
    is_equal: bool,
    a: (usize, usize),
    b: (usize, usize),
}

/// The hunks that make `new` of `old`, without file names; empty if there are none.
pub fn unified(old: &str, new: &str) -> String {
    let (a, b): (Vec<&str>, Vec<&str>) = (old.split('\n').collect(), new.split('\n').collect());
    let mut out = String::new();
    for group in groups(ops(&a, &b)) {
        let (Some(first), Some(last)) = (group.first(), group.last()) else { continue };
        let (from, to) = (range(first.a.0, last.a.1), range(first.b.0, last.b.1));
        out.push_str(&format!("@@ -{from} +{to} @@\n"));
        for op in &group {
            let mut lines = |mark: char, lines: &[&str]| {
                lines.iter().for_each(|line| out.push_str(&format!("{mark}{line}\n")));
            };
            if op.is_equal {
                lines(' ', &a[op.a.0..op.a.1]);
            } else {
                lines('-', &a[op.a.0..op.a.1]);
                lines('+', &b[op.b.0..op.b.1]);
            }
        }
    }
    out
}

fn range(start: usize, end: usize) -> String {
    match end - start {
        0 => format!("{start},0"),
        1 => format!("{}", start + 1),
        len => format!("{},{len}", start + 1),
    }
}

/// Cuts long unchanged stretches, so that each change keeps its surroundings only.
fn groups(mut ops: Vec<Op>) -> Vec<Vec<Op>> {
    if let Some(first) = ops.first_mut().filter(|op| op.is_equal) {
        first.a.0 = first.a.0.max(first.a.1.saturating_sub(CONTEXT));
        first.b.0 = first.b.0.max(first.b.1.saturating_sub(CONTEXT));
    }
    if let Some(last) = ops.last_mut().filter(|op| op.is_equal) {
        last.a.1 = last.a.1.min(last.a.0 + CONTEXT);
        last.b.1 = last.b.1.min(last.b.0 + CONTEXT);
    }
    let (mut groups, mut group) = (Vec::new(), Vec::new());
    for mut op in ops {
        if op.is_equal && op.a.1 - op.a.0 > 2 * CONTEXT {
            group.push(Op { a: (op.a.0, op.a.0 + CONTEXT), b: (op.b.0, op.b.0 + CONTEXT), ..op });
            groups.push(std::mem::take(&mut group));
            op.a.0 = op.a.1 - CONTEXT;
            op.b.0 = op.b.1 - CONTEXT;
        }
        group.push(op);
    }
    groups.push(group);
    groups.retain(|group| group.iter().any(|op| !op.is_equal));
    groups
}

fn ops(a: &[&str], b: &[&str]) -> Vec<Op> {
    let mut ops = Vec::new();
    let (mut i, mut j) = (0, 0);
    for run in runs(a, b).into_iter().chain([Run { a: a.len(), b: b.len(), len: 0 }]) {
        if i < run.a || j < run.b {
            ops.push(Op { is_equal: false, a: (i, run.a), b: (j, run.b) });
        }
        (i, j) = (run.a + run.len, run.b + run.len);
        if run.len > 0 {
            ops.push(Op { is_equal: true, a: (run.a, i), b: (run.b, j) });
        }
    }
    ops
}

/// Common runs in order, neighbours joined.
fn runs(a: &[&str], b: &[&str]) -> Vec<Run> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    for (at, line) in b.iter().enumerate() {
        places.entry(line).or_default().push(at);
    }
    if b.len() >= LONG_LINES {
        places.retain(|_, at| at.len() <= b.len() / 100 + 1);
    }
    let mut found = Vec::new();
    let mut open = vec![(0, a.len(), 0, b.len())];
    while let Some((a_from, a_to, b_from, b_to)) = open.pop() {
        let run = longest(a, b, &places, (a_from, a_to), (b_from, b_to));
        if run.len == 0 {
            continue;
        }
        found.push(run);
        if a_from < run.a && b_from < run.b {
            open.push((a_from, run.a, b_from, run.b));
        }
        let (a_next, b_next) = (run.a + run.len, run.b + run.len);
        if a_next < a_to && b_next < b_to {
            open.push((a_next, a_to, b_next, b_to));
        }
    }
    found.sort_by_key(|run| run.a);
    let mut joined: Vec<Run> = Vec::new();
    for run in found {
        match joined.last_mut() {
            Some(last) if last.a + last.len == run.a && last.b + last.len == run.b => last.len += run.len,
            _ => joined.push(run),
        }
    }
    joined
}

fn longest(
    a: &[&str],
    b: &[&str],
    places: &HashMap<&str, Vec<usize>>,
    (a_from, a_to): (usize, usize),
    (b_from, b_to): (usize, usize),
) -> Run {
    let mut best = Run { a: a_from, b: b_from, len: 0 };
    // How long the run is that ends at this line of `b` and the line of `a` before.
    let mut lens: HashMap<usize, usize> = HashMap::new();
    for i in a_from..a_to {
        let mut next = HashMap::new();
        for &j in places.get(a[i]).map_or(&[][..], Vec::as_slice).iter().filter(|j| (b_from..b_to).contains(*j)) {
            let len = j.checked_sub(1).and_then(|before| lens.get(&before)).copied().unwrap_or(0) + 1;
            next.insert(j, len);
            if len > best.len {
                best = Run { a: i + 1 - len, b: j + 1 - len, len };
            }
        }
        lens = next;
    }
    while best.a > a_from && best.b > b_from && a[best.a - 1] == b[best.b - 1] {
        best = Run { a: best.a - 1, b: best.b - 1, len: best.len + 1 };
    }
    while best.a + best.len < a_to && best.b + best.len < b_to && a[best.a + best.len] == b[best.b + best.len] {
        best.len += 1;
    }
    best
}

#[cfg(test)]
mod tests {
    use super::unified;

    #[test]
    fn far_changes_have_a_hunk_each_and_near_ones_share_one() {
        let old = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk";
        assert_eq!(unified(old, old), "");
        assert_eq!(unified(old, &old.replace('b', "B")), "@@ -1,5 +1,5 @@\n a\n-b\n+B\n c\n d\n e\n");
        let both = old.replace('b', "B").replace('f', "F");
        assert_eq!(unified(old, &both).matches("@@ -").count(), 1);
        let far = old.replace('a', "A").replace('k', "");
        assert_eq!(unified(old, &far).matches("@@ -").count(), 2);
    }

    #[test]
    fn a_line_more_or_less_moves_the_ranges() {
        assert_eq!(unified("a\nb", "a\nx\nb"), "@@ -1,2 +1,3 @@\n a\n+x\n b\n");
        assert_eq!(unified("a", "b"), "@@ -1 +1 @@\n-a\n+b\n");
    }
}
