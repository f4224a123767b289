//! Cron schedules: five fields, or a name such as `@daily`.

mod next;

/// A schedule, as the sets of minutes, hours, days, months and weekdays at which it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    pub minutes: u64,
    pub hours: u64,
    pub days: u64,
    pub months: u64,
    /// Sunday is 0.
    pub weekdays: u64,
    /// Whether days and weekdays were given as `*`: if neither was, one that matches is enough.
    pub any_day: bool,
    pub any_weekday: bool,
    /// `@every`: due so many seconds after the last time, whatever the sets say.
    pub every_seconds: Option<u64>,
}

struct Field {
    min: u32,
    max: u32,
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { min: 0, max: 59, names: &[] },
    Field { min: 0, max: 23, names: &[] },
    Field { min: 1, max: 31, names: &[] },
    Field {
        min: 1,
        max: 12,
        names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
    },
    Field { min: 0, max: 6, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] },
];

const NAMED: &[(&str, &str)] = &[
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Schedule {
    /// Reads a schedule; a time zone before it (`TZ=…`) is skipped. Complaints are upstream's.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty spec string".into());
        }
        let zoned = text.starts_with("TZ=") || text.starts_with("CRON_TZ=");
        let text = if zoned { text.split_once(' ').map_or("", |(_, rest)| rest.trim()) } else { text };
        if let Some(period) = text.strip_prefix("@every ") {
            let seconds = duration_seconds(period)
                .ok_or_else(|| format!("failed to parse duration {text}: time: invalid duration {period:?}"))?;
            return Ok(Self { every_seconds: Some(seconds.max(1)), ..Self::of("* * * * *")? });
        }
        if text.starts_with('@') {
            let named = NAMED.iter().find(|(name, _)| *name == text);
            return Self::of(named.ok_or_else(|| format!("unrecognized descriptor: {text}"))?.1);
        }
        Self::of(text)
    }

    fn of(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = parts[..] else {
            return Err(format!("expected exactly 5 fields, found {}: [{}]", parts.len(), parts.join(" ")));
        };
        let set = |place: usize, text: &str| FIELDS[place].set(text);
        let ((minutes, _), (hours, _)) = (set(0, minutes)?, set(1, hours)?);
        let ((days, any_day), (months, _)) = (set(2, days)?, set(3, months)?);
        let (weekdays, any_weekday) = set(4, weekdays)?;
        Ok(Self { minutes, hours, days, months, weekdays, any_day, any_weekday, every_seconds: None })
    }
}

impl Field {
    /// The values of a comma separated list, and whether it has a plain star.
    fn set(&self, text: &str) -> Result<(u64, bool), String> {
        let (mut bits, mut any) = (0, false);
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (more, star) = self.range(part)?;
            bits |= more;
            any |= star;
        }
        Ok((bits, any))
    }

    fn range(&self, text: &str) -> Result<(u64, bool), String> {
        let parts: Vec<&str> = text.split('/').collect();
        let ends: Vec<&str> = parts[0].split('-').collect();
        let mut star = matches!(ends[0], "*" | "?");
        let (start, mut end) = match (star, &ends[..]) {
            (true, _) => (self.min, self.max),
            (false, [only]) => (self.number(only)?, self.number(only)?),
            (false, [low, high]) => (self.number(low)?, self.number(high)?),
            _ => return Err(format!("too many hyphens: {text}")),
        };
        let step = match parts[..] {
            [_] => 1,
            [_, step] => {
                let step = integer(step)?;
                if ends.len() == 1 && !star {
                    end = self.max;
                }
                star &= step <= 1;
                step
            }
            _ => return Err(format!("too many slashes: {text}")),
        };
        match () {
            () if start < self.min => Err(format!("beginning of range ({start}) below minimum ({}): {text}", self.min)),
            () if end > self.max => Err(format!("end of range ({end}) above maximum ({}): {text}", self.max)),
            () if start > end => Err(format!("beginning of range ({start}) beyond end of range ({end}): {text}")),
            () if step == 0 => Err(format!("step of range should be a positive number: {text}")),
            () => Ok(((start..=end).step_by(step as usize).fold(0, |bits, value| bits | 1 << value), star)),
        }
    }

    fn number(&self, text: &str) -> Result<u32, String> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        named.map_or_else(|| integer(text), |place| Ok(place as u32 + self.min))
    }
}

fn integer(text: &str) -> Result<u32, String> {
    let number: i64 = text
        .parse()
        .map_err(|_| format!("failed to parse int from {text}: strconv.Atoi: parsing {text:?}: invalid syntax"))?;
    u32::try_from(number).map_err(|_| format!("negative number ({number}) not allowed: {text}"))
}

/// A Go duration in whole seconds: `1h30m`.
fn duration_seconds(text: &str) -> Option<u64> {
    const UNITS: &[(&str, f64)] =
        &[("ns", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("ms", 1e-3), ("h", 3600.0), ("m", 60.0), ("s", 1.0)];
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let (unit, factor) = UNITS.iter().find(|(unit, _)| rest.starts_with(unit))?;
        seconds += number * factor;
        rest = &rest[unit.len()..];
    }
    (!text.is_empty()).then_some(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_hold_lists_ranges_steps_and_names() {
        let schedule = Schedule::parse("*/20 1-3,5 * jan sun").unwrap();
        assert_eq!(schedule.minutes, 1 | 1 << 20 | 1 << 40);
        assert_eq!(schedule.hours, 0b10_1110);
        assert_eq!((schedule.months, schedule.weekdays), (1 << 1, 1));
        assert!(schedule.any_day && !schedule.any_weekday);
        assert_eq!(Schedule::parse("@every 1h30m").unwrap().every_seconds, Some(5400));
    }

    #[test]
    fn complaints_say_what_is_wrong() {
        let complaint = |text| Schedule::parse(text).unwrap_err();
        assert_eq!(complaint("* * *"), "expected exactly 5 fields, found 3: [* * *]");
        assert_eq!(complaint("61 * * * *"), "end of range (61) above maximum (59): 61");
        assert_eq!(complaint("*/0 * * * *"), "step of range should be a positive number: */0");
        assert_eq!(complaint("@foo"), "unrecognized descriptor: @foo");
    }
}
