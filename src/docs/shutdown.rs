//! Shutdown and drop, step by step, with the races involved.
//!
//! # `LinkManager::shutdown`
//!
//! 1. The request does not pass through the mailbox: `shutdown` stores it beside the mailbox and wakes the writer, so a
//!    full lane does not delay it.
//! 2. The writer finishes the turn in which it received the request.
//! 3. It closes the mailbox: every later send is refused, and senders that wait for room give up.
//! 4. It drains: accepted commands are applied and published, turn by turn, until the mailbox is closed *and*
//!    no room is taken. A send that was accepted before the close and has not pushed yet holds a room, so the
//!    writer waits for it. At the deadline, the remaining commands end with `Closed`.
//! 5. Every link is closed and every net removed; the empty table is published; the effects that close the
//!    connections join the outbox.
//! 6. The outbox is marked as ended. The writer drops the mailbox and the table's writer, completes the
//!    report, and its thread ends; `shutdown` joins it.
//! 7. The transport's thread delivers the remaining effects until the outbox is empty or the deadline has passed, and
//!    ends; `shutdown` joins it if it does so in time.
//!
//! # A shared writer
//!
//! The steps of [`WriterThread::shutdown`](crate::table::shared::WriterThread::shutdown); a driver without a thread of
//! its own takes steps 2 and 3 in its turns.
//!
//! 1. The mailbox is closed: new operations are refused, and threads and tasks that wait for room give up. Dropping the
//!    last handle does the same.
//! 2. The writer applies what was accepted, turn by turn, until the mailbox is closed *and* no room is taken: it waits
//!    for permits. It publishes, and completes the tickets. If the table refuses to publish because too many versions are
//!    held, it tries again.
//! 3. It drops the receiver and hands the [`Writer`](crate::Writer) over; the thread ends, and is joined. If it was
//!    detached, it drops the writer, which closes the table.
//! 4. If the time is up before that, the operations that are still queued are given up after the one in progress, without
//!    waiting for permits, and so are changes that could not be published: their tickets say `Closed`. The call
//!    returns without waiting for that.
//!
//! On the thread itself (in a transaction, a callback, a destructor) the call performs step 1 and returns.
//!
//! # A saver
//!
//! The steps of [`SaverThread::shutdown`](crate::sessions::saving::SaverThread::shutdown). End the runs first: what they
//! write later is not saved.
//!
//! 1. The calling thread saves what is dirty, each session once, until the time is up. It waits for saves that the
//!    thread has begun, when it has saved all others.
//! 2. The thread is asked to end, and is joined. Only if it is in a call of the store, it is waited for by the clock, and
//!    left alone when the time is up.
//! 3. If some sessions could not be saved, the call says how many, and why. They remain in the saver, for another flush.
//!
//! # A cleanup pipeline
//!
//! The steps of a [`Drain`](crate::cleanup::Drain), each as often as [`step`](crate::cleanup::Drain::step) is called:
//!
//! 1. No connection is opened any more. One that was being opened is found when it is open.
//! 2. Connections are closed, evenly by the rate, or all at once. Their resources are told at that moment.
//! 3. The workers remove them; what no queue took is swept without waiting for its age.
//! 4. When no slot is in use, pending events are due, or are dropped, and the sink gets what there is.
//! 5. When nothing waits, or the time is up, the pipeline is stopped: what is still open is closed, the queues take no more,
//!    the workers hand out what is queued, events that were not delivered become dead letters, and the threads end. The
//!    report counts what is left.
//!
//! Dropping the last handle, or [`CleanupThreads::close`](crate::cleanup::CleanupThreads::close), performs step 5 alone, and
//! closes nothing. No drop waits. A thread in a call of the sink ends after it.
//!
//! # Waits and wake-ups
//!
//! | waiter | waits for | woken by | if the waker dies |
//! |---|---|---|---|
//! | the writer | a command | every send; `shutdown`; the transport worker when a congested outbox drains | no command can come; the next tick passes |
//! | a shared writer, thread or task | an operation | every send; a permit that is dropped; the close; the drop of the last handle; an abort, unless the queue has ended while the table refuses to publish: then the next attempt, after 64 ms at most | a handle that is dropped by a panic counts as dropped |
//! | a task that runs a driver | a command | every send; `shutdown`; taking effects from a congested outbox | the timer for the instant of the next turn |
//! | a sender, thread or task | room | the receiver, for each command it takes; a permit or a waiting sender that is dropped; the close | the receiver's drop closes the mailbox |
//! | a ticket | its result | the writer; the drop of the completion | the completion is dropped with the mailbox |
//! | the transport's thread | an effect | the writer; `end` | the driver's drop calls `end`, even when the writer panics |
//! | a metrics collector | its period, or a request | `collect_now`; `stop` | its owner's drop asks it to end |
//! | `MetricsCollector::stop` | the end of the thread | the thread, when its sink returns | a panic of the sink is contained |
//! | the thread of a saver | a change that is due | each change; the end of a save; `shutdown`; its owner's drop | a panic of the store is contained |
//! | a flush | a save by another thread | the end of that save | as before |
//! | a load | a read by another thread | the end of that read | as before |
//! | a worker of a pipeline | a task, or the end of a linger | each close that finds it parked; a batch that panicked; `close_worker`; the stop | a panic of the worker itself is contained, and it goes on; of another thread: the sweep finds the connection |
//! | a worker of a pipeline | room in the queue of the writer | the writer; after 100 ms it looks whether it is to end | the writer's drop closes the queue |
//! | a thread of the sink | an event that is due | each transaction with events; the stop; its deadline | as before |
//! | the thread that sweeps | the interval | the stop; its deadline | as before |
//! | a drain | a removal or a delivery | each; after 10 ms at most it looks again | as before |
//! | `wait_for` | a version | each publish; the writer's drop | as before |
//! | `changed`, `reached`, the `next` of a feed | a version | the publish of that version; the writer's drop | as before |
//!
//! # Races
//!
//! * *A close against a worker that parks, or ends.* Both are under the lock of the queue: a worker parks only if nothing has
//!   come since it looked, and ends only if the queue is closed and no room in it is reserved. (Model:
//!   `cleanup::models::r19_a_parked_worker_misses_no_task_and_no_close`.)
//! * *A drain against opens and closes.* A drain counts connections by their slots, and goes back to closing when one was
//!   opened meanwhile. (Model: `cleanup::pipeline::models::r18_a_drain_and_reports_end_each_connection_once`.)
//! * *Send against close.* A send is accepted by taking a room, and the close forbids taking. A
//!   sender that took a room before the close pushes afterwards, and step 4 waits for it. (Model: `a_shutdown_applies_exactly_what_was_accepted`.)
//! * *Push against the receiver's drop.* After its push, a sender checks whether the receiver is gone, and the
//!   receiver marks itself as gone before it empties the lanes: one of the two sees the other and drops the
//!   command, whose ticket ends.
//! * *An abort against a writer that falls asleep.* The abort sets its flag, and then asks the receiver to wake; the
//!   writer looks at the flag in each turn, and sleeps only without such a request. (Model:
//!   `table::shared::models::an_abort_does_not_wait_for_a_permit`.)
//! * *Shutdown against drop.* Dropping the manager makes the request and does not wait. A `shutdown` that timed out has
//!   made its request, and no second one without a deadline follows.
//! * *A callback that never returns.* The writer does not wait for the transport. `shutdown` detaches the
//!   thread and says so in its report.
//! * *`MetricsCollector::stop` against itself, a tick, or the sink.* It marks the collector as stopped, takes the join
//!   handle, releases both locks, and joins. A second call finds no handle and returns; a call from the sink
//!   leaves the handle for another caller to join.
//!
//! # `Drop`
//!
//! | type | effect of its drop |
//! |---|---|
//! | `LinkManager` | asks the writer to end, without waiting |
//! | `Driver` | closes the mailbox; waiting tickets end with `Closed`; ends the outbox |
//! | `SharedWriter`, the last | closes the mailbox; the writer applies what was accepted, and ends |
//! | `shared::WriterThread` | detaches the thread |
//! | `shared::Driver` | closes the mailbox and the table; waiting tickets end with `Closed` |
//! | `Writer` | marks the table as closed; its last version stays readable |
//! | `MetricsCollector` | asks its thread to end, without waiting |
//! | `Receiver` | closes the mailbox and drops the queued commands |
//! | `Completion` | gives its ticket `Closed` |
//! | `Ticket` | the completing thread drops the result |
//! | `Shadow` | refuses queued operations and does not wait; each worker ends when its store returns |
//!
//! # `Shadow::stop`
//!
//! 1. New operations are refused; callers that wait for room give up with `Closed`. Both workers are woken.
//! 2. Each worker finishes its queue and ends. Answers are still compared.
//! 3. `stop` waits for both up to the timeout and joins those that have ended.
//! 4. Operations that are still queued are skipped and counted; their callers get `Closed`. A worker that is stuck in its
//!    store is detached, keeps the store alive, and ends when the store returns.
//!
//! A caller is woken by the worker that has its answer, or by step 4; if the worker is stuck, its deadline
//! passes. A worker is woken by every operation and by step 1. A resynchronization that waits for the other
//! side ends with that side's export, with its panic, or with step 4.
