//! Limits of the design, and when to use something else.
//!
//! # Table
//!
//! * **One writer.** Changes are serialized, and each publish costs a swap and the copies of shared pages. Data
//!   that many threads change all the time belongs in a concurrent map such as papaya, scc or dashmap. Data that
//!   never changes after startup belongs in a plain `HashMap` behind an `Arc`.
//! * **A reader sees whole versions only.** Two calls of [`Reader::get`](crate::Reader::get) may answer from two
//!   versions; take a snapshot when several answers must agree. A value that changes for every packet (bytes,
//!   round-trip times) belongs in an atomic inside the value, and is then newer than the version.
//! * **A held version stays in memory.** Its holder keeps alive the old copy of every page that has changed since. An
//!   idle [`Reader`](crate::Reader) holds one version until it is [released](crate::Reader::release) or dropped: use
//!   one reader per thread, not per task, and a snapshot per request elsewhere ([how](crate::Reader#tasks)).
//!   (`tests/idle_readers.rs`, `tests/tasks_memory.rs`)
//! * **Removed values are not dropped at once**: the writer drops them after the readers of their version have
//!   moved on, and after it has brought its second copy up to date, with the next two publishes or with
//!   [`Writer::reclaim`](crate::Writer::reclaim). Close sockets and files explicitly; do not rely
//!   on their destructors. (`tests/reclaim.rs`)
//! * **Readers decide how many versions exist**, unless
//!   [`TableBuilder::max_versions`](crate::TableBuilder::max_versions) limits them; with a limit, readers can hold up
//!   the writer. (`tests/max_versions.rs`)
//! * **Version headers are never freed while the table lives.** Their number is the largest number of versions
//!   that existed at the same time. (`tests/stats.rs`)
//! * **Some calls cost more than what they change**: dropping the writer or the last handle is O(entries), and the
//!   first operation after a large batch repeats up to an eighth of the entries. All of them are in the
//!   [guarantees](crate::docs::guarantees#the-cost-of-a-publish). (`tests/promises.rs`)
//! * **Two copies.** A table that recycles uses about twice the memory of one map, and three times while readers
//!   stay one version behind. Recycling can be turned off; publishing then copies each page it touches.
//! * **Keys and values are cloned** when a page is copied and when an operation is replayed on the second copy.
//!   Wrap large values in an `Arc`.
//! * **Many reader threads make publishing slower.** arc-swap keeps one record for each of the largest number of
//!   threads that ever loaded at the same time, and every publish visits all of them, even in tables that are created
//!   later. Read from a fixed pool of threads. (`tests/records.rs`)
//! * **A publish wakes all waiting threads, or none.** They share one condition variable: a thread that waits for a later
//!   version is woken together with one that is due, and sleeps again.
//! * **Iteration order is arbitrary** and may differ between two versions with the same entries. There is no
//!   range query.
//!
//! # Mailbox and ticket
//!
//! * **One receiver.** The mailbox is multi-producer, single-consumer.
//! * **Order holds within a lane, not across lanes.** A command of a higher priority overtakes earlier ones of a
//!   lower priority; a lower lane is served at least once in a stated number of commands
//!   (`mailbox::tests::low_is_served_once_in_limit_plus_three_takes`).
//! * **A future that waits for room may hold one.** The room is handed over before the future is polled again. A
//!   future that is kept without being polled or dropped keeps its room from the senders behind it.
//! * **Order costs throughput while a lane is full.** A room goes to the sender that has waited longest, which may be
//!   asleep, and not to one that happens to be running.
//! * **A ticket has one consumer**, which waits for the result, polls for it or registers a callback, once.
//!
//! # Tasks
//!
//! * **No future yields while there is something to do.** The futures of this crate need no runtime, and therefore do not
//!   take part in its cooperative budget. A task that loops over [`Feed::next`](crate::table::Feed::next),
//!   [`Receiver::recv_async`](crate::mailbox::Receiver::recv_async) or
//!   [`Sender::send_async`](crate::mailbox::Sender::send_async) keeps its thread as long as each of them is ready at
//!   once. Wrap the future in `tokio::task::coop::cooperative`, or yield after a number of items.
//! * **A waker that panics twice aborts the process**: when it is woken, and in its destructor, which then runs while the
//!   first panic unwinds. One panic of a waker is contained. The wakers of the known runtimes do not panic.
//! * **Wakers run on the thread that publishes, sends or receives**, after its work is done and outside of every lock.
//!
//! # Shared writer
//!
//! * **One operation at a time, confirmed, is slow**: an operation goes to another thread and its result comes back, which
//!   takes two wake-ups. It pays off when operations are sent without waiting, or by many threads or tasks at once: see
//!   [the figures](crate::docs::sharing#figures).
//! * **Two shared writers can wait for each other.** A transaction that sends to another shared writer waits while
//!   that one's queue is full; if a transaction there does the same in the other direction, both wait without end.
//!   Towards another writer, use the `try_` forms or
//!   [`reserve_timeout`](crate::SharedWriter::reserve_timeout). A transaction that waits for a thread which sends to
//!   the same writer has the same problem.
//! * **A value that owns a handle of its own shared writer keeps the table alive**: the handle keeps the table, and
//!   the table the value. Close the writer and remove such values, or let them own something else.
//! * **A panic while another one unwinds ends the process**, as in any Rust program: a key whose `Hash` panics and
//!   whose destructor then panics as well, or a waker that panics in `wake` and when it is dropped.
//! * **A transaction delays all operations behind it**, and their publish. (`tests/shared_writer.rs`)
//! * **An insertion or a removal that panics is only counted**: it has no ticket to say so. Use a transaction for
//!   keys and values whose code may panic. (`tests/shared_writer.rs::an_insertion_that_panics_has_changed_nothing`)
//! * **A second panic, while the first is taken back, discards the turn**, with insertions and removals of other threads
//!   (`table::shared::tests::a_panic_while_a_transaction_is_taken_back_discards_the_turn`).
//! * **The index cannot be changed beyond the entries** in a transaction: there is no
//!   [`index_mut`](crate::Writer::index_mut).
//! * **The queue has no priorities.** All operations are applied in the order in which they were accepted.
//!
//! # Sessions
//!
//! * **Cancelling is a request.** A run that does not look goes on. A clear can detach it, which fences off what it
//!   writes to the session, not what it does elsewhere.
//! * **A run that was handed over is held**, even if its waiter has not noticed. A [`Begin`](crate::sessions::Begin)
//!   that is kept without being polled or dropped keeps its session from those behind it.
//! * **A clear in a task excludes runs until it is polled to its end, or dropped**: a future of
//!   [`clear_async`](crate::sessions::Sessions::clear_async) that is kept without being polled keeps the session from all
//!   who would begin. (`tests/sessions_spec.rs::s11_a_second_clear_joins_the_first_and_a_begin_comes_before_or_after_it`)
//! * **Idle times end at 101 days**: a longer one is not noticed, so `prune` with more removes nothing.
//! * **Data is replaced as a whole**: [`Run::update`](crate::sessions::Run::update) makes a new value from the old one.
//!   Put large parts behind `Arc`s of their own.
//! * **Replaced data lives on while it is being read**: if a thread is in the middle of a read when an update or a clear
//!   replaces the data, the old value is dropped with a later update, or with the session
//!   (`table::cell::slim`).
//! * **Idle times are those that calls of [`prune`](crate::sessions::Sessions::prune) have seen**, because the end of a
//!   run reads no clock. The age of a run counts from [`Run::start`](crate::sessions::Run::start), or from the first
//!   caller that finds the session busy.
//!   (`sessions::tests::removal::a_use_between_two_prunes_starts_the_idle_time_again`)
//! * **No thread of the registry**: runs to be resumed expire when
//!   [`expire`](crate::sessions::Sessions::expire) is called, idle sessions go when `prune` is.
//! * **The destructor of a key must not panic**: it runs inside the map, at a time that the map chooses.
//!
//! # Saved sessions
//!
//! * **A crash loses the changes that were not stored.** Saving is behind the runs; a change that must not be lost needs
//!   [`Saver::flush`](crate::sessions::saving::Saver::flush) before it is acknowledged. (`tests/sessions_crash.rs`)
//! * **Sessions are not loaded by themselves.** A run that does not load its session works on the data of a new one, and
//!   what it writes replaces what is stored: see [`Sessions::load`](crate::sessions::Sessions::load).
//! * **Nothing is saved without a thread that does it**: one of
//!   [`Saver::spawn`](crate::sessions::saving::Saver::spawn), or of the program. Sessions whose data is not stored are
//!   not evicted: while no thread saves, or the store fails, the registry and its saver grow with the number of
//!   sessions that are changed, also above [`max_idle`](crate::sessions::SessionsBuilder::max_idle).
//! * **A session is saved as a whole.** A save costs O(size of the session), however small the change.
//! * **A call of the store cannot be interrupted.** One that hangs keeps its session dirty, and the thread that calls it:
//!   other sessions need a second thread.
//!   (`sessions::saving::tests::saver::a_shutdown_does_not_wait_for_ever_for_the_store_and_neither_does_a_drop`)
//! * **A store belongs to one registry.** `FileStore` locks its folder
//!   (`sessions::store::file::tests::a_folder_has_one_store_at_a_time`); of two that use one SQLite database, the later one
//!   wins. The lock is advisory, and on network file systems it may not work.
//!
//! # Disconnects
//!
//! * **An entry that cannot be removed stays in the table**: if [`Entry::groups`](crate::cleanup::Entry::groups), or `Hash` or
//!   `Eq` of a group, panics in the removal by itself, the index cannot be told. The slot and the resources are freed, the
//!   connection is counted as failed, and [`on_poison`](crate::cleanup::Builder::on_poison) is called.
//!   (`cleanup::pipeline::tests::r13_a_connection_whose_removal_panics_is_isolated`)
//! * **Delivery is at least once.** A sink that took an event and then panicked, or said that it did not, gets it again.
//! * **`Hash`, `Eq`, `Clone` and `Drop` of apps and groups run under the lock of the events**, and must be cheap, must not
//!   block and must not call the pipeline.
//! * **Resources and dead letters are dropped, or handed over, by the thread that drives the writer**, or by one that closes
//!   or delivers. They must not block, and must not wait for the writer.
//! * **The slots are allocated at the start**, about 100 bytes for each of
//!   [`max_connections`](crate::cleanup::Builder::max_connections).
//! * **Threads wait by the clock of the operating system**, whatever the clock of the pipeline.
//! * **A sink that holds a handle of its pipeline keeps it alive**: end that one by a drain, or by
//!   [`CleanupThreads::shutdown`](crate::cleanup::CleanupThreads::shutdown).
//! * **One node.** What other nodes have in the same group is unknown here.
//!
//! # Link manager
//!
//! * **No wire protocol, no socket, no name resolution.** The manager decides; a transport carries the decisions
//!   out and reports back.
//! * **A stuck transport slows the host down.** Once [`Config::outbox`](crate::Config::outbox) effects wait, commands
//!   of the host, except `set_active`, are taken one batch every 100 ms, and later nothing new is added
//!   (`manager::tests::the_host_gets_a_batch_through_a_congested_outbox_now_and_then`, `tests/backlog.rs`).
//! * **An address must not call the manager** in its `Clone`, `Eq`, `Hash` or `Drop`: effects are merged by their
//!   addresses under the lock of the outbox.
//! * **Reports are trusted.** A transport that reports a stream it does not have, or reuses the identity of one,
//!   makes the table wrong.
//! * **Nothing is persisted automatically.** An export is taken when the host asks for it, and contains what cannot be
//!   rediscovered. Streams and memberships end with the process.
//! * **One process.** Tables in different processes are not synchronized.
//!
//! # Platforms
//!
//! The tests run on x86-64 Linux. The crate has no platform-specific code of its own; 64-bit atomics and threads
//! are required.
