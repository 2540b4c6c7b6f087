//! From a sample to the whole. Pure.

/// Units that were measured: of each its plain bytes and what they became.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Units {
    count: f64,
    plain: f64,
    coded: f64,
    plain_squared: f64,
    product: f64,
    coded_squared: f64,
}

/// A value with the deviation that its estimate has.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Estimate {
    /// The value, in bytes.
    pub bytes: f64,
    /// One standard error, in bytes; 0 where nothing was left out.
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
}

impl Units {
    pub(super) fn add(&mut self, plain: f64, coded: f64) {
        self.add_many(1.0, plain, coded);
    }

    /// Adds `count` equal units.
    pub(super) fn add_many(&mut self, count: f64, plain: f64, coded: f64) {
        self.count += count;
        self.plain += count * plain;
        self.coded += count * coded;
        self.plain_squared += count * plain * plain;
        self.product += count * plain * coded;
        self.coded_squared += count * coded * coded;
    }

    pub(super) fn plain(&self) -> f64 {
        self.plain
    }

    /// The same units, asked for how much of them there is, not for what it became.
    pub(super) fn as_new(&self) -> Self {
        Self { coded: self.plain, product: self.plain_squared, coded_squared: self.plain_squared, ..*self }
    }

    /// What `plain` bytes become of which these units are a random sample: the ratio estimator, with its usual standard error
    /// (Cochran, Sampling Techniques, section 6.4).
    pub(super) fn scaled_to(&self, plain: f64) -> Estimate {
        if self.plain <= 0.0 {
            // Nothing was looked at: anything from nothing to all is possible.
            return Estimate { bytes: plain, error: plain };
        }
        let ratio = self.coded / self.plain;
        let bytes = ratio * plain;
        let share = (self.plain / plain).min(1.0);
        if share >= 1.0 - 1e-9 {
            return Estimate { bytes, error: 0.0 };
        }
        if !self.suffice() {
            return Estimate { bytes, error: bytes };
        }
        let mean = self.plain / self.count;
        Estimate { bytes, error: (self.variance(ratio) / self.count * (1.0 - share)).sqrt() / mean * plain }
    }

    /// What `plain` other bytes of the same kind become: apart from the error of the ratio, they scatter themselves.
    pub(super) fn extended_to(&self, plain: f64) -> Estimate {
        if self.plain <= 0.0 {
            return Estimate { bytes: plain, error: plain };
        }
        let ratio = self.coded / self.plain;
        if !self.suffice() {
            return Estimate { bytes: ratio * plain, error: ratio * plain };
        }
        let others = plain * self.count / self.plain;
        Estimate { bytes: ratio * plain, error: (self.variance(ratio) * (others * others / self.count + others)).sqrt() }
    }

    /// Of what units become beside what the ratio says.
    fn variance(&self, ratio: f64) -> f64 {
        let residuals = self.coded_squared - 2.0 * ratio * self.product + ratio * ratio * self.plain_squared;
        residuals.max(0.0) / (self.count - 1.0)
    }

    /// These and others.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            plain: self.plain + other.plain,
            coded: self.coded + other.coded,
            plain_squared: self.plain_squared + other.plain_squared,
            product: self.product + other.product,
            coded_squared: self.coded_squared + other.coded_squared,
        }
    }

    /// Whether they are enough for an estimate with an error.
    pub(super) fn suffice(&self) -> bool {
        self.count >= 2.0
    }

    /// What they became.
    pub(super) fn coded(&self) -> f64 {
        self.coded
    }
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

    #[test]
    fn the_truth_lies_within_two_errors_nineteen_times_of_twenty() {
        let mut next = noise(7);
        let population: Vec<(f64, f64)> = (0..4000).map(|_| (0.5 + next(), next() * next())).map(|(x, share)| (x, x * share)).collect();
        let (plain, truth) = population.iter().fold((0.0, 0.0), |(a, b), (x, y)| (a + x, b + y));
        let mut inside = 0;
        for _ in 0..400 {
            let mut units = Units::default();
            population.iter().filter(|_| next() < 0.1).for_each(|(x, y)| units.add(*x, *y));
            let estimate = units.scaled_to(plain);
            inside += usize::from((estimate.bytes - truth).abs() <= 2.0 * estimate.error);
        }
        assert!((365..=396).contains(&inside), "{inside} of 400");
    }

    #[test]
    fn a_whole_has_no_error_and_an_empty_sample_says_nothing() {
        let mut units = Units::default();
        units.add(10.0, 1.0);
        units.add(10.0, 9.0);
        assert_eq!(units.scaled_to(20.0), Estimate { bytes: 10.0, error: 0.0 });
        assert_eq!(Units::default().scaled_to(5.0), Estimate { bytes: 5.0, error: 5.0 });
        let others = units.extended_to(20.0);
        assert!(others.bytes == 10.0 && others.error > 5.0, "what was not looked at is not known: {others:?}");
    }
}
