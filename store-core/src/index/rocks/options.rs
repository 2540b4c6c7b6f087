//! How RocksDB is set up, and why: `spec/INDEX.md`, section 4.

use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompactionStyle, DBCompressionType, Options, WriteOptions};

use super::{CHUNKS, NUMBERS, SKETCHES};
use crate::base::units::MIB;

/// Bytes of a table file, at which another one is begun.
pub(super) const TABLE: u64 = 256 * MIB as u64;

/// The share of the write buffer of `chunks` that a filter of what is in it takes.
const BUFFER_FILTER: f64 = 0.02;

pub(super) fn database(memory: usize) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_atomic_flush(true);
    options.set_max_open_files(-1);
    options.set_max_file_opening_threads(1);
    options.set_keep_log_file_num(1);
    options.set_db_write_buffer_size(memory / 2);
    options.set_max_background_jobs(2);
    options.set_stats_dump_period_sec(0);
    options
}

pub(super) fn family(name: &str, cache: &Cache, memory: usize) -> Options {
    let mut table = BlockBasedOptions::default();
    table.set_block_cache(cache);
    table.set_block_size(4096);
    table.set_format_version(5);
    // Most look-ups are for chunks that are not there: a filter answers them. Each run that there is may err.
    match name {
        CHUNKS => table.set_bloom_filter(14.0, false),
        NUMBERS | SKETCHES => table.set_bloom_filter(10.0, false),
        _ => {}
    }
    // Eight keys a chunk: filters of so many would be most of what a process takes, so they are read and dropped in parts, as all else is.
    if name == SKETCHES {
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(4096);
        table.set_cache_index_and_filter_blocks(true);
        table.set_pin_top_level_index_and_filter(true);
    }
    let mut options = Options::default();
    options.set_block_based_table_factory(&table);
    options.set_compression_type(DBCompressionType::None);
    if name == CHUNKS {
        // Of its write buffer, too: a list of so many names takes long to search for one that is not there.
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(BUFFER_FILTER);
    }
    options.set_write_buffer_size(if matches!(name, CHUNKS | SKETCHES) { (memory / 6).max(4 * MIB) } else { (memory / 16).max(MIB) });
    options.set_target_file_size_base(TABLE);
    // Runs of like lengths are merged with one another. Merging each into the whole would write every key a dozen times over; and where keys
    // ascend, it would leave each flush, so each small push, a file for ever.
    let runs = match name {
        CHUNKS | SKETCHES => 8,
        _ => 4,
    };
    options.set_compaction_style(DBCompactionStyle::Universal);
    options.set_level_zero_file_num_compaction_trigger(runs);
    // A process that ends breaks off what it merges. Where too much is left, writing waits for it.
    options.set_level_zero_slowdown_writes_trigger(2 * runs + 8);
    options.set_level_zero_stop_writes_trigger(3 * runs + 8);
    options
}

/// Nothing that is written needs to survive the process but by a flush.
pub(super) fn unlogged() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options.set_memtable_insert_hint_per_batch(true);
    options
}
