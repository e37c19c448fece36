//! The promises of this crate, and the test or the argument that carries each of them.
//!
//! *Tested by* names files of `tests/`, tests in them, and test modules of the library; modules called `models` run
//! under the model checkers, see [Model checking](#model-checking). *Follows from* names the argument. The test
//! `tests/promises.rs` checks that every promise has one of the two and that every test named here exists.
//!
//! # Consistency
//!
//! **A publish is atomic.** A version is one object: entries, index and number. It is complete before it is
//! swapped into the place from which readers load, and it does not change while a reader can reach it.
//! *Tested by* `tests/stress.rs::readers_never_go_back_and_see_whole_batches`,
//! `tests/table.rs::an_index_is_published_with_its_entries`, `tests/table_model.rs`,
//! `table::models::a_held_snapshot_is_not_recycled`.
//!
//! **Reads are linearizable.** A snapshot is the version that was current at some instant during the call
//! that took it. It is therefore never older than a version whose publish had returned before the call, nor than
//! a version that any thread had seen before the call. This also holds between the two ways to read. A
//! [`Reader`](crate::Reader) compares its version with a counter that the writer advances after the swap, so a
//! snapshot can briefly be newer than the counter. A thread that loads such a snapshot advances the counter itself
//! before it returns. *Tested by* `table::cell::models::whoever_sees_the_number_finds_the_version`,
//! `table::cell::models::whoever_is_told_of_a_version_sees_its_number`,
//! `table::models::a_reader_is_not_behind_a_snapshot_that_it_was_told_of`.
//!
//! **A reader never goes backwards.** It replaces the version it holds only with one that it loads after it has seen a
//! larger number. *Tested by* `tests/table.rs::readers_on_other_threads_never_go_backwards`, `tests/stress.rs`,
//! `table::cell::models::two_readers_never_go_backwards`.
//!
//! **Counts and lists of a [`LinksSnapshot`](crate::LinksSnapshot) agree.** The count of a net is the number of
//! addresses listed for it, because both are read from the index of one version. *Tested by*
//! `manager::models::two_producers_a_reader_and_a_shutdown`,
//! `table::index::tests::groups_are_those_of_a_recount`.
//!
//! Not promised: two calls of [`Reader::get`](crate::Reader::get) may answer from two versions, and data that a
//! value points to (an `Arc` of atomics, for example) is not part of the version.
//!
//! # Progress
//!
//! | operation | progress | remarks |
//! |---|---|---|
//! | lookup in a [`Snapshot`](crate::Snapshot) | wait-free | no atomic operation |
//! | [`Reader::get`](crate::Reader::get), nothing published since | wait-free | one atomic load, no write |
//! | [`Table::snapshot`](crate::Table::snapshot), a reader after a publish | wait-free, with the limits of ["Wait-free"](#wait-free) | increments the reference count of the version |
//! | … once in `usize::MAX / 4` loads of a thread | lock-free | `arc_swap` moves the thread to another record |
//! | … first load of a thread | lock-free, allocates | `arc_swap` claims or creates a record for the thread, which is never freed |
//! | dropping or cloning a snapshot | wait-free | changes a reference count; see [Memory](#memory) for the last owner |
//! | staging | single-threaded | copies a page if a held version shares it |
//! | [`Writer::publish`](crate::Writer::publish) | lock-free | visits each thread's record once; never waits for a reader |
//! | [`Table::wait_for`](crate::Table::wait_for) | blocking | takes a lock; a publish takes the same lock only if it has to wake a thread or a task, and once after a wait that was cancelled |
//! | awaiting [`Table::changed`](crate::Table::changed), [`Table::reached`](crate::Table::reached), [`Feed::next`](crate::table::Feed::next) | blocking | two atomic loads if it is ready; otherwise O(log waiting tasks) under the lock of `wait_for`, which is never held while user code runs |
//! | [`Feed::try_next`](crate::table::Feed::try_next) | as `Table::snapshot` | one atomic load if there is nothing new; O(operations) for all versions found at once |
//! | [`Feed::next_timeout`](crate::table::Feed::next_timeout) | blocking | as `wait_for` |
//! | [`Metrics::report`](crate::Metrics::report) | lock-free | retries if three reports are published while it copies one |
//!
//! The keys' `Hash` and `Eq` count as one step. *Follows from* the code of each operation, whose atomic operations
//! [`orderings`](super::orderings) lists. *Tested by* `tests/queries.rs::no_query_allocates` and
//! `tests/allocation.rs::collecting_and_reading_metrics_allocates_nothing`, which rule out allocations.
//!
//! **A publish never waits for a reader.** (With [`max_versions`](crate::TableBuilder::max_versions) it may be refused
//! because of one.) It is lock-free and not wait-free, because readers that keep starting
//! loads on the slow path of `arc_swap` can make it repeat a step. It takes a lock only to wake someone (see
//! [Waiting](#waiting)): the list of retired versions belongs to the writer, which leaves it to the table when it is
//! dropped. *Follows from* `Publisher::publish` in `table/cell.rs`.
//!
//! # Wait-free
//!
//! "Wait-free" is used for loads as `arc_swap` uses it. Four limits matter in practice:
//!
//! * **The window between the swap and the counter.** A reader that loads a version before the writer has advanced
//!   the counter advances it itself, with one `fetch_max`. On x86-64 this is a loop of compare-exchanges,
//!   which ends as soon as the counter is large enough: an exchange fails only if another thread has raised the
//!   counter, so a reader repeats it at most once for each version published in the meantime.
//! * **The first load of a thread allocates** a record in `arc_swap`, or takes over the record of a thread that has
//!   ended, after a walk over all records. Records are never freed.
//! * **Once in `usize::MAX / 4` loads** `arc_swap` moves the thread to another record, which is lock-free.
//! * **A publish walks all records.** There are as many as the largest number of threads that ever had one at the same
//!   time. All tables of the process share them, including tables that are created later. Median time per publish of
//!   one change, from an idle machine to one with both processors busy:
//!
//!   | threads that had loaded at the same time | 0 | 100 | 1,000 | 4,000 |
//!   |---|---|---|---|---|
//!   | one publish | 0.2 µs | 3.9 to 7 µs | 36 to 77 µs | 159 to 350 µs |
//!
//!   (`cargo test --release --test records -- --ignored --nocapture`; 2 processors, x86-64.)
//!
//! Read on a fixed pool of threads, and let each of them load once before it has to be fast. Threads that are
//! started and ended one after the other share one record; the number at the same time is what counts.
//! *Tested by* `tests/records.rs` for the figures. *Follows from* the documentation and the source of `arc_swap` for
//! the rest.
//!
//! # The cost of a publish
//!
//! **A publish costs what changed, not what the table holds.** The map is paged. Staging copies a page only if a
//! version that is still held shares it, and [`Writer::publish`](crate::Writer::publish) itself looks at no entry: it
//! swaps a pointer, and drops a share of old versions and of recorded operations that is in proportion to its
//! own batch. *Tested by* `tests/steps.rs`, `tests/promises.rs`,
//! `table::page_map::tests::a_write_copies_one_path_if_shared_and_nothing_if_not`.
//!
//! **These calls cost more.** *Tested by*
//! `tests/promises.rs::the_first_operation_after_a_batch_repeats_up_to_an_eighth_of_the_entries` for the first row and
//! `tests/records.rs` for the number of threads. *Follows from* the code of each call for the others.
//!
//! | call | cost |
//! |---|---|
//! | the first operation after a batch of *m* operations, in a table that [recycles](crate::TableBuilder::recycle) | repeats the batch on the second copy: O(m), with m up to the largest of 1,024, an eighth of the entries and, while a feed exists, the [history](crate::TableBuilder::history); longer batches are not repeated |
//! | a publish in a process in which many threads have loaded | O(threads), see ["Wait-free"](#wait-free) |
//! | a publish for which threads wait in `wait_for` or a feed | wakes all threads that wait, also those for a later version |
//! | a publish for which tasks wait | wakes those that wait for its version, on the writer's thread: the cost of their wakers |
//! | a publish of a table with [`max_versions`](crate::TableBuilder::max_versions), close to that limit | looks at every version that is held |
//! | an operation whose index panics | O(batch) or O(entries), see [Panics](#panics) |
//! | [`Writer::retain`](crate::Writer::retain), [`Writer::memory`](crate::Writer::memory) | O(entries) |
//! | [`Writer::reclaim`](crate::Writer::reclaim) | O(what it frees), in one call |
//! | dropping the writer, or the last handle of a table | O(entries), in one call |
//! | a user-defined index without [`Index::dismantle`](crate::table::Index::dismantle), or with a slow `clone` | its own cost, in one step |
//! | a destructor, `Clone`, `Hash` or `Eq` of a key or value | its own cost |
//!
//! **A warm table publishes without copying or allocating.** This holds while no reader stays behind, no feed
//! exists, batches have at most 1,024 operations and change existing entries, and no more versions are held at once
//! than before. The replaced version returns to the writer, which repeats the last batch on it and
//! stages the next one there. *Tested by*
//! `tests/promises.rs::a_warm_table_stages_and_publishes_without_copying_or_allocating`,
//! `table::cell::tests::a_warm_cell_makes_no_more_headers`.
//!
//! **Old versions are dropped in steps.** The pages that only an old version has are dropped over as many publishes
//! as it takes, a few pages for each operation. The parts of an index that implements
//! [`Index::dismantle`](crate::table::Index::dismantle), as [`GroupIndex`](crate::table::GroupIndex) does, are dropped the same
//! way, and so are the operations that were recorded for recycling and for feeds. The share of one publish is in
//! proportion to its own batch, not to the table: 16 pages, 1,024 operations, and as much more as the batch can have
//! made; but 64 pages at most, unless more than four versions wait to be dropped. *Tested by* `tests/steps.rs`, which
//! counts the drops of each publish, and `tests/table.rs::an_old_version_is_dropped_in_bounded_steps`.
//!
//! **A recycled copy is brought up to date in one step**, by the first operation after a publish: it repeats the
//! batch before, which may be an eighth as long as the table. Operations are therefore O(1) amortized, not in the
//! worst case. If one slow operation matters more than the mean, keep batches short, or do not
//! [recycle](crate::TableBuilder::recycle). *Tested by*
//! `tests/promises.rs::the_first_operation_after_a_batch_repeats_up_to_an_eighth_of_the_entries`.
//!
//! **The allocator adds its own pauses.** An allocator may return memory to the operating system in whichever call
//! frees it. After a table of a million entries was cleared, the longest of the publishes that dismantled it took 0.3
//! to 6.9 ms with the default settings of glibc, and 0.2 to 0.4 ms when glibc was told to keep what is freed
//! (`MALLOC_TRIM_THRESHOLD_`, `MALLOC_MMAP_THRESHOLD_` and `MALLOC_TOP_PAD_` set high); the second longest took less
//! than 0.7 ms in both. *Follows from* measurements, four runs of each in turn, publishes of one operation, recycling on.
//!
//! # Memory
//!
//! **Readers run no destructors.** The table holds every version until no reader does, and the writer then
//! empties it: keys and values are dropped on the thread of the writer. There are two exceptions. The last handle
//! (table, reader, feed or writer) to be dropped drops everything that is left, and a snapshot that outlives all
//! handles is the last owner of its version. *Tested by* `tests/table.rs::a_reader_never_runs_a_destructor`,
//! `tests/table.rs::a_snapshot_outlives_its_table`.
//!
//! **Old versions are found soon.** Each publish looks at up to four retired versions and empties those that are no
//! longer held. A version that has been released is therefore found within a third as many publishes as there
//! are retired versions. [`Writer::reclaim`](crate::Writer::reclaim) looks at all of them at once. *Tested by*
//! `table::cell::tests::a_state_that_was_let_go_is_dropped_within_a_bounded_number_of_publishes`.
//!
//! **A removed value is dropped later than it is removed.** It outlives its removal in each version that a reader
//! holds, in the copy that the next batch works on, and in the record that brings this copy up to date. While no
//! older version is held, no old version or record is still being dropped in steps, and no feed exists, it is dropped
//! within two more publishes. [`Writer::reclaim`](crate::Writer::reclaim) drops it at once, unless a reader holds it
//! or a feed exists. The link manager calls `reclaim` when it has nothing else to do.
//! An idle reader keeps it until it is [released](crate::Reader::release) or dropped, and the bounded history of a
//! feed keeps it longer. Close sockets and files explicitly when their entry is removed; do not rely on destructors.
//! *Tested by* `tests/idle_readers.rs::released_readers_hold_nothing`,
//! `tests/promises.rs::a_removed_value_is_dropped_within_two_publishes`, `tests/reclaim.rs`,
//! `tests/user_data.rs::what_was_removed_is_dropped_in_the_turn_after_which_nothing_is_to_be_done`.
//!
//! **A table without a writer keeps its last retired versions**, and the removed values in them, until its last
//! handle is dropped: only the writer empties versions. Call [`Writer::reclaim`](crate::Writer::reclaim) before the
//! writer is dropped. *Tested by* `tests/promises.rs::a_writer_that_is_dropped_leaves_removed_values_to_the_last_handle`.
//!
//! **A held version costs what has changed since.** Pages that were written later are no longer shared with it. A
//! table that [recycles](crate::TableBuilder::recycle) has one or two more copies of its pages, regardless of what
//! is held: the writer works on them in turn. *Tested by*
//! `tests/churn.rs::a_held_snapshot_stays_intact_and_costs_what_has_changed`,
//! `tests/stats.rs::copies_to_recycle_and_the_history_are_counted`.
//!
//! **Readers alone decide how many versions exist**, unless
//! [`TableBuilder::max_versions`](crate::TableBuilder::max_versions) limits them. While that many older versions are
//! held, nothing is published and the batch stays staged; taking a snapshot always succeeds and returns the version
//! that was published last. There are then at most three headers more than the limit. *Tested by*
//! `tests/max_versions.rs`, against a model.
//!
//! **Headers stay.** Each version has a header of 100 to 250 bytes. A table keeps as many headers as versions existed
//! at the same time until it is dropped; [Type-stable headers](#type-stable-headers) explains the reason.
//! [`Stats::headers`](crate::table::Stats::headers) counts them. *Tested by*
//! `tests/stats.rs::headers_are_as_many_as_versions_at_the_same_time_and_small`.
//!
//! # Disconnects
//!
//! The rules of [`cleanup`](crate::cleanup) have numbers, and their tests are called `r01_…` to `r22_…` without the zero.
//!
//! | operation | progress | remarks |
//! |---|---|---|
//! | [`Cleanup::close`](crate::cleanup::Cleanup::close) | blocking, briefly | one exchange of the slot decides; then the locks of the slot and of one queue for a few steps each, and [`Resources::closed`](crate::cleanup::Resources::closed) with no lock held |
//! | [`Cleanup::open`](crate::cleanup::Cleanup::open), [`update`](crate::cleanup::Cleanup::update) | as [`SharedWriter::try_reserve`](crate::SharedWriter::try_reserve) | never waits for a batch, and never for room |
//! | [`Cleanup::stats`](crate::cleanup::Cleanup::stats) | wait-free | adds up at every moment |
//! | [`Cleanup::pressure`](crate::cleanup::Cleanup::pressure), [`worker_stats`](crate::cleanup::Cleanup::worker_stats) | blocking, briefly | the lock of each queue in turn |
//! | [`Drain::run`](crate::cleanup::Drain::run) | blocking | up to its deadline |
//!
//! **Of any number of reports that a connection has ended, one wins**, and its resources are told once. A report that names
//! an earlier connection of the same slot changes nothing. *Tested by*
//! `cleanup::models::r2_of_two_reports_one_wins_and_releases_once`,
//! `cleanup::models::r14_a_stale_report_does_not_touch_the_successor`,
//! `tests/cleanup.rs::r3_b9_n13_quotas_are_released_at_once_and_once`.
//!
//! **A connection that was closed is removed**, whatever happens to queues and workers, as long as the pipeline is driven and
//! its entry can be removed from the table. *Tested by* `cleanup::models::d1_a_worker_and_a_sweep_clean_once`,
//! `cleanup::pipeline::tests::d1_what_no_queue_takes_is_swept`,
//! `cleanup::pipeline::tests::faults::r13_n9_a_worker_that_panics_is_restarted_and_loses_nothing`,
//! `cleanup::pipeline::tests::faults::r1_r5_n1_with_all_queues_full_a_close_returns_and_the_sweep_finds_it`.
//!
//! **A batch is one version**, and each way of a removal has the same effects. *Tested by*
//! `cleanup::pipeline::tests::d3_n5_a_batch_is_one_version_and_each_emptied_group_one_event`,
//! `tests/cleanup.rs::r6_n5_n6_n11_each_path_has_the_same_effects`,
//! `cleanup::pipeline::tests::reference::r6_r2_the_pipeline_is_a_sequential_reference_whatever_the_way`.
//!
//! **The events of a group alternate**, from Occupied on, also for the sink and also over suppressed ones, unless code of the
//! group panics or a dead letter is among them; and they come after the publication of what they tell. *Tested by*
//! `cleanup::pipeline::models::r6_each_connection_is_cleaned_once_inline_by_a_worker_or_by_a_sweep`,
//! `cleanup::grace::tests::r11_the_sink_is_not_told_twice_that_a_suppressed_group_is_occupied`,
//! `tests/cleanup.rs::b5_r9_events_come_after_the_publication`.
//!
//! **A change never follows the removal of its connection.** *Tested by*
//! `tests/cleanup.rs::r9_r15_n12_registrations_come_before_removals`.
//!
//! **A sink that blocks or panics holds up neither the table nor, with another thread, the other apps.** *Tested by*
//! `cleanup::pipeline::tests::faults::r12_n8_a_sink_that_blocks_holds_up_one_app`,
//! `cleanup::pipeline::tests::faults::r12_a_sink_that_panics_gets_its_events_again`.
//!
//! **A drain ends in time, and its report accounts for every connection.** *Tested by*
//! `cleanup::pipeline::models::r18_a_drain_and_reports_end_each_connection_once`,
//! `cleanup::pipeline::tests::drain::r18_a_drain_ends_in_time_and_says_what_is_left`.
//!
//! **No thread outlives the pipeline**: all end when the last handle is dropped, and a pipeline of which a thread cannot be
//! started leaves none. *Tested by* `cleanup::pipeline::models::r18_threads_end_with_the_last_handle`,
//! `cleanup::models::r19_a_parked_worker_misses_no_task_and_no_close`,
//! `cleanup::pipeline::tests::threads::r18_if_a_thread_cannot_be_started_everything_comes_back`.
//!
//! **Connections that have come and gone leave nothing behind.** *Tested by*
//! `tests/cleanup_memory.rs::connections_that_come_and_go_leave_nothing_behind`,
//! `tests/cleanup_memory.rs::d2_fifty_thousand_tasks_take_less_than_two_megabytes`,
//! `tests/cleanup.rs::n14_b6_nothing_is_kept_of_what_has_gone`.
//!
//! # Locks
//!
//! **No lock is held while user code runs**: callbacks, wakers, transports, sinks, subscribers of `tracing`, clocks,
//! retry policies and destructors may use every handle. There is one exception: the outbox merges effects by
//! their addresses, so `Clone`, `Eq`, `Hash` and `Drop` of an [address](crate::Addr) run under its lock and must not
//! call the manager. ([`shadow::LockedLinks`](crate::shadow::LockedLinks) holds locks on purpose: it represents the
//! old design.) Code that runs on the writer's thread, such as the callback of a ticket, must not wait
//! for the writer. *Tested by* `manager::tests::callbacks::every_call_from_every_callback_from_two_threads`,
//! `mailbox::tests::the_destructor_of_a_command_may_use_the_mailbox`,
//! `mailbox::future::tests::wakers_may_use_the_mailbox`,
//! `ticket::tests::a_callback_may_use_the_mailbox_and_other_tickets`,
//! `ticket::tests::a_waker_and_a_destructor_may_use_other_tickets`, `metrics::tests::a_sink_may_use_everything`,
//! `tests/futures.rs::a_waker_may_use_the_table_when_it_is_woken_or_dropped`,
//! `tests/tracing.rs::a_subscriber_may_use_everything`,
//! `tests/user_data.rs::a_destructor_runs_after_its_turn_and_may_send_commands`.
//!
//! **Locks cannot deadlock.** A thread takes them in rising order of rank, and debug builds check this at every
//! acquisition. *Tested by* `sync::lock_order::tests::an_inversion_panics_and_leaves_the_record_intact`, and by every
//! other test in a debug build.
//!
//! **A transport that blocks or panics stalls neither the writer nor a reader.** While it blocks,
//! reports of streams and dials are still taken; endpoints, outcomes of announcements and commands of the host are
//! taken one batch every 100 ms once [`Config::outbox`](crate::Config::outbox) effects wait. If it panics, the
//! manager answers the effect with a failure. *Tested by*
//! `manager::tests::a_transport_that_blocks_does_not_stall_the_writer`,
//! `manager::tests::a_panic_in_the_transport_is_answered_with_a_failure`,
//! `manager::tests::a_congested_outbox_holds_back_the_host_and_never_the_transport`,
//! `manager::tests::the_host_gets_a_batch_through_a_congested_outbox_now_and_then`.
//!
//! # Panics
//!
//! Keys, values, hashers, indexes and closures are user code, and the writer runs it.
//!
//! **A panic in user code loses nothing that is staged** and does not affect the published versions. *Tested by*
//! `tests/panics.rs`, `tests/table_model.rs`, `tests/table.rs::a_panic_in_the_index_loses_nothing`. *Follows from*
//! the order of the steps:
//!
//! 1. *Entries.* An operation first does everything that may panic: it hashes, copies the page if it is
//!    shared, makes room, looks up the entry, and updates the index. Then it moves the entry, in a step that
//!    runs no user code. The entries are therefore those before the operation or those after it.
//! 2. *The record of the batch.* An operation is recorded once it is done, from clones that were made before
//!    it began, and before anything is dropped.
//! 3. *The index.* A panic of a key, a value or a hasher leaves the index as it is. If the index itself panicked,
//!    it may be half changed, and is rebuilt before the panic reaches the caller: by repeating the recorded batch on
//!    the published version, O(batch); or, if there is no record
//!    ([`TableBuilder::recycle`](crate::TableBuilder::recycle) is off, the batch was too long, or it has cleared the
//!    table), from an empty index and all entries, O(entries).
//! 4. *Recycling.* A retired version that is being brought up to date when something panics is dropped; the
//!    next batch copies pages.
//!
//! **Changes made through [`Writer::index_mut`](crate::Writer::index_mut) can be lost** if the index panics later in
//! the same batch and [`Index::refresh`](crate::table::Index::refresh) does not copy them. An index that panics again
//! while it is rebuilt remains to be rebuilt: entries can be read, and each call that needs the index tries again, and
//! panics if it fails. [`Writer::discard`](crate::Writer::discard) ends that state. *Tested by*
//! `tests/panics.rs::an_index_that_goes_on_panicking_costs_no_entry`,
//! `tests/panics.rs::a_panic_of_a_key_leaves_the_index_as_it_is`.
//!
//! **An index that panics when it is dismantled costs bounded memory.** The call that dropped old versions has done its
//! work and panics; that index is dropped as a whole by the next such call, and what the panic kept from being dropped
//! is dropped by the calls that follow. *Tested by*
//! `tests/panics.rs::an_index_that_panics_when_it_is_dismantled_costs_bounded_memory`.
//!
//! **A destructor that panics loses nothing but the value that it destroys.** Values are dropped last, after all
//! bookkeeping and outside of every lock. The table does not contain the panic: the call has done its work, and the
//! panic reaches the caller. A [`mailbox::Receiver`](crate::mailbox::Receiver) that is dropped drops every queued
//! command, and then resumes the first panic. *Tested by* `tests/fuse/main.rs`, `tests/fuse_mailbox.rs`,
//! `tests/fuse_ticket.rs` and `tests/fuse_manager.rs`, which let the *n*-th destructor panic in every public call, for
//! every *n*.
//!
//! **A command that panics changes nothing, and no panic ends a thread of the manager.** This includes the value that
//! a panic carries, whose destructor may panic in turn. *Tested by*
//! `manager::core::tests::panics::a_command_that_panics_changes_nothing`,
//! `manager::tests::a_panic_in_a_ticket_callback_leaves_the_writer_alive`,
//! `tests/fuse_manager.rs::the_threads_of_a_manager_survive_every_destructor`,
//! `tests/fuse_manager.rs::a_panic_whose_payload_panics_when_it_is_dropped_ends_neither_thread`.
//!
//! **A waker that panics affects no one but its own task.** The send, the receive, the close or the drop in which a
//! mailbox calls or drops it has its usual result. *Tested by*
//! `mailbox::future::tests::a_waker_that_panics_affects_neither_the_receiver_nor_the_next_sender`,
//! `mailbox::future::tests::a_waker_that_panics_in_the_close_leaves_no_sender_waiting`,
//! `mailbox::future::tests::a_waker_whose_destructor_panics_loses_no_room_and_no_command`,
//! `manager::tests::waking::a_waker_that_panics_does_not_reach_the_handle`.
//!
//! **A waker that panics ends neither the publish nor another wait.** The panic is contained when the waker is woken or
//! dropped; when it is cloned, the panic reaches the poll, which has not changed anything yet. *Tested by*
//! `tests/futures.rs::a_waker_that_panics_ends_neither_the_publish_nor_another_wait`,
//! `tests/futures.rs::a_waker_that_panics_when_it_is_dropped_ends_no_wait`. For the clone, which cannot panic in a
//! waker that is made without unsafe code, it *follows from* the order in `Waiters::poll`: the waker is cloned before
//! the lock is taken.
//!
//! # Waiting
//!
//! **No wait for a version is lost.** A thread in [`Table::wait_for`](crate::Table::wait_for), and a task in
//! [`Table::changed`](crate::Table::changed), [`Table::reached`](crate::Table::reached) or
//! [`Feed::next`](crate::table::Feed::next), is woken by the version that it waits for, and by the end of the writer.
//! So is one in [`Links::changed`](crate::Links::changed) or [`LinksFeed::next`](crate::manager::LinksFeed::next).
//! *Tested by* `table::cell::models`, `table::watch::models`, `table::feed::models`,
//! `manager::models::a_links_feed_in_a_task_misses_no_version_and_ends_with_the_manager`,
//! `tests/futures.rs::the_links_of_a_manager_can_be_awaited_until_it_ends`.
//!
//! **A future can be dropped at any await point.** No version and no event is lost, and its waker is dropped with it.
//! *Tested by* `tests/futures.rs::a_cancelled_task_loses_no_event`,
//! `tests/futures.rs::a_dropped_future_is_not_woken_and_keeps_no_waker`,
//! `table::watch::models::a_dropped_future_leaves_its_waker_nowhere`,
//! `table::watch::models::a_dropped_future_for_a_later_version_leaves_its_waker_nowhere`,
//! `tests/links_feed.rs::a_task_that_gives_up_its_waits_misses_no_event`. The same holds for the futures of a mailbox
//! and of a driver. *Tested by* `mailbox::future::tests::a_future_that_is_dropped_releases_its_waker`,
//! `mailbox::future::models::a_receive_leaves_its_waker_nowhere`,
//! `manager::tests::waking::a_wait_for_work_releases_its_waker`.
//!
//! **A stream is terminated when it has returned `None`**, and not already when the writer is dropped by another thread:
//! `FusedStream::is_terminated` of a feed is false until then. *Tested by*
//! `tests/futures.rs::a_stream_is_terminated_once_it_has_returned_none`,
//! `tests/links_feed.rs::a_stream_of_links_is_terminated_once_it_has_returned_none`.
//!
//! **A publish wakes a thread only if a thread waits for its version**: threads share one condition variable, so all of
//! them are woken if one is due, and none because of a task. *Tested by*
//! `table::waiters::tests::a_thread_sleeps_through_the_wake_ups_of_tasks_and_of_earlier_versions`.
//!
//! **Waiting takes bounded memory**: one entry of at most 128 bytes for each future that waits at the same time, beside
//! the future itself. It is freed when the last of them has left, and a task that waits alone allocates nothing. A
//! publish for which no one waits reads one word, as without tasks; the first one after a wait was cancelled may take the
//! lock of the waiters once. *Tested by* `tests/futures.rs::waiting_takes_bounded_memory_which_is_returned`,
//! `tests/futures.rs::a_lone_task_waits_without_allocating`,
//! `table::tasks::tests::tasks_that_have_left_leave_no_memory`,
//! `table::watch::tests::a_publish_takes_the_lock_only_to_wake_someone`.
//!
//! # Sessions
//!
//! The properties have numbers, and each has its tests, called `s01_…` and so on: in
//! `tests/sessions_spec.rs`, and those of saving in `sessions::saving::tests`.
//!
//! | operation | progress | remarks |
//! |---|---|---|
//! | [`Sessions::try_begin`](crate::sessions::Sessions::try_begin), [`Run`](crate::sessions::Run) dropped, no one waits | lock-free | one exchange of a word each, and a lookup; no clock |
//! | … of a session whose data is that of a new one | blocking, briefly | its end puts the session into a ring, and may remove another one under its lock |
//! | … the first for a key | lock-free, allocates | inserts into the map; may wait for a thread that allocates a larger one |
//! | … someone waits | blocking, briefly | a short lock, and one wake-up |
//! | [`Sessions::read`](crate::sessions::Sessions::read), [`Run::read`](crate::sessions::Run::read) | wait-free, with the limits of ["Wait-free"](#wait-free) | after the lookup |
//! | [`Run::update`](crate::sessions::Run::update) | blocking, briefly | the lock of the session, for the exchange of a pointer; your function runs before |
//! | [`Sessions::cancel`](crate::sessions::Sessions::cancel) | lock-free | a short lock if someone waits for it |
//! | [`Sessions::begin_timeout`](crate::sessions::Sessions::begin_timeout), [`Sessions::clear`](crate::sessions::Sessions::clear) | blocking | up to the timeout; there is a future of each |
//!
//! **A session has at most one run.** Its state is one word, and each transition one exchange of it. *Tested by*
//! `claim::models::one_of_several_claims_succeeds_and_the_next_holder_sees_what_the_last_one_did`,
//! `claim::tests::transitions_keep_what_they_are_not_about`,
//! `tests/sessions.rs::concurrent_requests_to_one_session_give_one_run`.
//!
//! **The end of a run ends that run.** It names the claim, on return, error, panic and drop of a future. *Tested by*
//! `claim::models::a_late_release_does_not_end_a_later_claim`,
//! `claim::tests::no_sequence_of_transitions_revives_a_claim`.
//!
//! **A request to stop reaches the run that it found**, also before that has started, and no later one. *Tested by*
//! `claim::models::a_request_to_stop_reaches_the_holder_and_no_later_one`.
//!
//! **Those who wait for a session get it in the order in which they came.** A release hands the session over in the
//! same step in which it ends the run, so no newcomer gets in between, and wakes one waiter. *Tested by*
//! `claim::models::no_one_overtakes_those_who_wait`, `claim::models::a_waiter_that_leaves_passes_the_place_on`,
//! `claim::tests::no_sequence_of_transitions_leaves_waiters_at_a_vacant_place`.
//!
//! **A clear is one step.** Each run, and each wait, comes before it or after it; nothing that an earlier run writes
//! is visible afterwards. *Tested by* `sessions::models::nothing_that_an_earlier_run_writes_is_visible_after_a_clear`,
//! `sessions::models::a_run_begins_before_the_clear_or_finds_it_done`,
//! `claim::models::a_clear_drops_those_who_came_before_it`.
//!
//! **Epochs and versions of a key never decrease**, also over removal and creation. *Tested by*
//! `sessions::models::versions_continue_over_a_removal`.
//!
//! **The end of a displaced connection has no effect**, and the end of the current one stops at most the run that
//! belongs to it. *Tested by* `sessions::models::the_end_of_an_old_connection_and_a_new_one_leave_the_new_one`,
//! `sessions::models::a_run_of_a_connection_that_ends_is_stopped_or_does_not_begin`,
//! `sessions::models::a_run_is_resumed_or_expires`.
//!
//! **Sessions without a run, a connection and data of their own are bounded.** *Tested by*
//! `sessions::models::a_blank_session_is_evicted_or_gets_its_run_and_is_evicted_later`,
//! `sessions::models::a_session_without_run_and_connection_is_in_the_ring`,
//! `sessions::tests::eviction::blank_sessions_are_bounded_and_the_oldest_goes_first`.
//!
//! **User code that panics leaves the registry whole**: destructors of data and peers, `Hash`, `Eq` and `Clone` of
//! keys, functions, wakers and clocks. *Tested by* `tests/fuse_sessions.rs`,
//! `sessions::tests::begins::a_waker_may_call_the_registry_and_may_panic`.
//!
//! # Shared writer
//!
//! **An accepted operation is applied, in order, and published with its turn**, unless the writer is aborted or
//! dropped: then its ticket says so, and it has not happened. Operations of one thread keep their order. A refused
//! operation is returned. *Tested by* `tests/shared_writer.rs::operations_of_one_thread_keep_their_order`,
//! `table::shared::models::a_close_loses_nothing_that_was_accepted`,
//! `table::shared::models::an_abort_ends_a_writer_and_every_ticket`.
//!
//! **A turn publishes once, and a ticket is completed after that**: a thread or task that has the result reads its own
//! write. *Tested by* `table::shared::tests::a_turn_publishes_once_and_takes_no_more_than_its_batch`,
//! `table::shared::models::a_ticket_shows_its_version_to_the_thread_that_waits`.
//!
//! **A transaction is applied as a whole or not at all**, even if it panics, and no panic of user code ends the turn or
//! the thread. *Tested by* `tests/shared_writer.rs::transactions_of_many_threads_are_atomic_for_readers`,
//! `table::writer::savepoint::tests::a_rollback_restores_entries_and_index_and_what_follows_is_published`,
//! `tests/fuse_shared.rs`.
//!
//! **User code in a turn never waits for the turn**: there, blocking calls are refused while the queue is full, and a
//! thread does not join itself. *Tested by*
//! `table::shared::tests::user_code_in_a_turn_is_refused_instead_of_waiting_for_its_own_turn`,
//! `table::shared::tests::a_thread_cannot_join_itself`.
//!
//! **A future that is dropped has sent nothing and holds no room.** *Tested by*
//! `tests/shared_writer.rs::a_future_that_is_dropped_has_sent_nothing_and_keeps_no_room`.
//!
//! **A removed value is dropped within one idle turn**, unless a reader holds a version that contains it, or there is
//! more to drop than a turn's bounded part. *Tested by*
//! `tests/shared_writer.rs::a_removed_value_is_dropped_within_one_idle_turn`.
//!
//! # Commands
//!
//! **Senders that wait for room are served in order**, threads and tasks alike, and no later sender overtakes them. A
//! future that is dropped passes its room on. *Tested by*
//! `mailbox::future::tests::waiting_tasks_are_served_in_the_order_of_their_first_poll`,
//! `mailbox::future::tests::threads_and_tasks_wait_in_one_order`,
//! `mailbox::future::models::no_sender_overtakes_the_queue`,
//! `mailbox::future::models::a_room_of_a_task_that_gives_up_goes_to_the_next_one`.
//!
//! **A report of a task waits for room without a thread**: [`Handle::submit_async`](crate::Handle::submit_async) never
//! refuses it because a lane is full, and sends nothing if it is dropped before. *Tested by*
//! `manager::tests::waking::a_report_of_a_task_waits_for_room_whatever_the_policy_is`,
//! `manager::models::reports_of_tasks_wait_for_room`.
//!
//! **A list of commands is visible as a whole or not at all**, in the order of the list, and a command of it that fails
//! or panics has no effect on the others: [`Handle::submit_all`](crate::Handle::submit_all). *Tested by*
//! `manager::tests::lists`, `manager::models::readers_see_all_of_a_list_or_nothing`.
//!
//! **The results of a turn are in place before the first of its tickets is told**, and a waker or callback that panics
//! keeps no other from being told. *Tested by*
//! `manager::tests::waking::the_results_of_a_turn_are_in_place_before_the_first_ticket_is_told`,
//! `ticket::models::tickets_that_are_settled_together_wake_their_threads`.
//!
//! **A driver in a task is woken by everything that it has to do at once**: commands, the shutdown, and effects that
//! were taken while commands had to wait for it. *Tested by* `manager::tests::waking`,
//! `manager::models::the_commands_of_two_threads_wake_a_driver`.
//!
//! **A ticket completes after its change is published**, and carries the version. *Tested by*
//! `manager::tests::a_ticket_completes_with_the_version_that_contains_its_change`,
//! `table::cell::models::a_completion_follows_its_version`.
//!
//! **Every command that the mailbox accepts is applied, or its ticket says why not.** The reasons are a deadline that
//! has passed, a panic, a more urgent command under [`ShedLowest`](crate::mailbox::Backpressure::ShedLowest), and the end of
//! the manager. Shutdown applies what was accepted until its own deadline passes; the tickets of the rest end with
//! `Closed`, as all do when the manager or its driver is dropped. A command that is refused comes back in the error.
//! *Tested by* `manager::tests::shutdown_applies_what_was_accepted_and_refuses_the_rest`,
//! `manager::models::a_shutdown_applies_exactly_what_was_accepted`,
//! `manager::models::a_dropped_manager_ends_every_ticket`,
//! `manager::tests::an_expired_command_is_not_applied_and_says_so`,
//! `manager::tests::a_shed_command_learns_of_it`, `manager::tests::pressure`,
//! `mailbox::models::what_was_accepted_is_received_before_closed`,
//! `mailbox::tests::errors_hand_the_command_back_and_read_in_lower_case`.
//!
//! **Effects arrive after the version that explains them**, in order. A newer count, announcement or notice replaces
//! an older one that still waits, at the position of the older one. *Tested by*
//! `manager::tests::effects_arrive_after_the_version_that_explains_them`,
//! `manager::run::outbox::queue::tests::order_is_kept_between_different_effects`,
//! `manager::run::outbox::queue::tests::counts_keep_the_place_of_the_older_and_the_value_of_the_newer`.
//!
//! # Bounds
//!
//! **Every queue and list has a bound**, in this table or in the text below it. *Tested by* the tests in the last
//! column.
//!
//! | data | bound | test |
//! |---|---|---|
//! | commands in the mailbox | the sum of its [`mailbox::Config`](crate::mailbox::Config) | `mailbox::tests::rooms_are_conserved_by_shedding`, `mailbox::semaphore::tests::no_more_rooms_are_taken_than_there_are` |
//! | senders that wait for room | the threads in a call, and the futures that were polled and not dropped | `mailbox::future::tests::a_send_that_is_dropped_at_any_point_loses_no_room_and_one_command_at_most` |
//! | commands of one version | [`Config::batch`](crate::Config::batch) | `manager::tests::pressure::a_turn_applies_no_more_than_its_batch` |
//! | links, streams per link | [`Config::max_links`](crate::Config::max_links), [`max_streams`](crate::Config::max_streams) | `manager::core::tests::commands::limits_on_links_and_streams_hold` |
//! | nets, ignored addresses per net | [`Config::max_nets`](crate::Config::max_nets), [`max_ignored`](crate::Config::max_ignored) | `manager::core::tests::settings::a_limit_below_what_is_there_refuses_new_entries_and_drops_nothing` |
//! | clusters, role members, permanent peers | [`Config::max_clusters`](crate::Config::max_clusters), [`max_roles`](crate::Config::max_roles), [`max_permanent`](crate::Config::max_permanent) | `manager::core::tests::settings::limits_on_clusters_and_peers_refuse_new_entries_and_drop_nothing`, `manager::core::tests::permanent::permanent_peers_are_bounded_and_need_room` |
//! | flapping links | [`FlapPolicy::entries`](crate::link::FlapPolicy::entries) | `manager::core::tests::flaps::entries_are_bounded_and_off_by_default` |
//! | timers | one per link | `manager::core::tests::liveness::time_alone_costs_bounded_memory` |
//! | effects and streams to close | see [the next section](#what-waits-for-the-transport) | `tests/backlog.rs` |
//! | tickets kept for reuse | [`Config::pooled_tickets`](crate::Config::pooled_tickets) | `tests/promises.rs::a_pool_keeps_no_more_slots_than_its_capacity` |
//! | metrics | four buffers, each for one report | `tests/allocation.rs::collecting_and_reading_metrics_allocates_nothing` |
//! | operations recorded for the second copy | the largest of 1,024, an eighth of the entries and the history of a feed; as many again for the staged batch | `tests/promises.rs::the_first_operation_after_a_batch_repeats_up_to_an_eighth_of_the_entries`, `tests/feed.rs::a_subscriber_that_never_reads_costs_bounded_memory` |
//! | history for feeds | twice [`TableBuilder::history`](crate::TableBuilder::history), shared by all feeds | `table::history::tests::what_fits_into_the_bounds_is_there_and_at_most_twice_as_much` |
//! | connections of a pipeline, with those that are closed and not removed yet | [`Builder::max_connections`](crate::cleanup::Builder::max_connections) | `cleanup::slots::tests` |
//! | connections in the queue of a worker | [`cleanup::Config::capacity`](crate::cleanup::Config::capacity) | `tests/cleanup.rs::b1_the_queue_is_bounded` |
//! | events in their grace, and for the sink | [`events_pending`](crate::cleanup::Config::events_pending), [`sink_capacity`](crate::cleanup::Config::sink_capacity) | `cleanup::grace::tests::r11_over_the_bound_the_event_is_due_at_once`, `cleanup::delivery::tests::r12_one_app_cannot_fill_the_queue` |
//! | queued operations of a shadow | [`Builder::queue`](crate::shadow::Builder::queue) for each side | `shadow::models::a_full_queue_skips_and_counts` |
//!
//! The application sets three bounds itself: the number of entries in a table of its own, the number of versions that
//! its snapshots, readers and feeds hold at the same time (or `max_versions`), and the number of threads that have
//! loaded at the same time.
//!
//! # What waits for the transport
//!
//! **The queue between the manager and its transport is bounded**, even if the transport never returns. *Tested by*
//! `tests/backlog.rs`, with a million refused streams, and
//! `manager::run::outbox::queue::tests::a_transport_that_never_answers_costs_bounded_memory`.
//!
//! | effect | entries at most |
//! |---|---|
//! | `Resolve` or `Dial`, `CancelDial`, `CloseDialer`, `CloseStreams` | one of each per address |
//! | `Announce`, `Released`, `LinkError` | one of each per address and net |
//! | `RequestLinks`, `LinkCountChanged` | one of each per net |
//! | `ClusterCountChanged` | one per cluster |
//! | refused streams in `CloseStreams` | none is added while [`Config::refused_streams`](crate::Config::refused_streams) streams wait to be closed, whether refused or left by removed links, of all addresses together |
//! | other streams in `CloseStreams` | those that links listed when they were removed |
//!
//! The addresses, nets and clusters are those that exist and those that were removed while their effects waited.
//! While [`Config::outbox`](crate::Config::outbox) plus [`Config::max_links`](crate::Config::max_links) effects and
//! streams wait, nothing new is accepted: a link, net, cluster or stream that would be added is refused with
//! [`LimitReached`](crate::CommandError::LimitReached) of `"effects"`. One turn, of at most
//! [`Config::batch`](crate::Config::batch) commands, can exceed the limit. Commands that remove are always accepted.
//!
//! **The cost of an effect does not depend on how many wait**, or for how many addresses: O(1), expected and
//! amortized. The memory is returned when the queue is empty. *Tested by*
//! `manager::run::outbox::queue::tests::what_a_stream_to_close_costs_does_not_depend_on_how_many_wait`,
//! `manager::run::outbox::queue::tests::an_outbox_that_has_drained_gives_its_memory_back`.
//!
//! # Saved sessions
//!
//! Of [`sessions`](crate::sessions) with a store; [`saving`](crate::sessions::saving) has the whole.
//!
//! **Stored versions of a session never go back, and a cleared or removed session does not come back.** One call of the
//! store per session is in progress at a time, with the newest change of that moment; a change that arrives late is
//! recognized by its number. *Tested by* `sessions::saving::models`, `sessions::saving::tests::properties`,
//! `sessions::saving::tests::registry::s18_a_removed_session_does_not_come_back_by_a_save_in_progress`,
//! `sessions::store::tests::a_file_store_keeps_the_contract`.
//!
//! **A session is dirty until its newest change is stored.** A failure or a panic of the store leaves it dirty.
//! *Tested by* `sessions::saving::tests::saver::s19_dirty_is_cleared_only_if_nothing_has_changed_meanwhile`,
//! `sessions::saving::tests::saver::faults::a_failure_keeps_the_session_dirty_and_is_repeated_after_a_growing_delay`,
//! `sessions::saving::tests::saver::faults::a_panic_of_the_store_counts_as_a_failure`.
//!
//! **A change that a flush has acknowledged survives `kill -9`.** After it, each session is in a state that a run wrote:
//! the acknowledged one, or a later one. Power failures are up to the file system and the hardware. *Tested by*
//! `tests/sessions_crash.rs`,
//! `sessions::store::file::tests::a_disk_that_fails_at_any_access_leaves_the_old_state_or_the_new_one`.
//!
//! **Damage of one session does not spread.** A file that is damaged at any byte is an error of the load of this
//! session only, and is kept aside. A save checks the header only: one that comes before the load replaces a file whose
//! header is whole, and keeps aside, and reports, one whose header is damaged or of a newer release. *Tested by*
//! `sessions::store::file::tests::a_save_or_a_deletion_over_a_file_that_cannot_be_read_keeps_it_aside_and_reports_it`,
//! `sessions::saving::tests::saver::faults::what_a_save_could_not_read_is_reported_and_the_save_goes_on`,
//! `sessions::store::file::tests::a_file_with_any_byte_changed_is_kept_aside_and_the_others_load`,
//! `sessions::store::file::tests::a_file_that_ends_early_at_any_byte_is_kept_aside_and_the_others_load`,
//! `sessions::store::file::tests::a_file_of_a_newer_format_is_kept_aside_and_the_others_load`.
//!
//! **Runs never wait for the store, and the store is called with nothing held.** A change takes a short lock of the saver.
//! *Tested by* `sessions::saving::tests::registry::s17_the_store_may_use_the_sessions_that_it_saves`,
//! `sessions::saving::tests::saver::faults::s17_the_store_and_destructors_are_called_with_nothing_held`,
//! `sessions::store::tests::reentry`.
//!
//! **A load neither replaces newer data nor brings a removed session back.** *Tested by*
//! `sessions::saving::tests::registry::s20_a_load_is_not_installed_over_what_was_written_meanwhile`,
//! `sessions::saving::models::a_session_that_is_removed_during_its_load_does_not_come_back`,
//! `sessions::saving::models::a_load_never_goes_back`.
//!
//! **A load does not meet an update.** It holds the session while it installs, or installs nothing. *Tested by*
//! `sessions::saving::models::a_load_and_an_update_at_the_same_time_lose_nothing_without_notice`,
//! `sessions::saving::tests::registry::s20_a_load_during_an_update_installs_nothing`.
//!
//! Not promised: that a change without a flush survives a crash; that the registry and its saver stay small while the
//! store fails, or no thread saves, and ever new keys are updated, cleared or removed; that a run that begins before its
//! session is loaded keeps what is stored.
//!
//! # Following
//!
//! **A [`Feed`](crate::table::Feed) delivers each version once, in order, or says that it has lagged.** The batches that
//! led to a version are part of that version, so there is no separate queue that could be ahead of the table or
//! behind it. A feed holds the version up to which it has delivered. It loads the newest one and takes the batches in
//! between from it. Either the list reaches back to the version that the feed holds, without a gap, and
//! is complete; or it does not, and [`Lagged`](crate::table::FeedEvent::Lagged) carries both ends. *Tested by*
//! `tests/feed.rs`, `table::feed::models::versions_are_contiguous_or_the_feed_has_lagged`,
//! `table::feed::models::a_closed_feed_has_delivered_everything`.
//!
//! **A [`LinksFeed`](crate::manager::LinksFeed) misses no version of a manager either.** Each event starts at the version
//! at which the one before it ended, and covers all versions up to the newest one. It is
//! [`Lagged`](crate::manager::LinksEvent::Lagged) if the list does not reach back to its start. *Tested by*
//! `tests/links_feed.rs`, `manager::models::a_links_feed_misses_no_version_and_ends_with_the_manager`.
//!
//! **The writer never waits for a subscriber.** It reads the number of subscribers once per batch and once per
//! publish. The history that it keeps for them is [bounded](crate::TableBuilder::history), and shared with the record
//! that it keeps for recycling. A leaked feed counts as a subscriber until the end of the process: the history stays,
//! and so do the one or two versions that the feed holds; [`Writer::stats`](crate::Writer::stats) shows it.
//! *Tested by* `tests/feed.rs::a_subscriber_that_never_reads_costs_bounded_memory`. *Follows from* the code of
//! `table/feed.rs` for the rest.
//!
//! **The first feed of a table can lag once through no fault of its own**: the version that was being prepared when it
//! subscribed may have no history, because the writer reads the number of subscribers before it publishes. A
//! thread that subscribes before a batch begins, in the sense of happens-before, misses nothing while the bounds hold.
//! *Tested by* `table::feed::models::a_new_feed_lags_at_most_once`,
//! `table::feed::models::a_feed_within_the_bounds_does_not_lag`,
//! `tests/feed.rs::a_feed_that_keeps_within_the_bound_never_lags`.
//!
//! **Subscribers run no destructors** either: a feed has the keys and values of a batch only as long as it
//! has the version to which they belong. *Follows from* the order of the fields in `table/feed/window.rs`: the batches
//! are dropped before the version, which holds them too.
//!
//! # Equal copies
//!
//! **A [`diff`](crate::Snapshot::diff) skips equal pages, and misses no change.** Each page has a stamp: the version
//! in which it may have been written last, so that its entries are those of that version at this place. The numbers of
//! published versions are never reused, and a batch that is discarded takes its pages with it. Two pages
//! for the same hashes with the same stamp therefore have the same entries, even if they are copies that were brought
//! to that version one after the other. *Tested by* `tests/diff.rs`,
//! `table::page_map::tests::a_diff_of_copies_that_take_turns_is_the_difference`.
//!
//! # Type-stable headers
//!
//! The table publishes through an `arc_swap::ArcSwap`, whose default strategy has a known defect: `load` and
//! `load_full` can return a value that was stored in *another* `ArcSwap` of the process, even one of another
//! type ([arc-swap issue 210](https://github.com/vorner/arc-swap/issues/210)). This requires an address that is
//! freed and allocated again while a reader is in the middle of a load.
//!
//! **A table never returns a value of another cell.** *Tested by*
//! `tests/adversary.rs::tables_never_return_foreign_values`, which finds such values in plain cells and looks for them
//! in tables beside those; by `table::cell::reuse` under loom; and by `tests/facade.rs`, which checks the version range
//! of `arc_swap` against its source.
//!
//! Tables are immune because of a rule: **every `Arc` that a table has ever published stays with
//! it until the table is dropped, and is published again only by the same table, and only when no reader holds
//! it.** The argument, step by step:
//!
//! 1. A reader inside a load holds the table. The address that it took from the table therefore belongs to a header
//!    of this table until the load returns: headers are not freed earlier, and no two live allocations have
//!    the same address. *Relies on: the rule; the allocator.*
//! 2. The record ("debt") that the reader leaves on that address is paid, if at all, by this table's writer,
//!    on this table's header: only a thread that has just swapped an address out of a cell pays for it, and no other
//!    cell can have had this one. *Relies on: 1; `arc_swap` paying in `swap` and in the drop of a cell only.*
//! 3. The load therefore returns a header of this table, counted for this reader. It was current during
//!    the load: it was confirmed to be, or it was swapped out after the record was made, or the writer had
//!    loaded it for the reader during the load. The same address may carry a newer version by then; the reader then
//!    gets the newer version. *Relies on: 2; `arc_swap`'s argument for a single cell.*
//! 4. When `swap` has returned, every reader that will ever return the old header from that publication is
//!    counted in it. A count of one therefore means that no reader has it or can get it before it is published again,
//!    and that the accesses of its last user happened before. *Relies on: the sequentially consistent operations in
//!    `arc_swap` 1.9.3; the release and acquire in the counter of `Arc`.* One of them matters more here than in an
//!    ordinary `ArcSwap`: the exchange in `Debt::pay`, **when it fails**. A writer that finds no debt must have
//!    acquired what the reader did before it withdrew its debt, or the count of one may be stale. This read must also
//!    be part of the single order of all sequentially consistent operations, or it may miss a debt that the reader
//!    has already confirmed. A reader that finds its debt paid must have acquired the payment, or it may read
//!    what the header carried in an earlier publication. Hence the version range `>=1.9.3, <1.10` of the
//!    dependency.
//! 5. A header is therefore changed only while no reader has it, and the safe `Arc::get_mut` enforces this.
//!
//! Plain `ArcSwap` cells elsewhere in the process remain exposed to the defect.
//!
//! # Model checking
//!
//! The models also run on real threads, as tests. Under a checker they run the code that ships, with smaller
//! constants and with stand-ins for the `ArcSwap` and for timed waits.
//!
//! | protocol | models | checker |
//! |---|---|---|
//! | publication, reuse, recycling, waiting for a version | `table::cell::models`, `table::models` | loom and shuttle |
//! | reuse of headers under weak memory, following `arc_swap` and `Arc` step by step | `table::cell::reuse` | loom |
//! | feeds | `table::feed::models` | loom and shuttle; `table::feed::models::a_new_feed_lags_at_most_once` under shuttle only |
//! | mailbox | `mailbox::models`, `mailbox::future::models`, `mailbox::semaphore::models`, `sync::ring::models` | loom and shuttle |
//! | tickets and their pool | `ticket::models` | loom and shuttle |
//! | metrics: counters, reports, collectors | `manager::run::meters::models`, `metrics::models` | loom and shuttle; `metrics::models::a_ticker_that_was_told_to_stop_does_not_tick` under loom only |
//! | a place, its queue, and those who wait for a change | `claim::models` | loom and shuttle |
//! | sessions: clears, removal, eviction, connections; their cell | `sessions::models`, `table::cell::slim` | loom and shuttle |
//! | the link manager, its driver and its shutdown | `manager::models` | shuttle |
//! | saving of sessions | `sessions::saving::models` | loom and shuttle; `sessions::saving::models::a_session_that_is_removed_during_its_load_does_not_come_back` under shuttle only |
//! | two managers side by side | `shadow::models` | shuttle |
//!
//! loom explores the orders of memory accesses that the C11 model allows, exhaustively up to a number of preemptions
//! (three, or `LOOM_MAX_PREEMPTIONS`; the quick pass uses two). shuttle runs random interleavings of sequentially
//! consistent steps; it does not reorder memory accesses. The manager is too large for loom: its argument is that every
//! hand-over between its threads goes through the mailbox, a ticket, a version, the outbox (under a lock) or the
//! metrics, which loom explores one by one.
//!
//! loom 0.7.2 does not try every order when one thread loads and then writes the same atomic. The facade makes it do
//! so. *Tested by* `sync::touched::models`. Each rule of the protocols has been broken on purpose to see a model fail,
//! and these deliberate bugs are kept and run again. The real `ArcSwap` is covered by `tests/adversary.rs` and
//! `tests/stress.rs`, and by property tests against a `HashMap` at every held version (`tests/table_model.rs`).
