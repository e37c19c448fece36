//! The cost of table operations compared with other maps, where the time goes, and what was tried.
//!
//! `cargo run --release --manifest-path benches/Cargo.toml --bin compare` prints all of it. It measures both
//! sides of each ratio in turns in one run, with a control that compares this crate with itself. The figures
//! here are from a virtual machine with two cores, 1 MiB of second-level and 32 MiB of shared third-level
//! cache; 64-bit keys, 32-byte values, uniformly random keys, processor time of one thread. Read the ratios:
//! the absolute times are those of that machine.
//!
//! # Lookups
//!
//! | ns per hit | 1k | 10k | 100k | 1M |
//! |---|---|---|---|---|
//! | this table, [`Reader`](crate::Reader) | 2.8 | 3.7 | 8.4 | 51 |
//! | `ArcSwap` and one flat `hashbrown` map, which copies everything per change | 1.8 | 2.2 | 3.9 | 27 |
//! | the best of papaya, scc `HashIndex`, dashmap, evmap | 4.6 | 6.2 | 10 | 48 |
//!
//! A lookup executes 68 instructions at 100 thousand entries, a lookup in a flat map 34 (counted with
//! callgrind). The difference is the path through the directories, ten instructions each (there is one up to
//! 28 thousand entries and two up to 1.8 million), and the header of the page. As long as everything is in
//! the first two levels of cache, that is the whole cost, a ratio of 1.5 to 1.7. Beyond that, the time is one
//! cache miss per lookup, for the entry (65 percent of the samples are at the comparison of its key), and the
//! number of lookups that the processor overlaps decides: its window holds a few hundred instructions, and
//! therefore half as many of these lookups as of flat ones. Hence 2.2 at 100 thousand and 1.9 at a million.
//!
//! Beside a writer that publishes 64 updates at a time without pause, a lookup takes 1.2 to 2.2 times as long
//! as without, and one in a thousand takes 0.15 to 0.55 us, where a `RwLock<HashMap>` under the same writer
//! takes 47 to 126 us. With 200 thousand versions a second at 100 thousand entries a lookup took 11.2 ns, and
//! 7.5 ns beside a writer that is as busy and does not publish: 70 percent of the samples are at the first
//! access to tags and entries that the other core has just written. Loading the newest version does not show
//! in the profile.
//!
//! [`get_many`](crate::Snapshot::get_many) looks up several keys in steps, each for all of them: first the pages, then the
//! tags, then the entries. So their cache misses overlap: sixteen keys at a time take 0.60 of the time of single hits at
//! 100 thousand entries and 0.57 at a million, 0.69 and 0.71 of the best of the others there, and 0.71 of single misses at a
//! million. In tables of up to 10 thousand entries it makes no difference (`compare --workload lookup --threads 1`, 9
//! rounds, on another machine than the figures above).
//!
//! Tried and rejected:
//!
//! * Entries side by side in a `Vec`, with an index of tags and numbers in front of it, in one allocation with
//!   the header of the page, so that the directory leads to the index directly. It takes a seventh to a third
//!   less memory (1.1 to 1.8 times a `RwLock<HashMap>` while recycling) and copies shared pages in two thirds
//!   of the time, but needs 86 to 102 instructions per lookup, and 30 to 40 percent more time at every size.
//! * Pages with fewer entries (see the constants of the paged map): they need a third directory at a million
//!   entries.
//! * One wide directory instead of two small ones: ten instructions less, but each publish beside a held
//!   version copies it (512 pointers and as many reference counts at 100 thousand entries).
//!
//! # Updates
//!
//! | ns per update of an existing entry | 1k | 10k | 100k | 1M |
//! |---|---|---|---|---|
//! | publish after each | 190 | 220 | 360 | 650 |
//! | the same, in a process that has had many reader threads | 290 | 450 | 700 | 1300 |
//! | `ArcSwap` and imbl, publish after each | 690 to 860 | 960 to 1250 | 1800 to 2200 | 2800 to 3000 |
//! | publish after 64 | 19 to 21 | 25 to 30 | 130 to 155 | 300 to 430 |
//! | papaya, insert | 38 to 46 | 43 to 53 | 110 to 155 | 8500 |
//!
//! Each update is applied twice, once to each of the two versions that alternate. A publish adds about 150 ns
//! to its updates, most of it arc-swap's search for readers that are in the middle of a load: it visits one
//! record for each thread that ever was a reader at the same time as others, which may explain the difference
//! between the first two rows. At 100 thousand entries and more the updates wait for memory, in two copies.
//!
//! Three changes halved the time of an update. Pages are behind an `Arc` without weak references, so that
//! access to an unshared page is a load instead of two read-modify-writes per level. The log is written once,
//! in place. Tables beyond 16 thousand entries look up the next 16 entries together, and what the index has of them,
//! before a version is brought up to date, before [`extend`](crate::Writer) inserts and before a
//! [`SharedWriter`](crate::SharedWriter) applies what it has received, so that the cache misses overlap; in smaller
//! tables that look-ahead costs more than it gains.
//!
//! # Waiting
//!
//! | `changed()` against `tokio::sync::watch` | 1 task | 100 tasks | 10,000 tasks |
//! |---|---|---|---|
//! | a change until all tasks have seen it | 1.07 to 1.16 | 0.91 | 0.66 |
//! | the same, without the change | 0.96 to 1.04 | 0.90 | 0.66 |
//!
//! The change of the table updates an entry and publishes; that of `watch` replaces a number, and takes two
//! thirds as long. All tasks run on one thread (workload `waits`; five runs for one task, with a control of 0.98
//! to 1.02). A task that waits alone is kept beside the list of the others, so that it allocates nothing; with that,
//! and one lock less per wait, a change and its wait went from 2,530 to 2,222 instructions.
//!
//! # Sessions
//!
//! | ns per begin and end of a run | 1 thread | 2 threads, own sessions | 2 threads, 1 / 4 / 64 sessions |
//! |---|---|---|---|
//! | [`Sessions`](crate::sessions::Sessions) | 82 | 85 | 242 / 149 / 125 |
//! | `Mutex<HashMap>` of the standard library | 130 | 451 | 882 / 930 / 870 |
//! | `DashMap` | 112 | 406 | 574 / 480 / 341 |
//!
//! Each rival checks and creates an entry with a cancel flag, and removes it; its map is behind an `Arc`, because a run
//! has to be moved to a task (`compare --workload sessions --rounds 9`, at real-time priority). Two threads on sessions of
//! their own do 1.94 times the work of one.
//!
//! Where it loses: a begin that is *refused* takes 79 ns on one thread, which is twice the time of the rivals, because
//! it looks at the run that it names; with two threads 142 ns, 0.56 of the mutex and 0.69 of `DashMap`. A *new* session
//! for each run takes 1.8 us, 15 times as long as an entry of a map: it is an object with its data, connection, queue and
//! place in the ring of blank sessions, and the one that it pushes out of there is dropped.
//!
//! # Disconnects
//!
//! Connections in 5 of 1,000 channels are cut at once, while another thread opens one every 200 us
//! (`compare --workload cleanup`, five runs of 5 and 7 rounds; two processors of a virtual machine for the five threads
//! of it, a part of whose time the host took away, 4 to 26 percent):
//!
//! | | 3,000 cut | 30,000 cut |
//! |---|---|---|
//! | until all are removed and their events delivered: [`cleanup`](crate::cleanup) | 10 to 29 ms | 200 to 400 ms |
//! | one mutex, one by one | 0.7 to 1.3 ms | 16 to 18 ms |
//! | one mutex, held for all | 0.8 to 1.2 ms | 11 to 16 ms |
//! | `DashMap`, one by one | 0.8 to 1.3 ms | 17 to 23 ms |
//! | connections opened meanwhile, of those that were due: `cleanup` | 0.94 to 1.00 | 0.97 to 1.00 |
//! | the same, one mutex held for all | 0 | 0.02 to 0.98 |
//! | time to open one, median, before: `cleanup` | 24 to 44 us | 90 to 140 us |
//! | the same, meanwhile | 18 to 110 us | 48 to 210 us |
//! | the same, one mutex held for all | (none) | 4.4 to 8.7 ms |
//!
//! It loses to a mutex by 12 to 35 times in the time of the removal itself: each connection is removed from its channels in
//! two copies of the index, and each batch is a version, which readers see as a whole. 30,000 connections take 10 to 16
//! times as long as 3,000, and 9 to 25 times behind a mutex or in a `DashMap`, since neither the copies of the index nor
//! one map fit into the caches; it executes 1.3 times the instructions per connection (`callgrind`: 9,700 and 12,500). In
//! return, readers never wait, a close never waits, and no connection is refused or forgotten.
//!
//! Connections that are opened go first. While there are such, a batch removes 2 connections, it has a turn of the writer
//! to itself, at most every other turn is one, and after it the thread of the writer lets others have the processor. With
//! batches of 8 that share their turns, the median of those that connect during a storm of 30,000 was 0.1 to 7 ms, and
//! that of the 95th percentile 20 to 50 ms. Now the 95th percentile with 30,000 is 1.1 to 1.4 times that of the time before
//! in four of six series, and 9 times in the two others, in runs in which the host took a quarter of the time away. With
//! 3,000, whose storm is over in 20 ms, it is 1 to 4 times: one thread closes, one writes and one connects, on two
//! processors.
//!
//! The server of `examples/pusher` in the storm of 5,000 WebSocket clients, of which 4,500 are cut at once: see its
//! README.
//!
//! # Memory
//!
//! Two alternating versions are two maps of everything that changes. So
//! [recycling](crate::TableBuilder::recycle) costs twice the memory of a map, and 1 to 9 percent for
//! directories, headers and the log of the last batch. Without recycling, the table takes 0.96 to 1.05 times
//! the memory of a `RwLock<HashMap>`. With entries of 136 bytes it takes 1.2 times as much in either case:
//! their pages are kept below 32 kilobytes to make copies cheap, and with 24 entries a page does not fill its
//! table as evenly as one large map does.
