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

/// The scheduled snapshots of one server, and how many of them stay.
pub struct Series<'a> {
    pub prefix: &'a str,
    pub node: &'a str,
    /// The one that was just taken: it stays.
    pub newest: &'a str,
    pub keep: usize,
    /// What they may take together.
    pub keep_bytes: u64,
}

impl Series<'_> {
    /// Those among files with their sizes that are more than are to be kept, oldest first. Those that seem newer
    /// than the newest were taken while the clock was ahead: when, nobody knows, so they go first.
    pub fn superfluous(&self, files: Vec<(String, u64)>) -> Vec<String> {
        let series = format!("{}-{}", self.prefix, self.node);
        let taken = Name::parse(self.newest).map_or(i64::MAX, |name| name.secs);
        let named = files.into_iter().filter_map(|(file, bytes)| Some((Name::parse(&file)?, file, bytes)));
        let mut named: Vec<_> = named.filter(|(name, ..)| name.series == series).collect();
        named.sort_by_key(|(name, file, _)| (file != self.newest, name.secs > taken, std::cmp::Reverse(name.secs)));
        let mut sum = 0_u64;
        let is_kept = |(at, (_, _, bytes)): (usize, &(Name, String, u64))| {
            sum = sum.saturating_add(*bytes);
            at == 0 || at < self.keep && sum <= self.keep_bytes
        };
        let kept = named.iter().enumerate().map(is_kept).take_while(|is_kept| *is_kept).count();
        named.drain(kept..).rev().map(|(_, file, _)| file).collect()
    }
}

/// Those whose names begin with the prefix, of any server, that are more than `keep`, oldest first; an empty
/// prefix is of all.
pub fn superfluous_of(files: Vec<String>, prefix: &str, keep: usize) -> Vec<String> {
    let start = if prefix.is_empty() { String::new() } else { format!("{prefix}-") };
    let named = files.into_iter().filter_map(|file| Some((Name::parse(&file)?, file)));
    let mut named: Vec<(Name, String)> = named.filter(|(name, _)| name.series.starts_with(&start)).collect();
    named.sort_by_key(|(name, _)| name.secs);
    named.truncate(named.len().saturating_sub(keep));
    named.into_iter().map(|(_, file)| file).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNBOUNDED: u64 = u64::MAX;

    fn superfluous(files: &[(String, u64)], keep: usize, keep_bytes: u64) -> Vec<String> {
        let newest = files.first().map_or("", |(file, _)| file);
        let series = Series { prefix: "daily", node: "a", newest, keep, keep_bytes };
        series.superfluous(files.to_vec())
    }

    fn daily(secs: i64, bytes: u64) -> (String, u64) {
        (Name::new("daily", "a", secs, true).file(), bytes)
    }

    #[test]
    fn only_the_oldest_of_the_same_server_and_prefix_are_superfluous() {
        let of = |prefix, node, secs| Name::new(prefix, node, secs, secs % 2 == 0).file();
        let mut files: Vec<String> = (7..13).rev().map(|secs| of("daily", "a", secs)).collect();
        files.extend([of("daily", "a-b", 1), of("on-demand", "a", 1), "daily-a-x.snapshot".into(), "notes".into()]);
        let sized: Vec<(String, u64)> = files.iter().map(|file| (file.clone(), 5)).collect();
        assert_eq!(superfluous(&sized, 4, UNBOUNDED), ["daily-a-7.snapshot", "daily-a-8.snapshot.gz"]);
        assert_eq!(
            superfluous_of(files, "daily", 4),
            ["daily-a-b-1.snapshot", "daily-a-7.snapshot", "daily-a-8.snapshot.gz"]
        );
    }

    #[test]
    fn the_oldest_go_until_the_rest_fits() {
        let files = [daily(9, 40), daily(8, 30), daily(7, 20), daily(6, 1)];
        let left = |keep_bytes| files.len() - superfluous(&files, 9, keep_bytes).len();
        assert_eq!([91, 90, 89, 70, 69, 40].map(left), [4, 3, 2, 2, 1, 1]);
        assert_eq!(superfluous(&files, 9, 70), ["daily-a-6.snapshot.gz", "daily-a-7.snapshot.gz"]);
    }

    #[test]
    fn the_newest_stays_however_large_it_is() {
        assert_eq!(superfluous(&[daily(9, 400), daily(8, 1)], 5, 100), ["daily-a-8.snapshot.gz"]);
        assert!(superfluous(&[daily(9, 400)], 5, 100).is_empty());
    }

    #[test]
    fn what_was_taken_while_the_clock_was_ahead_pushes_nothing_newer_out() {
        let files = [daily(9, 1), daily(8, 1), daily(2_000, 1)];
        assert_eq!(superfluous(&files, 2, UNBOUNDED), ["daily-a-2000.snapshot.gz"]);
        assert_eq!(superfluous(&files, 1, UNBOUNDED), ["daily-a-2000.snapshot.gz", "daily-a-8.snapshot.gz"]);
    }
}
