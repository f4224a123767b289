//! What Go's `time.Parse` says of a text that is no time in the layouts that Kubernetes reads.

/// One step of a layout: what it is called in complaints, and how it is read.
#[derive(Clone, Copy)]
enum Step {
    Mark(char),
    Year,
    /// Two digits; the first may be missing if the flag is set.
    Number(&'static str, &'static str, u32, u32, bool),
    Micros,
    Zone,
}

const DATE_AND_TIME: [Step; 11] = [
    Step::Year,
    Step::Mark('-'),
    Step::Number("01", "month", 1, 12, false),
    Step::Mark('-'),
    Step::Number("02", "", 0, 99, false),
    Step::Mark('T'),
    Step::Number("15", "hour", 0, 23, true),
    Step::Mark(':'),
    Step::Number("04", "minute", 0, 59, false),
    Step::Mark(':'),
    Step::Number("05", "second", 0, 59, false),
];

/// What is wrong with `text` as a time of whole seconds (a fraction is allowed), or as one with exactly
/// six decimals; `None` if nothing is.
pub fn complaint(text: &str, with_micros: bool) -> Option<String> {
    let layout = if with_micros { "2006-01-02T15:04:05.000000Z07:00" } else { "2006-01-02T15:04:05Z07:00" };
    let at = |element: &str, rest: &str| {
        Some(format!("parsing time {text:?} as {layout:?}: cannot parse {rest:?} as {element:?}"))
    };
    let out_of_range = |what: &str| Some(format!("parsing time {text:?}: {what} out of range"));
    let micros = with_micros.then_some(Step::Micros);
    let mut rest = text;
    let mut date = [0u32; 3];
    for step in DATE_AND_TIME.into_iter().chain(micros).chain([Step::Zone]) {
        let held = rest;
        match step {
            Step::Mark(mark) => match rest.strip_prefix(mark) {
                Some(after) => rest = after,
                None => return at(&mark.to_string(), rest),
            },
            Step::Year => match rest.get(..4).filter(|year| year.bytes().all(|c| c.is_ascii_digit())) {
                Some(year) => {
                    date[0] = year.parse().unwrap_or_default();
                    rest = &rest[4..];
                }
                None => return at("2006", held),
            },
            Step::Number(element, what, low, high, short) => {
                let digits = rest.bytes().take(2).take_while(u8::is_ascii_digit).count();
                if digits == 0 || (digits == 1 && !short) {
                    return at(element, held);
                }
                let number: u32 = rest[..digits].parse().unwrap_or_default();
                rest = &rest[digits..];
                match element {
                    "01" => date[1] = number,
                    "02" => date[2] = number,
                    _ => (),
                }
                if !(low..=high).contains(&number) {
                    return out_of_range(what);
                }
                // A fraction may stand where the layout has none.
                if element == "05" && !with_micros && rest.starts_with(['.', ',']) {
                    let decimals = rest[1..].bytes().take_while(u8::is_ascii_digit).count();
                    rest = if decimals > 0 { &rest[1 + decimals..] } else { rest };
                }
            }
            Step::Micros => {
                let bytes = rest.as_bytes();
                let is_fraction =
                    bytes.len() >= 7 && matches!(bytes[0], b'.' | b',') && bytes[1..7].iter().all(u8::is_ascii_digit);
                if !is_fraction {
                    return at(".000000", held);
                }
                rest = &rest[7..];
            }
            Step::Zone => {
                if let Some(after) = rest.strip_prefix('Z') {
                    rest = after;
                    continue;
                }
                let zone = rest.get(..6).map(str::as_bytes);
                let is_zone = zone.is_some_and(|zone| {
                    matches!(zone[0], b'+' | b'-')
                        && zone[3] == b':'
                        && [1, 2, 4, 5].iter().all(|at| zone[*at].is_ascii_digit())
                });
                if !is_zone {
                    return at("Z07:00", held);
                }
                let number = |from: usize| rest[from..from + 2].parse::<u32>().unwrap_or_default();
                match (number(1), number(4)) {
                    (25.., _) => return out_of_range("time zone offset hour"),
                    (_, 61..) => return out_of_range("time zone offset minute"),
                    _ => rest = &rest[6..],
                }
            }
        }
    }
    if !rest.is_empty() {
        return Some(format!("parsing time {text:?}: extra text: {rest:?}"));
    }
    (!(1..=days(date[0], date[1])).contains(&date[2])).then(|| format!("parsing time {text:?}: day out of range"))
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::complaint;

    #[test]
    fn a_complaint_names_the_first_element_that_does_not_fit() {
        let seconds = |text| complaint(text, false).unwrap_or_default();
        let layout = r#"as "2006-01-02T15:04:05Z07:00""#;
        assert_eq!(seconds("2020-01-02T03:04:05.5+02:00"), "");
        assert_eq!(seconds("soon"), format!(r#"parsing time "soon" {layout}: cannot parse "soon" as "2006""#));
        assert_eq!(seconds("2020-01-02"), format!(r#"parsing time "2020-01-02" {layout}: cannot parse "" as "T""#));
        assert_eq!(seconds("2020-13-02T03:04:05Z"), r#"parsing time "2020-13-02T03:04:05Z": month out of range"#);
        assert_eq!(seconds("2021-02-29T03:04:05Z"), r#"parsing time "2021-02-29T03:04:05Z": day out of range"#);
        assert_eq!(seconds("2020-01-02T03:04:05Zx"), r#"parsing time "2020-01-02T03:04:05Zx": extra text: "x""#);
    }

    #[test]
    fn micro_times_have_exactly_six_decimals() {
        assert_eq!(complaint("2020-01-01T00:00:20.500000Z", true), None);
        let why = complaint("2020-01-01T00:00:20.5Z", true).unwrap();
        assert!(why.ends_with(r#"cannot parse ".5Z" as ".000000""#), "{why}");
    }
}
