use super::super::samples::Pickle;
use super::*;

/// Key, type, name and shape of a storage.
type Row = (String, Option<Dtype>, Option<String>, Option<Vec<u64>>);

fn rows(pickle: &[u8]) -> Vec<Row> {
    let row = |storage: Storage<'_>| {
        let (name, shape) = storage.tensor.map_or((None, None), |tensor| (Some(tensor.name), tensor.shape));
        (storage.key.to_owned(), storage.dtype, name, shape)
    };
    scan(pickle).into_iter().map(row).collect()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn a_tensor_alone_has_no_name() {
    let mut pickle = Pickle::new();
    pickle.tensor("FloatStorage", "0", 4, &[4]);
    assert_eq!(rows(&pickle.bytes()), [("0".into(), Some(Dtype::F32), None, None)]);
}

#[test]
fn parameters_in_an_ordered_dictionary_with_state_are_named() {
    let mut pickle = Pickle::new();
    pickle.raw(b"ccollections\nOrderedDict\n)R(");
    pickle.text("weight");
    pickle.raw(b"ctorch._utils\n_rebuild_parameter\n(");
    pickle.tensor("HalfStorage", "w", 6, &[2, 3]);
    pickle.raw(b"\x88ccollections\nOrderedDict\n)Rt");
    pickle.raw(b"R");
    pickle.raw(b"u}");
    pickle.text("_metadata");
    pickle.raw(b"}sb");
    assert_eq!(rows(&pickle.bytes()), [("w".into(), Some(Dtype::F16), text("weight"), Some(vec![2, 3]))]);
}

#[test]
fn lists_and_tuples_give_places() {
    let mut pickle = Pickle::new();
    pickle.open_dict();
    pickle.text("layers");
    pickle.raw(b"](N");
    pickle.tensor("LongStorage", "0", 1, &[]);
    pickle.raw(b"e");
    pickle.text("pair");
    pickle.tensor("BoolStorage", "1", 2, &[2]);
    pickle.tensor("ByteStorage", "2", 2, &[2]);
    pickle.raw(b"\x86");
    pickle.close_dict();
    let expected = [
        ("0".into(), Some(Dtype::I64), text("layers.1"), Some(vec![])),
        ("1".into(), Some(Dtype::Bool), text("pair.0"), Some(vec![2])),
        ("2".into(), Some(Dtype::U8), text("pair.1"), Some(vec![2])),
    ];
    assert_eq!(rows(&pickle.bytes()), expected);
}

#[test]
fn an_untyped_storage_has_the_type_of_its_tensor() {
    let mut pickle = Pickle::new();
    pickle.open_dict();
    pickle.text("w");
    pickle.raw(b"ctorch._utils\n_rebuild_tensor_v3\n(");
    pickle.storage("torch.storage", "UntypedStorage", "5", 6);
    pickle.raw(b"K\0K\x02K\x03\x86K\x03K\x01\x86\x89Nctorch\nfloat8_e4m3fn\ntR");
    pickle.close_dict();
    assert_eq!(rows(&pickle.bytes()), [("5".into(), Some(Dtype::F8E4M3), text("w"), Some(vec![2, 3]))]);
}

#[test]
fn a_transposed_tensor_and_a_view_have_no_shape() {
    for call in [&b"K\0K\x02K\x03\x86K\x01K\x02\x86"[..], b"K\x01K\x02K\x03\x86K\x03K\x01\x86", b"K\0K\x02K\x03\x86K\x03\x85"] {
        let mut pickle = Pickle::new();
        pickle.open_dict();
        pickle.text("w");
        pickle.raw(b"ctorch._utils\n_rebuild_tensor_v2\n(");
        pickle.storage("torch", "FloatStorage", "0", 6);
        pickle.raw(call);
        pickle.raw(b"\x89NtR");
        pickle.close_dict();
        assert_eq!(rows(&pickle.bytes()), [("0".into(), Some(Dtype::F32), text("w"), None)]);
    }
}

#[test]
fn what_would_run_code_is_passed_over() {
    let mut pickle = Pickle::new();
    pickle.open_dict();
    pickle.text("evil");
    pickle.raw(b"cos\nsystem\nX\x02\0\0\0ls\x85R");
    pickle.text("w");
    pickle.tensor("FloatStorage", "0", 4, &[4]);
    pickle.close_dict();
    assert_eq!(rows(&pickle.bytes()), [("0".into(), Some(Dtype::F32), text("w"), Some(vec![4]))]);
}

#[test]
fn a_container_that_holds_itself_is_walked_once() {
    let mut pickle = Pickle::new();
    pickle.raw(b"}q\0(");
    pickle.text("self");
    pickle.raw(b"h\0");
    pickle.text("w");
    pickle.tensor("FloatStorage", "0", 4, &[4]);
    pickle.raw(b"u");
    assert_eq!(rows(&pickle.bytes())[0].2, text("w"));
}

#[test]
fn a_pickle_cut_short_still_tells_the_types() {
    let mut pickle = Pickle::new();
    pickle.open_dict();
    pickle.text("w");
    pickle.tensor("FloatStorage", "0", 4, &[4]);
    let mut bytes = pickle.bytes();
    bytes.pop();
    assert_eq!(rows(&bytes), [("0".into(), Some(Dtype::F32), None, None)]);
}

#[test]
fn long_integers_are_read_with_their_sign() {
    let mut scan = Scan::default();
    for (bytes, expected) in
        [(&b"\x01\xff"[..], -1), (b"\x02\xff\x00", 255), (b"\x00", 0), (b"\x08\xff\xff\xff\xff\xff\xff\xff\x7f", i64::MAX)]
    {
        scan.long(&mut Cursor::new(bytes, 0)).expect("room");
        assert!(matches!(scan.stack.pop(), Some(Value::Int(value)) if value == expected));
    }
    scan.long(&mut Cursor::new(b"\x09123456789", 0)).expect("room");
    assert!(matches!(scan.stack.pop(), Some(Value::Opaque)));
}
