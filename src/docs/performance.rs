//! What operations of the table cost beside other maps, where the time goes, and what was tried.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin compare` prints all of it, both sides of
//! each ratio measured in turns in one run, with a control that compares this crate with itself. The figures
//! here are from a virtual machine with two cores, 1 MiB of second-level and 32 MiB of shared third-level
//! cache; 64-bit keys, 32-byte values, uniformly random keys, processor time of one thread. Read the ratios:
//! the absolute times are those of that machine.
//!
//! # Lookups
//!
//! | ns per hit | 1k | 10k | 100k | 1M |
//! |---|---|---|---|---|
//! | this table, [`Reader`](crate::Reader) | 2.7 | 3.6 | 8.3 | 54 |
//! | `ArcSwap` and one flat `hashbrown` map, which copies everything per change | 1.8 | 2.2 | 3.8 | 29 |
//! | papaya, pinned once | 4.0 | 6.3 | 9.8 | 62 |
//! | scc `HashIndex` | 7.6 | 7.9 | 11 | 74 |
//! | dashmap | 12 | 12 | 13 | 50 |
//!
//! A lookup executes 68 instructions at 100 thousand entries, one in a flat map 34 (counted with callgrind).
//! The difference is the way down: ten instructions per directory, of which there is one up to 28 thousand
//! entries and two up to 1.8 million, and the header of the page. While everything is in the caches next to
//! the processor that is all, a ratio of 1.5 to 1.7. Beyond, the time is one miss per lookup, for the entry,
//! and what counts is how many lookups the processor overlaps: it holds a few hundred instructions, and so
//! half as many of these lookups as of flat ones. Hence 2.2 at 100 thousand and 1.9 at a million, where a
//! flat map has fewer pages of address translations to miss, too: with an allocator that asks for huge pages,
//! both get faster.
//!
//! Tried, and not kept:
//!
//! * Entries side by side in a `Vec`, and an index of tags and numbers in front of it, in one allocation with
//!   the header of the page, so that the directory leads to the index directly. A seventh to a third less
//!   memory (1.1 to 1.8 times a `RwLock<HashMap>` while recycling), and copies of
//!   shared pages in two thirds of the time; but 86 to 102 instructions per lookup, and 30 to 40 percent more
//!   time at every size.
//! * Pages of fewer entries, see the constants of the paged map: a third directory by a million entries.
//! * One wide directory in place of two small ones: ten instructions less, and a copy of it (512 pointers and
//!   as many reference counts at 100 thousand entries) in every publish beside a version that is held.
//!
//! # Updates
//!
//! | ns per update of an entry that is there | 1k | 10k | 100k | 1M |
//! |---|---|---|---|---|
//! | publish after each | 190 | 220 | 360 | 650 |
//! | `ArcSwap` and imbl, publish after each | 690 | 960 | 1800 | 2800 |
//! | publish after 64 | 19 | 25 | 155 | 430 |
//! | papaya, insert | 38 | 43 | 155 | 8500 |
//!
//! Each update is done twice, once in each of the two versions that take turns. What a publish costs beside
//! its updates, about 150 ns, is for the most part arc-swap's look for readers that are in the middle of a
//! load. Three things made updates twice as fast as they were: pages behind an `Arc` without weak references
//! (to get at one that is not shared is a load, in place of two read-modify-writes per level); a log that is
//! written once, in place; and in tables beyond 16 thousand entries, a look at the next 32 entries before a
//! version is brought up to date, so that their misses overlap.
//!
//! # Memory
//!
//! Two versions that take turns are two maps of everything that changes, so twice the memory of a map is what
//! [recycling](crate::TableBuilder::recycle) costs, and 1 to 5 percent for directories, headers and the log
//! of the last batch. Without recycling it is 0.95 to 1.04 times that of a `RwLock<HashMap>`. Entries of 136
//! bytes cost 1.2 times as much in either case: their pages are kept below 32 kilobytes for the sake of
//! copies, and with 24 entries a page does not fill its table as evenly as one large map does.
