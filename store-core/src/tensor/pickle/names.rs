//! Gives tensors the names of the keys that lead to them, by a bounded walk from the pickle's root.
//!
//! Containers may hold each other in any way, themselves too: each is entered once, so that the first path to it counts.

use super::super::{DIMS, NAME_LEN, NAMES_LEN};
use super::{Key, Made, Named, Scan, Value};

/// Containers within containers.
const DEPTH: usize = 64;

/// A container or tuple that is being walked.
struct Frame {
    /// Length of the path that leads here.
    path_len: usize,
    place: Place,
}

#[derive(Clone, Copy)]
enum Place {
    /// One more than the place of the next edge; 0 at the end.
    Edge(u32),
    /// The next value of all tuples' values, the first of the tuple, and the one past its last.
    Values { next: u32, start: u32, end: u32 },
}

struct Walk {
    path: String,
    frames: Vec<Frame>,
    containers_seen: Vec<bool>,
    tuples_seen: Vec<bool>,
    names_len: usize,
}

/// Names what can be reached from `root`.
pub(super) fn give(scan: &mut Scan<'_>, root: Value) {
    let mut walk = Walk {
        path: String::new(),
        frames: Vec::new(),
        containers_seen: vec![false; scan.containers.len()],
        tuples_seen: vec![false; scan.tuples.len()],
        names_len: 0,
    };
    walk.enter(scan, root);
    while let Some(frame) = walk.frames.last_mut() {
        let path_len = frame.path_len;
        let found = match frame.place {
            Place::Edge(edge) => edge.checked_sub(1).and_then(|edge| scan.edges.get(edge as usize)).map(|edge| {
                frame.place = Place::Edge(edge.next);
                (edge.key, edge.value)
            }),
            Place::Values { next, start, end } => (next < end).then(|| {
                frame.place = Place::Values { next: next + 1, start, end };
                let value = scan.tuple_values.get(next as usize).copied().unwrap_or_default();
                (Key::Int(i64::from(next - start)), value)
            }),
        };
        let Some((key, value)) = found else {
            walk.frames.pop();
            continue;
        };
        walk.path.truncate(path_len);
        if walk.extend(scan, key) {
            walk.enter(scan, value);
        }
    }
}

impl Walk {
    /// Adds a part to the path; says whether it may be followed.
    fn extend(&mut self, scan: &Scan<'_>, key: Key) -> bool {
        use std::fmt::Write;

        let dot = if self.path.is_empty() { "" } else { "." };
        match key {
            Key::Text(text) => match std::str::from_utf8(scan.bytes(text)) {
                Ok(text) if text.len() < NAME_LEN => {
                    self.path.push_str(dot);
                    self.path.push_str(text);
                }
                _ => return false,
            },
            // Writing to a string does not fail.
            Key::Int(number) => drop(write!(self.path, "{dot}{number}")),
            Key::None => {}
        }
        self.path.len() <= NAME_LEN
    }

    fn enter(&mut self, scan: &mut Scan<'_>, value: Value) {
        let place = match value {
            Value::Tensor(made) => return self.name(scan, made),
            Value::Container(index) => match (self.containers_seen.get_mut(index as usize), scan.containers.get(index as usize)) {
                (Some(seen @ false), Some(container)) => {
                    *seen = true;
                    Place::Edge(container.first)
                }
                _ => return,
            },
            Value::Tuple(index) => match (self.tuples_seen.get_mut(index as usize), scan.tuples.get(index as usize)) {
                (Some(seen @ false), Some(tuple)) => {
                    *seen = true;
                    Place::Values { next: tuple.start, start: tuple.start, end: tuple.end }
                }
                _ => return,
            },
            _ => return,
        };
        if self.frames.len() < DEPTH {
            self.frames.push(Frame { path_len: self.path.len(), place });
        }
    }

    fn name(&mut self, scan: &mut Scan<'_>, made: u32) {
        let Some(&Made { storage, size }) = scan.made.get(made as usize) else { return };
        let shape = size.and_then(|(size, stride)| contiguous(scan.values(Value::Tuple(size)), scan.values(Value::Tuple(stride))));
        let fits = !self.path.is_empty() && self.names_len + self.path.len() <= NAMES_LEN;
        if let Some(storage) = scan.storages.get_mut(storage as usize)
            && storage.tensor.is_none()
            && fits
        {
            self.names_len += self.path.len();
            storage.tensor = Some(Named { name: self.path.clone(), shape });
        }
    }
}

/// The shape, if the strides are those of a tensor whose elements lie row by row.
fn contiguous(size: &[Value], stride: &[Value]) -> Option<Vec<u64>> {
    if size.len() > DIMS || size.len() != stride.len() {
        return None;
    }
    let mut shape = Vec::with_capacity(size.len());
    let mut step = 1_u64;
    for (dim, stride) in size.iter().zip(stride).rev() {
        let (&Value::Int(dim), &Value::Int(stride)) = (dim, stride) else { return None };
        let (dim, stride) = (u64::try_from(dim).ok()?, u64::try_from(stride).ok()?);
        if dim > 1 && stride != step {
            return None;
        }
        step = step.checked_mul(dim)?;
        shape.push(dim);
    }
    shape.reverse();
    Some(shape)
}
