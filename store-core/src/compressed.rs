//! L1: files that are compressed already, by their first bytes.
//!
//! A compressor turns a small change into other bytes from there on to the end, so that neither chunks nor differences find what stayed. All that
//! can be done is to say so, and how the same data is had plain. What is found is advice about a name that bytes claim: nothing is decompressed, no
//! input is an error, and no more is looked at than the caller gives.

mod rdb;

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compressed {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The `.xz` container.
    Xz,
    /// `bzip2`.
    Bzip2,
    /// The LZ4 frame format.
    Lz4,
    /// A zip whose members are deflated, or compressed in another way.
    Zip,
    /// `pg_dump -Fc` with compression.
    PgDump,
    /// A Redis dump with `rdbcompression yes`, its default.
    Redis,
}

impl Compressed {
    /// Bytes of a file that are worth giving; fewer say less.
    pub const PREFIX_LEN: usize = 256 << 10;

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Lz4 => "lz4",
            Self::Zip => "a compressed zip",
            Self::PgDump => "a compressed pg_dump -Fc",
            Self::Redis => "a Redis dump with rdbcompression",
        }
    }

    /// How the same data is had plain.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Gzip => "gunzip -c FILE | snap push - --stdin-filename NAME",
            Self::Zstd => "zstd -dc FILE | snap push - --stdin-filename NAME",
            Self::Xz => "xz -dc FILE | snap push - --stdin-filename NAME",
            Self::Bzip2 => "bzip2 -dc FILE | snap push - --stdin-filename NAME",
            Self::Lz4 => "lz4 -dc FILE | snap push - --stdin-filename NAME",
            Self::Zip => "push the folder that it unpacks to, or pack it with zip -0",
            Self::PgDump => "pg_dump -Fc -Z0, or pg_dump without -Fc",
            Self::Redis => "redis-cli config set rdbcompression no, and save again",
        }
    }
}

/// Whether the file that begins with `prefix` is compressed.
pub fn detect(prefix: &[u8]) -> Option<Compressed> {
    let found = match prefix {
        // Deflate is the only method, three flags are reserved, and the system is a small number or unknown.
        [0x1f, 0x8b, 8, flags, _, _, _, _, _, 0..=13 | 255, ..] if flags & 0xe0 == 0 => Compressed::Gzip,
        // One bit of the descriptor is reserved.
        [0x28, 0xb5, 0x2f, 0xfd, descriptor, _, ..] if descriptor & 0x08 == 0 => Compressed::Zstd,
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Compressed::Xz,
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, 0x59, 0x26, 0x53, 0x59, ..] => Compressed::Bzip2,
        [0x04, 0x22, 0x4d, 0x18, flags, ..] if flags >> 6 == 1 => Compressed::Lz4,
        [b'P', b'K', 3, 4, ..] if zip(prefix) => Compressed::Zip,
        [b'P', b'G', b'D', b'M', b'P', rest @ ..] if pg_dump(rest) == Some(true) => Compressed::PgDump,
        [b'R', b'E', b'D', b'I', b'S', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', rest @ ..] if rdb::has_lzf(rest) => {
            Compressed::Redis
        }
        _ => return None,
    };
    Some(found)
}

/// Whether one of the first members is compressed. A member whose length stands behind it ends the look, unless it is compressed.
fn zip(mut rest: &[u8]) -> bool {
    const HEADER: usize = 30;
    while let Some(header) = rest.get(..HEADER).filter(|header| header.starts_with(b"PK\x03\x04")) {
        let u16_at = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        if u16_at(8) != 0 {
            return true;
        }
        let len = u32::from_le_bytes([header[18], header[19], header[20], header[21]]) as usize;
        let behind = (HEADER + u16_at(26) + u16_at(28)).saturating_add(len);
        match rest.get(behind..) {
            Some(next) => rest = next,
            None => return false,
        }
    }
    false
}

/// Whether a custom archive is compressed, from what follows its magic. (`ReadHead` in `pg_backup_archiver.c`: from version 1.15 on a byte names
/// the algorithm, before that an integer gives the level.)
fn pg_dump(rest: &[u8]) -> Option<bool> {
    const CUSTOM: u8 = 1;
    let (&[major, minor, _revision, int_len, _offset_len, format], rest) = rest.split_first_chunk()?;
    if format != CUSTOM || !(1..=8).contains(&int_len) {
        return None;
    }
    if (major, minor) >= (1, 15) {
        return Some(*rest.first()? != 0);
    }
    // A sign, then the value's bytes.
    Some(rest.get(1..1 + usize::from(int_len))?.iter().any(|byte| *byte != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_compressors_made_are_told_by_what_made_them() {
        for (bytes, expected) in [
            (&include_bytes!("../tests/compressed/rows.gz")[..], Compressed::Gzip),
            (include_bytes!("../tests/compressed/stream.gz"), Compressed::Gzip),
            (include_bytes!("../tests/compressed/rows.zst"), Compressed::Zstd),
            (include_bytes!("../tests/compressed/rows.xz"), Compressed::Xz),
            (include_bytes!("../tests/compressed/rows.bz2"), Compressed::Bzip2),
            (include_bytes!("../tests/compressed/rows.lz4"), Compressed::Lz4),
            (include_bytes!("../tests/compressed/deflated.zip"), Compressed::Zip),
            (include_bytes!("../tests/compressed/custom.dump"), Compressed::PgDump),
            (include_bytes!("../tests/compressed/compression-yes.rdb"), Compressed::Redis),
        ] {
            assert_eq!(detect(bytes), Some(expected));
            for len in 0..bytes.len().min(300) {
                // A beginning says the same or nothing.
                assert!(detect(&bytes[..len]).is_none_or(|found| found == expected));
            }
        }
    }

    #[test]
    fn the_same_data_plain_is_not() {
        for bytes in [
            &include_bytes!("../tests/compressed/stored.zip")[..],
            include_bytes!("../tests/compressed/custom-z0.dump"),
            include_bytes!("../tests/compressed/compression-no.rdb"),
            b"--\n-- PostgreSQL database dump\n--\n",
            b"",
        ] {
            assert_eq!(detect(bytes), None);
        }
    }

    #[test]
    fn the_archives_of_later_versions_name_an_algorithm() {
        let head = |algorithm: u8| [&b"PGDMP\x01\x10\x00\x04\x08\x01"[..], &[algorithm, 0, 0, 0, 0]].concat();
        assert_eq!((detect(&head(3)), detect(&head(0))), (Some(Compressed::PgDump), None));
    }

    #[test]
    fn no_change_of_a_byte_panics() {
        let samples = [
            &include_bytes!("../tests/compressed/compression-yes.rdb")[..],
            include_bytes!("../tests/compressed/compression-no.rdb"),
            include_bytes!("../tests/compressed/stored.zip"),
            include_bytes!("../tests/compressed/custom.dump"),
        ];
        for sample in samples {
            for at in 0..sample.len().min(700) {
                for value in [0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xfa, 0xff] {
                    let mut bytes = sample.to_vec();
                    bytes[at] = value;
                    let _ = detect(&bytes);
                }
            }
        }
    }
}
