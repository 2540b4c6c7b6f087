//! L1: lossless codecs for the plaintext of blobs: pure functions over byte slices.
