//! What stands in the target and stays: one decision for all kinds of entries.

use super::Overwrite;
use crate::format::entry::{Entry, Kind};
use crate::sink::{Form, Standing};

/// What happens to one entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is made, or made to be what the snapshot has.
    Write,
    /// What is there stays as it is.
    Stay,
}

impl Overwrite {
    /// Decides by what stands there, if anything does.
    pub(super) fn verdict(self, there: Option<&Standing>, entry: &Entry) -> Verdict {
        let Some(there) = there else { return Verdict::Write };
        let stays = match self {
            Self::Always => false,
            Self::IfChanged => there.mtime == entry.meta.mtime && looks_like(&there.form, &entry.kind),
            Self::IfNewer => there.mtime >= entry.meta.mtime,
            Self::Never => true,
        };
        if stays { Verdict::Stay } else { Verdict::Write }
    }
}

/// Whether it is taken to be what the snapshot has, given that the times are the same. Of a folder that says nothing: what is in it has
/// times of its own.
fn looks_like(form: &Form, kind: &Kind) -> bool {
    match (form, kind) {
        (Form::File(len), Kind::File { size, .. }) => len == size,
        (Form::Symlink(to), Kind::Symlink { target }) => to == target,
        (Form::Fifo, Kind::Fifo) => true,
        (Form::CharDevice(is), Kind::CharDevice { rdev }) | (Form::BlockDevice(is), Kind::BlockDevice { rdev }) => is == rdev,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::entry::{Content, Metadata, Timestamp};

    fn at(seconds: i64) -> Timestamp {
        Timestamp { seconds, nanos: 0 }
    }

    fn entry(kind: Kind) -> Entry {
        let meta = Metadata { mode: 0, uid: 0, gid: 0, mtime: at(5), ctime: at(5), inode: 1, device: 1, links: 1, xattrs: Vec::new() };
        Entry { name: b"x".to_vec(), kind, meta }
    }

    fn stays(overwrite: Overwrite, form: Form, seconds: i64, kind: Kind) -> bool {
        let there = Standing { form, mtime: at(seconds), mode: 0 };
        overwrite.verdict(Some(&there), &entry(kind)) == Verdict::Stay
    }

    #[test]
    fn nothing_stays_where_nothing_is() {
        for overwrite in [Overwrite::Always, Overwrite::IfChanged, Overwrite::IfNewer, Overwrite::Never] {
            assert_eq!(overwrite.verdict(None, &entry(Kind::Fifo)), Verdict::Write);
        }
    }

    #[test]
    fn time_and_kind_decide() {
        let file = |size| Kind::File { size, content: Content::Inline(Vec::new()) };
        let link = |to: &[u8]| Kind::Symlink { target: to.to_vec() };
        for (overwrite, form, seconds, kind, expected) in [
            (Overwrite::Always, Form::File(3), 5, file(3), false),
            (Overwrite::Never, Form::Directory, 1, file(3), true),
            (Overwrite::IfNewer, Form::Fifo, 4, link(b"a"), false),
            (Overwrite::IfNewer, Form::Fifo, 5, link(b"a"), true),
            (Overwrite::IfChanged, Form::File(3), 5, file(3), true),
            (Overwrite::IfChanged, Form::File(4), 5, file(3), false),
            (Overwrite::IfChanged, Form::File(3), 6, file(3), false),
            (Overwrite::IfChanged, Form::Symlink(b"a".to_vec()), 5, link(b"a"), true),
            (Overwrite::IfChanged, Form::Symlink(b"b".to_vec()), 5, link(b"a"), false),
            (Overwrite::IfChanged, Form::CharDevice(1), 5, Kind::BlockDevice { rdev: 1 }, false),
            (Overwrite::IfChanged, Form::Directory, 5, Kind::Directory { entries: None }, false),
        ] {
            assert_eq!(stays(overwrite, form.clone(), seconds, kind), expected, "{overwrite:?} {form:?} of {seconds}");
        }
    }
}
