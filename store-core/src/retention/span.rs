//! Lengths of time as restic writes them: `1y5m7d2h`.

use std::fmt;
use std::str::FromStr;

/// Largest number before a unit.
const MOST: u32 = 9999;

/// Calendar years, months, days, and hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Calendar years.
    pub years: u32,
    /// Calendar months.
    pub months: u32,
    /// Days.
    pub days: u32,
    /// Hours.
    pub hours: u32,
}

/// A text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no length of time: write 7d, 2w, 1y5m7d2h; y are years, m months, w weeks, d days, h hours")]
pub struct SpanError(String);

impl Span {
    /// So many days.
    pub const fn days(days: u32) -> Self {
        Self { years: 0, months: 0, days, hours: 0 }
    }

    /// Its seconds, a month counted as 31 days and a year as 366.
    pub fn seconds(self) -> u64 {
        let days = u64::from(self.years) * 366 + u64::from(self.months) * 31 + u64::from(self.days);
        (days * 24 + u64::from(self.hours)) * 3600
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let wrong = || SpanError(text.chars().take(80).collect());
        let (mut span, mut rest) = (Self::default(), text.trim());
        if rest.is_empty() {
            return Err(wrong());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u32 = rest[..digits].parse().ok().filter(|number| *number <= MOST).ok_or_else(wrong)?;
            rest = rest[digits..].trim_start();
            let (field, factor, unit) = match rest.as_bytes() {
                [b'm', b'o', ..] => (&mut span.months, 1, 2),
                [b'y', ..] => (&mut span.years, 1, 1),
                [b'm', ..] => (&mut span.months, 1, 1),
                [b'w', ..] => (&mut span.days, 7, 1),
                [b'd', ..] => (&mut span.days, 1, 1),
                [b'h', ..] => (&mut span.hours, 1, 1),
                // A bare zero needs no unit.
                [] if number == 0 && digits == text.trim().len() => return Ok(span),
                _ => return Err(wrong()),
            };
            *field += number * factor;
            rest = rest[unit..].trim_start();
        }
        Ok(span)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [(self.years, "y"), (self.months, "m"), (self.days, "d"), (self.hours, "h")];
        if *self == Self::default() {
            return f.write_str("0h");
        }
        parts.iter().filter(|(number, _)| *number > 0).try_for_each(|(number, unit)| write!(f, "{number}{unit}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_as_restic_does() {
        for (text, meant) in [
            ("7d", "7d"),
            ("2w", "14d"),
            ("1y5m7d2h", "1y5m7d2h"),
            ("3mo", "3m"),
            ("1d 12h", "1d12h"),
            ("0", "0h"),
            ("0d", "0h"),
            ("1d1d", "2d"),
        ] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), meant, "{text}");
        }
        for text in ["", "7", "d", "7x", "-7d", "1.5d", "10000d", "7dd", "7d 3", "7min", "é"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
        assert_eq!("1d2h".parse::<Span>().unwrap().seconds(), 26 * 3600);
    }
}
