//! Share of raw bytes and speed of each numeric codec on two versions of a file of tensors.
//!
//! `codec_bench OLD NEW [MiB] [OLDER]` takes safetensors, GGUF or PyTorch files (`.pt`: every stored member counts as f32) and goes over
//! the tensors until so many MiB (default 64) were coded by each codec. A speed is plain MB/s of one core, from the fastest round of
//! each segment: on a machine with other work to do that is what comes nearest to the time that the CPU needs.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use store_core::codec::{BlockKind, Element, estimate, float_diff, planes};

const SEGMENT: usize = 1 << 20;

struct Tensor {
    name: String,
    element: Element,
    at: usize,
    len: usize,
}

/// A part of a tensor: new bytes, those of the version before, and those of the one before that.
type Segment<'a> = (Element, &'a [u8], Option<&'a [u8]>, Option<&'a [u8]>);

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (old_file, new_file) = (fs::read(&args[1]).unwrap(), fs::read(&args[2]).unwrap());
    let least = args.get(3).map_or(64, |mib| mib.parse::<usize>().unwrap()) << 20;
    let older_file = args.get(4).map(|file| fs::read(file).unwrap()).unwrap_or_default();
    let by_name = |file| tensors(file).into_iter().map(|t| (t.name.clone(), t)).collect::<BTreeMap<_, _>>();
    let old_tensors = by_name(&old_file);
    let older_tensors = if older_file.is_empty() { BTreeMap::new() } else { by_name(&older_file) };
    let mut segments: Vec<Segment<'_>> = Vec::new();
    for tensor in tensors(&new_file) {
        let like =
            |tensors: &BTreeMap<String, Tensor>| Some(tensors.get(&tensor.name)?.at).filter(|_| tensors[&tensor.name].len == tensor.len);
        let (old, older) = (like(&old_tensors), like(&older_tensors));
        let step = SEGMENT / tensor.element.size() * tensor.element.size();
        for from in (0..tensor.len).step_by(step) {
            let len = step.min(tensor.len - from);
            let new = &new_file[tensor.at + from..][..len];
            segments.push((
                tensor.element,
                new,
                old.map(|at| &old_file[at + from..][..len]),
                older.map(|at| &older_file[at + from..][..len]),
            ));
        }
    }
    let raw: usize = segments.iter().map(|segment| segment.1.len()).sum();
    let rounds = least.div_ceil(raw.max(1)).max(3);
    println!("{} segments, {:.1} MB, {rounds} rounds", segments.len(), raw as f64 / 1e6);

    measure("planes", &segments, rounds, &|(e, new, ..)| planes::encode(e, new), &|(e, new, ..), coded| {
        planes::decode(e, coded, new.len()).unwrap()
    });
    measure(
        "float difference",
        &segments,
        rounds,
        &|(e, new, old, _)| float_diff::encode(e, new, old.unwrap_or(new)),
        &|(e, new, old, _), coded| float_diff::decode(e, coded, old.unwrap_or(new), new.len()).unwrap(),
    );
    if args.len() > 4 {
        measure(
            "trend",
            &segments,
            rounds,
            &|(e, new, old, older)| float_diff::encode_trend(e, new, old.unwrap_or(new), older.unwrap_or(new)),
            &|(e, new, old, older), coded| {
                let bases = [old.unwrap_or(new), older.unwrap_or(new)].concat();
                float_diff::decode_trend(e, coded, &bases, new.len()).unwrap()
            },
        );
    }
    measure(
        "as estimated",
        &segments,
        rounds,
        &|(e, new, old, older)| {
            let estimate = estimate::estimate(e, new, old, older);
            match (old, older) {
                (Some(old), Some(older)) if estimate.goes_on() && estimate.trend < Some(estimate.planes) => {
                    float_diff::encode_trend(e, new, old, older)
                }
                (Some(old), _) if estimate.difference < Some(estimate.planes) => float_diff::encode(e, new, old),
                _ => planes::encode(e, new),
            }
        },
        &|(_, new, ..), _| new.to_vec(),
    );
    if std::env::var_os("PEERS").is_some() {
        measure("zstd -3", &segments, rounds, &|(_, new, ..)| zstd::bulk::compress(new, 3).unwrap(), &|(_, new, ..), coded| {
            zstd::bulk::decompress(coded, new.len()).unwrap()
        });
        measure(
            "XOR planes, zstd -1",
            &segments,
            rounds,
            &|(e, new, old, _)| zstd::bulk::compress(&xor_planes(e, new, old.unwrap_or(new)), 1).unwrap(),
            &|(e, new, old, _), coded| join_xor_planes(e, &zstd::bulk::decompress(coded, new.len()).unwrap(), old.unwrap_or(new)),
        );
    }
}

/// Prints size and speed of a codec; what it decodes must be what it coded.
fn measure(
    name: &str,
    segments: &[Segment<'_>],
    rounds: usize,
    encode: &dyn Fn(Segment<'_>) -> Vec<u8>,
    decode: &dyn Fn(Segment<'_>, &[u8]) -> Vec<u8>,
) {
    let (mut raw, mut size) = (0, 0);
    let (mut encoding, mut decoding) = (Duration::ZERO, Duration::ZERO);
    for &segment in segments {
        let timed = |work: &dyn Fn() -> Vec<u8>| {
            let start = Instant::now();
            let result = work();
            (start.elapsed(), result)
        };
        let coded = (0..rounds).map(|_| timed(&|| encode(segment))).min().unwrap();
        let plain = (0..rounds).map(|_| timed(&|| decode(segment, &coded.1))).min().unwrap();
        assert!(plain.1 == segment.1);
        raw += segment.1.len();
        size += coded.1.len();
        encoding += coded.0;
        decoding += plain.0;
    }
    let speed = |time: Duration| raw as f64 / 1e6 / time.as_secs_f64().max(1e-9);
    let share = size as f64 / raw as f64;
    println!("{name:22} {share:.4} of raw   encode {:6.0} MB/s   decode {:6.0} MB/s", speed(encoding), speed(decoding));
}

fn xor_planes(element: Element, new: &[u8], old: &[u8]) -> Vec<u8> {
    let size = element.size();
    let count = new.len() / size;
    (0..size).flat_map(|byte| (0..count).map(move |i| new[i * size + byte] ^ old[i * size + byte])).collect()
}

fn join_xor_planes(element: Element, planes: &[u8], old: &[u8]) -> Vec<u8> {
    let size = element.size();
    let count = old.len() / size;
    (0..count * size).map(|i| planes[i % size * count + i / size] ^ old[i]).collect()
}

fn tensors(file: &[u8]) -> Vec<Tensor> {
    if file.starts_with(b"GGUF") {
        gguf(file)
    } else if file.starts_with(b"PK") {
        pytorch(file)
    } else {
        safetensors(file)
    }
}

fn safetensors(file: &[u8]) -> Vec<Tensor> {
    let data = 8 + number(file, 0, 8);
    let header: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&file[8..data]).unwrap();
    let mut tensors = Vec::new();
    for (name, value) in header {
        let element = match value["dtype"].as_str() {
            Some("F64") => Element::F64,
            Some("F32") => Element::F32,
            Some("F16") => Element::F16,
            Some("BF16") => Element::Bf16,
            Some("I64") => Element::Int64,
            _ => continue,
        };
        let offset = |i: usize| value["data_offsets"][i].as_u64().unwrap() as usize;
        tensors.push(Tensor { name, element, at: data + offset(0), len: offset(1) - offset(0) });
    }
    tensors
}

fn pytorch(file: &[u8]) -> Vec<Tensor> {
    let mut tensors = Vec::new();
    let mut at = 0;
    while let Some(found) = file[at..].windows(4).position(|bytes| bytes == b"PK\x01\x02") {
        at += found;
        let (len, name_len, local) = (number(file, at + 24, 4), number(file, at + 28, 2), number(file, at + 42, 4));
        let name = String::from_utf8_lossy(&file[at + 46..at + 46 + name_len]).into_owned();
        let data = local + 30 + number(file, local + 26, 2) + number(file, local + 28, 2);
        if name.contains("/data/") {
            tensors.push(Tensor { name, element: Element::F32, at: data, len });
        }
        at += 46 + name_len;
    }
    tensors
}

fn gguf(file: &[u8]) -> Vec<Tensor> {
    let (count, pairs) = (number(file, 8, 8), number(file, 16, 8));
    let mut at = 24;
    let string = |at: &mut usize| {
        let len = number(file, *at, 8);
        *at += 8 + len;
        String::from_utf8_lossy(&file[*at - len..*at]).into_owned()
    };
    fn skip(file: &[u8], kind: usize, at: &mut usize) {
        match kind {
            0 | 1 | 7 => *at += 1,
            2 | 3 => *at += 2,
            4..=6 => *at += 4,
            8 => *at += 8 + number(file, *at, 8),
            9 => {
                let (kind, len) = (number(file, *at, 4), number(file, *at + 4, 8));
                *at += 12;
                (0..len).for_each(|_| skip(file, kind, at));
            }
            _ => *at += 8,
        }
    }
    for _ in 0..pairs {
        string(&mut at);
        let kind = number(file, at, 4);
        at += 4;
        skip(file, kind, &mut at);
    }
    let mut found = Vec::new();
    for _ in 0..count {
        let name = string(&mut at);
        let dims = number(file, at, 4);
        let elements: usize = (0..dims).map(|i| number(file, at + 4 + 8 * i, 8)).product();
        at += 4 + 8 * dims;
        let (kind, offset) = (number(file, at, 4), number(file, at + 4, 8));
        at += 12;
        let (element, len) = match kind {
            0 => (Element::F32, elements * 4),
            1 => (Element::F16, elements * 2),
            8 => (Element::Block(BlockKind::Q8_0), elements / 32 * 34),
            _ => continue,
        };
        found.push(Tensor { name, element, at: offset, len });
    }
    let data = at.next_multiple_of(32);
    found.iter_mut().for_each(|tensor| tensor.at += data);
    found
}

fn number(file: &[u8], at: usize, len: usize) -> usize {
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(&file[at..at + len]);
    u64::from_le_bytes(bytes) as usize
}
