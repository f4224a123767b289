//! Who gets how many seats: nominal shares, and what is lent and borrowed at the moment.

/// What a level's configuration says of its seats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    pub is_exempt: bool,
    pub nominal_shares: u32,
    pub lendable_percent: u32,
    /// No limit if none.
    pub borrowing_percent: Option<u32>,
}

/// Seats of a level: what is its own, what it keeps and what it can come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub nominal: u32,
    pub min: u32,
    pub max: u32,
}

/// Divides `total` seats by shares, rounding up so that nobody with a share has none.
pub fn bounds(total: u32, levels: &[Shares]) -> Vec<Bounds> {
    let sum: f64 = levels.iter().map(|level| f64::from(level.nominal_shares)).sum();
    let bounds = |level: &Shares| {
        let share = f64::from(level.nominal_shares) / sum.max(1.0);
        let nominal = (f64::from(total) * share).ceil();
        let percent = |of: u32| (nominal * f64::from(of) / 100.0).round() as u32;
        let nominal = nominal as u32;
        let borrowing = level.borrowing_percent.map_or(total, percent);
        Bounds { nominal, min: nominal - percent(level.lendable_percent).min(nominal), max: nominal + borrowing }
    };
    levels.iter().map(bounds).collect()
}

/// A level with what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    pub is_exempt: bool,
    pub bounds: Bounds,
    /// The most seats wanted at once lately.
    pub high: u32,
    /// The seats wanted as a rule.
    pub smoothed: f64,
}

impl Claim {
    /// What it gets whatever others want: what it wants of its own.
    fn floor(&self) -> u32 {
        match self.is_exempt {
            true => self.bounds.min.max(self.high),
            false => self.bounds.min.max(self.bounds.nominal.min(self.high)),
        }
    }
}

/// Divides the seats of all levels by what they want. Exempt levels take what they want; the others
/// get at least their floor, at most their maximum, and between these as much as what they want is
/// of what all want. Also gives that proportion (0 where seats do not even reach for the floors).
pub fn divide(claims: &[Claim]) -> (Vec<u32>, f64) {
    let sum: i64 = claims.iter().map(|claim| i64::from(claim.bounds.nominal)).sum();
    let exempt: i64 = claims.iter().filter(|claim| claim.is_exempt).map(|claim| i64::from(claim.floor())).sum();
    let left = (sum - exempt) as f64;
    let limited = || claims.iter().filter(|claim| !claim.is_exempt);
    let mins: f64 = limited().map(|claim| f64::from(claim.bounds.min)).sum();
    let floors: f64 = limited().map(|claim| f64::from(claim.floor())).sum();
    let seats = |of: &dyn Fn(&Claim) -> f64| {
        claims.iter().map(|claim| if claim.is_exempt { claim.floor() } else { of(claim).round() as u32 }).collect()
    };
    if left <= mins {
        return (seats(&|claim| f64::from(claim.bounds.min)), 0.0);
    }
    if left <= floors {
        let part = (left - mins) / (floors - mins);
        let between = |claim: &Claim| {
            let min = f64::from(claim.bounds.min);
            min + (f64::from(claim.floor()) - min) * part
        };
        return (seats(&between), 0.0);
    }
    let fair = fair_proportion(left, &limited().copied().collect::<Vec<_>>());
    (seats(&|claim| allotted(claim, fair)), fair)
}

/// What a level gets at the proportion `fair`.
fn allotted(claim: &Claim, fair: f64) -> f64 {
    let floor = f64::from(claim.floor());
    let target = claim.smoothed.max(floor).max(0.001);
    (target * fair).max(floor).min(f64::from(claim.bounds.max).max(floor))
}

/// The proportion at which all seats are allotted. Allotments rise with it, in straight lines between
/// the points where a level leaves its floor or meets its maximum, so that halving finds it.
fn fair_proportion(seats: f64, claims: &[Claim]) -> f64 {
    let total = |fair: f64| claims.iter().map(|claim| allotted(claim, fair)).sum::<f64>();
    let (mut low, mut high) = (0.0, 1.0);
    while total(high) < seats && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..64 {
        let middle = (low + high) / 2.0;
        if total(middle) < seats { low = middle } else { high = middle }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's levels, by name, with 600 seats.
    fn stock() -> Vec<(&'static str, Shares)> {
        let level = |nominal_shares, lendable_percent| Shares { nominal_shares, lendable_percent, ..Shares::default() };
        vec![
            ("exempt", Shares { is_exempt: true, ..Shares::default() }),
            ("catch-all", level(5, 0)),
            ("global-default", level(20, 50)),
            ("leader-election", level(10, 0)),
            ("node-high", level(40, 25)),
            ("system", level(30, 33)),
            ("workload-high", level(40, 50)),
            ("workload-low", level(100, 90)),
        ]
    }

    fn claims(wanted: &[(&str, f64)]) -> Vec<Claim> {
        let levels = stock();
        let shares: Vec<Shares> = levels.iter().map(|(_, shares)| *shares).collect();
        let wants = |name: &str| wanted.iter().find(|(level, _)| *level == name).map_or(0.0, |(_, seats)| *seats);
        let of = |((name, shares), bounds): (&(&str, Shares), Bounds)| Claim {
            is_exempt: shares.is_exempt,
            bounds,
            high: wants(name) as u32,
            smoothed: wants(name),
        };
        levels.iter().zip(bounds(600, &shares)).map(of).collect()
    }

    fn seats(wanted: &[(&str, f64)], name: &str) -> u32 {
        let at = stock().iter().position(|(level, _)| *level == name).unwrap();
        divide(&claims(wanted)).0[at]
    }

    #[test]
    fn nominal_seats_follow_shares() {
        let all = claims(&[]);
        let shown: Vec<(u32, u32)> = all.iter().map(|claim| (claim.bounds.nominal, claim.bounds.min)).collect();
        assert_eq!(shown, [(0, 0), (13, 13), (49, 24), (25, 25), (98, 73), (74, 50), (98, 49), (245, 24)]);
        assert_eq!(all[1].bounds.max, 613);
    }

    #[test]
    fn a_busy_level_borrows_what_others_do_not_want() {
        assert!(seats(&[("workload-low", 500.0)], "workload-low") > 340);
        assert_eq!(seats(&[("workload-low", 500.0)], "leader-election"), 25);
        // Who lends gets it back as soon as it wants it.
        let both = [("workload-low", 500.0), ("workload-high", 98.0)];
        assert_eq!(seats(&both, "workload-high"), 98);
    }

    #[test]
    fn all_seats_are_given_out() {
        for wanted in [&[][..], &[("workload-low", 1000.0)], &[("system", 60.0), ("global-default", 200.0)]] {
            let claims = claims(wanted);
            let (seats, _) = divide(&claims);
            let (given, there): (u32, u32) =
                (seats.iter().sum(), claims.iter().map(|claim| claim.bounds.nominal).sum());
            assert!(given.abs_diff(there) <= 4, "{given} of {there}: {seats:?}");
        }
    }

    #[test]
    fn exempt_requests_take_seats_from_the_others() {
        let mut busy = claims(&[("exempt", 400.0), ("workload-low", 245.0)]);
        assert_eq!(divide(&busy).0[0], 400);
        assert!(divide(&busy).0[7] < 245);
        busy[0].high = 10_000;
        let mins: Vec<u32> = busy[1..].iter().map(|claim| claim.bounds.min).collect();
        assert_eq!(divide(&busy).0[1..], mins);
    }
}
