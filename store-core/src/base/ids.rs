//! Names of things. Each is a newtype without `Default` or `Deref`, so that one kind of name cannot stand for another.

use std::fmt;

/// A text that is no id: wrong length or not lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' is no {what}: {bytes} bytes as lower-case hexadecimal are expected")]
pub struct ParseIdError {
    what: &'static str,
    bytes: usize,
    text: String,
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in bytes {
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

fn read_hex(text: &str, out: &mut [u8]) -> bool {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != out.len() * 2 {
        return false;
    }
    for (pair, byte) in text.chunks_exact(2).zip(out) {
        let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else { return false };
        *byte = high << 4 | low;
    }
    true
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Takes bytes that are known to name such a thing.
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes of the name.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }

            /// The first eight hexadecimal digits, as shown to people.
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(&self.0[..4], f)?;
                f.write_str(")")
            }
        }

        impl std::str::FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let mut bytes = [0; $len];
                if read_hex(text, &mut bytes) {
                    return Ok(Self(bytes));
                }
                Err(ParseIdError { what: $what, bytes: $len, text: text.chars().take(80).collect() })
            }
        }
    };
}

id! {
    /// Names a repository: random, made at `init`.
    RepoId, 32, "repository id"
}
id! {
    /// Names a chunk: keyed BLAKE3 of its plaintext, in the domain of data.
    ChunkId, 32, "chunk id"
}
id! {
    /// Names a node of a Merkle list: keyed BLAKE3 of its plaintext, in the domain of nodes.
    NodeId, 32, "node id"
}
id! {
    /// Names a pack: BLAKE3 of the finished object.
    PackId, 32, "pack id"
}
id! {
    /// Names a trial object, or what came of trials: random.
    ProbeId, 32, "probe id"
}
id! {
    /// Names an index segment: BLAKE3 of the finished object.
    SegmentId, 32, "index segment id"
}
id! {
    /// Names one writer's period of activity, and the snapshot or abort that ends it: random.
    SessionId, 32, "session id"
}
id! {
    /// Names a note: random.
    NoteId, 32, "note id"
}
id! {
    /// Names a key slot: random.
    SlotId, 32, "key slot id"
}
id! {
    /// Names one installation that writes to a repository: random, kept beside its cache.
    WriterId, 16, "writer id"
}

/// A snapshot is named by the session that it ended.
pub type SnapshotId = SessionId;

/// Counts plans of prunes, from 1. A number is used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlanNumber(u32);

impl PlanNumber {
    /// The number of the first plan.
    pub const FIRST: Self = Self(1);

    /// The number after this one; `None` behind the last one that there can be.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for PlanNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for PlanNumber {
    type Err = ParsePlanNumberError;

    /// Decimal digits, the first of which is not 0.
    fn from_str(text: &str) -> Result<Self, ParsePlanNumberError> {
        let digits = text.bytes().all(|c| c.is_ascii_digit()) && !text.starts_with('0');
        text.parse().ok().filter(|_| digits).map(Self).ok_or(ParsePlanNumberError)
    }
}

/// A text that is no number of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a number from 1 to 4294967295 in its shortest form")]
pub struct ParsePlanNumberError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_survives_its_text() {
        let id = ChunkId::from_bytes(std::array::from_fn(|i| i as u8 * 7));
        assert_eq!(id.to_string().parse::<ChunkId>().unwrap(), id);
        assert_eq!(id.short(), "00070e15");
    }

    #[test]
    fn a_plan_number_has_one_text() {
        for text in ["1", "10", "4294967295"] {
            assert_eq!(text.parse::<PlanNumber>().unwrap().to_string(), text);
        }
        for text in ["", "0", "01", "+1", "-1", "4294967296", "1 ", "a"] {
            assert!(text.parse::<PlanNumber>().is_err(), "{text}");
        }
        assert_eq!(PlanNumber::FIRST.to_string(), "1");
        assert_eq!("4294967295".parse::<PlanNumber>().unwrap().next(), None);
    }

    #[test]
    fn odd_texts_are_no_ids() {
        for text in ["", "00", &"0".repeat(63), &"G".repeat(64), &"A".repeat(64), &"é".repeat(32)] {
            assert!(text.parse::<ChunkId>().is_err(), "{text}");
        }
    }
}
