//! What the pickle of a PyTorch archive says of its storages: their types, and the paths of keys that lead to them.
//!
//! A pickle is a program. Nothing of it is run here: no name is looked up, nothing is called, no object is made. The opcodes are
//! followed with values that remember only what matters: text, integers, tuples, which container holds which, and which call would
//! have made a tensor of which storage. What is not understood is [`Value::Opaque`]; an opcode that is not ends the scan, and what was
//! learnt of storages until then stands. A second pass walks the containers for the names.
//!
//! Opcodes: `Lib/pickletools.py` of CPython, protocols 2 to 5. Calls: `torch/_utils.py`, `torch/serialization.py`.

mod names;
mod torch;

use super::cursor::Cursor;
use super::{Dtype, TENSORS};
use torch::Global;

/// Values on the stack, marks too. Picklers write containers in batches of 1,000.
const STACK: usize = 1 << 16;
/// Values remembered by number.
const MEMO: usize = 1 << 20;
/// Values in all tuples.
const TUPLE_VALUES: usize = 1 << 20;
/// Tuples, and containers.
const NODES: usize = 1 << 19;
/// Containers and tensors that lie in containers.
const EDGES: usize = 1 << 19;

/// A storage that the pickle refers to. One storage may be referred to more than once.
#[derive(Debug)]
pub(super) struct Storage<'a> {
    /// The last part of its member's name.
    pub(super) key: &'a str,
    /// Its elements' type, if the pickle names one that is known.
    pub(super) dtype: Option<Dtype>,
    /// The first tensor that is found to lie in it.
    pub(super) tensor: Option<Named>,
}

/// A tensor that has a name.
#[derive(Debug)]
pub(super) struct Named {
    /// The keys that lead to it, joined by dots.
    pub(super) name: String,
    /// Its shape, if it begins where its storage does and is contiguous.
    pub(super) shape: Option<Vec<u64>>,
}

/// Reads a pickle. Never fails: of a pickle that is odd, less is learnt.
pub(super) fn scan(pickle: &[u8]) -> Vec<Storage<'_>> {
    let mut scan = Scan { pickle, ..Scan::default() };
    let mut cursor = Cursor::new(pickle, 0);
    let root = loop {
        match scan.opcode(&mut cursor) {
            Some(Flow::On) => {}
            Some(Flow::Stop(root)) => break Some(root),
            None => break None,
        }
    };
    if let Some(root) = root {
        names::give(&mut scan, root);
    }
    scan.storages
}

/// Bytes of a text, by where they lie in the pickle: half as large as a slice, and there are many.
#[derive(Debug, Clone, Copy)]
struct Text {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy, Default)]
enum Value {
    #[default]
    Opaque,
    Mark,
    Int(i64),
    Text(Text),
    Global(Global),
    Tuple(u32),
    Container(u32),
    Storage(u32),
    Tensor(u32),
}

/// How a value lies in its container.
#[derive(Debug, Clone, Copy)]
enum Key {
    Text(Text),
    Int(i64),
    /// The value's own name says enough, or there is none: the part is left out.
    None,
}

/// A run of [`Scan::tuple_values`].
#[derive(Debug, Clone, Copy)]
struct Tuple {
    start: u32,
    end: u32,
}

/// A dictionary, list, set or object: a chain of [`Edge`]s.
#[derive(Debug, Clone, Copy, Default)]
struct Container {
    /// One more than the place of its first and last edge; 0 for none.
    first: u32,
    last: u32,
    /// Values appended, of interest or not.
    appended: u32,
}

#[derive(Debug, Clone, Copy)]
struct Edge {
    key: Key,
    value: Value,
    /// One more than the place of the container's next edge; 0 for none.
    next: u32,
}

/// A call that would make a tensor.
#[derive(Debug, Clone, Copy)]
struct Made {
    storage: u32,
    /// Size and stride, of a tensor that begins where its storage does.
    size: Option<(u32, u32)>,
}

enum Flow {
    On,
    Stop(Value),
}

#[derive(Debug, Default)]
struct Scan<'a> {
    pickle: &'a [u8],
    stack: Vec<Value>,
    memo: Vec<Value>,
    tuples: Vec<Tuple>,
    tuple_values: Vec<Value>,
    containers: Vec<Container>,
    edges: Vec<Edge>,
    storages: Vec<Storage<'a>>,
    made: Vec<Made>,
}

impl<'a> Scan<'a> {
    /// Follows one opcode. `None` ends the scan.
    fn opcode(&mut self, cursor: &mut Cursor<'a>) -> Option<Flow> {
        match cursor.u8()? {
            b'.' => return Some(Flow::Stop(self.stack.pop()?)),
            // PROTO, FRAME, READONLY_BUFFER
            0x80 => drop(cursor.u8()?),
            0x95 => drop(cursor.u64()?),
            0x98 => {}
            b'(' => self.push(Value::Mark)?,
            b'0' => drop(self.stack.pop()?),
            b'1' => drop(self.mark()?),
            b'2' => self.push(*self.stack.last()?)?,
            // NONE, NEWTRUE, NEWFALSE, NEXT_BUFFER
            b'N' | 0x88 | 0x89 | 0x97 => self.push(Value::Opaque)?,
            b'K' => self.push(Value::Int(i64::from(cursor.u8()?)))?,
            b'M' => self.push(Value::Int(i64::from(cursor.u16()?)))?,
            b'J' => self.push(Value::Int(i64::from(cursor.u32()? as i32)))?,
            b'G' => self.skip(cursor, 8)?,
            0x8a => self.long(cursor)?,
            0x8b | b'B' => self.skip_counted(cursor, |cursor| cursor.u32().map(u64::from))?,
            b'C' => self.skip_counted(cursor, |cursor| cursor.u8().map(u64::from))?,
            0x8e | 0x96 => self.skip_counted(cursor, Cursor::u64)?,
            b'X' | b'T' => self.text(cursor, |cursor| cursor.u32().map(u64::from))?,
            0x8c | b'U' => self.text(cursor, |cursor| cursor.u8().map(u64::from))?,
            0x8d => self.text(cursor, Cursor::u64)?,
            b'c' => {
                let (module, name) = (line(cursor)?, line(cursor)?);
                self.push(Value::Global(Global::of(module, name)))?;
            }
            0x93 => {
                let (name, module) = (self.stack.pop()?, self.stack.pop()?);
                let global = match (module, name) {
                    (Value::Text(module), Value::Text(name)) => Global::of(self.bytes(module), self.bytes(name)),
                    _ => Global::Other,
                };
                self.push(Value::Global(global))?;
            }
            // EXT1, EXT2, EXT4
            0x82 => self.skip(cursor, 1)?,
            0x83 => self.skip(cursor, 2)?,
            0x84 => self.skip(cursor, 4)?,
            // EMPTY_DICT, EMPTY_LIST, EMPTY_SET
            b'}' | b']' | 0x8f => {
                let container = self.container()?;
                self.push(container)?;
            }
            b'd' => {
                let start = self.mark_at()?;
                let container = self.container()?;
                self.set_items(container, start)?;
                self.push(container)?;
            }
            // LIST, FROZENSET
            b'l' | 0x91 => {
                let start = self.mark_at()?;
                let container = self.container()?;
                self.append(container, start)?;
                self.push(container)?;
            }
            b's' => {
                let start = self.stack.len().checked_sub(2)?;
                self.set_items(*self.stack.get(start.checked_sub(1)?)?, start)?;
            }
            b'u' => {
                let start = self.mark_at()?;
                self.set_items(*self.stack.get(start.checked_sub(1)?)?, start)?;
            }
            b'a' => {
                let start = self.stack.len().checked_sub(1)?;
                self.append(*self.stack.get(start.checked_sub(1)?)?, start)?;
            }
            // APPENDS, ADDITEMS
            b'e' | 0x90 => {
                let start = self.mark_at()?;
                self.append(*self.stack.get(start.checked_sub(1)?)?, start)?;
            }
            b')' => self.tuple(0)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let start = self.mark_at()?;
                self.tuple(self.stack.len() - start)?;
            }
            b'h' => self.recall(usize::from(cursor.u8()?))?,
            b'j' => self.recall(cursor.u32()? as usize)?,
            b'q' => self.remember(usize::from(cursor.u8()?))?,
            b'r' => self.remember(cursor.u32()? as usize)?,
            0x94 => self.remember(self.memo.len())?,
            b'Q' => {
                let id = self.stack.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)?;
            }
            // REDUCE, NEWOBJ
            b'R' | 0x81 => {
                let (arguments, callee) = (self.stack.pop()?, self.stack.pop()?);
                let made = self.call(callee, arguments)?;
                self.push(made)?;
            }
            // NEWOBJ_EX: arguments by name, then by place
            0x92 => {
                self.stack.pop()?;
                let (arguments, callee) = (self.stack.pop()?, self.stack.pop()?);
                let made = self.call(callee, arguments)?;
                self.push(made)?;
            }
            b'b' => {
                let state = self.stack.pop()?;
                if let Value::Container(_) = self.stack.last()? {
                    self.edge(*self.stack.last()?, Key::None, state)?;
                }
            }
            _ => return None,
        }
        Some(Flow::On)
    }

    fn push(&mut self, value: Value) -> Option<()> {
        (self.stack.len() < STACK).then(|| self.stack.push(value))
    }

    fn skip(&mut self, cursor: &mut Cursor<'a>, len: usize) -> Option<()> {
        cursor.take(len)?;
        self.push(Value::Opaque)
    }

    fn skip_counted(&mut self, cursor: &mut Cursor<'a>, count: impl Fn(&mut Cursor<'a>) -> Option<u64>) -> Option<()> {
        let len = usize::try_from(count(cursor)?).ok()?;
        self.skip(cursor, len)
    }

    fn text(&mut self, cursor: &mut Cursor<'a>, count: impl Fn(&mut Cursor<'a>) -> Option<u64>) -> Option<()> {
        let len = usize::try_from(count(cursor)?).ok()?;
        cursor.take(len)?;
        let end = u32::try_from(cursor.position()).ok()?;
        self.push(Value::Text(Text { start: end - len as u32, end }))
    }

    fn bytes(&self, text: Text) -> &'a [u8] {
        self.pickle.get(text.start as usize..text.end as usize).unwrap_or(&[])
    }

    /// LONG1: a two's complement integer of as many bytes as the first says.
    fn long(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let len = usize::from(cursor.u8()?);
        let bytes = cursor.take(len)?;
        let negative = bytes.last().is_some_and(|&byte| byte >= 0x80);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        let value = wide.get_mut(..len).map(|low| low.copy_from_slice(bytes));
        self.push(value.map_or(Value::Opaque, |()| Value::Int(i64::from_le_bytes(wide))))
    }

    /// Removes the last mark: what was above it begins at the place that is given.
    fn mark_at(&mut self) -> Option<usize> {
        let at = self.stack.iter().rposition(|value| matches!(value, Value::Mark))?;
        self.stack.remove(at);
        Some(at)
    }

    /// Removes the last mark and what is above it.
    fn mark(&mut self) -> Option<()> {
        let start = self.mark_at()?;
        self.stack.truncate(start);
        Some(())
    }

    fn recall(&mut self, index: usize) -> Option<()> {
        self.push(*self.memo.get(index)?)
    }

    /// Picklers number the memo from 0 on without gaps.
    fn remember(&mut self, index: usize) -> Option<()> {
        let value = *self.stack.last()?;
        if index == self.memo.len() && index < MEMO {
            self.memo.push(value);
        } else {
            *self.memo.get_mut(index)? = value;
        }
        Some(())
    }

    /// Makes a tuple of the topmost values.
    fn tuple(&mut self, count: usize) -> Option<()> {
        let start = self.tuple_values.len();
        if start + count > TUPLE_VALUES || self.tuples.len() == NODES {
            return None;
        }
        let values = self.stack.len().checked_sub(count)?;
        self.tuple_values.extend(self.stack.drain(values..));
        let tuple = self.tuples.len() as u32;
        self.tuples.push(Tuple { start: start as u32, end: self.tuple_values.len() as u32 });
        self.push(Value::Tuple(tuple))
    }

    /// What a tuple holds; nothing for another value.
    fn values(&self, value: Value) -> &[Value] {
        let Value::Tuple(tuple) = value else { return &[] };
        self.tuples.get(tuple as usize).and_then(|tuple| self.tuple_values.get(tuple.start as usize..tuple.end as usize)).unwrap_or(&[])
    }

    fn container(&mut self) -> Option<Value> {
        let index = self.containers.len();
        (index < NODES).then(|| {
            self.containers.push(Container::default());
            Value::Container(index as u32)
        })
    }

    /// Puts the keys and values from `start` on into a dictionary.
    fn set_items(&mut self, dictionary: Value, start: usize) -> Option<()> {
        for at in (start..self.stack.len().checked_sub(1)?.max(start)).step_by(2) {
            let key = match self.stack[at] {
                Value::Text(text) => Key::Text(text),
                Value::Int(number) => Key::Int(number),
                _ => Key::None,
            };
            self.edge(dictionary, key, self.stack[at + 1])?;
        }
        self.stack.truncate(start);
        Some(())
    }

    /// Puts the values from `start` on at the end of a list.
    fn append(&mut self, list: Value, start: usize) -> Option<()> {
        for at in start..self.stack.len() {
            let Value::Container(index) = list else { break };
            let container = self.containers.get_mut(index as usize)?;
            let key = Key::Int(i64::from(container.appended));
            container.appended = container.appended.saturating_add(1);
            self.edge(list, key, self.stack[at])?;
        }
        self.stack.truncate(start);
        Some(())
    }

    /// Notes that a container holds a value, if that may lead to a tensor.
    fn edge(&mut self, container: Value, key: Key, value: Value) -> Option<()> {
        let leads = matches!(value, Value::Tensor(_) | Value::Container(_) | Value::Tuple(_) | Value::Storage(_));
        let (Value::Container(index), true) = (container, leads) else { return Some(()) };
        if self.edges.len() == EDGES {
            return None;
        }
        self.edges.push(Edge { key, value, next: 0 });
        let place = self.edges.len() as u32;
        let container = self.containers.get_mut(index as usize)?;
        let last = std::mem::replace(&mut container.last, place);
        match last.checked_sub(1) {
            Some(last) => self.edges.get_mut(last as usize)?.next = place,
            None => container.first = place,
        }
        Some(())
    }

    /// What a persistent id stands for: `("storage", type, key, location, elements)`.
    fn storage(&mut self, id: Value) -> Option<Value> {
        let (dtype, key) = match *self.values(id) {
            [Value::Text(word), Value::Global(Global::Storage(dtype)), Value::Text(key), _, _, ..] if self.bytes(word) == b"storage" => {
                (dtype, key)
            }
            _ => return Some(Value::Opaque),
        };
        let Ok(key) = std::str::from_utf8(self.bytes(key)) else { return Some(Value::Opaque) };
        let index = self.storages.len();
        (index < TENSORS).then(|| {
            self.storages.push(Storage { key, dtype, tensor: None });
            Value::Storage(index as u32)
        })
    }

    /// What a call would make.
    fn call(&mut self, callee: Value, arguments: Value) -> Option<Value> {
        let values = self.values(arguments);
        match (callee, values) {
            (Value::Global(Global::RebuildParameter), [tensor @ Value::Tensor(_), ..]) => Some(*tensor),
            (Value::Global(Global::RebuildTensor | Global::RebuildTyped), &[Value::Storage(storage), offset, size, stride, ..]) => {
                let size = match (offset, size, stride) {
                    (Value::Int(0), Value::Tuple(size), Value::Tuple(stride)) => Some((size, stride)),
                    _ => None,
                };
                let dtype = match (callee, values.get(6)) {
                    (Value::Global(Global::RebuildTyped), Some(&Value::Global(Global::Dtype(dtype)))) => Some(dtype),
                    _ => None,
                };
                let place = self.storages.get_mut(storage as usize)?;
                place.dtype = place.dtype.or(dtype);
                let index = self.made.len();
                (index < TENSORS).then(|| {
                    self.made.push(Made { storage, size });
                    Value::Tensor(index as u32)
                })
            }
            _ => {
                let takes_none = values.is_empty();
                let container = self.container()?;
                if !takes_none {
                    self.edge(container, Key::None, arguments)?;
                }
                Some(container)
            }
        }
    }
}

/// Text up to a line feed, which is passed over.
fn line<'a>(cursor: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let rest = cursor.rest();
    let len = rest.iter().position(|&byte| byte == b'\n')?;
    cursor.take(len + 1)?;
    rest.get(..len)
}

#[cfg(test)]
mod tests;
