//! What a parser suggests: the tensors of one file.

use super::{DIMS, Dtype, NAME_LEN, NAMES_LEN, TENSORS};

/// A kind of weights file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// GGUF, version 2 or 3, little-endian.
    Gguf,
    /// A zip that `torch.save` wrote.
    PyTorch,
    /// One NumPy array.
    Npy,
    /// A zip of stored NumPy arrays.
    Npz,
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tensor {
    /// What the file calls it: 1 to [`NAME_LEN`] bytes, unique within the file.
    pub name: String,
    /// What its elements are.
    pub dtype: Dtype,
    /// Its dimensions in the order in which the bytes lie, slowest first: at most [`DIMS`], none for a scalar.
    pub shape: Vec<u64>,
    /// Where its bytes begin in the file.
    pub offset: u64,
    /// How many they are: never 0, always what dtype and shape give.
    pub len: u64,
}

impl Tensor {
    /// The offset past its last byte.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }

    fn is_valid(&self, file_len: u64) -> bool {
        !self.name.is_empty()
            && self.name.len() <= NAME_LEN
            && self.shape.len() <= DIMS
            && self.len > 0
            && self.dtype.len_of(&self.shape) == Some(self.len)
            && self.offset.checked_add(self.len).is_some_and(|end| end <= file_len)
    }
}

/// The tensors of one file, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Layout {
    /// What the file is.
    pub format: Format,
    /// Its tensors, by offset. They need not cover the file: what lies between them is plain bytes.
    pub tensors: Vec<Tensor>,
}

impl Layout {
    /// Whether this holds what every layout promises of a file of `file_len` bytes: tensors sorted by offset, disjoint, inside the
    /// file, of the length that dtype and shape give, within the limits, no name twice.
    pub fn is_valid(&self, file_len: u64) -> bool {
        !self.tensors.is_empty()
            && self.tensors.len() <= TENSORS
            && self.tensors.iter().all(|tensor| tensor.is_valid(file_len))
            && self.tensors.is_sorted_by(|left, right| left.end() <= right.offset)
            && self.tensors.iter().map(|tensor| tensor.name.len()).sum::<usize>() <= NAMES_LEN
            && repeated_names(&self.tensors).is_empty()
    }

    /// Makes a layout of what a parser found, leaving out what breaks the promises: of two tensors that overlap or share a name, the
    /// first in the file stays. `None` if nothing stays.
    pub(super) fn settle(format: Format, mut tensors: Vec<Tensor>, file_len: u64) -> Option<Self> {
        tensors.retain(|tensor| tensor.is_valid(file_len));
        tensors.sort_unstable_by(|left, right| (left.offset, left.len, &left.name).cmp(&(right.offset, right.len, &right.name)));
        let mut covered = 0;
        tensors.retain(|tensor| {
            let free = tensor.offset >= covered;
            if free {
                covered = tensor.end();
            }
            free
        });
        let repeated = repeated_names(&tensors);
        let mut index = 0_u32;
        tensors.retain(|_| {
            let stays = repeated.binary_search(&index).is_err();
            index += 1;
            stays
        });
        let names: usize = tensors.iter().map(|tensor| tensor.name.len()).sum();
        (!tensors.is_empty() && tensors.len() <= TENSORS && names <= NAMES_LEN).then_some(Self { format, tensors })
    }
}

/// The places, ascending, of tensors whose name an earlier one has.
fn repeated_names(tensors: &[Tensor]) -> Vec<u32> {
    let name = |index: u32| tensors[index as usize].name.as_str();
    let mut order: Vec<u32> = (0..tensors.len() as u32).collect();
    order.sort_unstable_by(|&left, &right| (name(left), left).cmp(&(name(right), right)));
    let mut repeated: Vec<u32> = order.windows(2).filter(|pair| name(pair[0]) == name(pair[1])).map(|pair| pair[1]).collect();
    repeated.sort_unstable();
    repeated
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(name: &str, offset: u64, len: u64) -> Tensor {
        Tensor { name: name.into(), dtype: Dtype::U8, shape: vec![len], offset, len }
    }

    fn settled(tensors: Vec<Tensor>, file_len: u64) -> Vec<String> {
        let layout = Layout::settle(Format::Gguf, tensors, file_len);
        assert!(layout.as_ref().is_none_or(|layout| layout.is_valid(file_len)));
        layout.map_or(vec![], |layout| layout.tensors.into_iter().map(|tensor| tensor.name).collect())
    }

    #[test]
    fn tensors_are_sorted_and_the_first_of_two_that_overlap_stays() {
        assert_eq!(settled(vec![tensor("c", 20, 5), tensor("b", 9, 4), tensor("a", 0, 10)], 25), ["a", "c"]);
    }

    #[test]
    fn the_first_of_two_with_one_name_stays() {
        let tensors = vec![tensor("b", 30, 5), tensor("a", 20, 5), tensor("a", 0, 10), tensor("a", 10, 10)];
        assert_eq!(settled(tensors, 40), ["a", "b"]);
    }

    #[test]
    fn what_leaves_the_file_or_is_empty_or_lies_about_its_length_goes() {
        let mut lying = tensor("lying", 1, 8);
        lying.dtype = Dtype::F32;
        let tensors = vec![tensor("empty", 0, 0), tensor("far", u64::MAX, 2), tensor("", 0, 1), tensor("long", 5, 6), lying];
        assert_eq!(settled(tensors, 10), [""; 0]);
    }
}
