//! The figures of a manager: how a report is made, what each figure counts, and the names in exporters.
//!
//! # How a report is made
//!
//! 1. The collector takes one snapshot. Links, nets and members, and the figures of
//!    [`manager::Stats`](crate::manager::Stats), are computed from it and belong to its version. A version
//!    that has been reported is not computed again.
//! 2. The collector takes the lock of the report: rank *metrics*, the last in `sync/lock_order.rs`. It
//!    discards its report here if a newer version has been reported.
//! 3. Under the lock it reads the counters, so that no counter of a later report is smaller. Then it stores
//!    the report, which becomes the newest. Under the lock it acquires, allocates, drops and calls nothing.
//!
//! Readers copy the newest report, without a lock, from one of four buffers that are written in turn: neither
//! the writer nor a stalled collector makes them wait. A reader retries if three reports were published while
//! it copied one.
//!
//! Only the manager's writer changes the counters, with one load and one store each. Any thread may read them at any
//! time, even while the writer is stuck, which is when the length of its queue matters. They may therefore be newer
//! than the version of the report.
//!
//! No thread runs unless a [`MetricsCollector`](crate::MetricsCollector) is started.
//!
//! # Figures
//!
//! | figure | from | to |
//! |---|---|---|
//! | queue wait | the submission of a command, by the clock of the builder, read once per submission | the beginning of the turn that takes it |
//! | processing | the beginning of that turn | the publication of the version with the change; the same for all commands that are taken together |
//! | operations, by [`CommandKind`](crate::CommandKind) | | commands that the writer took, including expired ones |
//! | errors, by [`CommandError::code`](crate::CommandError::code) | | accepted commands that failed |
//! | refused, timed out, shed, by lane | | commands that senders could not put into the mailbox, or shed from it |
//! | tickets | | the pool that keeps commands free of allocations |
//!
//! The writer counts memory on demand: [`Handle::measure_memory`](crate::Handle::measure_memory).
//!
//! # Cost
//!
//! `benches/`, workload `metrics`: 2 processors, 114 figures, 8 nets, medians of 7 rounds, controls of both
//! sides within a few percent.
//!
//! | | this | two `RwLock`s around the same figures |
//! |---|---|---|
//! | look at the newest report, by a [`Reader`](crate::metrics::Reader) | 1.69 ns | 15.1 ns |
//! | the same, copied out | 26.0 ns | 15.0 ns |
//! | collect, nothing new ([`Metrics::refresh`](crate::Metrics::refresh)) | 5.7 ns | 35 ns |
//! | collect and look, one thread | 5.0 ns | 55 ns |
//! | collect and look, two threads at once | 4.7 ns | 253 ns |
//! | collect, new version | 243 ns | 35.1 ns |
//!
//! A report carries a mark, the sum of counters that only increase. If the mark has not changed, no new report
//! is needed. A new version costs more than two uncontended locks: its members are counted for each net, while
//! the other side keeps these counts up to date on every change. In return, no reader waits for a collector,
//! no collector for the writer, and no report is older than the one before. Neither side allocates.
//!
//! # Names
//!
//! [`Page`](crate::metrics::Page) and the features `prometheus-client` and `metrics` use these names. All
//! gauges of one scrape belong to the version in `switchboard_version`. The page and the facade add the label
//! `node`.
//!
//! | name | labels | |
//! |---|---|---|
//! | `switchboard_version`, `_active`, `_links`, `_nets` | | gauges |
//! | `switchboard_net_active`, `_net_min_links`, `_net_needed` | `net` | gauges |
//! | `switchboard_net_members` | `net`, `direction` | gauge |
//! | `switchboard_lane_queued`, `_lane_queued_peak`, `_lane_capacity` | `lane` | gauges |
//! | `switchboard_lane_processed`, `_lane_refused`, `_lane_shed`, `_lane_timed_out` | `lane` | counters |
//! | `switchboard_commands` | `kind` | counter |
//! | `switchboard_command_errors` | `code` | counter |
//! | `switchboard_stale_answers`, `_refused_answers`, `_publishes`, `_dials`, `_dial_timeouts`, `_established`, `_reconnects`, `_requests`, `_links_created`, `_links_deleted`, `_panics`, `_transport_panics`, `_effects_coalesced`, `_unclosed_streams`, `_retry_faults` | | counters |
//! | `switchboard_tickets_kept` | | gauge |
//! | `switchboard_tickets_reused`, `_tickets_allocated` | | counters |
//! | `switchboard_queue_wait_seconds`, `_processing_seconds` | | histograms; gauges by `quantile` in the facade |
//!
//! The page also shows registries of sessions: [`Page::add_sessions`](crate::metrics::Page::add_sessions), with the label
//! `registry`. What the figures count is described at [`sessions::Stats`](crate::sessions::Stats).
//!
//! | name | shape |
//! |---|---|
//! | `switchboard_sessions` | gauge |
//! | `switchboard_session_refused`, `_contended`, `_full`, `_dropped`, `_timeouts`, `_cancelled`, `_cleared`, `_detached`, `_stale_releases`, `_displaced`, `_expired`, `_removed`, `_evicted` | counters |
//! | `switchboard_session_cancel_latency_seconds`, `_hold_time_seconds` | summaries without quantiles; a gauge `_max` each |
//!
//! And cleanup pipelines: [`Page::add_cleanup`](crate::metrics::Page::add_cleanup), with the label `pipeline`. What the
//! figures count is described at [`cleanup::Stats`](crate::cleanup::Stats).
//!
//! | name | shape |
//! |---|---|
//! | `switchboard_cleanup_open`, `_queued`, `_deferred`, `_events_pending`, `_events_waiting`, `_pressure`, `_breaker_open` | gauges |
//! | `switchboard_cleanup_queue_len`, `_queue_len_peak`, `_queue_age_seconds` | gauges per `worker` |
//! | `switchboard_cleanup_opened`, `_submitted`, `_done`, `_failed`, `_ran_inline`, `_already_closing`, `_not_found`, `_rejected_full`, `_rejected_closed`, `_rejected_breaker`, `_rerouted`, `_batches`, `_sweeps`, `_swept`, `_worker_restarts` | counters |
//! | `switchboard_cleanup_events_occupied`, `_events_vacated`, `_events_cancelled`, `_events_suppressed`, `_events_overflowed`, `_events_delivered`, `_event_retries`, `_dead_letters`, `_sink_panics` | counters |
//! | `switchboard_cleanup_breaker_opens`, `_breaker_probes`, `_breaker_refused` | counters |
//! | `switchboard_cleanup_batch_size`, `_removal_seconds`, `_delivery_seconds` | histograms |
//!
//! Prometheus appends `_total` to the names of counters.
