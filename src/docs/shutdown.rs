//! How things end, step by step, and the races on the way.
//!
//! # `LinkManager::shutdown`
//!
//! 1. The order travels through the critical lane of the mailbox. If the lane is full, `shutdown` waits for
//!    room.
//! 2. The writer finishes the turn in which it took the order.
//! 3. It closes the mailbox: every send from now on is refused, and senders that wait for room give up.
//! 4. It drains: what was accepted is applied and published, turn by turn, until the mailbox is closed *and*
//!    no room is taken. A send that was accepted before the close and has not pushed yet holds a room, so it
//!    is waited for. At the deadline what is left ends with `Closed`.
//! 5. Every link is closed and every net removed; the empty table is published; the effects that close the
//!    connections join the outbox.
//! 6. The outbox is marked as ended. The writer drops the mailbox and the table's writer, completes the
//!    report, and its thread ends; `shutdown` joins it.
//! 7. The transport's thread delivers what is left until the outbox is empty or the deadline has passed, and
//!    ends; `shutdown` joins it if it does so in time.
//!
//! # Who wakes whom
//!
//! | who waits | for what | who wakes it | if that party dies |
//! |---|---|---|---|
//! | the writer | a command | every send; `shutdown`; the courier when a congested outbox drains | nobody is left to serve; the next tick passes |
//! | a blocked sender | room | the writer, for each command it takes; the close | the receiver's drop closes the mailbox |
//! | a ticket | its result | the writer; the drop of the completion | the completion is dropped with the mailbox |
//! | the transport's thread | an effect | the writer; `end` | the driver's drop calls `end`, also when the writer panics |
//! | a metrics collector | its period, or a request | `collect_now`; `stop` | its owner's drop tells it to end |
//! | `Collector::stop` | the end of the thread | the thread, when its sink returns | a panic of the sink is contained |
//! | `wait_for` | a version | each publish; the writer's drop | as before |
//!
//! # Races
//!
//! * *Send against close.* A send is accepted by taking a room, and the close forbids taking. Whoever took a
//!   room before will push, and step 4 waits for it. (Model: `a_shutdown_applies_exactly_what_was_accepted`.)
//! * *Push against the receiver's drop.* After its push a sender looks whether the receiver is gone, and the
//!   receiver says so before it empties the lanes: one of the two sees the other and drops the command, whose
//!   ticket ends.
//! * *Shutdown against drop.* Dropping the manager sends the order and does not wait. A `shutdown` that gave
//!   up waiting has sent its order, and no second one without its deadline follows.
//! * *A callback that never returns.* The writer does not wait for the transport. `shutdown` leaves the
//!   thread behind and says so in its report.
//!
//! * *`Collector::stop` against itself, a tick, or the sink.* It says so, takes the thread out of its place,
//!   lets go of both locks, and joins. A second call finds no thread and returns; a call from the sink leaves
//!   the thread for another one to join.
//!
//! # `Drop`
//!
//! | what | does |
//! |---|---|
//! | `LinkManager` | asks the writer to end; waits at most a second for room in the critical lane |
//! | `Driver` | closes the mailbox; tickets that wait end with `Closed`; ends the outbox |
//! | `Writer` | marks the table as closed; its last version stays readable |
//! | `Collector` | tells its thread to end, without waiting |
//! | `Receiver` | closes the mailbox and drops what is queued |
//! | `Completion` | gives its ticket `Closed` |
//! | `Ticket` | the result is dropped by whoever completes |
//! | `Shadow` | refuses what is queued and waits for nobody; its workers end when their store lets them |
//!
//! # `Shadow::stop`
//!
//! 1. New operations are refused; callers that wait for room give up with `Closed`. Both workers are woken.
//! 2. Each worker performs its queue to the end, and ends. Answers are compared as ever.
//! 3. `stop` waits for both up to the time-out and joins those that have ended.
//! 4. What is still queued is skipped and counted; its callers get `Closed`. A worker that is stuck in its
//!    store is left behind, keeps the store alive, and ends when the store returns.
//!
//! A caller is woken by the worker that has its answer, or by step 4; if the worker is stuck, its deadline
//! passes. A worker is woken by every operation and by step 1. Where a resynchronization waits for the other
//! side, it ends with that side's export, with its panic, or with step 4.
