use clap::Args;

use crate::output::human::parse_size;

/// Look for damage
#[derive(Debug, Args)]
#[command(after_help = "Exits with 15 if there is damage.

Examples:
  snap check                            every name, count and reference
  snap check --read-data                every byte, too
  snap check --probe                    whether a bucket keeps what deleting rests on
  snap check --read-data-subset 3/30    the third of thirty parts: all of it within a month of nights")]
pub(crate) struct Check {
    /// Read, decode and verify every byte
    #[arg(long)]
    pub(crate) read_data: bool,
    /// Read, decode and verify a part: 5% or 10G at random, or the third of thirty parts
    #[arg(long, value_name = "5%|3/30|10G", conflicts_with = "read_data")]
    pub(crate) read_data_subset: Option<Subset>,
    /// Put the store itself to the test instead, and keep the result: pruning a bucket depends on it (exits with 13 if it fails)
    #[arg(long, conflicts_with_all = ["read_data", "read_data_subset"])]
    pub(crate) probe: bool,
}

/// Which part of the packs is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Subset {
    /// A share of them, above 0 and at most 100.
    Percent(f64),
    /// The `n`th of `of` parts, counted from 1.
    Part { n: u64, of: u64 },
    /// As many bytes.
    Bytes(u64),
}

impl std::str::FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("'{text}' is neither a share (5%), nor a part (3/30), nor a size (10G)");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| refuse())?;
            return if percent > 0.0 && percent <= 100.0 { Ok(Self::Percent(percent)) } else { Err(refuse()) };
        }
        if let Some((n, of)) = text.split_once('/') {
            let (n, of) = (n.trim().parse().map_err(|_| refuse())?, of.trim().parse().map_err(|_| refuse())?);
            return if n >= 1 && n <= of { Ok(Self::Part { n, of }) } else { Err(refuse()) };
        }
        parse_size(text).map(Self::Bytes).map_err(|_| refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subset_is_a_share_a_part_or_a_size() {
        assert_eq!("5%".parse(), Ok(Subset::Percent(5.0)));
        assert_eq!("0.5%".parse(), Ok(Subset::Percent(0.5)));
        assert_eq!("3/30".parse(), Ok(Subset::Part { n: 3, of: 30 }));
        assert_eq!("10G".parse(), Ok(Subset::Bytes(10 << 30)));
        for odd in ["", "%", "0%", "101%", "NaN%", "0/3", "4/3", "1/0", "-1/3", "x"] {
            assert!(odd.parse::<Subset>().is_err(), "{odd}");
        }
    }
}
