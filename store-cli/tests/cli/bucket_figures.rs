//! Figures of a bucket: which requests a command takes, and how fast it is beside bare requests. Printed, not judged:
//! `cargo test --release -p store-cli --test cli figures -- --ignored --nocapture`.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};

use crate::bucket::Shop;
use crate::harness::noise;
use crate::s3::{BUCKET, KEY_ID, SECRET};

/// How often what was asked.
pub(crate) fn requests(shop: &Shop, args: &[&str]) -> BTreeMap<String, u64> {
    let run = shop.snap(&[&["-vv", "--json"], args].concat());
    run.ok();
    let said = run.err.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let made = said.into_iter().find(|said| said["message_type"] == "requests").unwrap();
    let one = |made: &serde_json::Value| {
        let [kind, asked] = ["kind", "asked"].map(|key| made[key].as_str().unwrap().to_owned());
        (format!("{kind} {asked}"), made["count"].as_u64().unwrap())
    };
    made["requests"].as_array().unwrap().iter().map(one).collect()
}

#[test]
#[ignore = "it prints figures"]
fn figures_of_requests() {
    let shop = Shop::empty();
    for file in 0..40u64 {
        shop.place.write(&format!("d/{file}"), noise(file, 100_000));
    }
    let show = |what: &str, args: &[&str]| {
        let made = requests(&shop, args);
        let all: Vec<String> = made.iter().map(|(what, count)| format!("{what} {count}")).collect();
        println!("| {what} | {} | {} |", made.values().sum::<u64>(), all.join(", "));
    };
    show("`init`", &["init"]);
    show("`push`, the first, 4 MB", &["push", "d"]);
    show("`push`, nothing changed", &["push", "d"]);
    shop.place.write("d/1", noise(100, 100_000));
    show("`push`, a file changed", &["push", "d"]);
    // On the host that pushed, on one that has never seen the repository, again on that one, and on one that keeps nothing.
    for (host, options) in [
        ("after the pushes", &[][..]),
        ("another host", &["--cache-dir", "other"]),
        ("the same once more", &["--cache-dir", "other"]),
        ("with `--cache-size 0`", &["--cache-dir", "none", "--cache-size", "0"]),
    ] {
        let show = |what: &str, args: &[&str]| show(&format!("`{what}`, {host}"), &[args, options].concat());
        show("list", &["list"]);
        show("ls -R", &["ls", "latest", "-R"]);
        show("restore", &["restore", "latest", "-t", host]);
        show("diff", &["diff", "latest~1", "latest"]);
    }
    show("`push` from another host", &["push", "d", "--cache-dir", "other"]);
    show("`push` from another host, once more", &["push", "d", "--cache-dir", "other"]);
    show("`check`", &["check"]);
    show("`check --read-data`", &["check", "--read-data"]);
    shop.snap(&["forget", "latest~1", "latest~2", "latest~3", "latest~4", "--trash", "0d", "--execute"]).ok();
    show("`prune`, a plan", &["prune"]);
    show("`prune --execute`, four of five snapshots dropped", &["prune", "--execute"]);
}

const PIECE: usize = 51 << 20;
const PIECES: u64 = 10;
const ROUNDS: usize = 5;

/// What each act took in each round, in seconds.
#[derive(Default)]
struct Taken(BTreeMap<&'static str, Vec<f64>>);

impl Taken {
    fn time(&mut self, what: &'static str, act: &mut dyn FnMut()) {
        let started = Instant::now();
        act();
        self.0.entry(what).or_default().push(started.elapsed().as_secs_f64());
    }

    fn median(&self, what: &str) -> f64 {
        let mut taken = self.0[what].clone();
        taken.sort_by(f64::total_cmp);
        taken[taken.len() / 2]
    }

    /// A row: the median as a speed, how much longer it took than what it is compared with, and the speeds of all rounds.
    fn show(&self, what: &str, bare: &str) {
        let speed = |seconds: f64| format!("{:.0}", PIECES as f64 * PIECE as f64 / 1e6 / seconds);
        let all: Vec<String> = self.0[what].iter().map(|seconds| speed(*seconds)).collect();
        println!("| {what} | {} | {:.2} | {} |", speed(self.median(what)), self.median(what) / self.median(bare), all.join(", "));
    }
}

#[test]
#[ignore = "it prints figures"]
fn figures_of_speed() {
    let data: Vec<Vec<u8>> = (0..PIECES).map(|of| noise(1000 + of, PIECE)).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut taken = Taken::default();
    for _ in 0..ROUNDS {
        let shop = Shop::new();
        data.iter().enumerate().for_each(|(of, bytes)| shop.place.write(&format!("d/{of}"), bytes));
        // The driver sets up TLS for the whole process, which the bare client needs, too, though it makes no use of it here.
        drop(shop.server.backend("bare"));
        let bare: Arc<AmazonS3> = Arc::new(
            AmazonS3Builder::new()
                .with_endpoint(shop.server.endpoint())
                .with_allow_http(true)
                .with_bucket_name(BUCKET)
                .with_access_key_id(KEY_ID)
                .with_secret_access_key(SECRET)
                .with_checksum_algorithm(Checksum::SHA256)
                .build()
                .unwrap(),
        );
        let path = |of: u64| Path::from(format!("bare/{of}"));
        taken.time("bare put", &mut || {
            for (of, bytes) in data.iter().enumerate() {
                runtime.block_on(bare.put(&path(of as u64), PutPayload::from(bytes.clone()))).unwrap();
            }
        });
        let get = |of: u64| runtime.block_on(async { bare.get(&path(of)).await?.bytes().await }).unwrap();
        taken.time("bare get", &mut || (0..PIECES).for_each(|of| assert!(get(of) == data[of as usize])));
        taken.time("bare get, each written to a file", &mut || {
            (0..PIECES).for_each(|of| shop.place.write(&format!("got/{of}"), get(of)));
        });
        taken.time("push", &mut || drop(shop.push(&["d"])));
        taken.time("restore", &mut || _ = shop.snap(&["restore", "latest", "-t", "out"]).ok());
        let folder = crate::harness::Place::new();
        data.iter().enumerate().for_each(|(of, bytes)| folder.write(&format!("d/{of}"), bytes));
        taken.time("push into a folder", &mut || drop(folder.push(&["d"])));
        taken.time("restore from a folder", &mut || _ = folder.snap(&["restore", "latest", "-t", "out"]).ok());
    }
    println!("| what | MB/s | times the bare client | each round, MB/s |");
    println!("|---|---|---|---|");
    ["bare put", "push", "push into a folder"].iter().for_each(|what| taken.show(what, "bare put"));
    ["bare get", "bare get, each written to a file", "restore", "restore from a folder"]
        .iter()
        .for_each(|what| taken.show(what, "bare get"));
}
