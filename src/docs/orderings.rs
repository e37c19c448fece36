//! Every pair of atomic operations that one thread relies on another for.
//!
//! Counting references is the business of `Arc`, and listed only where somebody relies on being alone.
//!
//! # Table
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | T1 | `Publisher::publish`: swap of the current version (`arc_swap`, sequentially consistent) | `SnapshotCell::load` | the contents of the version |
//! | T2 | `Publisher::publish`: the version counter, `Release`, after T1 | `SnapshotCell::version`, `Acquire` | T1: whoever sees the number loads that version or a newer one |
//! | T3 | `SnapshotCell::load`: the version counter, `fetch_max`, `Release`, after it has read T1 | `SnapshotCell::version`, `Acquire` | T1, handed on; and that no reader is behind what another thread has loaded |
//! | T4 | `Arc` drop by a reader, `Release` | `Arc::get_mut` by the writer, `Acquire` | all reads of a version come before its header or its state is changed |
//! | T5 | `Waiters::wait`: the target, then `fence(SeqCst)`, then reads the version | `Publisher::publish`: the version, then `fence(SeqCst)`, then reads the target | one of the two sees the other: no lost wake-up |
//! | T6 | `Waiters::close`: the flag, `Release` | `Waiters::is_closed`, `Acquire` | the last version: "closed" is said only of versions that never came |
//!
//! A feed adds no edge: the history of a version is part of its contents (T1), it asks for newer versions by
//! T2, waits by T5, and learns of the end by T6, where it reads the flag before the version.
//!
//! The relaxed accesses, and what orders them:
//!
//! | access | ordered by |
//! |---|---|
//! | `SnapshotCell::load` reads the counter | nothing: too small a value costs one needless `fetch_max`; and a value that is large enough stays so for whoever learns of it, by coherence |
//! | the number of followers | nothing: a publish that misses a new one makes a version without a history, which the follower finds out from the version; one that misses the end of the last records a batch for nobody |
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
//! the reset that the writer made itself when it woke everybody. With the target in hand the writer takes the
//! lock, which the waiter has until it is asleep, and then notifies. If P2 comes before W2, then W3 reads the
//! version of P1 or a later one, and the waiter does not sleep.
//!
//! # Mailbox
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | M1 | `Ring::push` (`crossbeam_queue`) | `Ring::pop` | the command and what the sender did before |
//! | M2 | `Rooms::give_back`: the word, `Release` | `Rooms::take`, `Acquire` | the slot is empty before the next push into it |
//! | M3 | `Rooms::close`: the word, `Release` | `Rooms::is_closed`, `Rooms::is_drained`, `Acquire` | what the closer did before |
//! | M4 | `Shared::remove_sender`, `AcqRel` | itself | what each sender did comes before the close by the last one |
//! | M5 | `Parking::prepare`: PARKED, then `fence(SeqCst)`, then looks around | `Parking::announce`: after a push, `fence(SeqCst)`, then reads the state | one of the two sees the other: no sleep with a command and without a notice |
//! | M6 | `Lane::take_room_parked`: registers, then `fence(SeqCst)`, then looks for a room | `Lane::give_back` and `Lane::close`: the word, then `fence(SeqCst)`, then reads the registrations | no sender sleeps beside a free room |
//! | M7 | `Parking::leave`: GONE, then `fence(SeqCst)`, then empties the rings | `Parking::announce`, as M5 | a push that comes too late is dropped by one of the two |
//! | M8 | `Parking::ask_to_wake`, `Release` | `Parking::take_wake`, `Acquire` | what the caller of `wake` did before |
//! | M9 | `Shared::note_handed_back`, `Release` | `Shared::handed_back`, `Acquire` | the counter that says why: refused, shed or timed out |
//!
//! M5 in both orders is in the head comment of `mailbox/parking.rs`; M6 and M7 have the same shape. What a
//! sender does before M5 may be a push, a close, the last room given back, or M8.
//!
//! | access | ordered by |
//! |---|---|
//! | `Rooms::take` reads the word | nothing: a guess that the exchange confirms; a sender that is about to sleep looks again after the fence of M6 |
//! | the state of the parking | the fences of M5 and M7; the notice by its lock |
//! | `Parking::is_gone` | nothing: a hint; M7 decides |
//! | the registrations of a lane | the fences of M6; that one has ended may be learned late, which costs a notification |
//! | `Parking::take_wake` looks before it exchanges | nothing: the exchange is M8; a request that came before M5 is seen after its fence |
//!
//! # Ticket
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | K1 | `Slot::finish`: the flag, `Release`, under the lock | `Slot::is_done`, `Acquire` | what the completer did before, without the lock |
//! | K2 | `Arc` drop by each end, `Release` | `Pool::ticket`: `Arc::get_mut`, `Acquire` | all that both ends did with a slot comes before it is used again |
//! | K3 | `Ring::push` of the pool | `Ring::pop` of the pool | the slot, from one thread that makes tickets to the next |
//!
//! Everything else of a ticket is under its lock. The flag is taken back, relaxed, in a slot that is
//! exclusive by K2. The writer of a manager publishes before it completes, so whoever sees K1 or takes the
//! result finds the version by T1 and T2.
//!
//! # Manager
//!
//! Commands travel by M1, versions by T1, answers by K1, and the outbox is under its lock. One pair of its own:
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | L1 | `Pulse::beat`, `Release` | `Meters::pulse`, `Acquire` | the counters that the writer changed before that beat |
//!
//! | access | ordered by |
//! |---|---|
//! | `SharedOutbox::panics`, `LinkCounters`, `ManualClock` | nothing: each is a counter or a figure by itself |
//! | the counters of `manager/meters.rs` | one thread writes, with a load and a store; a `Driver` that moves to another thread takes them along |
//!
//! # Shadow
//!
//! No pair of its own: queues and answers are under their locks.
//!
//! | access | ordered by |
//! |---|---|
//! | `ManagerStore`: the newest version that a ticket has named | nothing: the ticket has ordered the version itself (K1, T2); a query waits for the number that it finds |
//! | `Recorder`: what was compared, panics of callbacks | nothing: plain counters |
//!
//! # Metrics
//!
//! | # | written by | read by | what it carries |
//! |---|---|---|---|
//! | R1 | `Board::publish`: the number of the newest report, `Release` | `Board::read_first`, `Acquire` | the words of that report |
//! | R2 | `Board::publish`: `fence(Release)`, then the words of a copy | `Board::read_first`: the words, then `fence(Acquire)` | that the report before is the newest: whoever reads a word of the next one sees that its own copy was given up |
//! | R3 | `Board::publish`: the mark, `Release`, after R1 | `Board::is_of`, `Acquire`, before it reads the counters of the present | the report of that mark; and that none of these counters is older than in it |
//!
//! What the counters and the words carry is themselves: they are relaxed. Of two reports that are published
//! under the lock the later one reads the counters later, so none is smaller. R1 and R2 are spelled out in
//! `metrics/board.rs`.
