//! What `check` found damaged in packs that are there, as this host remembers it: a file beside the chunk index, and like it no part of the
//! repository. It only says what is not to be relied on: a push stores what it meets of it again. A record that is lost, or wrong, costs
//! room or another check, never a byte.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::PathBuf;

use super::Repo;
use crate::base::ids::PackId;
use crate::error::{Error, ErrorKind};

/// A file longer than this is none of ours.
const FILE_LEN: u64 = 64 << 20;

/// A part of a pack that is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Damaged {
    /// The blob with this ordinal cannot be decoded.
    Blob(u32),
    /// Footer or envelope: the blobs can be read as long as an index segment names them.
    Frame,
}

/// Damaged parts by pack.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DamageRecord(pub(crate) BTreeMap<PackId, BTreeSet<Damaged>>);

impl DamageRecord {
    fn parse(text: &str) -> Self {
        let mut record = Self::default();
        for line in text.lines() {
            let Some((pack, part)) = line.split_once(' ') else { continue };
            let part = if part == "frame" { Some(Damaged::Frame) } else { part.parse().ok().map(Damaged::Blob) };
            if let (Ok(pack), Some(part)) = (pack.parse(), part) {
                record.0.entry(pack).or_default().insert(part);
            }
        }
        record
    }

    fn text(&self) -> String {
        let parts = self.0.iter().flat_map(|(pack, parts)| parts.iter().map(move |part| (pack, part)));
        let line = |(pack, part): (&PackId, &Damaged)| match part {
            Damaged::Blob(ordinal) => format!("{pack} {ordinal}\n"),
            Damaged::Frame => format!("{pack} frame\n"),
        };
        parts.map(line).collect()
    }
}

impl Repo {
    fn damage_file(&self) -> PathBuf {
        self.cache_dir.join("damaged")
    }

    /// What is remembered. A file that cannot be read says nothing.
    pub(crate) fn damage(&self) -> DamageRecord {
        let path = self.damage_file();
        let is_ours = std::fs::metadata(&path).is_ok_and(|meta| meta.len() <= FILE_LEN);
        let text = if is_ours { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        DamageRecord::parse(&text)
    }

    /// Replaces what is remembered.
    pub(crate) fn remember_damage(&self, record: &DamageRecord) -> Result<(), Error> {
        let path = self.damage_file();
        let write = || -> std::io::Result<()> {
            if record.0.is_empty() {
                return match std::fs::remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
                    _ => Ok(()),
                };
            }
            self.make_cache_dir()?;
            let mut file = tempfile_beside(&path)?;
            file.1.write_all(record.text().as_bytes())?;
            std::fs::rename(file.0, &path)
        };
        write().map_err(|error| Error::with(ErrorKind::Failed, format!("cannot write {}: see --cache-dir", path.display()), error))
    }
}

/// A new file next to `path`, of this process alone.
fn tempfile_beside(path: &std::path::Path) -> std::io::Result<(PathBuf, std::fs::File)> {
    let name = path.with_extension(std::process::id().to_string());
    let file = std::fs::File::create(&name)?;
    Ok((name, file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_other_lines_say_nothing() {
        let (a, b) = (PackId::from_bytes([1; 32]), PackId::from_bytes([2; 32]));
        let mut record = DamageRecord::default();
        record.0.entry(a).or_default().extend([Damaged::Blob(3), Damaged::Blob(70_000)]);
        record.0.entry(b).or_default().insert(Damaged::Frame);
        let text = record.text();
        assert_eq!(DamageRecord::parse(&text), record);
        assert_eq!(DamageRecord::parse(&format!("{text}{a}\n{a} -1\nx 3\n\n")), record);
    }
}
