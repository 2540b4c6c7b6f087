use std::fmt::Write as _;

use store_core::format::entry::{Entry, Kind};
use store_core::ops::ls::{self, Line, Options};
use store_core::repo::Repo;

use super::{Context, filter, place};
use crate::args::Ls;
use crate::exit::{Failure, Outcome, Result};
use crate::output::Out;
use crate::output::human::{local_file_time, printable, rfc3339_file, size};
use crate::output::json::{Message, Node};
use crate::output::table::{Column, layout};

pub(super) fn run(context: &Context, args: &Ls) -> Result {
    let filter = filter(&args.filters)?;
    let repo = context.open()?;
    let (item, place) = place(&repo, &args.place, &filter)?;
    let mut out = context.ui.out();
    if args.tensors || place.tensor.is_some() {
        if args.long || args.recursive || args.sha256 {
            return Err(Failure::usage(format!("{}: `#` chooses tensors, which have neither -l, -R nor --sha256", args.place.display())));
        }
        let tensors = ls::tensors(&repo, &item, &place)?;
        if context.ui.json {
            for tensor in &tensors {
                let dtype = tensor.dtype.to_string();
                out.json(&Message::Tensor { name: &tensor.name, dtype, shape: &tensor.shape, offset: tensor.offset, size: tensor.len })?;
            }
        } else {
            let columns = [Column::Left("name"), Column::Left("type"), Column::Left("shape"), Column::Right("size")];
            let rows = tensors
                .iter()
                .map(|tensor| vec![printable(tensor.name.as_bytes()), tensor.dtype.to_string(), shape(&tensor.shape), size(tensor.len)]);
            std::io::Write::write_all(&mut out, layout(&columns, rows).as_bytes())?;
        }
        out.done()?;
        return Ok(Outcome::Done);
    }
    let options = Options { path: place.path, recursive: args.recursive };
    // An error of standard output cannot pass through the library.
    let mut broken = None;
    let listed = ls::ls(&repo, &item, &options, &mut |line| {
        print(context, args, &repo, &mut out, &line).map_err(|failure| {
            let error = store_core::ops::Error::new(failure.kind(), failure.to_string());
            broken = Some(failure);
            error
        })
    });
    match (listed, broken) {
        (_, Some(failure)) => return Err(failure),
        (listed, None) => listed?,
    }
    out.done()?;
    Ok(Outcome::Done)
}

fn print(context: &Context, args: &Ls, repo: &Repo, out: &mut Out, line: &Line<'_>) -> Result<()> {
    let entry = line.entry;
    let hash = if args.sha256 && matches!(entry.kind, Kind::File { .. }) { Some(hex(&ls::sha256(repo, entry)?)) } else { None };
    if context.ui.json {
        return out.json(&Message::Node(node(line, &String::from_utf8_lossy(&line.path), &String::from_utf8_lossy(&entry.name), hash)));
    }
    if args.long {
        let owner = format!("{}:{}", entry.meta.uid, entry.meta.gid);
        let len = file_size(entry).map_or_else(|| "-".to_owned(), size);
        let mut text = format!("{}  {owner:<11}  {len:>8}  {}  ", permissions(entry), local_file_time(entry.meta.mtime));
        if args.sha256 {
            let _ = write!(text, "{:<64}  ", hash.unwrap_or_default());
        }
        std::io::Write::write_all(out, text.as_bytes())?;
        return match &entry.kind {
            Kind::Symlink { target } => out.name(&[&line.path, b" -> ".as_slice(), target].concat()),
            _ => out.name(&line.path),
        };
    }
    match hash {
        Some(hash) => out.checksum(&hash, &line.path),
        None if args.sha256 => Ok(()),
        None => out.name(&line.path),
    }
}

fn node<'a>(line: &Line<'_>, path: &'a str, name: &'a str, sha256: Option<String>) -> Node<'a> {
    let Entry { kind, meta, .. } = line.entry;
    Node {
        name,
        kind: type_name(kind),
        path,
        uid: meta.uid,
        gid: meta.gid,
        size: file_size(line.entry),
        mode: meta.mode,
        permissions: permissions(line.entry),
        mtime: rfc3339_file(meta.mtime),
        ctime: rfc3339_file(meta.ctime),
        inode: meta.inode,
        linktarget: match kind {
            Kind::Symlink { target } => Some(String::from_utf8_lossy(target).into_owned()),
            _ => None,
        },
        sha256,
    }
}

fn file_size(entry: &Entry) -> Option<u64> {
    match entry.kind {
        Kind::File { size, .. } => Some(size),
        _ => None,
    }
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::File { .. } => "file",
        Kind::Directory { .. } => "dir",
        Kind::Symlink { .. } => "symlink",
        Kind::Fifo => "fifo",
        Kind::CharDevice { .. } => "chardev",
        Kind::BlockDevice { .. } => "dev",
        Kind::Socket => "socket",
    }
}

/// `-rw-r--r--`, as `ls -l` writes it.
fn permissions(entry: &Entry) -> String {
    let mode = entry.meta.mode;
    let mut text = String::with_capacity(10);
    text.push(match entry.kind {
        Kind::File { .. } => '-',
        Kind::Directory { .. } => 'd',
        Kind::Symlink { .. } => 'l',
        Kind::Fifo => 'p',
        Kind::CharDevice { .. } => 'c',
        Kind::BlockDevice { .. } => 'b',
        Kind::Socket => 's',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

pub(super) fn shape(dims: &[u64]) -> String {
    let dims: Vec<_> = dims.iter().map(u64::to_string).collect();
    format!("[{}]", dims.join(", "))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use store_core::format::entry::{Metadata, Timestamp};

    use super::*;

    #[test]
    fn modes_look_as_ls_writes_them() {
        let time = Timestamp { seconds: 0, nanos: 0 };
        let entry = |kind, mode| Entry {
            name: b"x".to_vec(),
            kind,
            meta: Metadata { mode, uid: 0, gid: 0, mtime: time, ctime: time, inode: 0, device: 0, links: 1, xattrs: vec![] },
        };
        assert_eq!(permissions(&entry(Kind::Fifo, 0o644)), "prw-r--r--");
        assert_eq!(permissions(&entry(Kind::Directory { entries: None }, 0o1777)), "drwxrwxrwt");
        assert_eq!(permissions(&entry(Kind::Socket, 0o6654)), "srwSr-sr--");
    }
}
