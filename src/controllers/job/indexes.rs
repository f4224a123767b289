//! Sets of completion indexes as statuses write them: `1,3-5,7`.

use std::collections::BTreeSet;

/// Reads a list of indexes and ranges; what cannot be read, and indexes from `limit` on, are left out.
pub fn parse(text: &str, limit: i64) -> BTreeSet<i64> {
    let mut indexes = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<i64>(), last.parse::<i64>()) {
            indexes.extend(first.max(0)..=last.min(limit - 1));
        }
    }
    indexes
}

/// Runs of three and more become ranges.
pub fn print(indexes: &BTreeSet<i64>) -> String {
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for index in indexes {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *index => *last = *index,
            _ => runs.push((*index, *index)),
        }
    }
    let text = |(first, last): &(i64, i64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    };
    runs.iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_written() {
        let indexes = parse("0,2-4,6,7,90", 10);
        assert_eq!(indexes.iter().copied().collect::<Vec<_>>(), [0, 2, 3, 4, 6, 7]);
        assert_eq!(print(&indexes), "0,2-4,6,7");
    }
}
