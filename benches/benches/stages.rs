//! Each stage by the processor time of its thread, which other work on the machine changes little: `cargo bench -p benches [-- FILTER]`.

use std::time::Duration;

use benches::stages::{STAGES, Work};
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput};
use rustix::time::{ClockId, clock_gettime};

/// Processor time of the calling thread.
struct ThreadTime;

fn now() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl Measurement for ThreadTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        now()
    }

    fn end(&self, start: Duration) -> Duration {
        now() - start
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(ThreadTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for (name, ready) in STAGES {
        let (group, stage) = name.split_once('/').expect("names have two parts");
        let mut ready = ready();
        let mut group = criterion.benchmark_group(group);
        group.throughput(match ready.work {
            Work::Bytes(count) => Throughput::Bytes(count),
            Work::Items(count) => Throughput::Elements(count),
        });
        group.bench_function(stage, |bencher| bencher.iter(|| (ready.run)()));
        group.finish();
    }
    criterion.final_summary();
}
