//! Units of size.

/// 1,024 bytes.
pub const KIB: usize = 1 << 10;
/// 1,024 KiB.
pub const MIB: usize = 1 << 20;
/// 1,024 MiB, as a length in a file.
pub const GIB: u64 = 1 << 30;
