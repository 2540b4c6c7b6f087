//! What chains of differences cost whoever restores (`spec/CHAINS.md`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

mod rig;

use rig::{Noise, Place, find, push_path, quick_folder, restored, safetensors, stored_bytes};
use store_core::base::ids::SnapshotId;
use store_core::repo::Repo;

const ELEMENTS: usize = 1_500_000;
const VERSIONS: usize = 12;

fn read_bytes(repo: &Repo, id: SnapshotId) -> u64 {
    let (_, report, warnings) = restored(repo, &find(repo, id).unwrap());
    let report = report.unwrap();
    assert_eq!(report.failed, 0, "{warnings:?}");
    report.read_bytes
}

#[test]
fn no_version_of_a_long_series_reads_more_than_twice_what_it_would_alone() {
    let folder = quick_folder();
    let (place, alone) = (Place::below(&folder.path().join("series")), Place::below(&folder.path().join("alone")));
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(7);
    let mut weights: Vec<f32> = (0..ELEMENTS).map(|_| (noise.below(20_001) as f32 - 10_000.0) * 3e-6).collect();
    let repo = place.init();
    let mut versions = Vec::new();
    for _ in 0..VERSIONS {
        std::fs::write(data.join("model.safetensors"), safetensors(&weights)).unwrap();
        versions.push((push_path(&repo, &data).unwrap().snapshot.unwrap(), stored_bytes(&place)));
        weights.iter_mut().for_each(|weight| *weight += (noise.below(2001) as f32 - 1000.0) * 1e-7);
    }
    let repo_alone = alone.init();
    let last = push_path(&repo_alone, &data).unwrap().snapshot.unwrap();
    let by_itself = read_bytes(&repo_alone, last);
    let first = versions[0].1;
    for (number, (id, _)) in versions.iter().enumerate() {
        let reads = read_bytes(&repo, *id);
        assert!(reads <= 2 * by_itself + by_itself / 50, "version {number} reads {reads} of {by_itself}");
    }
    // And that is no excuse for storing all of them whole.
    let others = (versions[VERSIONS - 1].1 - first) / (VERSIONS as u64 - 1);
    assert!(others * 2 < first, "{others} a version upon {first}");
}

/// Rows of a table, each with a number of its own and hexadecimal digits that nothing repeats.
fn rows(noise: &mut Noise, count: usize) -> Vec<String> {
    (0..count).map(|row| format!("{row}\t{:016x}{:016x}{:016x}\n", noise.next(), noise.next(), noise.next())).collect()
}

#[test]
fn a_table_whose_chains_are_full_goes_back_to_what_its_chunks_were() {
    let folder = quick_folder();
    let place = Place::below(&folder.path().join("series"));
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(11);
    let mut table = rows(&mut noise, 200_000);
    let repo = place.init();
    let (mut before, mut first) = (0, 0);
    for version in 0..24 {
        std::fs::write(data.join("table"), table.concat()).unwrap();
        let _ = push_path(&repo, &data).unwrap();
        let grown = stored_bytes(&place) - before;
        before += grown;
        match version {
            0 => first = grown,
            // Mostly a two-hundredth; one chunk that is not found again takes a fiftieth.
            _ => assert!(grown < first / 20, "version {version} takes {grown}, the first one {first}"),
        }
        for _ in 0..40 {
            let at = noise.below(table.len() as u64) as usize;
            table[at] = format!("{at}\t{:016x} in version {version}\n", noise.next());
        }
        let at = noise.below(table.len() as u64) as usize;
        let moved = table.remove(at);
        table.push(moved);
    }
}

/// The bytes that a repository which holds `data` alone reads to restore it.
fn reads_alone(folder: &Path, data: &Path) -> u64 {
    let repo = Place::below(folder).init();
    let id = push_path(&repo, data).unwrap().snapshot.unwrap();
    read_bytes(&repo, id)
}

#[test]
fn what_has_something_of_everything_does_not_read_everything() {
    const TABLES: u64 = 32;
    const PIECE: usize = 100_000;
    let folder = quick_folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(13);
    let repo = Place::below(&folder.path().join("series")).init();
    // Tables that have nothing in common, and one of pieces of all of them: each of its chunks resembles chunks of several.
    let mut tables = Vec::new();
    for _ in 0..TABLES {
        let table = rows(&mut noise, 30_000).concat();
        std::fs::write(data.join("table"), &table).unwrap();
        let _ = push_path(&repo, &data).unwrap();
        tables.push(table.into_bytes());
    }
    let mut mixed = Vec::new();
    while mixed.len() < 16_000_000 {
        let table = &tables[noise.below(TABLES) as usize];
        let from = noise.below((table.len() - PIECE) as u64) as usize;
        mixed.extend_from_slice(&table[from..from + PIECE]);
    }
    std::fs::write(data.join("table"), &mixed).unwrap();
    let id = push_path(&repo, &data).unwrap().snapshot.unwrap();
    let (reads, alone) = (read_bytes(&repo, id), reads_alone(&folder.path().join("alone"), &data));
    // And what a group or two in work take by themselves; without the account of the snapshot it reads all that there is.
    assert!(reads <= 2 * alone + (256 << 10) + alone / 4, "{reads} bytes in place of {alone}");
}

#[test]
fn files_that_change_beside_others_that_do_not_are_differences_again_and_again() {
    let folder = quick_folder();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(17);
    let place = Place::below(&folder.path().join("series"));
    let repo = place.init();
    let mut files: Vec<String> = (0..400).map(|_| rows(&mut noise, 150).concat()).collect();
    let write = |number: usize, file: &str| std::fs::write(data.join(format!("{number:03}")), file).unwrap();
    files.iter().enumerate().for_each(|(number, file)| write(number, file));
    let _ = push_path(&repo, &data).unwrap();
    let mut before = stored_bytes(&place);
    for version in 0..6 {
        // Nobody reads the others: their blobs would seem to be read for these few files alone.
        for _ in 0..20 {
            let number = noise.below(400) as usize;
            let at = files[number].len() / 2;
            files[number].insert_str(at, &format!("{:016x}\n", noise.next()));
            write(number, &files[number]);
        }
        let report = push_path(&repo, &data).unwrap();
        assert!(report.files_unmodified >= 380 && report.files_changed > 10, "{report:?}");
        let grown = stored_bytes(&place) - before;
        before += grown;
        // By themselves these files take 80 kB.
        assert!(grown < 30_000, "version {version} takes {grown}");
    }
}
