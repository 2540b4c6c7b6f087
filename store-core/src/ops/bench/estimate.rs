//! From a sample to the whole. Pure.

use std::collections::BTreeMap;

/// No estimate claims to be better than by this share of itself: where a push cuts depends on its keys, and what its threads do first on chance.
const LEAST_ERROR: f64 = 0.001;

/// A value with the deviation that its estimate has.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// The value, in bytes.
    pub bytes: f64,
    /// How far off the truth may lie on either side, in bytes, in 19 of 20 cases; 0 where nothing was left out.
    pub error: f64,
}

impl std::ops::Add for Estimate {
    type Output = Self;

    /// Errors of parts that were sampled apart are independent.
    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, error: self.error.hypot(other.error) }
    }
}

impl Estimate {
    /// What is known.
    pub(super) fn exact(bytes: f64) -> Self {
        Self { bytes, error: 0.0 }
    }

    /// The same, which rests on what other estimates left out.
    pub(super) fn at_best(self) -> Self {
        Self { error: self.error.max(LEAST_ERROR * self.bytes), ..self }
    }
}

/// What is drawn or left out as one: its plain bytes, what they became, and the probability with which it was drawn.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Unit {
    plain: f64,
    coded: f64,
    share: f64,
}

/// What was seen of many units: some that were taken for certain, and some that were drawn, each with a probability of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Seen {
    certain: Unit,
    drawn: BTreeMap<u64, Unit>,
}

impl Seen {
    /// Adds what is, or is a part of, the unit of the number `unit`, which is taken with the probability `share`.
    pub(super) fn add(&mut self, unit: u64, share: f64, plain: f64, coded: f64) {
        let sum = if share >= 1.0 { &mut self.certain } else { self.drawn.entry(unit).or_default() };
        *sum = Unit { plain: sum.plain + plain, coded: sum.coded + coded, share };
    }

    /// All plain bytes.
    pub(super) fn plain(&self) -> f64 {
        self.certain.plain + self.drawn.values().map(|unit| unit.plain).sum::<f64>()
    }

    /// What `plain` bytes become of which these units were taken, each as it was.
    ///
    /// What is certain counts for itself. For the others it is the ratio estimator for unequal probabilities, its variance by the residuals of
    /// independent draws (Särndal, Swensson, Wretman, Model Assisted Survey Sampling, section 7.3), times a quantile of Student's t for as
    /// many draws as the weights amount to. One unit more is counted, as far off as the farthest: of few that were drawn the rare ones are
    /// seldom among them.
    pub(super) fn whole(&self, plain: f64) -> Estimate {
        let drawn = self.plain() - self.certain.plain;
        let others = plain - self.certain.plain;
        if others <= drawn * (1.0 + 1e-9) {
            return Estimate::exact(self.certain.coded + self.drawn.values().map(|unit| unit.coded).sum::<f64>());
        }
        Estimate::exact(self.certain.coded) + self.others(others).at_best()
    }

    fn others(&self, plain: f64) -> Estimate {
        let weight = |unit: &Unit| 1.0 / unit.share;
        let sum = |of: &dyn Fn(&Unit) -> f64| self.drawn.values().map(of).sum::<f64>();
        let all = sum(&|unit| weight(unit) * unit.plain);
        if all <= 0.0 {
            // Nothing was drawn: they are as what is certain, or anything from nothing to all.
            let ratio = if self.certain.plain > 0.0 { self.certain.coded / self.certain.plain } else { 1.0 };
            return Estimate { bytes: ratio * plain, error: ratio.max(1.0) * plain };
        }
        let ratio = sum(&|unit| weight(unit) * unit.coded) / all;
        let bytes = ratio * plain;
        let count = self.drawn.len() as f64;
        if count < 2.0 {
            return Estimate { bytes, error: ratio.max(1.0) * plain };
        }
        let residual = |unit: &Unit| (unit.coded - ratio * unit.plain).powi(2);
        let spread = |weight: f64, residual: f64| (weight * weight - weight) * residual;
        let farthest = self.drawn.values().map(residual).fold(0.0, f64::max);
        let mean_weight = all / sum(&|unit| unit.plain);
        let variance = sum(&|unit| spread(weight(unit), residual(unit))) + spread(mean_weight, farthest);
        let draws = sum(&weight).powi(2) / sum(&|unit| weight(unit).powi(2));
        Estimate { bytes, error: student(draws - 1.0) * (variance * count / (count - 1.0)).sqrt() * plain / all }
    }
}

/// The quantile of Student's t which its amount does not pass in 19 of 20 cases.
fn student(freedom: f64) -> f64 {
    const FEW: [f64; 10] = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23];
    if freedom > 10.0 { 1.96 + 2.6 / freedom } else { FEW[(freedom as usize).clamp(1, 10) - 1] }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers without pattern between 0 and 1.
    fn noise(seed: u64) -> impl FnMut() -> f64 {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// Of how many of a thousand samples the interval holds the truth, and by which share of itself the mean estimate is off.
    fn coverage(population: &[(f64, f64)], share: impl Fn(usize) -> f64) -> (u32, f64) {
        let (plain, truth) = population.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        let (mut inside, mut sum) = (0, 0.0);
        for seed in 0..1000 {
            let mut next = noise(seed + 1);
            let _ = (0..20).map(|_| next()).sum::<f64>();
            let mut seen = Seen::default();
            for (i, (x, y)) in population.iter().enumerate() {
                if next() < share(i) {
                    seen.add(i as u64, share(i), *x, *y);
                }
            }
            let estimate = seen.whole(plain);
            inside += u32::from((estimate.bytes - truth).abs() <= estimate.error);
            sum += estimate.bytes;
        }
        (inside, sum / 1000.0 / truth - 1.0)
    }

    fn population(seed: u64, count: usize, ratio: impl Fn(&mut dyn FnMut() -> f64) -> f64) -> Vec<(f64, f64)> {
        let mut next = noise(seed);
        let one = |_| {
            let plain = 0.5 + next();
            (plain, plain * ratio(&mut next))
        };
        (0..count).map(one).collect()
    }

    /// Of 1000 samples 950 are to hold the truth; so few more or less are no news.
    fn assert_held(name: &str, (inside, bias): (u32, f64), least: u32, most_bias: f64) {
        assert!(inside >= least && bias.abs() <= most_bias, "{name}: {inside} of 1000, off by {bias} on average");
    }

    #[test]
    fn the_truth_lies_within_the_error_nineteen_times_of_twenty() {
        let even = |next: &mut dyn FnMut() -> f64| 0.6 + 0.1 * next();
        let skewed = |next: &mut dyn FnMut() -> f64| next().powi(4);
        let two = |next: &mut dyn FnMut() -> f64| if next() < 0.2 { 0.5 } else { 0.01 };
        for (name, count, share) in [("few", 200, 0.08), ("some", 400, 0.1), ("many", 3000, 0.05), ("half", 60, 0.5)] {
            assert_held(&format!("even, {name}"), coverage(&population(1, count, even), |_| share), 940, 0.003);
            assert_held(&format!("skewed, {name}"), coverage(&population(2, count, skewed), |_| share), 900, 0.03);
            assert_held(&format!("of two kinds, {name}"), coverage(&population(3, count, two), |_| share), 900, 0.04);
        }
    }

    #[test]
    fn it_does_so_where_shares_halve_and_what_comes_first_is_unlike() {
        let halving = |i: usize| 0.5_f64.powi((i / 16 + 1).ilog2() as i32);
        for seed in 0..4 {
            let mut units = population(seed + 9, 500, |next| 0.2 * next() * next());
            units[..16].iter_mut().for_each(|(x, y)| *y = *x);
            assert_held("halving", coverage(&units, halving), 920, 0.03);
        }
    }

    #[test]
    fn rare_units_that_cost_much_are_seldom_missed_by_more_than_is_said() {
        let rare = |next: &mut dyn FnMut() -> f64| if next() < 0.05 { 0.5 } else { 0.01 };
        assert_held("rare", coverage(&population(5, 800, rare), |_| 0.1), 900, 0.03);
    }

    #[test]
    fn parts_of_one_unit_are_no_two_draws() {
        let units = population(4, 400, |next| if next() < 0.3 { 0.6 } else { 0.1 });
        let (mut apart, mut together) = (Seen::default(), Seen::default());
        for (i, (x, y)) in units.iter().enumerate().step_by(10) {
            for part in 0..4 {
                apart.add((i * 4 + part) as u64, 0.1, x / 4.0, y / 4.0);
                together.add(i as u64, 0.1, x / 4.0, y / 4.0);
            }
        }
        let (apart, together) = (apart.whole(400.0), together.whole(400.0));
        assert!((apart.bytes - together.bytes).abs() < 1e-6 && together.error > 1.8 * apart.error, "{apart:?} {together:?}");
    }

    #[test]
    fn a_whole_has_no_error_and_nothing_that_was_left_out_has_none() {
        let mut seen = Seen::default();
        seen.add(1, 0.5, 10.0, 1.0);
        seen.add(2, 0.5, 10.0, 9.0);
        seen.add(0, 1.0, 10.0, 2.0);
        assert_eq!(seen.whole(30.0), Estimate { bytes: 12.0, error: 0.0 });
        let more = seen.whole(40.0);
        assert!((more.bytes - 17.0).abs() < 1e-9 && more.error > 5.0, "two draws say little: {more:?}");
        assert_eq!(Seen::default().whole(5.0), Estimate { bytes: 5.0, error: 5.0 });
        let mut alike = Seen::default();
        (0..100).for_each(|i| alike.add(i, 0.5, 10.0, 1.0));
        let estimate = alike.whole(2000.0);
        assert!((estimate.bytes - 200.0).abs() < 1e-6 && estimate.error >= 0.19, "{estimate:?}");
    }

    #[test]
    fn what_came_before_stands_for_what_was_not_drawn() {
        let mut seen = Seen::default();
        seen.add(0, 1.0, 10.0, 1.0);
        seen.add(0, 1.0, 10.0, 8.0);
        let estimate = seen.whole(30.0);
        assert!((estimate.bytes - 13.5).abs() < 1e-9 && (estimate.error - 10.0).abs() < 1e-9, "{estimate:?}");
    }
}
