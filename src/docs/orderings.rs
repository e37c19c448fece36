//! Every pair of atomic operations on which a hand-over between two threads relies.
//!
//! Reference counting is the responsibility of `Arc`; it is listed only where a thread relies on being the only
//! owner. Each edge is explored by the models of its module, under loom: `table::cell::models`, `table::models`,
//! `table::feed::models`, `table::watch::models`, `mailbox::models`, `mailbox::future::models`,
//! `mailbox::semaphore::models`, `ticket::models`, `table::shared::models`, `claim::models`, `sessions::models`, `cleanup::models`,
//! `manager::run::meters::models` and `metrics::models`. The test
//! `tests/promises.rs` checks that the methods named here exist.
//!
//! # Table
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | T1 | `Publisher::publish`: swap of the current version (`arc_swap`, sequentially consistent) | `SnapshotCell::load` | the contents of the version |
//! | T2 | `Publisher::publish`: the version counter, `Release`, after T1 | `SnapshotCell::version`, `Acquire` | T1: a thread that sees the number loads that version or a newer one |
//! | T3 | `SnapshotCell::load`: the version counter, `fetch_max`, `Release`, after it has read T1 | `SnapshotCell::version`, `Acquire` | T1, handed on; and that no reader is behind what another thread has loaded |
//! | T4 | `Arc` drop by a reader, `Release` | `Arc::get_mut` by the writer, `Acquire` | all reads of a version happen before its header or its state is changed |
//! | T5 | `Waiters::wait` and `Waiters::register`: the target, then `fence(SeqCst)`, then reads the version | `Publisher::publish`: the version, then `fence(SeqCst)` and reads the target in `Waiters::notify` | at least one of the two sees the other: no lost wake-up |
//! | T6 | `Waiters::close`: the flag, `Release` | `Waiters::is_closed`, `Acquire` | the last version: "closed" is reported only for versions that were never published |
//!
//! A feed adds no edge. The history of a version is part of its contents (T1). The feed learns of newer versions by
//! T2, waits by T5, and learns of the end by T6, where it reads the flag before the version. Futures add none either:
//! their wakers are under the lock of the waiters.
//!
//! The relaxed accesses, and what orders them:
//!
//! | access | ordered by |
//! |---|---|
//! | `SnapshotCell::load` reads the counter | nothing: a value that is too small costs one needless `fetch_max`; a value that is large enough remains so for every thread that learns of it, by coherence |
//! | the number of followers | nothing: a publish that misses a new one creates a version without a history, and the follower detects this from the version; a publish that misses the end of the last one records a batch that is not used |
//! | the target of the waiters | writes by their lock, reads by the fences of T5 |
//!
//! # T5 in both orders
//!
//! ```text
//! waiter, under the lock                writer
//! W1  target.store(wanted, Relaxed)     P1  version.store(v, Release)
//! W2  fence(SeqCst)                     P2  fence(SeqCst)
//! W3  version.load(Acquire)             P3  target.load(Relaxed)
//! ```
//!
//! If W2 comes before P2, then P3 reads the target of W1 or a later one. A later one is a smaller target, or
//! the reset that the writer itself made when it woke the waiters. Having read the target, the writer takes the
//! lock, which a thread holds until it is asleep, and a task until it is in the list, and then wakes them. If P2
//! comes before W2, then W3 reads the version of P1 or a later one, and the waiter does not sleep.
//!
//! A task or a thread that stays asleep when the writer resets the target does not set it again: the writer resets it to
//! the smallest version that those wait for, under the lock. The next publish is on the same thread. A thread that it
//! wakes starts again at W1.
//!
//! # Mailbox
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | M1 | `Ring::push` (`crossbeam_queue`) | `Ring::pop` | the command, and everything the sender did before |
//! | M2 | `Semaphore::release`: the word, `Release` | `Semaphore::exchange`, `Acquire`, for a sender or for the first one of the queue | the slot is empty before the next push into it |
//! | M3 | `Semaphore::close`: the word, `Release` | `Semaphore::is_closed`, `Semaphore::is_drained`, `Acquire` | everything the closing thread did before |
//! | M4 | `Shared::remove_sender`, `AcqRel` | itself | everything each sender did happens before the close by the last one |
//! | M5 | `Parking::prepare`: PARKED, then `fence(SeqCst)`, then checks for work | `Parking::notify`: after a push, `fence(SeqCst)`, then reads the state | at least one of the two sees the other: the receiver never sleeps with a command queued and no notice left |
//! | M6 | `Semaphore::acquire_or_await`: the mark, under the lock of the queue | `Semaphore::release` and `Semaphore::close`, by the same word | no sender waits while a room is free: of two changes of one word, the later one sees the earlier one, so the sender that marks finds the room, or the thread that gives it back finds the mark, takes the lock, and hands the room over |
//! | M7 | `Parking::leave`: GONE, then `fence(SeqCst)`, then empties the rings | `Parking::notify`, as M5 | a push that comes too late is dropped by one of the two |
//! | M8 | `Parking::ask_to_wake`, `Release` | `Parking::take_wake`, `Acquire` | everything the caller of `wake` did before |
//! | M9 | `Shared::note_handed_back`, `Release` | `Shared::handed_back`, `Acquire` | the counter of the reason: refused, shed or timed out |
//!
//! The head comment of `mailbox/parking.rs` shows M5 in both orders; M7 has the same shape. The event that a
//! sender announces in M5 is a push, a close, the return of the last room, or M8.
//!
//! | access | ordered by |
//! |---|---|
//! | `Semaphore::acquire` reads the word | nothing: a guess that the exchange confirms; a sender that is about to wait exchanges it in M6 |
//! | the state of the parking | the fences of M5 and M7; the notice by its lock |
//! | `Parking::is_gone` | nothing: a hint; M7 decides |
//! | the mark of a lane | M6; it is removed under the lock of the queue, and a thread that sees the removal late takes that lock, or is refused as if the removal came later |
//! | the waker of the receiver | its lock: a sender that exchanges the state of M5 takes the lock after the receiver has left the waker |
//! | `Parking::take_wake` reads before it exchanges | nothing: the exchange is M8; a request made before M5 is visible after its fence |
//!
//! # Ticket
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | K1 | `Slot::finish`: the flag, `Release`, under the lock | `Slot::is_done`, `Acquire` | everything the completing thread did before, without the lock |
//! | K2 | `Arc` drop by each end, `Release` | `Pool::ticket`: `Arc::get_mut`, `Acquire` | everything both ends did with a slot happens before it is reused |
//! | K3 | `Ring::push` of the pool | `Ring::pop` of the pool | the slot, from one thread that creates tickets to the next |
//!
//! All other state of a ticket is under its lock. `Slot::renew` resets the flag, relaxed, in a slot that is exclusive
//! by K2. The writer of a manager publishes before it completes a ticket, so a thread that sees K1 or takes the
//! result finds the version by T1 and T2.
//!
//! # Shared writer
//!
//! Operations travel by M1, versions by T1, results by K1. One pair is its own:
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | S1 | `Common::abort`, `Release`, then `Parking::ask_to_wake` | `Common::is_aborted`, `Acquire` | everything the thread did that gives up; a writer that sleeps is woken by M8, and finds the flag |
//!
//! | access | ordered by |
//! |---|---|
//! | the counters of `table/shared/stats.rs` | one thread writes, with a load and a store; a driver that moves to another thread takes them along |
//!
//! # Sessions
//!
//! The place of a run is one word. All changes of it are exchanges, `AcqRel`, in `ClaimWord::change`.
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | C1 | `ClaimWord::release`, `ClaimWord::hand_over`, `ClaimWord::displace`, `ClaimWord::end_clear`, `ClaimWord::end_clear_for` | `ClaimWord::claim`, or the waiter to whom the place is handed over, by the lock of the queue | everything the last holder, or the last clear, did |
//! | C2 | `ClaimWord::cancel` | `ClaimWord::state`, `Acquire`; `ClaimWord::start` | everything the thread that asked the run to stop did before |
//! | C3 | `ClaimWord::await_change`: the mark, under the lock of the list | every change for which someone may wait, by the same word | no lost wake-up: of a mark and a change, the later one sees the other, so the waiter sees the change, or its thread sees the mark, takes the lock and wakes the waiter |
//! | C4 | `ClaimWord::end_clear`, with a new generation, after the number of clears | `ClaimWord::claim`, `ClaimWord::hand_over`: the word, `Acquire`, then the number, then the exchange of that word | the epoch of a run is that of its claim: a clear in between makes the exchange fail |
//!
//! | C5 | `ClaimWord::enqueue`, `ClaimWord::empty_queue`: the mark of the queue, under its lock | `ClaimWord::release` | a release that finds the mark takes the lock, and hands over; of a release and a mark, the later one sees the other, so the waiter claims the place, or is found |
//! | C6 | `ClaimWord::list`, after a change of the hints | `ClaimWord::release`, of a run that ends later | the hints: a session that was listed while it had a run, and could not be evicted, is listed again by the end of that run |
//!
//! The data of a session is published by the cell (T1), together with its version and the number of clears. Writers
//! and the connection are under the lock of the session; so is the comparison that decides whether a run may write.
//!
//! | access | ordered by |
//! |---|---|
//! | the number of clears | written under the lock; read under the lock, or by C4 |
//! | the floor of versions and epochs | raised before a session leaves the map, read after the next one was inserted |
//! | the first epoch of a session | nothing: written once |
//! | the hints: blank, connected | the exchanges of the hints: of two threads that change them, the later one sees both; C6 |
//! | the start of a run, the request to stop, the time since which a session is idle | nothing: the value names the claim that it belongs to |
//! | the length at which idle sessions are looked for | nothing: a guess |
//! | the marks of a session for its saver | changed under the lock of the saver, which each load of the session takes; an eviction reads them without it, and has nothing else to read from the saver. The number of a deletion is accessed under the lock of the session |
//!
//! Saving adds no edge: its changes, jobs and loads are under the lock of the saver, which `sessions::saving::models`
//! explores.
//!
//! # Disconnects
//!
//! The slot of a connection is such a word, too: C1 and C2 carry what its last owner did. The queues, the events and the
//! resources are under locks.
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | D1 | the drop of `Visible`, `Cleaning::park`: the end of a connection, `Release` | `Slot::end`, `Acquire` | a sweep that sees the end finds the resources in their place, and not the thread that has closed it still at them |
//! | D2 | `Counter::add`, `Release` | `Counter::get`, `Acquire` | a reader that sees a move sees the moves before it: the figures add up |
//! | D3 | `Shared::stop`, `Release`, then each lock that a thread waits with | `Shared::is_stopped`, `Acquire`; under those locks before each wait | a thread sees the stop, or is waiting and is woken |
//!
//! | access | ordered by |
//! |---|---|
//! | the number of a transaction | drawn by the one writer; read after its ticket is complete (K1) |
//! | the word of the breaker, the permits of callers, the settings that change | nothing: each is one word, and a decision |
//! | whether a worker is open, whether the pipeline drains | nothing: hints; the queue decides under its lock, and a drain looks at the slots |
//! | the figures of the events | copied under their lock; each is read on its own |
//!
//! # Manager
//!
//! Commands travel by M1, versions by T1, results by K1, and the outbox is under its lock. One pair is its own:
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | L1 | `Pulse::beat`, `Release` | `Meters::pulse`, `Acquire` | the counters that the writer changed before that beat |
//!
//! | access | ordered by |
//! |---|---|
//! | `SharedOutbox::panics`, `Counters`, `ManualClock` | nothing: each is an independent counter or value |
//! | the counters of `manager/run/meters.rs` | one thread writes, with a load and a store; a `Driver` that moves to another thread takes them along |
//!
//! # Shadow
//!
//! There is no pair of its own: queues and answers are under their locks.
//!
//! | access | ordered by |
//! |---|---|
//! | `ManagerStore`: the newest version named by a ticket | nothing: the ticket has ordered the version itself (K1, T2); a query waits for the number that it finds |
//! | `Recorder`: the number of comparisons, panics of callbacks | nothing: independent counters |
//!
//! # Metrics
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | R1 | `Board::publish`: the number of the newest report, `Release` | `Board::read_first`, `Acquire` | the words of that report |
//! | R2 | `Board::publish`: `fence(Release)`, then the words of a copy | `Board::read_first`: the words, then `fence(Acquire)` | that the report before is already the newest: a reader that sees a word of a later report in its copy finds that out, and reads again |
//! | R3 | `Board::publish`: the mark, `Release`, after R1 | `Board::is_of`, `Acquire`, before it reads the current counters | the report of that mark; and that none of these counters is older than in it |
//!
//! The counters and the words carry only themselves: they are relaxed. Two reports are published one after the other
//! under the lock, and the later one reads the counters later, so no counter decreases from one to the next.
//! `metrics/board.rs` explains R1 and R2 step by step.
