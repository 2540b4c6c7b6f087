//! Against real pushes, and samples against the whole.

use super::*;
use crate::codec::Compression;
use crate::monitor::Silent;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn open_options(cache_dir: PathBuf) -> OpenOptions {
    OpenOptions { location: String::new(), cache_dir, threads: 2, memory: 256 << 20, compression: Compression::Auto, kept: 0 }
}

/// Text with an edit here and there, and a tensor of which a quarter of the values moved.
fn write(folder: &Path, version: u64) {
    std::fs::create_dir_all(folder.join("sub")).unwrap();
    let line = |i: u64| {
        let edited = if (i + version * 13).is_multiple_of(97) { version } else { 0 };
        let words: String = noise(i << 8 | edited, 20).iter().map(|byte| char::from(b'a' + byte % 20)).collect();
        format!("{i}\t{words}\n")
    };
    std::fs::write(folder.join("sub/table.tsv"), (0..40_000).map(line).collect::<String>()).unwrap();
    let count = 1 << 20;
    let header = format!(r#"{{"w":{{"dtype":"BF16","shape":[{count}],"data_offsets":[0,{}]}}}}"#, count * 2);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    let (low, high) = (noise(1, count), noise(2, count));
    for (low, high) in low.iter().zip(&high) {
        let moved = if high.is_multiple_of(4) { version as u16 } else { 0 };
        bytes.extend_from_slice(&u16::from_le_bytes([*low, 0x3c | high & 0x81]).wrapping_add(moved).to_le_bytes());
    }
    std::fs::write(folder.join("m.safetensors"), bytes).unwrap();
    std::fs::write(folder.join("same"), noise(3, 200_000)).unwrap();
}

/// What is said of versions in a folder, beside what pushes of them add to a repository with the same keys.
fn said_and_real(folder: &Path, versions: &[PathBuf]) -> Vec<(f64, f64)> {
    let options = |cache: &str| open_options(folder.join(cache));
    let options_of_bench = Options { versions: versions.to_vec(), sample: None, seed: 0, open: options("scratch") };
    let said = bench(&options_of_bench, &Silent).unwrap();
    assert_eq!(std::fs::read_dir(folder.join("scratch")).unwrap().count(), 0);
    let (repo, backend) = Repo::keeping(&options("kept"));
    let mut before = 0;
    let push = |(path, said): (&PathBuf, &Version)| {
        let selection = Selection { paths: vec![path.clone()], ..Selection::default() };
        let mut options = push::Options::new(Source::Paths(selection));
        options.series = Some("bench".into());
        push::push(&repo, options, &Silent).unwrap();
        let now: usize = backend.snapshot().iter().map(|(_, bytes)| bytes.len()).sum();
        (said.stored.bytes, (now - std::mem::replace(&mut before, now)) as f64)
    };
    versions.iter().zip(&said.versions).map(push).collect()
}

#[test]
fn with_the_same_keys_it_says_to_the_byte_what_a_push_adds() {
    let folder = tempfile::tempdir().unwrap();
    let versions: Vec<_> = (0..4).map(|version| folder.path().join(format!("v{version}"))).collect();
    (0..4).for_each(|version| write(&versions[version as usize], version));
    let found = said_and_real(folder.path(), &versions);
    // Footers and lists hold times and random names, and are compressed.
    found.iter().for_each(|(said, real)| assert!((said - real).abs() <= 40.0, "{said} said, {real} real"));
    assert!(found[3].0 * 3.0 < found[0].0);
}

#[test]
fn what_comes_with_one_version_is_coded_against_one_another_as_in_a_push() {
    let folder = tempfile::tempdir().unwrap();
    let version = folder.path().join("all");
    (0..3).for_each(|step| write(&version.join(format!("step-{step}")), step));
    let (said, real) = said_and_real(folder.path(), &[version])[0];
    // Which blobs are being coded when another looks for a base is a matter of chance.
    assert!((said / real - 1.0).abs() < 0.05, "{said} said, {real} real");
    let alone = folder.path().join("alone");
    write(&alone.join("step-0"), 0);
    let (one, _) = said_and_real(folder.path(), &[alone])[0];
    assert!(said < one * 1.7, "{said} of three, {one} of one");
}

/// Tensors of many sizes, some of small numbers and some of large ones, and a table whose later lines hold more and change more often: no part is
/// like the whole.
fn write_uneven(folder: &Path, version: u64) {
    std::fs::create_dir_all(folder).unwrap();
    let sizes: Vec<usize> = (0..96).map(|i| if i % 4 == 3 { 20_000 + i * 500 } else { 300_000 + i % 7 * 50_000 }).collect();
    let (mut header, mut at) = (String::from("{"), 0);
    for (i, count) in sizes.iter().enumerate() {
        header += &format!(
            r#"{}"t{i}":{{"dtype":"BF16","shape":[{count}],"data_offsets":[{at},{}]}}"#,
            if i > 0 { "," } else { "" },
            at + count * 2
        );
        at += count * 2;
    }
    header += "}";
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    for (i, count) in sizes.iter().enumerate() {
        let (low, high) = (noise(i as u64 * 2, *count), noise(i as u64 * 2 + 1, *count));
        let (mask, often) = ([0x81, 0x83, 0x8f][i % 3], [2, 8, 50][i % 3]);
        for (low, high) in low.iter().zip(&high) {
            let moved = if low.wrapping_add(*high).is_multiple_of(often) { version as u16 } else { 0 };
            bytes.extend_from_slice(&u16::from_le_bytes([*low, 0x3c | high & mask]).wrapping_add(moved).to_le_bytes());
        }
    }
    std::fs::write(folder.join("m.safetensors"), bytes).unwrap();
    let line = |i: u64| {
        let part = i / 100_000 % 5;
        let edited = if (i + version * 13).is_multiple_of(300 - part * 50) { version } else { 0 };
        let words: String = noise(i << 8 | edited, 20).iter().map(|byte| char::from(b'a' + byte % (2 + 4 * part as u8))).collect();
        format!("{i}\t{words}\tand so on as in every line before\n")
    };
    std::fs::write(folder.join("table.tsv"), (0..900_000).map(line).collect::<String>()).unwrap();
}

/// What is said of the versions, without any tables of chunkers and codecs.
fn versions_by(options: &Options) -> Vec<Version> {
    let survey = Survey::of(&options.versions, &Silent).unwrap();
    let sample = sample_of(options, &survey);
    let folder = Folder::make(&options.open.cache_dir).unwrap();
    let (repo, scratch) = Repo::scratch(&OpenOptions { cache_dir: folder.0.clone(), ..options.open.clone() }, sample).unwrap();
    Measured::of(&repo, &scratch, options, &survey, sample, &Ledger::new(&Silent, 0)).unwrap().versions
}

#[test]
fn what_a_sample_says_is_no_farther_off_than_it_states() {
    let folder = tempfile::tempdir().unwrap();
    let versions: Vec<_> = (0..2).map(|version| folder.path().join(format!("v{version}"))).collect();
    (0..2).for_each(|version| write_uneven(&versions[version as usize], version));
    let options = |sample, seed| Options { versions: versions.clone(), sample, seed, open: open_options(folder.path().join("scratch")) };
    let whole = versions_by(&options(None, 0));
    assert!(whole.iter().all(|version| version.stored.error == 0.0));
    let mut sums = [0.0; 2];
    let (seeds, mut held) = (8, 0);
    for seed in 0..seeds {
        for ((sampled, whole), sum) in versions_by(&options(Some(4 << 20), seed)).iter().zip(&whole).zip(&mut sums) {
            let (off, error) = (sampled.stored.bytes - whole.stored.bytes, sampled.stored.error);
            assert!(error > 0.0 && error < whole.stored.bytes / 2.0);
            assert!(off.abs() <= 4.0 * error, "{}, seed {seed}: off by {off} at ± {error}", sampled.name);
            held += usize::from(off.abs() <= error);
            *sum += off / error;
        }
    }
    // The versions of one seed have the same segments: both hold, or neither does.
    assert!(held >= 12, "held {held} of 16");
    // All off to one side would be a fault of the method, and no chance.
    assert!(sums.iter().all(|sum| sum.abs() < 0.7 * seeds as f64), "{sums:?}");
}
