//! Redis dumps, as far as it takes to meet a compressed string (`rdb.c` and `rdb.h` of Redis 7).

/// Takes bytes from a dump's beginning; `None` where it ends or is not understood.
struct Cursor<'b>(&'b [u8]);

/// A string, without its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Plain,
    /// Compressed with LZF.
    Lzf,
}

/// Whether there is a string compressed with LZF among the first keys and values, from what follows the version. With `rdbcompression no`
/// there is none anywhere; with `yes` every string of more than 20 bytes is that gets shorter.
pub(super) fn has_lzf(bytes: &[u8]) -> bool {
    let mut cursor = Cursor(bytes);
    loop {
        match cursor.record() {
            Some(Text::Plain) => {}
            Some(Text::Lzf) => return true,
            None => return false,
        }
    }
}

impl Cursor<'_> {
    fn take(&mut self, len: usize) -> Option<()> {
        self.0 = self.0.get(len..)?;
        Some(())
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn be(&mut self, len: usize) -> Option<u64> {
        (0..len).try_fold(0u64, |value, _| Some(value << 8 | u64::from(self.byte()?)))
    }

    /// A length; the error is the number of a special encoding.
    fn len(&mut self) -> Option<Result<u64, u8>> {
        let first = self.byte()?;
        Some(Ok(match (first >> 6, first) {
            (0, _) => u64::from(first & 0x3f),
            (1, _) => u64::from(first & 0x3f) << 8 | u64::from(self.byte()?),
            (2, 0x80) => self.be(4)?,
            (2, 0x81) => self.be(8)?,
            (3, _) => return Some(Err(first & 0x3f)),
            _ => return None,
        }))
    }

    fn count(&mut self) -> Option<u64> {
        self.len()?.ok()
    }

    fn text(&mut self) -> Option<Text> {
        let len = match self.len()? {
            Ok(len) => len,
            Err(special @ 0..=2) => 1 << special,
            // What follows need not be there for it to be what it is.
            Err(3) => return Some(Text::Lzf),
            Err(_) => return None,
        };
        self.take(usize::try_from(len).ok()?)?;
        Some(Text::Plain)
    }

    /// `count` strings, or as many as come before a compressed one; behind each `tail` bytes.
    fn texts(&mut self, count: u64, tail: usize) -> Option<Text> {
        for _ in 0..count {
            if self.text()? == Text::Lzf {
                return Some(Text::Lzf);
            }
            self.take(tail)?;
        }
        Some(Text::Plain)
    }

    /// One operation, or a key with its value.
    fn record(&mut self) -> Option<Text> {
        let kind = self.byte()?;
        match kind {
            // An auxiliary field.
            0xfa => return self.texts(2, 0),
            // The number of a database; sizes of its tables.
            0xfe => return self.count().map(|_| Text::Plain),
            0xfb => return self.count().and_then(|_| self.count()).map(|_| Text::Plain),
            // Expiry in seconds or milliseconds; how idle, how frequent.
            0xfd => return self.take(4).map(|()| Text::Plain),
            0xfc => return self.take(8).map(|()| Text::Plain),
            0xf8 => return self.count().map(|_| Text::Plain),
            0xf9 => return self.take(1).map(|()| Text::Plain),
            _ => {}
        }
        if self.text()? == Text::Lzf {
            return Some(Text::Lzf);
        }
        match kind {
            // A string, and the small collections that are kept as one.
            0 | 9..=13 | 16 | 17 | 20 => self.texts(1, 0),
            // Lists of strings.
            1 | 2 | 14 => {
                let count = self.count()?;
                self.texts(count, 0)
            }
            4 => {
                let count = self.count()?.checked_mul(2)?;
                self.texts(count, 0)
            }
            // A sorted set: strings, each with eight bytes of score.
            5 => {
                let count = self.count()?;
                self.texts(count, 8)
            }
            // A list of nodes, each with how it is kept.
            18 => {
                for _ in 0..self.count()? {
                    self.count()?;
                    if self.text()? == Text::Lzf {
                        return Some(Text::Lzf);
                    }
                }
                Some(Text::Plain)
            }
            _ => None,
        }
    }
}
