//! Which new chunks go together into a blob: neighbours, up to a target length.

/// Collects new chunks in the order of the files until they make a blob. 64 KiB is the unit of deduplication, not of compression.
#[derive(Debug)]
pub struct Grouper<T> {
    target: usize,
    items: Vec<T>,
    len: usize,
}

impl<T> Grouper<T> {
    /// Groups of about `target` plain bytes.
    pub fn new(target: usize) -> Self {
        Self { target, items: Vec::new(), len: 0 }
    }

    /// Adds the next chunk. Returns the group before it when it would become too long, and may be called again at once.
    pub fn push(&mut self, item: T, len: usize) -> Option<Vec<T>> {
        let full = !self.items.is_empty()
            && (self.len + len > self.target + self.target / 4
                || self.len >= self.target
                || self.items.len() >= crate::base::limits::BLOB_CHUNKS);
        let group = if full { self.finish() } else { None };
        self.items.push(item);
        self.len += len;
        group
    }

    /// What is left.
    pub fn finish(&mut self) -> Option<Vec<T>> {
        self.len = 0;
        (!self.items.is_empty()).then(|| std::mem::take(&mut self.items))
    }

    /// Plain bytes collected.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is collected.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
