//! The names that matter in a PyTorch pickle.

use super::Dtype;

/// A global name, as far as it matters. Nothing is looked up by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    /// A storage class; nothing for bytes without a type.
    Storage(Option<Dtype>),
    /// A `torch.dtype`.
    Dtype(Dtype),
    /// `_rebuild_tensor_v2(storage, offset, size, stride, …)`.
    RebuildTensor,
    /// `_rebuild_tensor_v3(storage, offset, size, stride, grad, hooks, dtype, …)`.
    RebuildTyped,
    /// `_rebuild_parameter(tensor, …)`.
    RebuildParameter,
    /// All others.
    Other,
}

impl Global {
    pub(super) fn of(module: &[u8], name: &[u8]) -> Self {
        match module {
            b"torch._utils" => match name {
                b"_rebuild_tensor" | b"_rebuild_tensor_v2" | b"_rebuild_qtensor" => Self::RebuildTensor,
                b"_rebuild_tensor_v3" => Self::RebuildTyped,
                b"_rebuild_parameter" | b"_rebuild_parameter_with_state" => Self::RebuildParameter,
                _ => Self::Other,
            },
            b"torch" | b"torch.storage" | b"torch.cuda" => Self::of_torch(name),
            _ => Self::Other,
        }
    }

    fn of_torch(name: &[u8]) -> Self {
        Self::Storage(Some(match name {
            b"DoubleStorage" => Dtype::F64,
            b"FloatStorage" => Dtype::F32,
            b"HalfStorage" => Dtype::F16,
            b"BFloat16Storage" => Dtype::BF16,
            b"LongStorage" => Dtype::I64,
            b"IntStorage" | b"QInt32Storage" => Dtype::I32,
            b"ShortStorage" => Dtype::I16,
            b"CharStorage" | b"QInt8Storage" => Dtype::I8,
            b"ByteStorage" | b"QUInt8Storage" | b"QUInt4x2Storage" | b"QUInt2x4Storage" => Dtype::U8,
            b"BoolStorage" => Dtype::Bool,
            b"ComplexFloatStorage" => Dtype::C64,
            b"ComplexDoubleStorage" => Dtype::C128,
            b"UntypedStorage" => return Self::Storage(None),
            _ => return Self::of_dtype(name),
        }))
    }

    fn of_dtype(name: &[u8]) -> Self {
        Self::Dtype(match name {
            b"float64" => Dtype::F64,
            b"float32" => Dtype::F32,
            b"float16" => Dtype::F16,
            b"bfloat16" => Dtype::BF16,
            b"float8_e4m3fn" => Dtype::F8E4M3,
            b"float8_e5m2" => Dtype::F8E5M2,
            b"float8_e4m3fnuz" => Dtype::F8E4M3Fnuz,
            b"float8_e5m2fnuz" => Dtype::F8E5M2Fnuz,
            b"float8_e8m0fnu" => Dtype::F8E8M0,
            b"int64" => Dtype::I64,
            b"int32" => Dtype::I32,
            b"int16" => Dtype::I16,
            b"int8" => Dtype::I8,
            b"uint64" => Dtype::U64,
            b"uint32" => Dtype::U32,
            b"uint16" => Dtype::U16,
            b"uint8" => Dtype::U8,
            b"bool" => Dtype::Bool,
            b"complex64" => Dtype::C64,
            b"complex128" => Dtype::C128,
            _ => return Self::Other,
        })
    }
}
