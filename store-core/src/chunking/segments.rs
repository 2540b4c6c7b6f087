//! Regions of a file and the segments of a tensor.

use crate::tensor::Layout;

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

/// The step at which a tensor is cut: about `target` bytes, whole elements (or blocks) of `element_len` bytes each.
pub fn segment_step(target: usize, element_len: usize) -> usize {
    let element_len = element_len.max(1);
    (target / element_len * element_len).max(element_len)
}
