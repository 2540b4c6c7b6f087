//! Headers that were made to hurt. Whatever a file says: no panic, a layout that holds to its promises, at most a second and
//! 128 MiB, the fetched bytes included.

#[allow(unreachable_pub, reason = "a part of this test")]
mod hostile;
#[path = "../src/tensor/samples.rs"]
mod samples;

use hostile::{Family, MIB, Sparse};
use samples::{GgufFile, Pickle, Zip, gguf_string};
use store_core::tensor::HEADER_LEN;

/// A pickle of as many tensors, in a dictionary.
fn pickle_of(tensors: usize) -> Vec<u8> {
    let mut pickle = Pickle::new();
    pickle.open_dict();
    for key in 0..tensors {
        pickle.text(&format!("layer.{key}"));
        pickle.tensor("FloatStorage", &key.to_string(), 6, &[2, 3]);
    }
    pickle.close_dict();
    pickle.bytes()
}

fn archive_of(pickle: &[u8], tensors: usize) -> Zip {
    let mut zip = Zip::default();
    zip.aligned_member("m/data.pkl", pickle);
    zip.aligned_member("m/byteorder", b"little");
    (0..tensors).for_each(|key| zip.aligned_member(&format!("m/data/{key}"), &[5; 24]));
    zip
}

fn gguf() -> GgufFile {
    let mut file = GgufFile::new(3);
    file.alignment(32);
    let words = [&8_u32.to_le_bytes()[..], &2_u64.to_le_bytes(), &gguf_string("a"), &gguf_string("bc")].concat();
    file.pair("words", 9, &words);
    let inner = [&4_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &[7; 4]].concat();
    file.pair("nested", 9, &[&9_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &inner].concat());
    file.tensor("a", 0, &[8, 2], 0);
    file.tensor("b", 8, &[32, 2], 64);
    file
}

/// A well-formed file of each kind.
fn well_formed() -> Vec<(&'static str, Vec<u8>)> {
    let mut npz = Zip::default();
    npz.member("x.npy", &samples::npy("<f4", "(2, 3)", 24));
    npz.aligned_member("y.npy", &samples::npy("|u1", "(5,)", 5));
    let tensors: [(&str, &str, &[u64], usize); 3] = [("a", "F32", &[2, 3], 24), ("b", "BF16", &[4], 8), ("c", "F8_E4M3", &[1, 1, 3], 3)];
    vec![
        ("safetensors", samples::safetensors(&tensors)),
        ("gguf", gguf().bytes(132)),
        ("npy", samples::npy("<f4", "(2, 3)", 24)),
        ("npz", npz.bytes(false)),
        ("pytorch", archive_of(&pickle_of(3), 3).bytes(false)),
        ("pytorch zip64", archive_of(&pickle_of(3), 3).bytes(true)),
    ]
}

#[test]
fn well_formed_files_have_layouts() {
    let mut family = Family::new("well-formed");
    for (name, file) in well_formed() {
        assert!(family.try_bytes(name, file), "{name}");
    }
}

#[test]
fn every_truncation_is_survived() {
    let mut family = Family::new("truncated");
    for (name, file) in well_formed() {
        for len in 0..file.len() {
            family.try_bytes(&format!("{name}, the first {len} bytes"), file[..len].to_vec());
            // The same, where the file claims to go on.
            let longer = Sparse::with_len(file[..len].to_vec(), file.len() as u64 * 3);
            family.try_file(&format!("{name}, {len} bytes and zeros"), &longer);
        }
    }
    assert!(family.inputs >= 1000);
}

#[test]
fn every_byte_and_every_number_may_lie() {
    let mut family = Family::new("lying numbers");
    for (name, file) in well_formed() {
        for at in 0..file.len() {
            for byte in [0, 0xff, file[at] ^ 0x80, file[at].wrapping_add(1)] {
                let mut lying = file.clone();
                lying[at] = byte;
                family.try_bytes(&format!("{name}, byte {at} is {byte}"), lying);
            }
            for number in [u64::MAX, u64::MAX - 31, i64::MAX as u64, u64::from(u32::MAX), 1 << 40, file.len() as u64, 0] {
                for width in [4, 8] {
                    let mut lying = file.clone();
                    let end = (at + width).min(file.len());
                    lying[at..end].copy_from_slice(&number.to_le_bytes()[..end - at]);
                    family.try_bytes(&format!("{name}, the {width} bytes at {at} are {number}"), lying);
                }
            }
        }
    }
    assert!(family.inputs >= 10_000);
}

/// A safetensors file of 1 TiB whose header fills its limit: `item` gives the next entry.
fn full_header(mut item: impl FnMut(usize) -> String) -> Sparse {
    let mut header = String::from("{");
    for index in 0.. {
        let entry = item(index);
        if header.len() + entry.len() + 2 > HEADER_LEN {
            break;
        }
        header.push_str(if index > 0 { "," } else { "" });
        header.push_str(&entry);
    }
    header.push('}');
    Sparse::with_len(samples::safetensors_of(&header, 0), 1 << 40)
}

#[test]
fn safetensors_headers_that_fill_their_limit_are_survived() {
    let mut family = Family::new("safetensors");
    let dims = "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1";
    let entry =
        |name: &str, shape: &str, at: usize| format!(r#""{name}":{{"dtype":"U8","shape":[{shape}],"data_offsets":[{at},{}]}}"#, at + 1);
    assert!(family.try_file("as many tensors as fit", &full_header(|at| entry(&format!("{at:x}"), dims, at))));
    assert!(!family.try_file("more tensors than allowed", &full_header(|at| entry(&format!("{at:x}"), "", at))));
    assert!(family.try_file("all in one place", &full_header(|at| entry(&format!("{at:x}"), dims, 0))));
    assert!(family.try_file("all with one name", &full_header(|at| entry("a", dims, at))));
    assert!(family.try_file("long names", &full_header(|at| entry(&format!("{at:04000x}"), "1", at))));

    let fill = HEADER_LEN - 64;
    for (what, header) in [
        ("nested lists in metadata", format!(r#"{{"__metadata__":{}"#, "[".repeat(fill))),
        ("nested objects in metadata", format!(r#"{{"__metadata__":{}"#, r#"{"a":"#.repeat(fill / 5))),
        ("nested objects", r#"{"a":"#.repeat(fill / 5)),
        ("nested lists in a shape", format!(r#"{{"a":{{"shape":{}"#, "[".repeat(fill))),
        ("a shape without end", format!(r#"{{"a":{{"dtype":"U8","data_offsets":[0,1],"shape":[1{}]}}}}"#, ",1".repeat(fill / 2))),
        ("a number without end", format!(r#"{{"a":{{"shape":[{}]}}}}"#, "1".repeat(fill))),
        ("an exponent without end", format!(r#"{{"a":{{"shape":[1e{}]}}}}"#, "9".repeat(fill))),
        ("a name without end", format!(r#"{{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#, "n".repeat(fill))),
        ("a name of escapes", format!(r#"{{"{}":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#, r"\u0041".repeat(fill / 6))),
        ("a dtype of escapes", format!(r#"{{"a":{{"dtype":"{}","shape":[1],"data_offsets":[0,1]}}}}"#, r"\n".repeat(fill / 2))),
        ("unknown fields", format!(r#"{{"a":{{{}"dtype":"U8","shape":[1],"data_offsets":[0,1]}}}}"#, r#""x":[],"#.repeat(fill / 8))),
        ("spaces", format!("{{{}", " ".repeat(fill))),
        ("quotes", format!("{{{}", "\"".repeat(fill))),
    ] {
        family.try_file(what, &Sparse::with_len(samples::safetensors_of(&header, 4096), 1 << 40));
    }
    for len in [HEADER_LEN as u64 + 1, 100_000_000, 1 << 40, i64::MAX as u64, u64::MAX - 8, u64::MAX - 7, u64::MAX] {
        for file_len in [9, 4096, 1 << 41, u64::MAX] {
            let file = Sparse::with_len([&len.to_le_bytes()[..], b"{"].concat(), file_len);
            assert!(!family.try_file(&format!("a header of {len} in {file_len}"), &file));
        }
    }
    for offset in [u64::MAX, u64::MAX - 1, u64::MAX - 8, u64::MAX - 70, 1 << 63] {
        for len in [0, 1, 8, 71] {
            let end = offset.saturating_add(len);
            let header = format!(r#"{{"a":{{"dtype":"U8","shape":[{len}],"data_offsets":[{offset},{end}]}}}}"#);
            family.try_file("offsets near the end of numbers", &Sparse::with_len(samples::safetensors_of(&header, 0), u64::MAX));
        }
    }
}

/// A GGUF file that goes on for ever: zeros are empty keys, empty strings and empty arrays.
fn endless(file: &GgufFile) -> Sparse {
    let mut bytes = file.bytes(0);
    bytes.truncate(24 + file.pairs.len() + file.infos.len());
    Sparse::with_len(bytes, 1 << 50)
}

#[test]
fn gguf_headers_without_end_are_survived() {
    let mut family = Family::new("gguf");
    for kind in 0..16_u32 {
        for count in [1 << 20, 1 << 60, u64::MAX / 8, u64::MAX] {
            for levels in [1, 2, 7, 8, 9, 1000] {
                let mut value = [&9_u32.to_le_bytes()[..], &count.to_le_bytes()].concat().repeat(levels - 1);
                value.extend([&kind.to_le_bytes()[..], &count.to_le_bytes()].concat());
                let mut file = GgufFile::new(3);
                file.pair("endless", 9, &value);
                family.try_file(&format!("{levels} arrays of {count} of type {kind}"), &endless(&file));
            }
        }
    }
    for count in [1, 1 << 18, (1 << 18) + 1, 1 << 20, 1 << 40, u64::MAX] {
        let mut file = gguf();
        file.tensor_count = count;
        family.try_file(&format!("{count} tensors"), &endless(&file));
        let mut file = GgufFile::new(3);
        file.pair_count = count;
        family.try_file(&format!("{count} pairs"), &endless(&file));
    }
    for len in [1 << 20, 1 << 40, (1 << 50) - 100, u64::MAX - 24, u64::MAX] {
        let len_bytes = len.to_le_bytes();
        let mut file = gguf();
        file.pair("long", 8, &len_bytes);
        family.try_file(&format!("a string of {len}"), &endless(&file));
        let mut file = gguf();
        file.pair("long", 9, &[&8_u32.to_le_bytes()[..], &1_u64.to_le_bytes(), &len_bytes].concat());
        family.try_file(&format!("a string of {len} in an array"), &endless(&file));
        let mut file = gguf();
        file.pairs.extend(len_bytes);
        file.pair_count += 1;
        family.try_file(&format!("a key of {len}"), &endless(&file));
    }
    for name_len in [6, 60, 170, 4000, 4096] {
        let mut file = GgufFile::new(3);
        let count = (60 * MIB / (name_len + 56)).min(1 << 18);
        for index in 0..count {
            file.tensor(&format!("{index:0name_len$}"), 0, &[1, 1, 1, 1], index as u64 * 32);
        }
        family.try_file(&format!("{count} names of {name_len}"), &endless(&file));
    }
    for offset in [u64::MAX, u64::MAX - 31, u64::MAX - 255, 1 << 63] {
        for dim in [1, 32, 1 << 32, u64::MAX] {
            for kind in 0..48 {
                let mut file = GgufFile::new(3);
                file.tensor("far", kind, &[dim, 1, 2], offset);
                family.try_file("offsets near the end of numbers", &Sparse::with_len(file.bytes(0), u64::MAX));
            }
        }
    }
}

#[test]
fn zip_directories_that_lie_are_survived() {
    let mut family = Family::new("zip");
    let zip = archive_of(&pickle_of(3), 3);
    let (count, len, start) = (zip.count, zip.directory.len() as u64, zip.locals.len() as u64);
    let limit = HEADER_LEN as u64 + 1;
    let numbers = [0, 1, 5, 46, len - 1, len, len + 1, start, start + len, u64::from(u32::MAX), limit, 1 << 63, u64::MAX - 55, u64::MAX];
    for a in numbers {
        for b in numbers {
            family.try_bytes("zip64: length, start", zip.bytes_claiming(count, a, b, start + len));
            family.try_bytes("zip64: count, place", zip.bytes_claiming(a, len, start, b));
            family.try_bytes("zip64: count, start", zip.bytes_claiming(a, len, b, start + len));
            family.try_bytes("zip: length, start", zip.bytes_of_zip32(count as u16, a as u32, b as u32));
            family.try_bytes("zip: count, length", zip.bytes_of_zip32(a as u16, b as u32, start as u32));
            let mut lying = archive_of(&pickle_of(4), 3);
            let extra = [&1_u16.to_le_bytes()[..], &24_u16.to_le_bytes(), &a.to_le_bytes(), &a.to_le_bytes(), &b.to_le_bytes()].concat();
            lying.entry("m/data/3", 0, u32::MAX, u32::MAX, u32::MAX, &extra);
            assert!(family.try_bytes("zip64 entry: length, place", lying.bytes(true)));
            lying.entry("m/data/2", 0, a as u32, a as u32, b as u32, &extra[..a as usize % extra.len()]);
            assert!(family.try_bytes("an entry again, its fields cut off", lying.bytes(true)));
        }
    }
}

/// A PyTorch zip with a directory of up to so many members, that far apart, with or without their local headers.
fn full_directory(pickle: &[u8], apart: u64, members: u64, locals: bool) -> Sparse {
    let mut zip = Zip::default();
    zip.member("data.pkl", pickle);
    let data_len = (apart.saturating_sub(64) as u32).min(4096) / 24 * 24;
    let base = zip.locals.len() as u64;
    let mut file = Sparse::default();
    for key in 0..members {
        let at = base + key * apart;
        let name = format!("data/{key:x}");
        if zip.directory.len() + 46 + name.len() > HEADER_LEN {
            break;
        }
        zip.entry(&name, 0, data_len, data_len, at as u32, &[]);
        if locals {
            let mut local = Zip::default();
            local.member(&name, &[]);
            file.pieces.insert(at, local.locals);
        }
    }
    let start = base + members * apart + 4096;
    let (len, count) = (zip.directory.len() as u64, zip.count);
    file.pieces.insert(0, std::mem::take(&mut zip.locals));
    file.put(start, zip.bytes_claiming(count, len, start, start + len));
    file
}

#[test]
fn zip_directories_that_fill_their_limit_are_survived() {
    let mut family = Family::new("zip directories");
    for (apart, members, locals) in [
        (0, 250_000, false),
        (0, 400_000, false),
        (100, 250_000, false),
        (100, 250_000, true),
        (5000, 250_000, false),
        (5000, 250_000, true),
        (16_000, 250_000, true),
    ] {
        let file = full_directory(&pickle_of(50), apart, members, locals);
        assert_eq!(family.try_file(&format!("{members} members {apart} apart"), &file), locals);
    }
    let mut zip = Zip::default();
    let array = samples::npy("|u1", "(1,)", 1);
    (0..60_000).for_each(|index| zip.member(&format!("{index}.npy"), &array));
    assert!(family.try_bytes("many arrays", zip.bytes(true)));
    let mut spread = Zip::default();
    (0..60_000).for_each(|index| spread.entry(&format!("{index}.npy"), 0, 100, 100, index * 8000, &[]));
    let (len, start) = (spread.directory.len() as u64, 60_000 * 8000 + 4096);
    let mut file = Sparse::of(b"PK\x03\x04".to_vec());
    file.put(start, spread.bytes_claiming(60_000, len, start, start + len));
    assert!(!family.try_file("many places of arrays", &file));
}

/// Opcodes of a text and of a tensor, to put together what no pickler writes.
fn text(text: &str) -> Vec<u8> {
    let mut pickle = Pickle::new();
    pickle.text(text);
    pickle.opcodes().to_vec()
}

fn tensor(key: &str) -> Vec<u8> {
    let mut pickle = Pickle::new();
    pickle.tensor("FloatStorage", key, 6, &[2, 3]);
    pickle.opcodes().to_vec()
}

/// `head`, then as many items as fit, then `tail`.
fn full_pickle(head: &[u8], tail: &[u8], mut item: impl FnMut(u32) -> Vec<u8>) -> Vec<u8> {
    let mut pickle = [b"\x80\x02", head].concat();
    for index in 0.. {
        let item = item(index);
        if pickle.len() + item.len() + tail.len() > HEADER_LEN - 1 {
            break;
        }
        pickle.extend(item);
    }
    pickle.extend_from_slice(tail);
    pickle
}

#[test]
fn pickles_that_fill_their_limit_are_survived() {
    let mut family = Family::new("pickles");
    let mut cases: Vec<(&str, Vec<u8>)> = Vec::new();
    for (what, opcodes) in [
        ("marks", &b"("[..]),
        ("containers thrown away", b"}0"),
        ("containers remembered", b"}\x940"),
        ("containers in containers", b"}("),
        ("tuples in tuples", b"\x85"),
        ("tuples thrown away", b"K\x01K\x02\x860"),
        ("tuples of marks", b"(((t"),
        ("tuples of everything", b"(2222222222222222t"),
        ("doubles", b"N2"),
        ("memo", b"N\x940"),
        ("calls", b"cos\nsystem\n)R0"),
        ("calls of calls", b"cos\nsystem\n)R)R0"),
        ("states", b"}}b0"),
        ("lists", b"](NNNe0"),
        ("dictionaries", b"}(NNNu0"),
        ("pairs without a dictionary", b"NNNs0"),
        ("persistent ids", b")Q0"),
        ("lines", b"c\n\n0"),
        ("lines without end", b"c"),
        ("long integers", b"\x8a\x010"),
        ("frames", b"\x95\0\0\0\0\0\0\0\0"),
        ("text that claims too much", b"X\xff\xff\xff\xff"),
        ("text that claims all", b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff"),
        ("extensions", b"\x82\x010"),
        ("frozen sets", b"(NNN\x910"),
        ("lists that hold themselves", b"]\x94h\0a0"),
    ] {
        cases.push((what, full_pickle(b")", b"", |_| opcodes.to_vec())));
    }
    // Each list holds the one before it twice: as many paths as 2 to the power of their number.
    cases.push((
        "doubling",
        full_pickle(b"]\x94", b"", |index| [b"](j", &index.to_le_bytes()[..], b"j", &index.to_le_bytes(), b"e\x94"].concat()),
    ));
    cases.push(("many tensors of one storage", full_pickle(b"}", b"", |_| [b"(", &text("k")[..], &tensor("0"), b"u"].concat())));
    cases.push((
        "as many tensors as fit",
        full_pickle(b"}", b"", |index| [b"(", &text("k")[..], &tensor(&format!("{index:x}")), b"u"].concat()),
    ));
    // A long key that is remembered, and a tensor.
    let long = [&text(&"k".repeat(4000))[..], b"\x940", &tensor("0"), b"\x940}"].concat();
    cases.push(("long names", full_pickle(&long, b"", |index| [b"(h\0", &tensor(&format!("{index:x}"))[..], b"u"].concat())));
    cases.push(("long keys side by side", full_pickle(&long, b"", |_| b"(h\0](h\x01eu".to_vec())));
    cases.push(("long keys within each other", full_pickle(&long, b"", |_| b"(h\0}".to_vec())));
    for (what, pickle) in cases {
        // Many storages where the pickle has many.
        let members = if pickle.windows(7).any(|window| window == b"storage") { 150_000 } else { 1000 };
        for end in [&b""[..], b"."] {
            let file = full_directory(&[&pickle[..], end].concat(), 4096, members, true);
            assert!(family.try_file(what, &file), "{what}");
        }
    }
}
