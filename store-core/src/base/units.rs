//! Units of size.

/// 1,024 bytes.
pub const KIB: usize = 1 << 10;
/// 1,024 KiB.
pub const MIB: usize = 1 << 20;
/// 1,024 MiB, as a length in a file.
pub const GIB: u64 = 1 << 30;

/// Reads a size: `1000`, `512MiB`, `1G`, `10GB`. `K`, `M`, `G`, `T`, with or without `iB`, are powers of 1024; `kB`, `MB`, `GB`, `TB` are powers
/// of 1000. `None` for what is no size, or more than 64 bits hold.
pub fn parse_size(text: &str) -> Option<u64> {
    let text_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(text_end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "ki" | "kib" => 1 << 10,
        "m" | "mi" | "mib" => 1 << 20,
        "g" | "gi" | "gib" => 1 << 30,
        "t" | "ti" | "tib" => 1 << 40,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        _ => return None,
    };
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor);
    }
    let value = number.parse::<f64>().ok()? * factor as f64;
    (value.is_finite() && value < u64::MAX as f64).then_some(value as u64)
}
