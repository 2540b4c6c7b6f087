//! How hard to compress: what the user says.

use std::str::FromStr;

/// How hard to compress. What is stored never depends on it for being read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Compression {
    /// Store as it is.
    Off,
    /// zstd level 1.
    Fastest,
    /// zstd level 3.
    #[default]
    Auto,
    /// zstd level 9.
    Better,
    /// zstd level 19.
    Max,
    /// This zstd level, 1 to 22.
    Level(u8),
}

impl Compression {
    /// The zstd level; `None` stores as it is.
    pub fn level(self) -> Option<i32> {
        match self {
            Self::Off => None,
            Self::Fastest => Some(1),
            Self::Auto => Some(3),
            Self::Better => Some(9),
            Self::Max => Some(19),
            Self::Level(level) => Some(level.into()),
        }
    }
}

/// A text that names no compression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no compression: off, fastest, auto, better, max or a level from 1 to 22 is expected")]
pub struct ParseCompressionError(String);

impl FromStr for Compression {
    type Err = ParseCompressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "off" => Self::Off,
            "fastest" => Self::Fastest,
            "auto" => Self::Auto,
            "better" => Self::Better,
            "max" => Self::Max,
            _ => match text.parse() {
                Ok(level @ 1..=22) => Self::Level(level),
                _ => return Err(ParseCompressionError(text.into())),
            },
        })
    }
}
