//! Versions of one thing that come with one push are coded against one another (`spec/CHAINS.md`, section 5), as if they came one by one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rig::{
    Noise, Place, assert_restores, assert_whole, push_options, push_path, quick_folder, safetensors, secrets, stored_bytes, tree_at,
};
use store_core::error::ErrorKind;
use store_core::monitor::Monitor;
use store_core::ops::push::push;
use store_core::repo::{OpenOptions, Repo};

const VERSIONS: usize = 4;

/// Writes versions of weights, each a small step behind the one before, and of a table of which rows change, into folders of their own.
fn write_versions(data: &Path, elements: usize) {
    let mut noise = Noise::new(11);
    let mut weights: Vec<f32> = (0..elements).map(|_| (noise.below(20_001) as f32 - 10_000.0) * 3e-6).collect();
    let mut rows: Vec<String> = (0..60_000).map(|row| format!("{row}\t{:016x}\t{}", noise.next(), noise.below(1000))).collect();
    for version in 0..VERSIONS {
        let folder = data.join(format!("step-{version}"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("model.safetensors"), safetensors(&weights)).unwrap();
        std::fs::write(folder.join("table.tsv"), rows.join("\n")).unwrap();
        weights.iter_mut().for_each(|weight| *weight += (noise.below(2001) as f32 - 1000.0) * 1e-7);
        for _ in 0..200 {
            let row = noise.below(rows.len() as u64) as usize;
            rows[row] = format!("{row}\t{:016x}\t{}", noise.next(), noise.below(1000));
        }
    }
}

fn with_threads(place: &Place, threads: usize) -> Repo {
    Repo::init(&OpenOptions { threads, ..place.options() }, &secrets(), "test").unwrap().0
}

#[test]
fn versions_in_one_folder_take_what_they_take_one_by_one() {
    let folder = quick_folder();
    let data = folder.path().join("data");
    write_versions(&data, 2_000_000);
    let apart = Place::below(&folder.path().join("apart"));
    let repo = apart.init();
    for version in 0..VERSIONS {
        push_path(&repo, &data.join(format!("step-{version}"))).unwrap();
    }
    let one_by_one = stored_bytes(&apart);
    for threads in [1, 2, 8] {
        let place = Place::below(&folder.path().join(threads.to_string()));
        let repo = with_threads(&place, threads);
        let report = push_path(&repo, &data).unwrap();
        let together = stored_bytes(&place);
        // What is being coded at the same time may be no base: with more threads there is more of it.
        assert!(together < one_by_one + one_by_one / 10, "{together} bytes with {threads} threads, {one_by_one} one by one");
        assert_restores(&repo, report.snapshot.unwrap(), &tree_at(&data));
        assert_whole(&repo);
    }
}

#[test]
fn without_deltas_each_version_is_whole() {
    let folder = quick_folder();
    let (data, place) = (folder.path().join("data"), Place::below(folder.path()));
    write_versions(&data, 600_000);
    let repo = place.init();
    let mut options = push_options(&data);
    options.no_delta = true;
    push(&repo, options, &store_core::monitor::Silent).unwrap();
    let whole = stored_bytes(&place);
    let place = Place::below(&folder.path().join("with"));
    push_path(&place.init(), &data).unwrap();
    let with = stored_bytes(&place);
    assert!(with * 2 < whole, "{with} bytes with deltas, {whole} without");
}

#[test]
fn small_versions_in_great_number_have_few_packs() {
    let folder = quick_folder();
    let (data, place) = (folder.path().join("data"), Place::below(folder.path()));
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(5);
    let mut weights: Vec<f32> = (0..100_000).map(|_| (noise.below(20_001) as f32 - 10_000.0) * 3e-6).collect();
    for version in 0..200 {
        std::fs::write(data.join(format!("{version:03}.safetensors")), safetensors(&weights)).unwrap();
        weights.iter_mut().for_each(|weight| *weight += (noise.below(2001) as f32 - 1000.0) * 1e-7);
    }
    let repo = place.init();
    let report = push_path(&repo, &data).unwrap();
    // 40 MB: a segment for each of the first sixteen, then one for each sixteenth more.
    let packs: usize =
        std::fs::read_dir(place.repo.join("packs")).unwrap().map(|at| std::fs::read_dir(at.unwrap().path()).unwrap().count()).sum();
    assert!((8..48).contains(&packs), "{packs}");
    assert!(report.stored_bytes * 3 < report.new_bytes, "{report:?}");
    assert_restores(&repo, report.snapshot.unwrap(), &tree_at(&data));
}

/// Interrupts at the nth look.
struct Stops {
    at: usize,
    looks: AtomicUsize,
}

impl Monitor for Stops {
    fn interrupted(&self) -> bool {
        self.looks.fetch_add(1, Ordering::Relaxed) >= self.at
    }
}

#[test]
fn an_interrupted_push_leaves_what_the_next_one_takes_up() {
    let folder = quick_folder();
    let (data, place) = (folder.path().join("data"), Place::below(folder.path()));
    write_versions(&data, 800_000);
    let repo = place.init();
    for at in [3, 6, 10, 15, 20] {
        let stops = Stops { at, looks: AtomicUsize::new(0) };
        match push(&repo, push_options(&data), &stops) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}"),
        }
    }
    let report = push_path(&repo, &data).unwrap();
    assert_restores(&repo, report.snapshot.unwrap(), &tree_at(&data));
    assert_whole(&repo);
}
