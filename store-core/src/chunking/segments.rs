//! Regions of a file and the segments of a tensor.

use crate::tensor::{Dtype, Layout};

/// Numbers in a block of the types that stand for one another, or a multiple.
const BLOCK_OF_KIN: usize = 32;

/// A byte range of a file with a known kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Region {
    /// Where it starts.
    pub offset: u64,
    /// How long it is, at least 1.
    pub len: u64,
    /// Which tensor of the layout it is; `None` for plain bytes.
    pub tensor: Option<usize>,
}

/// Tiles a file of `file_len` bytes: tensors where the layout has them, plain bytes between. Tensors shorter than `least` bytes count as
/// plain, since a chunk of their own would cost more than it saves. What a layout says is checked again: advice cannot break the tiling.
pub fn regions(layout: &Layout, file_len: u64, least: u64) -> Vec<Region> {
    let mut regions = Vec::new();
    let mut at = 0;
    for (index, tensor) in layout.tensors.iter().enumerate() {
        let end = tensor.offset.checked_add(tensor.len).filter(|end| *end <= file_len);
        let (Some(end), true) = (end, tensor.offset >= at && tensor.len >= least.max(1)) else { continue };
        if tensor.offset > at {
            regions.push(Region { offset: at, len: tensor.offset - at, tensor: None });
        }
        regions.push(Region { offset: tensor.offset, len: tensor.len, tensor: Some(index) });
        at = end;
    }
    if at < file_len {
        regions.push(Region { offset: at, len: file_len - at, tensor: None });
    }
    regions
}

/// The step at which a tensor is cut: about `target` bytes, whole elements or blocks. Types that stand for one another have as many numbers in a
/// segment as `target` bytes of 32-bit floats: so the same weights in two of them have segments that correspond.
pub fn segment_step(target: usize, dtype: Dtype) -> usize {
    let block = dtype.block_bytes() as usize;
    if dtype.has_kin() {
        let numbers = (target / 4 / BLOCK_OF_KIN * BLOCK_OF_KIN).max(BLOCK_OF_KIN);
        return numbers / dtype.block_elements() as usize * block;
    }
    (target / block * block).max(block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::GgufType;

    #[test]
    fn segments_of_one_tensor_in_several_types_hold_the_same_numbers() {
        let q8_0 = Dtype::GgufBlock(GgufType::Q8_0);
        for target in [1 << 20, 5000, 1] {
            let numbers = |dtype: Dtype| segment_step(target, dtype) as u64 / dtype.block_bytes() * dtype.block_elements();
            assert_eq!([Dtype::F16, Dtype::BF16, q8_0].map(numbers), [numbers(Dtype::F32); 3]);
        }
        assert_eq!((segment_step(1 << 20, Dtype::F32), segment_step(1 << 20, Dtype::BF16)), (1 << 20, 1 << 19));
        assert_eq!((segment_step(1000, Dtype::C128), segment_step(1 << 20, Dtype::I16)), (992, 1 << 20));
    }
}
