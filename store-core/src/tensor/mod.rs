//! L1: where the tensors of a weights file lie.
