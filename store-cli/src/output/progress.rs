//! Running counts: a bar for people where standard error is a terminal, a line a second for programs.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use store_core::monitor::{Decision, Monitor, Notice, Progress, Warning};

use super::Ui;
use super::human::{printable, size};
use super::json::{Message, Status};
use crate::interrupt;

const BAR_EVERY: Duration = Duration::from_millis(100);
const LINE_EVERY: Duration = Duration::from_secs(1);
/// While nobody knows how much there is.
const UNKNOWN: &str = "{decimal_bytes:>9}  {decimal_bytes_per_sec}  {msg}";
const KNOWN: &str = "{decimal_bytes:>9} of {decimal_total_bytes}  {wide_bar}  {decimal_bytes_per_sec}  ETA {eta}  {msg}";

/// Shows what an operation tells, and tells it when to stop.
pub(crate) struct Watch {
    ui: Ui,
    started: Instant,
    shown: Shown,
    /// When counts are shown next, in milliseconds since the start.
    next: AtomicU64,
    warnings: AtomicU64,
}

enum Shown {
    Nothing,
    Bar(ProgressBar),
    Lines,
}

impl Watch {
    /// Starts to watch.
    pub(crate) fn new(ui: Ui) -> Self {
        let shown = match ui {
            Ui { progress: false, .. } => Shown::Nothing,
            Ui { json: true, .. } => Shown::Lines,
            _ if io::stderr().is_terminal() => Shown::Bar(bar()),
            _ => Shown::Nothing,
        };
        let next = if matches!(shown, Shown::Lines) { LINE_EVERY } else { BAR_EVERY };
        Self { ui, started: Instant::now(), shown, next: AtomicU64::new(next.as_millis() as u64), warnings: AtomicU64::new(0) }
    }

    /// Takes the bar away; what follows is the result.
    pub(crate) fn finish(&self) {
        if let Shown::Bar(bar) = &self.shown {
            bar.finish_and_clear();
        }
    }

    /// Whether it is time to show counts; only one of several threads is told so.
    fn is_due(&self, every: Duration) -> bool {
        let now = self.started.elapsed().as_millis() as u64;
        let next = self.next.load(Ordering::Relaxed);
        now >= next && self.next.compare_exchange(next, now + every.as_millis() as u64, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Says something while the bar is taken away.
    pub(crate) fn aside(&self, say: impl FnOnce()) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(say),
            _ => say(),
        }
    }
}

impl Monitor for Watch {
    fn progress(&self, progress: &Progress) {
        match &self.shown {
            Shown::Nothing => {}
            Shown::Bar(bar) if self.is_due(BAR_EVERY) => {
                let done = done(progress);
                if progress.bytes_total > 0 && bar.length().is_none() {
                    bar.set_style(style(KNOWN));
                }
                if progress.bytes_total > 0 {
                    bar.set_length(progress.bytes_total.max(done));
                }
                bar.set_position(done);
                bar.set_message(format!("new {}  stored {}", size(progress.new_bytes), size(progress.stored_bytes)));
            }
            Shown::Lines if self.is_due(LINE_EVERY) => {
                let status = status(progress, self.started.elapsed(), self.warnings.load(Ordering::Relaxed));
                if let Ok(text) = serde_json::to_string(&Message::Status(status)) {
                    // Whoever reads may have gone; the operation goes on.
                    drop(writeln!(io::stdout().lock(), "{text}"));
                }
            }
            Shown::Bar(_) | Shown::Lines => {}
        }
    }

    fn wants_totals(&self) -> bool {
        !matches!(self.shown, Shown::Nothing)
    }

    fn file(&self, path: &str, what: &'static str, bytes: u64) {
        if self.ui.verbose > 0 && !self.ui.json {
            self.aside(|| super::to_stderr(format_args!("{what:<10}  {:>8}  {}", size(bytes), printable(path.as_bytes()))));
        }
    }

    fn warning(&self, warning: &Warning) {
        self.warnings.fetch_add(1, Ordering::Relaxed);
        self.aside(|| self.ui.warning(warning));
    }

    fn notice(&self, notice: &Notice) {
        self.aside(|| self.ui.notice(notice));
    }

    fn wants_decisions(&self) -> bool {
        self.ui.verbose > 1
    }

    fn decision(&self, decision: &Decision) {
        self.aside(|| self.ui.decision(decision));
    }

    fn detail(&self, message: &dyn std::fmt::Display) {
        if self.ui.verbose > 1 && !self.ui.json {
            self.aside(|| super::to_stderr(format_args!("{}", super::clean(message))));
        }
    }

    fn interrupted(&self) -> bool {
        interrupt::requested()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.finish();
    }
}

fn bar() -> ProgressBar {
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style(UNKNOWN))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> ")
}

/// A large file may be told of at its end only, but what is new of it before.
fn done(progress: &Progress) -> u64 {
    progress.bytes_done.max(progress.new_bytes)
}

fn status(progress: &Progress, elapsed: Duration, error_count: u64) -> Status {
    let done = done(progress);
    let share = if progress.bytes_total > 0 { (done as f64 / progress.bytes_total as f64).min(1.0) } else { 0.0 };
    let remaining = (share > 0.0).then(|| (elapsed.as_secs_f64() * (1.0 / share - 1.0)) as u64);
    Status {
        seconds_elapsed: elapsed.as_secs(),
        seconds_remaining: remaining,
        percent_done: share,
        total_files: progress.files_total,
        files_done: progress.files_done,
        total_bytes: progress.bytes_total,
        bytes_done: done,
        data_added: progress.new_bytes,
        data_added_packed: progress.stored_bytes,
        error_count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_what_is_left() {
        let progress = Progress { bytes_done: 25, bytes_total: 100, ..Progress::default() };
        let status = status(&progress, Duration::from_secs(10), 2);
        assert_eq!((status.seconds_remaining, status.percent_done, status.error_count), (Some(30), 0.25, 2));
    }

    #[test]
    fn counts_are_not_shown_more_often_than_anybody_reads() {
        let watch = Watch::new(Ui { json: false, quiet: true, verbose: 0, progress: false });
        watch.next.store(0, Ordering::Relaxed);
        assert!(watch.is_due(LINE_EVERY));
        assert!(!watch.is_due(LINE_EVERY));
    }
}
