//! Streams of bytes as the files of a snapshot: a feeder that reads each to its end, in the order of their paths.

use std::io::Read;

use crossbeam_channel::bounded;

use super::Stream;
use super::cut::{CutError, PIECE, PlainCutter};
use super::feed::{Feed, Gone, Item, LargeFile};
use crate::format::entry::Metadata;

/// Reads streams, one after the other, as the files of a snapshot. `meta` is that of each.
pub(super) fn feed_streams(feed: &Feed<'_, '_>, mut streams: Vec<Stream<'_>>, meta: &Metadata) {
    streams.sort_by(|a, b| a.names.cmp(&b.names));
    let _ = stream_items(feed, streams, meta);
}

fn stream_items(feed: &Feed<'_, '_>, streams: Vec<Stream<'_>>, meta: &Metadata) -> Result<(), Gone> {
    let send = |item| feed.items.send(item).map_err(|_| Gone);
    send(Item::Enter { name: Vec::new(), meta: None })?;
    let mut open: Vec<Vec<u8>> = Vec::new();
    for Stream { mut names, mut reader } in streams {
        let path = String::from_utf8_lossy(&names.join(&b'/')).into_owned();
        let name = names.pop().unwrap_or_else(|| b"stdin".to_vec());
        let shared = open.iter().zip(&names).take_while(|(open, wanted)| open == wanted).count();
        open.drain(shared..).try_for_each(|_| send(Item::Leave))?;
        for folder in names.drain(shared..) {
            send(Item::Enter { name: folder.clone(), meta: None })?;
            open.push(folder);
        }
        send(Item::Begin(Box::new(LargeFile { name, path, replaces: false, meta: meta.clone(), file: None })))?;
        stream_pieces(feed, &mut *reader)?;
        send(Item::End)?;
    }
    (0..=open.len()).try_for_each(|_| send(Item::Leave))
}

fn stream_pieces(feed: &Feed<'_, '_>, stream: &mut dyn Read) -> Result<(), Gone> {
    let mut cutter = PlainCutter::new(&feed.context);
    loop {
        match cutter.next(PIECE, |buffer| fill(stream, buffer)) {
            Ok((piece, last)) => {
                if let Some(piece) = piece {
                    feed.spawn(piece, None)?;
                }
                if last {
                    return Ok(());
                }
            }
            Err(error) => {
                let (sender, receiver) = bounded(1);
                let _ = sender.send(Err(CutError::Read(error)));
                return feed.items.send(Item::Piece(receiver)).map_err(|_| Gone);
            }
        }
    }
}

/// Reads until the buffer is full or the stream ends.
fn fill(stream: &mut dyn Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match stream.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
