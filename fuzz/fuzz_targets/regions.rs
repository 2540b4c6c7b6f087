//! Any layout, however false: its regions tile the file.

#![no_main]

use libfuzzer_sys::fuzz_target;
use store_core::base::wire::{Reader, WireError};
use store_core::chunking::{regions, segment_step};
use store_core::tensor::{Dtype, Format, GgufType, Layout, Tensor};

fn tensor(reader: &mut Reader<'_>) -> Result<Tensor, WireError> {
    Ok(Tensor { name: "t".into(), dtype: Dtype::U8, shape: Vec::new(), offset: reader.varint()?, len: reader.varint()? })
}

fuzz_target!(|data: &[u8]| {
    let mut reader = Reader::new(data);
    let (Ok(file_len), Ok(least), Ok(choice), Ok(target)) = (reader.varint(), reader.varint(), reader.u16(), reader.varint()) else {
        return;
    };
    let mut layout = Layout { format: Format::Gguf, tensors: Vec::new() };
    while let Ok(tensor) = tensor(&mut reader) {
        layout.tensors.push(tensor);
    }
    let mut at = 0u64;
    for region in regions(&layout, file_len, least) {
        assert!(region.offset == at && region.len > 0);
        at = at.checked_add(region.len).expect("a region ends within the file");
        if let Some(tensor) = region.tensor {
            assert_eq!((layout.tensors[tensor].offset, layout.tensors[tensor].len), (region.offset, region.len));
        }
    }
    assert_eq!(at, file_len);
    let plain = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::BF16, Dtype::F6E2M3, Dtype::U8, Dtype::C128];
    let dtypes: Vec<Dtype> = plain.into_iter().chain(GgufType::ALL.iter().map(|kind| Dtype::GgufBlock(*kind))).collect();
    let dtype = dtypes[usize::from(choice) % dtypes.len()];
    let step = segment_step(target.clamp(1, 4 << 20) as usize, dtype);
    assert!(step > 0 && step.is_multiple_of(dtype.block_bytes() as usize));
});
