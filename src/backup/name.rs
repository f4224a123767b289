//! What snapshots are called: `PREFIX-NODE-SECONDS.snapshot`, with `.gz` behind it if it is compressed. Where
//! a name is taken the next second's is used.

const PLAIN: &str = ".snapshot";
const COMPRESSED: &str = ".snapshot.gz";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// `PREFIX-NODE`
    series: String,
    /// Since 1970, of about when it was taken.
    pub secs: i64,
    compressed: bool,
}

impl Name {
    pub fn new(prefix: &str, node: &str, secs: i64, compressed: bool) -> Self {
        Self { series: format!("{prefix}-{node}"), secs, compressed }
    }

    pub fn file(&self) -> String {
        format!("{}-{}{}", self.series, self.secs, if self.compressed { COMPRESSED } else { PLAIN })
    }

    /// Reads the name of a file back.
    pub fn parse(file: &str) -> Option<Self> {
        let (stem, compressed) = match file.strip_suffix(COMPRESSED) {
            Some(stem) => (stem, true),
            None => (file.strip_suffix(PLAIN)?, false),
        };
        let (series, secs) = stem.rsplit_once('-')?;
        Some(Self { series: series.to_owned(), secs: secs.parse().ok()?, compressed })
    }
}

pub fn is_snapshot(file: &str) -> bool {
    file.ends_with(PLAIN) || file.ends_with(COMPRESSED)
}

/// Those of one server and one prefix that are more than `keep`, oldest first.
pub fn superfluous(files: Vec<String>, prefix: &str, node: &str, keep: usize) -> Vec<String> {
    let series = format!("{prefix}-{node}");
    oldest(files, keep, |name| name.series == series)
}

/// As [`superfluous`], of the servers together; an empty prefix is of all.
pub fn superfluous_of(files: Vec<String>, prefix: &str, keep: usize) -> Vec<String> {
    let start = if prefix.is_empty() { String::new() } else { format!("{prefix}-") };
    oldest(files, keep, |name| name.series.starts_with(&start))
}

fn oldest(files: Vec<String>, keep: usize, is_meant: impl Fn(&Name) -> bool) -> Vec<String> {
    let named = files.into_iter().filter_map(|file| Some((Name::parse(&file)?, file)));
    let mut named: Vec<(Name, String)> = named.filter(|(name, _)| is_meant(name)).collect();
    named.sort_by_key(|(name, _)| name.secs);
    named.truncate(named.len().saturating_sub(keep));
    named.into_iter().map(|(_, file)| file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_oldest_of_the_same_server_and_prefix_are_superfluous() {
        let of = |prefix, node, secs| Name::new(prefix, node, secs, secs % 2 == 0).file();
        let mut files: Vec<String> = (7..13).map(|secs| of("daily", "a", secs)).collect();
        files.extend([of("daily", "a-b", 1), of("on-demand", "a", 1), "daily-a-x.snapshot".into(), "notes".into()]);
        assert_eq!(superfluous(files, "daily", "a", 4), ["daily-a-7.snapshot", "daily-a-8.snapshot.gz"]);
    }
}
