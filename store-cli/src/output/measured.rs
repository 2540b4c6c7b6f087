//! What `bench` found: one object for programs, comma-separated rows, or tables with bars.

use std::io::IsTerminal;

use serde::Serialize;
use store_core::ops::bench::{Estimate, Report};

use super::human::{count, duration, ratio, size};
use super::json::BaseWays;
use super::table::{Column, layout};

/// Characters of the longest bar.
const BAR: usize = 24;

/// The result of `bench`. Shares are of the plain bytes; errors are how far the truth may lie off in 19 of 20
/// cases, 0 where all was measured; speeds are of one core by its
/// own time, in millions of bytes a second.
#[derive(Debug, Serialize)]
pub(crate) struct Measured {
    versions: Vec<Version>,
    data: Vec<Data>,
    chunkers: Vec<Chunker>,
    codecs: Vec<Codec>,
    used: Vec<Used>,
    sampled: bool,
    bytes_coded: u64,
    first_stored: u64,
    first_stored_error: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_stored: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_stored_error: Option<u64>,
    gzip_copies: u64,
    full_copies: u64,
    total_duration: f64,
}

#[derive(Debug, Serialize)]
struct Version {
    name: String,
    total_files: u64,
    total_bytes: u64,
    data_added: u64,
    stored: u64,
    stored_error: u64,
    metadata: u64,
    #[serde(flatten)]
    bases: BaseWays,
}

#[derive(Debug, Serialize)]
struct Data {
    name: &'static str,
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct Chunker {
    name: &'static str,
    mean_chunk: u64,
    first_kept: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_new: Option<f64>,
    speed: f64,
}

#[derive(Debug, Serialize)]
struct Codec {
    data: &'static str,
    codec: String,
    with_base: bool,
    bytes: u64,
    coded: u64,
    share: f64,
    share_error: f64,
    speed: f64,
}

#[derive(Debug, Serialize)]
struct Used {
    version: &'static str,
    data: &'static str,
    codec: &'static str,
    blobs: u64,
    bytes: u64,
    stored: u64,
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn speed(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { bytes as f64 / 1e6 / seconds } else { 0.0 }
}

fn bytes(estimate: &Estimate) -> (u64, u64) {
    (estimate.bytes.max(0.0).round() as u64, estimate.error.ceil() as u64)
}

impl From<&Report> for Measured {
    fn from(report: &Report) -> Self {
        let first = report.versions.first().map(|version| bytes(&version.stored)).unwrap_or_default();
        let next = report.next().map(|next| bytes(&next));
        Self {
            versions: report.versions.iter().map(Version::from).collect(),
            data: report.kinds.iter().map(|(name, bytes)| Data { name, bytes: *bytes }).collect(),
            chunkers: report
                .chunkers
                .iter()
                .map(|row| Chunker {
                    name: row.name,
                    mean_chunk: row.mean,
                    first_kept: row.first,
                    next_new: row.next,
                    speed: speed(row.bytes, row.cutting.as_secs_f64()),
                })
                .collect(),
            codecs: report
                .codecs
                .iter()
                .map(|row| Codec {
                    data: row.data,
                    codec: row.codec.clone(),
                    with_base: row.with_base,
                    bytes: row.plain,
                    coded: row.coded,
                    share: share(row.coded as f64, row.plain as f64),
                    share_error: row.error,
                    speed: speed(row.plain, row.coding.as_secs_f64()),
                })
                .collect(),
            used: report
                .used
                .iter()
                .map(|used| Used {
                    version: if used.first { "first" } else { "next" },
                    data: used.data,
                    codec: used.codec,
                    blobs: used.blobs,
                    bytes: used.plain,
                    stored: used.stored,
                })
                .collect(),
            sampled: report.sampled,
            bytes_coded: report.coded,
            first_stored: first.0,
            first_stored_error: first.1,
            next_stored: next.map(|(next, _)| next),
            next_stored_error: next.map(|(_, error)| error),
            gzip_copies: bytes(&report.gzip).0,
            full_copies: report.full,
            total_duration: report.duration.as_secs_f64(),
        }
    }
}

impl From<&store_core::ops::bench::Version> for Version {
    fn from(version: &store_core::ops::bench::Version) -> Self {
        let (stored, stored_error) = bytes(&version.stored);
        Self {
            name: version.name.clone(),
            total_files: version.files,
            total_bytes: version.bytes,
            data_added: bytes(&version.new).0,
            stored,
            stored_error,
            metadata: bytes(&version.metadata).0,
            bases: version.ways.into(),
        }
    }
}

impl Version {
    /// How the chunks found older ones to be coded against.
    fn bases(&self) -> String {
        let ways = [
            (self.bases.parent, "same tensor"),
            (self.bases.votes, "similar"),
            (self.bases.locality, "next to it"),
            (self.bases.none, "none"),
        ];
        let ways = ways.into_iter().filter(|(count, _)| *count > 0).map(|(count, way)| format!("{count} {way}"));
        ways.collect::<Vec<_>>().join(", ")
    }
}

impl Measured {
    /// Rows of one form for all that was measured: which table, of what, which way, bytes before and after, error and speed.
    pub(crate) fn csv(&self) -> String {
        let mut text = String::from("table,name,data,bytes,stored,share,share_error,mb_per_second\n");
        let mut row = |table: &str, name: &str, data: &str, bytes: u64, stored: u64, error: f64, speed: f64| {
            let share = share(stored as f64, bytes as f64);
            let speed = if speed > 0.0 { format!("{speed:.1}") } else { String::new() };
            text += &format!("{table},{},{data},{bytes},{stored},{share:.6},{error:.6},{speed}\n", quoted(name));
        };
        for version in &self.versions {
            let error = share(version.stored_error as f64, version.total_bytes as f64);
            row("version", &version.name, "all", version.total_bytes, version.stored, error, 0.0);
        }
        let (first, next) = self.sizes();
        for chunker in &self.chunkers {
            row("chunker-first", chunker.name, "all", first, (chunker.first_kept * first as f64) as u64, 0.0, chunker.speed);
            if let Some(new) = chunker.next_new {
                row("chunker-next", chunker.name, "all", next, (new * next as f64) as u64, 0.0, chunker.speed);
            }
        }
        for codec in &self.codecs {
            let table = if codec.with_base { "codec-with-base" } else { "codec" };
            row(table, &codec.codec, codec.data, codec.bytes, codec.coded, codec.share_error, codec.speed);
        }
        for used in &self.used {
            row(&format!("used-{}", used.version), used.codec, used.data, used.bytes, used.stored, 0.0, 0.0);
        }
        row("copies", "gzip", "all", self.full_copies, self.gzip_copies, 0.0, 0.0);
        row("copies", "full", "all", self.full_copies, self.full_copies, 0.0, 0.0);
        text
    }

    /// Bytes of the first version, and of a next one on average.
    fn sizes(&self) -> (u64, u64) {
        let first = self.versions.first().map_or(0, |version| version.total_bytes);
        let next = self.versions.len().saturating_sub(1) as u64;
        (first, self.versions.iter().skip(1).map(|version| version.total_bytes).sum::<u64>().checked_div(next).unwrap_or(0))
    }

    /// Tables for people.
    pub(crate) fn text(&self) -> String {
        let bars = Bars { blocks: std::io::stdout().is_terminal() };
        let mut parts = vec![self.data_table(bars), self.chunker_table(bars), self.codec_table(bars), self.version_table(bars)];
        parts.retain(|part| !part.is_empty());
        parts.push(self.last_lines());
        parts.join("\n")
    }

    fn data_table(&self, bars: Bars) -> String {
        use Column::{Left, Right};
        let rows = self.data.iter().map(|data| {
            let share = share(data.bytes as f64, self.full_copies as f64);
            vec![data.name.to_owned(), size(data.bytes), bars.draw(share)]
        });
        layout(&[Left("data"), Right("bytes"), Left("")], rows)
    }

    fn chunker_table(&self, bars: Bars) -> String {
        use Column::{Left, Right};
        let rows = self.chunkers.iter().map(|row| {
            let next = row.next_new.map(percent).unwrap_or_default();
            let shown = bars.draw(row.next_new.unwrap_or(row.first_kept));
            vec![row.name.to_owned(), size(row.mean_chunk), mb(row.speed), percent(row.first_kept), next, shown]
        });
        let columns = [Left("cut by"), Right("mean chunk"), Right("MB/s a core"), Right("first: distinct"), Right("next: new"), Left("")];
        layout(&columns, rows)
    }

    fn codec_table(&self, bars: Bars) -> String {
        use Column::{Left, Right};
        let rows = self.codecs.iter().map(|row| {
            let error = if row.share_error > 0.0 { format!("± {}", percent(row.share_error)) } else { String::new() };
            let given = if row.with_base { "the version before" } else { "itself" };
            vec![
                row.data.to_owned(),
                row.codec.clone(),
                given.to_owned(),
                size(row.bytes),
                mb(row.speed),
                percent(row.share),
                error,
                bars.draw(row.share),
            ]
        });
        let columns =
            [Left("data"), Left("compressed by"), Left("from"), Right("tried on"), Right("MB/s a core"), Right("left"), Left(""), Left("")];
        layout(&columns, rows)
    }

    fn version_table(&self, bars: Bars) -> String {
        use Column::{Left, Right};
        let rows = self.versions.iter().map(|row| {
            let share = share(row.stored as f64, row.total_bytes as f64);
            vec![
                row.name.clone(),
                size(row.total_bytes),
                size(row.data_added),
                size(row.stored),
                if row.stored_error > 0 { format!("± {}", size(row.stored_error)) } else { String::new() },
                ratio(row.total_bytes, row.stored).unwrap_or_default(),
                bars.draw(share),
                row.bases(),
            ]
        });
        let columns = [
            Left("version"),
            Right("size"),
            Right("new chunks"),
            Right("stored"),
            Left(""),
            Right("ratio"),
            Left(""),
            Left("bases of new chunks"),
        ];
        layout(&columns, rows)
    }

    fn last_lines(&self) -> String {
        let with_error = |bytes: u64, error: u64| if error > 0 { format!("{} ± {}", size(bytes), size(error)) } else { size(bytes) };
        let first = with_error(self.first_stored, self.first_stored_error);
        let next =
            self.next_stored.map(|next| format!(" and {} for each next version", with_error(next, self.next_stored_error.unwrap_or(0))));
        let total = self.versions.iter().map(|version| version.stored).sum::<u64>();
        let all = if self.versions.len() > 1 { format!(", {} in all", size(total)) } else { String::new() };
        let how = if self.sampled {
            format!("from a sample, of which {} were coded; ± holds in 19 of 20 cases", size(self.bytes_coded))
        } else {
            "all bytes measured".to_owned()
        };
        format!(
            "snap push would store {first} for the first{}{all}; gzip'd copies: {}; full copies: {}\n({how}; {}, {})\n",
            next.unwrap_or_default(),
            size(self.gzip_copies),
            size(self.full_copies),
            count(self.versions.len() as u64, "version"),
            duration(std::time::Duration::from_secs_f64(self.total_duration)),
        )
    }
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent >= 9.995 { format!("{percent:.1} %") } else { format!("{percent:.2} %") }
}

fn mb(speed: f64) -> String {
    if speed > 0.0 { format!("{speed:.0}") } else { String::new() }
}

fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

#[derive(Debug, Clone, Copy)]
struct Bars {
    /// Whether eighths of a character can be shown.
    blocks: bool,
}

impl Bars {
    fn draw(self, share: f64) -> String {
        let eighths = (share.clamp(0.0, 1.0) * (BAR * 8) as f64).round() as usize;
        if !self.blocks {
            return "#".repeat(eighths.div_ceil(8));
        }
        let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
        "█".repeat(eighths / 8) + rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_grow_by_eighths_of_a_character() {
        let bars = Bars { blocks: true };
        assert_eq!((bars.draw(0.0).as_str(), bars.draw(0.5 / BAR as f64).as_str()), ("", "▌"));
        assert_eq!(bars.draw(7.0), "█".repeat(BAR));
        assert_eq!(Bars { blocks: false }.draw(1.5 / BAR as f64), "##");
    }

    #[test]
    fn names_cannot_break_a_row() {
        assert_eq!(quoted("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(quoted("v01"), "v01");
    }
}
