use std::io::{self, Write};

use store_core::ops::dump::dump;
use store_core::ops::restore::{Options, missing};

use super::{Context, filter, place_of_files};
use crate::args::Dump;
use crate::exit::{Outcome, Result, read_or_not};

pub(super) fn run(context: &Context, args: &Dump) -> Result {
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let (item, path) = place_of_files(&repo, &args.place, &filter)?;
    let mut out = Watched { out: context.ui.out(), broken: None };
    let dumped = dump(&repo, &item, &path, &mut out);
    match out.broken.take() {
        Some(error) => read_or_not(Err(error.into()))?,
        None => {
            dumped?;
            read_or_not(out.out.done())?;
        }
    }
    // A tar of a repaired snapshot is not all there was.
    let missing = missing(&item, &Options { path, ..Options::default() });
    missing.iter().for_each(|warning| context.ui.warning(warning));
    Ok(if missing.is_empty() { Outcome::Done } else { Outcome::Partial })
}

/// Standard output, which remembers why it could not be written: the library's error would hide that somebody just stopped reading.
struct Watched<W> {
    out: W,
    broken: Option<io::Error>,
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write(bytes).inspect_err(|error| self.broken = Some(error.kind().into()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().inspect_err(|error| self.broken = Some(error.kind().into()))
    }
}
