//! What a manager counts, how a report of it is made, and the names that exporters show.
//!
//! # How a report is made
//!
//! 1. One snapshot is taken. Everything that a report says of links, nets and members, and the figures of
//!    [`ManagerStats`](crate::ManagerStats), is computed from it and belongs to its version. A version that
//!    was reported before is not computed again.
//! 2. The lock of the report is taken: rank *metrics*, the last of `sync/lock_order.rs`. A report whose
//!    version is smaller than that of the newest one is discarded here.
//! 3. Under the lock the counters are read: of what is published later, no counter is smaller. Then the
//!    report is stored and becomes the newest. Nothing is acquired, allocated, dropped or called back
//!    meanwhile.
//!
//! Readers of the newest report copy it from one of four places that are written in turns, without a lock:
//! neither the writer nor a collector that stands still makes them wait. A reader looks again when three
//! reports were published while it copied one.
//!
//! The counters are written by the manager's writer alone, with a load and a store each, and are read by
//! anybody at any time: also while the writer is stuck, which is when the length of its queue is of interest.
//! So they may be newer than the version that a report is of.
//!
//! There is no thread for it unless somebody starts a [`Collector`](crate::Collector). Nothing is restarted
//! or repaired by anybody, so there is no rule for who may.
//!
//! # What is counted
//!
//! | figure | from | to |
//! |---|---|---|
//! | queue wait | the submission of a command, by the clock of the builder, read once per submission | the beginning of the turn that takes it |
//! | processing | the beginning of that turn | the publication of the version with the change; the same for all commands that are taken together |
//! | operations, by [`CommandKind`](crate::CommandKind) | | commands that the writer took, expired ones included |
//! | errors, by [`CommandError::code`](crate::CommandError::code) | | accepted commands that failed |
//! | refused, timed out, shed, by lane | | what senders could not put into the mailbox, or had to take out of it |
//! | tickets | | the pool that makes a command free of allocations |
//!
//! Memory is counted on demand, by the writer: [`Handle::measure_memory`](crate::Handle::measure_memory).
//!
//! # What it costs
//!
//! `benches/`, workload `metrics`: 2 processors, 114 figures, 8 nets, medians of 7 rounds, controls of both
//! sides within a few percent.
//!
//! | | this | two `RwLock`s around the same figures |
//! |---|---|---|
//! | look at the newest report, by a [`MetricsReader`](crate::MetricsReader) | 1.69 ns | 15.1 ns |
//! | the same, copied out | 26.0 ns | 15.0 ns |
//! | collect, nothing new ([`Metrics::refresh`](crate::Metrics::refresh)) | 5.7 ns | 35 ns |
//! | collect and look, one thread | 5.0 ns | 55 ns |
//! | collect and look, two threads at once | 4.7 ns | 253 ns |
//! | collect, new version | 243 ns | 35.1 ns |
//!
//! A report carries a mark, a sum of counters that only rise; when nothing has changed, that is all there is
//! to find out. A new version costs more than two locks that nobody else wants: its members are counted for
//! each net, where theirs are kept counted by the writer. What the difference buys is that no reader waits
//! for a collector, no collector for the writer, and no report goes back. Neither side allocates.
//!
//! # Names
//!
//! As [`MetricsPage`](crate::MetricsPage) and the features `prometheus-client` and `metrics` show them.
//! Gauges of one scrape belong to the version that `switchboard_version` shows. The page and the facade add
//! the label `node`.
//!
//! | name | labels | |
//! |---|---|---|
//! | `switchboard_version`, `_active`, `_links`, `_nets` | | gauges |
//! | `switchboard_net_active`, `_net_required`, `_net_needed` | `net` | gauges |
//! | `switchboard_net_members` | `net`, `direction` | gauge |
//! | `switchboard_lane_queued`, `_lane_queued_peak`, `_lane_capacity` | `lane` | gauges |
//! | `switchboard_lane_processed`, `_lane_refused`, `_lane_shed`, `_lane_timed_out` | `lane` | counters |
//! | `switchboard_commands` | `kind` | counter |
//! | `switchboard_command_errors` | `code` | counter |
//! | `switchboard_stale_answers`, `_publishes`, `_dials`, `_dial_timeouts`, `_established`, `_reconnects`, `_requests`, `_links_created`, `_links_deleted`, `_panics`, `_transport_panics`, `_effects_coalesced`, `_retry_faults` | | counters |
//! | `switchboard_tickets_kept` | | gauge |
//! | `switchboard_tickets_reused`, `_tickets_allocated` | | counters |
//! | `switchboard_queue_wait_seconds`, `_processing_seconds` | | histograms; gauges by `quantile` in the facade |
//!
//! Prometheus shows counters with `_total` behind the name.
