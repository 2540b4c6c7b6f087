//! Weights that the repository holds in one type, exported in another one: stored as what the rounding did not say.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use store_core::codec::Compression;
use store_core::monitor::Silent;
use store_core::ops::push::{Options, Source, push};
use store_core::ops::{check, restore};
use store_core::repo::{OpenOptions, Repo, Secrets};
use store_core::source::Selection;

const NUMBERS: usize = 3 << 18;

fn noise(seed: &str) -> Vec<u8> {
    let mut noise = vec![0; NUMBERS * 2];
    blake3::Hasher::new_derive_key(seed).finalize_xof().fill(&mut noise);
    noise
}

/// Weights whose exponents survive rounding to any type, about 7 bits of noise each in bf16.
fn weights() -> Vec<f32> {
    let noise = noise("exports");
    let number = |pair: &[u8]| {
        (1.4 + f32::from(pair[0]) / 1280.0)
            * if pair[1] & 1 == 0 { 0.031_25 } else { 0.015_625 }
            * if pair[1] & 2 == 0 { 1.0 } else { -1.0 }
    };
    noise.chunks(2).map(|pair| f32::from_bits((number(pair).to_bits() + 0x8000) & 0xffff_0000)).collect()
}

fn safetensors(dtype: &str, data: &[u8]) -> Vec<u8> {
    let header = format!(r#"{{"model.layers.0.w":{{"dtype":"{dtype}","shape":[{NUMBERS}],"data_offsets":[0,{}]}}}}"#, data.len());
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), data].concat()
}

/// A GGUF file of one tensor; type 1 is F16 and 8 is Q8_0.
fn gguf(kind: u32, data: &[u8]) -> Vec<u8> {
    let name = b"blk.0.w";
    let mut file = b"GGUF\x03\0\0\0".to_vec();
    for word in [1, 0, name.len() as u64] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    file.extend_from_slice(name);
    file.extend_from_slice(&1u32.to_le_bytes());
    file.extend_from_slice(&(NUMBERS as u64).to_le_bytes());
    file.extend_from_slice(&kind.to_le_bytes());
    file.extend_from_slice(&0u64.to_le_bytes());
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend_from_slice(data);
    file
}

/// Of a finite number that is normal in 16 bits, too.
fn half(x: f32) -> u16 {
    let bits = x.to_bits();
    ((bits >> 16 & 0x8000) | ((bits & 0x7fff_ffff) - (112 << 23) + 0x0fff + (bits >> 13 & 1)) >> 13) as u16
}

fn q8_0(weights: &[f32]) -> Vec<u8> {
    let block = |numbers: &[f32]| {
        let scale = numbers.iter().fold(0f32, |most, x| most.max(x.abs())) / 127.0;
        let inverse = 1.0 / scale;
        let quants = numbers.iter().map(move |x| (x * inverse).round() as i8 as u8);
        half(scale).to_le_bytes().into_iter().chain(quants).collect::<Vec<_>>()
    };
    weights.chunks(32).flat_map(block).collect()
}

fn repository(folder: &Path) -> Repo {
    let options = OpenOptions {
        location: folder.join("repo").display().to_string(),
        cache_dir: folder.join("cache"),
        threads: 2,
        memory: 128 << 20,
        compression: Compression::Auto,
        kept: 0,
    };
    Repo::init(&options, &Secrets { passphrase: Some(b"exports".to_vec().into()), key_file: None }, "test").unwrap().0
}

/// Pushes a file by itself and says how much the repository grew by it.
fn push_file(repo: &Repo, folder: &Path, name: &str, bytes: &[u8]) -> u64 {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    push(repo, Options::new(Source::Paths(Selection { paths: vec![path], ..Selection::default() })), &Silent).unwrap().stored_bytes
}

fn assert_whole(repo: &Repo, folder: &Path, files: &[(&str, &[u8])]) {
    let report = check::check(repo, &check::Options { read: check::Read::All }, &Silent).unwrap();
    assert!(report.findings.is_empty(), "{:?}", report.findings);
    for (stored, (name, bytes)) in repo.snapshots().unwrap().iter().zip(files) {
        let target = folder.join("restored");
        restore::restore(repo, stored, &restore::Options { target: target.clone(), verify: true, ..restore::Options::default() }, &Silent)
            .unwrap();
        assert!(fs::read(target.join(name)).unwrap() == *bytes, "{name}");
        fs::remove_dir_all(target).unwrap();
    }
}

#[test]
fn exports_of_weights_in_bf16_cost_next_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repository(folder.path());
    let weights = weights();
    let bf16: Vec<u8> = weights.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    let f16: Vec<u8> = weights.iter().flat_map(|x| half(*x).to_le_bytes()).collect();
    let files = [
        ("model.safetensors", safetensors("BF16", &bf16)),
        ("model-f16.gguf", gguf(1, &f16)),
        ("model-q8_0.gguf", gguf(8, &q8_0(&weights))),
        ("master.safetensors", safetensors("F32", &weights.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())),
    ];
    let stored: Vec<u64> = files.iter().map(|(name, bytes)| push_file(&repo, folder.path(), name, bytes)).collect();
    assert!(stored[0] > bf16.len() as u64 / 4, "the weights themselves are noise: {stored:?}");
    for (stored, (name, bytes)) in stored.iter().zip(&files).skip(1) {
        assert!(*stored < bytes.len() as u64 / 50, "{name} took {stored} of {} bytes", bytes.len());
    }
    assert_whole(&repo, folder.path(), &files.each_ref().map(|(name, bytes)| (*name, &bytes[..])));
}

#[test]
fn an_export_of_each_version_is_coded_upon_what_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repository(folder.path());
    let first = weights();
    // Moved too far for an export to gain by the export before.
    let next: Vec<f32> = first
        .iter()
        .zip(noise("next").chunks(2))
        .map(|(x, n)| f32::from_bits(x.to_bits() & 0xffc0_0000 | u32::from(n[0] & 63) << 16))
        .collect();
    let mut files = Vec::new();
    for version in [&first, &next] {
        files.push((
            "model.safetensors",
            safetensors("BF16", &version.iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect::<Vec<_>>()),
        ));
        files.push(("model-f16.gguf", gguf(1, &version.iter().flat_map(|x| half(*x).to_le_bytes()).collect::<Vec<_>>())));
    }
    let stored: Vec<u64> = files.iter().map(|(name, bytes)| push_file(&repo, folder.path(), name, bytes)).collect();
    let small = files[0].1.len() as u64 / 50;
    assert!(stored[2] > 10 * small && stored[1] < small && stored[3] < small, "{stored:?}");
    assert_whole(&repo, folder.path(), &files.iter().map(|(name, bytes)| (*name, &bytes[..])).collect::<Vec<_>>());
}

#[test]
fn weights_in_32_bits_are_coded_upon_those_in_16_and_go_on_from_there() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repository(folder.path());
    let bf16: Vec<u8> = weights().iter().flat_map(|x| ((x.to_bits() >> 16) as u16).to_le_bytes()).collect();
    // Masters, of which these were rounded: any lower bits, of which the first says where to.
    let low = noise("masters");
    let master = |x: &[u8], low: &[u8]| {
        (u32::from(u16::from_le_bytes([x[0], x[1]])) << 16).wrapping_add_signed(i16::from_le_bytes([low[0], low[1]]).into())
    };
    let masters: Vec<u32> = bf16.chunks(2).zip(low.chunks(2)).map(|(x, low)| master(x, low)).collect();
    let bytes_of = |masters: &[u32]| masters.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    // A step of training moves what matters least.
    let next: Vec<u32> = masters.iter().map(|x| x.wrapping_add(x >> 7 & 31)).collect();
    let files = [
        ("model.safetensors", safetensors("BF16", &bf16)),
        ("master-1.safetensors", safetensors("F32", &bytes_of(&masters))),
        ("master-2.safetensors", safetensors("F32", &bytes_of(&next))),
    ];
    let stored: Vec<u64> = files.iter().map(|(name, bytes)| push_file(&repo, folder.path(), name, bytes)).collect();
    let low = NUMBERS as u64 * 2;
    assert!(stored[1] < low + low / 20, "the lower halves are all that is new: {stored:?}");
    assert!(stored[2] * 2 < low, "the second version is a difference from the first one: {stored:?}");
    assert_whole(&repo, folder.path(), &files.each_ref().map(|(name, bytes)| (*name, &bytes[..])));
}

#[test]
fn what_a_restore_would_read_too_much_for_is_written_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repository(folder.path());
    let low = noise("masters");
    let masters: Vec<u32> =
        weights().iter().zip(low.chunks(2)).map(|(x, low)| x.to_bits() | u32::from(u16::from_le_bytes([low[0], low[1]]))).collect();
    let bf16: Vec<u8> = masters.iter().flat_map(|x| (((x + 0x7fff + (x >> 16 & 1)) >> 16) as u16).to_le_bytes()).collect();
    let files = [
        ("master.safetensors", safetensors("F32", &masters.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())),
        ("model.safetensors", safetensors("BF16", &bf16)),
    ];
    let stored: Vec<u64> = files.iter().map(|(name, bytes)| push_file(&repo, folder.path(), name, bytes)).collect();
    // The masters take well over twice what these take alone.
    assert!(stored[0] > 2 * stored[1] && stored[1] > bf16.len() as u64 / 4, "{stored:?}");
    assert_whole(&repo, folder.path(), &files.each_ref().map(|(name, bytes)| (*name, &bytes[..])));
}

#[test]
fn an_export_that_comes_with_its_masters_is_coded_upon_them() {
    let folder = tempfile::tempdir().unwrap();
    let repo = repository(folder.path());
    let low = noise("masters");
    let mut masters: Vec<u32> =
        weights().iter().zip(low.chunks(2)).map(|(x, low)| x.to_bits() + u32::from(u16::from_le_bytes([low[0], low[1]]) >> 1)).collect();
    let data = folder.path().join("model");
    fs::create_dir(&data).unwrap();
    let mut stored = Vec::new();
    for version in 0..2 {
        // In 16 bits they take more than a half of what masters do by themselves: alone, neither reads the other.
        let bf16: Vec<u8> = masters.iter().flat_map(|x| (((x + 0x7fff + (x >> 16 & 1)) >> 16) as u16).to_le_bytes()).collect();
        fs::write(
            data.join("a-masters.safetensors"),
            safetensors("F32", &masters.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>()),
        )
        .unwrap();
        fs::write(data.join("export.safetensors"), safetensors("BF16", &bf16)).unwrap();
        let source = Source::Paths(Selection { paths: vec![data.clone()], ..Selection::default() });
        stored.push(push(&repo, Options::new(source), &Silent).unwrap().stored_bytes);
        let last = repo.snapshots().unwrap().pop().unwrap();
        let target = folder.path().join("restored");
        let options = restore::Options { target: target.clone(), verify: true, ..restore::Options::default() };
        let report = restore::restore(&repo, &last, &options, &Silent).unwrap();
        assert!(report.read_bytes < 2 * stored[0], "version {version} reads {}", report.read_bytes);
        assert!(fs::read(target.join("export.safetensors")).unwrap() == fs::read(data.join("export.safetensors")).unwrap());
        fs::remove_dir_all(target).unwrap();
        masters.iter_mut().zip(low.iter().rev()).for_each(|(x, by)| *x = x.wrapping_add(u32::from(*by) << 6));
    }
    // Masters have 16 bits of noise each in their lower half and seven above; a step moves 14 of them.
    let low = NUMBERS as u64 * 2;
    assert!(stored[0] < low + low * 3 / 4 && stored[1] < low + low / 4, "{stored:?} of {low}");
}
