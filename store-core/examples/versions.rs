//! x
use std::path::Path;
use store_core::{
    codec::Compression,
    monitor::*,
    ops::{push::*, restore},
    repo::*,
    source::Selection,
};
struct Loud;
impl Monitor for Loud {
    fn warning(&self, w: &Warning) {
        println!("WARN {w}");
    }
}
fn main() {
    let root = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let out = std::path::PathBuf::from(std::env::args().nth(2).unwrap());
    let no_delta = std::env::var_os("NO_DELTA").is_some();
    let o = OpenOptions {
        location: out.join("repo").display().to_string(),
        cache_dir: out.join("cache"),
        threads: 2,
        memory: 512 << 20,
        compression: Compression::Auto,
    };
    let s = Secrets { passphrase: Some(b"pw".to_vec().into()), key_file: None };
    let (repo, _) = Repo::init(&o, &s, "x").unwrap();
    let mut versions: Vec<_> = std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect();
    versions.sort();
    let mut raw = 0;
    let mut first = 0;
    let size = |p: &Path| {
        let o = std::process::Command::new("du").args(["-sb"]).arg(p).output().unwrap();
        String::from_utf8(o.stdout).unwrap().split('\t').next().unwrap().parse::<u64>().unwrap()
    };
    let empty = size(&out.join("repo"));
    for (n, v) in versions.iter().enumerate() {
        let mut opt = Options::new(Source::Paths(Selection { paths: vec![v.clone()], ..Selection::default() }));
        opt.no_delta = no_delta;
        opt.series = Some("s".into());
        let r = push(&repo, opt, &Loud).unwrap();
        let sz = size(&out.join("repo")) - empty;
        if n == 0 {
            first = sz;
            println!(
                "{:<14} first {:.4} of {:.1} MB in {:.2}s = {:.0} MB/s",
                root.file_name().unwrap().to_string_lossy(),
                sz as f64 / r.bytes as f64,
                r.bytes as f64 / 1e6,
                r.duration.as_secs_f64(),
                r.bytes as f64 / 1e6 / r.duration.as_secs_f64()
            );
        } else {
            raw += r.bytes;
            println!("   next {:.2}s {:.0} MB/s", r.duration.as_secs_f64(), r.bytes as f64 / 1e6 / r.duration.as_secs_f64());
        }
        if n + 1 == versions.len() {
            println!("   next/raw {:.5}", (sz - first) as f64 / raw.max(1) as f64);
        }
    }
    for st in repo.snapshots().unwrap().iter() {
        let t = out.join(st.id.short());
        let r = restore::restore(&repo, st, &restore::Options { target: t.clone(), ..Default::default() }, &Loud).unwrap();
        let v = &versions[repo.snapshots().unwrap().iter().position(|x| x.id == st.id).unwrap()];
        let c = std::process::Command::new("diff").arg("-r").arg("--no-dereference").arg(v).arg(&t).status().unwrap();
        println!(
            "   restore {:.2}s {:.0} MB/s failed {} same {}",
            r.duration.as_secs_f64(),
            r.bytes as f64 / 1e6 / r.duration.as_secs_f64(),
            r.failed,
            c.success()
        );
        std::fs::remove_dir_all(&t).unwrap();
    }
}
