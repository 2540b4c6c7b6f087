//! Sizes, ratios, durations and times as people read and write them.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use store_core::base::units;
use store_core::format::entry;
use store_core::format::record::Time;

/// A number of bytes with three digits that count, in powers of ten: `14.0 GB`, `590 MB`, `512 B`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    // 999.5 would be shown as 1000.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{} {}", three_digits(value), UNITS[unit]) }
}

/// How many times smaller `stored` is than `logical`: `24.5x`. Nothing where there is nothing to compare.
pub(crate) fn ratio(logical: u64, stored: u64) -> Option<String> {
    (logical > 0 && stored > 0).then(|| format!("{}x", three_digits(logical as f64 / stored as f64)))
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// `9.8 s`, `1 min 05 s`, `2 h 03 min`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let whole = seconds.round() as u64;
    if seconds < 0.995 {
        format!("{seconds:.2} s")
    } else if seconds < 59.95 {
        format!("{seconds:.1} s")
    } else if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole / 60 % 60)
    }
}

/// `1 file`, `44 files`.
pub(crate) fn count(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// `2026-01-31 12:00:05`, by the clock of this machine.
pub(crate) fn local_time(time: Time) -> String {
    timestamp(time)
        .map_or_else(|| format!("{} s", time.seconds), |t| t.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The same for a file's time.
pub(crate) fn local_file_time(time: entry::Timestamp) -> String {
    local_time(Time { seconds: time.seconds, nanos: time.nanos })
}

/// `2026-01-31T12:00:05.25+01:00`, for programs; `zone` is in seconds east of UTC.
pub(crate) fn rfc3339(time: Time, zone: i32) -> String {
    let offset = Offset::from_seconds(zone).unwrap_or(Offset::UTC);
    timestamp(time).map_or_else(String::new, |t| t.display_with_offset(offset).to_string())
}

/// The same for a file's time, in UTC.
pub(crate) fn rfc3339_file(time: entry::Timestamp) -> String {
    rfc3339(Time { seconds: time.seconds, nanos: time.nanos }, 0)
}

fn timestamp(time: Time) -> Option<Timestamp> {
    Timestamp::new(time.seconds, i32::try_from(time.nanos).ok()?).ok()
}

/// Reads a size as [`units::parse_size`] does.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    units::parse_size(text).ok_or_else(|| format!("'{text}' is no size: 1000, 512MiB, 1G and 10GB are sizes"))
}

/// What of a name, or of a text with names in it, may be shown to people: what could move the cursor, recolour the screen, or turn the
/// order of the letters around is shown as escapes.
pub(crate) fn printable(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if !text.chars().any(acts) {
        return text.into_owned();
    }
    text.chars().map(escaped).collect()
}

/// The same byte for byte where nothing acts on a terminal, so that a name that is no UTF-8 reaches the next program as it is.
pub(crate) fn printable_bytes(name: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        chunk.valid().chars().for_each(|c| shown.extend_from_slice(escaped(c).as_bytes()));
        shown.extend_from_slice(chunk.invalid());
    }
    shown
}

/// Whether a terminal does something else with it than showing it: control characters, and those that set the direction of text.
fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escaped(c: char) -> String {
    if acts(c) { c.escape_default().to_string() } else { c.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_three_digits() {
        let shown = [0, 1, 999, 1000, 5_904, 99_940, 99_950, 590_000_000, 999_499, 999_500, 14_000_000_000, u64::MAX].map(size);
        assert_eq!(
            shown,
            ["0 B", "1 B", "999 B", "1.00 kB", "5.90 kB", "99.9 kB", "100 kB", "590 MB", "999 kB", "1.00 MB", "14.0 GB", "18.4 EB"]
        );
    }

    #[test]
    fn ratios_have_three_digits() {
        assert_eq!(ratio(14_000_000_000, 571_000_000).as_deref(), Some("24.5x"));
        assert_eq!(ratio(5, 4).as_deref(), Some("1.25x"));
        assert_eq!(ratio(12_345, 10).as_deref(), Some("1234x"));
        assert_eq!((ratio(5, 0), ratio(0, 5)), (None, None));
    }

    #[test]
    fn durations_grow_into_their_units() {
        let shown = [0.004, 0.3, 9.8, 59.94, 59.96, 65.0, 3599.6, 7380.0].map(|s| duration(Duration::from_secs_f64(s)));
        assert_eq!(shown, ["0.00 s", "0.30 s", "9.8 s", "59.9 s", "1 min 00 s", "1 min 05 s", "1 h 00 min", "2 h 03 min"]);
    }

    #[test]
    fn sizes_are_read_in_both_kinds_of_units() {
        for (text, bytes) in [
            ("0", 0),
            ("1000", 1000),
            ("512MiB", 512 << 20),
            ("1G", 1 << 30),
            ("10GB", 10_000_000_000),
            ("1.5k", 1536),
            ("2 MB", 2_000_000),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for odd in ["", "G", "-1", "1x", "1.2.3", "99999999T", "1 1", "."] {
            assert!(parse_size(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn times_are_shown_for_programs_with_their_zone() {
        let time = Time { seconds: 1_767_225_600, nanos: 250_000_000 };
        assert_eq!(rfc3339(time, 3600), "2026-01-01T01:00:00.25+01:00");
        assert_eq!(rfc3339(Time { seconds: i64::MAX, nanos: 0 }, 0), "");
    }

    #[test]
    fn names_cannot_play_with_the_terminal() {
        assert_eq!(printable(b"a\x1b[31mb\n"), "a\\u{1b}[31mb\\n");
        assert_eq!(printable("tête".as_bytes()), "tête");
        assert_eq!(printable("a\u{9b}31m \u{202e}b".as_bytes()), "a\\u{9b}31m \\u{202e}b");
        assert_eq!(printable_bytes(b"a\x1b\xff\xfe\n"), b"a\\u{1b}\xff\xfe\\n");
    }
}
