//! A zip that `torch.save` wrote: `<root>/data.pkl` says what the tensors are, `<root>/data/<key>` are their storages.
//!
//! Every storage is one tensor here. The pickle is not run; [`pickle::scan`] reads what a storage's elements are and which path of
//! keys leads to it. A storage of which it finds nothing is a tensor of [`Dtype::Unknown`], named as the member is.

use super::detect::Step;
use super::pickle::{self, Storage};
use super::zip::{Locals, Member};
use super::{Dtype, Format, HEADER_LEN, Layout, Tensor};

const PICKLE: &str = "data.pkl";
const BYTEORDER: &str = "byteorder";
const DATA: &str = "data/";
/// `little` and `big` are shorter.
const BYTEORDER_LEN: u64 = 16;

/// Reads the archive's own members.
#[derive(Debug)]
pub(super) struct PyTorch {
    file_len: u64,
    /// The archive's folder with its slash, or nothing.
    root: String,
    locals: Locals,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Locals,
    Byteorder,
    Pickle,
}

impl PyTorch {
    /// Gives the members back if they are of another kind of zip.
    pub(super) fn new(mut members: Vec<Member>, file_len: u64) -> Result<Self, Vec<Member>> {
        let root = members.iter().find_map(|member| {
            let root = member.name.strip_suffix(PICKLE)?;
            let is_folder = root.strip_suffix('/').map_or(root.is_empty(), |folder| !folder.contains('/'));
            is_folder.then(|| root.to_owned())
        });
        let Some(root) = root else { return Err(members) };
        members.retain(|member| {
            let name = member.name.strip_prefix(&root);
            name.is_some_and(|name| name == PICKLE || name == BYTEORDER || key_of(name).is_some())
        });
        Ok(Self { file_len, root, locals: Locals::new(members, 0, file_len), state: State::Locals })
    }

    pub(super) fn start(&mut self) -> Step {
        match self.locals.next_fetch() {
            Some((offset, len)) => Step::Need { offset, len },
            None => self.fetch_byteorder(),
        }
    }

    pub(super) fn step(&mut self, offset: u64, bytes: &[u8]) -> Step {
        match self.state {
            State::Locals => {
                self.locals.take(offset, bytes, |_, _, _| {});
                self.start()
            }
            State::Byteorder if bytes.trim_ascii() == b"little" => self.fetch_pickle(),
            State::Byteorder => Step::Plain,
            State::Pickle => self.finish(pickle::scan(bytes)),
        }
    }

    fn fetch_byteorder(&mut self) -> Step {
        self.state = State::Byteorder;
        match self.extent(BYTEORDER) {
            Some((_, len)) if len == 0 || len > BYTEORDER_LEN => Step::Plain,
            Some((offset, len)) => Step::Need { offset, len: len as usize },
            // Archives of before 2.1 have no such member; they come from little-endian machines.
            None => self.fetch_pickle(),
        }
    }

    fn fetch_pickle(&mut self) -> Step {
        self.state = State::Pickle;
        match self.extent(PICKLE) {
            Some((offset, len)) if len > 0 && len <= HEADER_LEN as u64 => Step::Need { offset, len: len as usize },
            _ => self.finish(Vec::new()),
        }
    }

    /// Where a member of the root lies: offset and length.
    fn extent(&self, name: &str) -> Option<(u64, u64)> {
        let (member, start) = self.locals.found().find(|(member, _)| member.name.strip_prefix(&self.root) == Some(name))?;
        Some((start, member.len))
    }

    fn finish(&self, mut storages: Vec<Storage<'_>>) -> Step {
        // Stable: of a storage that many tensors share, the first with a name counts.
        storages.sort_by_key(|storage| (storage.key, storage.tensor.is_none()));
        storages.dedup_by_key(|storage| storage.key);
        let mut tensors = Vec::new();
        for (member, offset) in self.locals.found() {
            let Some(key) = member.name.strip_prefix(&self.root).and_then(key_of) else { continue };
            let place = storages.binary_search_by_key(&key, |storage| storage.key);
            let storage = place.ok().and_then(|place| storages.get_mut(place));
            tensors.push(tensor(member, offset, storage));
        }
        Layout::settle(Format::PyTorch, tensors, self.file_len).map_or(Step::Plain, Step::Layout)
    }
}

fn key_of(name: &str) -> Option<&str> {
    name.strip_prefix(DATA).filter(|key| !key.is_empty() && !key.contains('/'))
}

fn tensor(member: &Member, offset: u64, storage: Option<&mut Storage<'_>>) -> Tensor {
    let len = member.len;
    let mut tensor = Tensor { name: member.name.clone(), dtype: Dtype::Unknown, shape: vec![len], offset, len };
    if let Some(Storage { dtype: Some(dtype), tensor: named, .. }) = storage
        && let Some(elements) = len.checked_div(dtype.block_bytes())
        && dtype.len_of(&[elements]) == Some(len)
    {
        tensor.dtype = *dtype;
        tensor.shape = vec![elements];
        if let Some(named) = named.take() {
            tensor.name = named.name;
            // A view of a part of its storage says nothing about the shape of the whole.
            tensor.shape = named.shape.filter(|shape| dtype.len_of(shape) == Some(len)).unwrap_or(tensor.shape);
        }
    }
    tensor
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Pickle, Zip};
    use super::super::{PREFIX_LEN, layout_of};
    use super::*;

    /// Two weights and the two moments of one of them, as `torch.save` nests them.
    fn checkpoint() -> Pickle {
        let mut pickle = Pickle::new();
        pickle.open_dict();
        pickle.text("model");
        pickle.open_dict();
        pickle.text("embed.weight");
        pickle.tensor("BFloat16Storage", "0", 6, &[2, 3]);
        pickle.text("norm");
        pickle.tensor("FloatStorage", "1", 4, &[4]);
        pickle.close_dict();
        pickle.text("optimizer");
        pickle.open_dict();
        pickle.text("state");
        pickle.open_dict();
        pickle.int(0);
        pickle.open_dict();
        pickle.text("exp_avg");
        pickle.tensor("FloatStorage", "2", 6, &[2, 3]);
        pickle.text("exp_avg_sq");
        pickle.tensor("FloatStorage", "10", 6, &[2, 3]);
        pickle.close_dict();
        pickle.close_dict();
        pickle.close_dict();
        pickle.close_dict();
        pickle
    }

    fn archive(pickle: &[u8]) -> Zip {
        let mut zip = Zip::default();
        zip.aligned_member("checkpoint/data.pkl", pickle);
        zip.aligned_member("checkpoint/byteorder", b"little");
        for (key, len) in [("0", 12), ("1", 16), ("10", 24), ("2", 24), ("3", 7)] {
            zip.aligned_member(&format!("checkpoint/data/{key}"), &vec![1; len]);
        }
        zip.aligned_member("checkpoint/version", b"3\n");
        zip
    }

    type Row<'a> = (&'a str, Dtype, &'a [u64], u64);

    fn rows(layout: &Layout) -> Vec<Row<'_>> {
        layout.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor.dtype, &tensor.shape[..], tensor.len)).collect()
    }

    #[test]
    fn storages_have_the_path_of_keys_that_leads_to_them() {
        for zip64 in [false, true] {
            let layout = layout_of(&archive(&checkpoint().bytes()).bytes(zip64)).expect("five storages");
            assert_eq!(layout.format, Format::PyTorch);
            let expected: [Row<'_>; 5] = [
                ("model.embed.weight", Dtype::BF16, &[2, 3], 12),
                ("model.norm", Dtype::F32, &[4], 16),
                ("optimizer.state.0.exp_avg_sq", Dtype::F32, &[2, 3], 24),
                ("optimizer.state.0.exp_avg", Dtype::F32, &[2, 3], 24),
                ("checkpoint/data/3", Dtype::Unknown, &[7], 7),
            ];
            assert_eq!(rows(&layout), expected);
            assert!(layout.tensors.iter().all(|tensor| tensor.offset % 64 == 0));
        }
    }

    #[test]
    fn an_archive_larger_than_the_prefix_is_read_piece_by_piece() {
        let mut pickle = Pickle::new();
        pickle.open_dict();
        for key in 0..50 {
            pickle.text(&format!("layer.{key}"));
            pickle.tensor("HalfStorage", &key.to_string(), 4096, &[64, 64]);
        }
        pickle.close_dict();
        let mut zip = Zip::default();
        zip.aligned_member("m/data.pkl", &pickle.bytes());
        for key in 0..50 {
            zip.aligned_member(&format!("m/data/{key}"), &[3; 8192]);
        }
        let file = zip.bytes(true);
        assert!(file.len() > PREFIX_LEN);
        let layout = layout_of(&file).expect("all storages");
        assert_eq!(layout.tensors.len(), 50);
        assert!(layout.tensors.iter().enumerate().all(|(key, tensor)| tensor.name == format!("layer.{key}")
            && tensor.dtype == Dtype::F16
            && file[tensor.offset as usize..tensor.end() as usize].iter().all(|&byte| byte == 3)));
    }

    #[test]
    fn a_pickle_that_is_not_understood_leaves_regions_of_unknown_type() {
        for pickle in [&b""[..], b"\x80\x02", b"nonsense", &[b'('; 300]] {
            let layout = layout_of(&archive(pickle).bytes(false)).expect("the storages");
            assert!(layout.tensors.iter().all(|tensor| tensor.dtype == Dtype::Unknown && tensor.shape == [tensor.len]));
            assert_eq!(layout.tensors.len(), 5);
        }
    }

    #[test]
    fn a_big_endian_archive_is_plain() {
        let mut zip = Zip::default();
        zip.member("a/data.pkl", &checkpoint().bytes());
        zip.member("a/byteorder", b"big");
        zip.member("a/data/0", &[1; 12]);
        assert_eq!(layout_of(&zip.bytes(false)), None);
    }

    #[test]
    fn a_storage_whose_length_is_not_what_the_pickle_says_has_no_type() {
        let mut zip = Zip::default();
        zip.member("a/data.pkl", &checkpoint().bytes());
        zip.member("a/data/1", &[1; 15]);
        let layout = layout_of(&zip.bytes(false)).expect("one storage");
        assert_eq!(rows(&layout), [("a/data/1", Dtype::Unknown, &[15][..], 15)]);
    }

    #[test]
    fn a_compressed_storage_is_passed_over() {
        let mut zip = Zip::default();
        zip.member("a/data.pkl", &checkpoint().bytes());
        zip.compressed_member("a/data/0", &[1; 12]);
        zip.member("a/data/1", &[1; 16]);
        let layout = layout_of(&zip.bytes(false)).expect("one storage");
        assert_eq!(rows(&layout), [("model.norm", Dtype::F32, &[4][..], 16)]);
    }
}
