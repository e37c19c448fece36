//! What the table guarantees, and why.
//!
//! # Consistency
//!
//! **A publish is atomic.** A version is one object: entries, index and number. It is complete before it is
//! swapped into the place where readers look, and is not changed while anybody can reach it.
//!
//! **Reads are linearizable.** A snapshot is the version that was current at some instant during the call
//! that took it. Hence it is never older than a version whose publish had returned before the call, nor than
//! a version that any thread had seen before. This holds between the two ways to read, too: a
//! [`Reader`](crate::Reader) looks at a counter that the writer moves after the swap, so for a moment a
//! snapshot can be newer than the counter; whoever takes such a snapshot moves the counter before it returns.
//!
//! **A reader never goes backwards**, because it replaces what it holds only by what it loads after it has
//! seen a larger number.
//!
//! What is *not* promised: two calls of [`Reader::get`](crate::Reader::get) may answer from two versions. And
//! what a value points to (an `Arc` of atomics, say) is not part of the version.
//!
//! # Progress
//!
//! | operation | progress | remarks |
//! |---|---|---|
//! | lookup in a [`Snapshot`](crate::Snapshot) | wait-free | no atomic operation at all |
//! | [`Reader::get`](crate::Reader::get), nothing published since | wait-free | one atomic load, no write |
//! | [`Table::snapshot`](crate::Table::snapshot), a reader after a publish | wait-free, with the limits of ["Wait-free"](#wait-free) | counts the version up |
//! | … once in `usize::MAX / 4` loads of a thread | lock-free | `arc_swap` moves the thread to another record |
//! | … first load of a thread | lock-free, allocates | `arc_swap` claims or makes a record for the thread, never freed |
//! | dropping or cloning a snapshot | wait-free | a reference count; see "Memory" for the last owner |
//! | staging | single-threaded | copies a page if a held version shares it |
//! | [`Writer::publish`](crate::Writer::publish) | lock-free | visits each thread's record once; never waits for a reader; takes one lock that no other thread ever takes |
//! | [`Table::wait_for`](crate::Table::wait_for) | blocking | takes a lock; a publish takes the same lock only if a thread waits for its version |
//! | [`Feed::try_next`](crate::Feed::try_next) | as `Table::snapshot` | one atomic load if there is nothing; O(operations) for all versions found at once |
//! | [`Feed::next_timeout`](crate::Feed::next_timeout) | blocking | as `wait_for` |
//!
//! A publish is lock-free and not wait-free: readers that keep starting loads on the slow path of `arc_swap` can
//! make it repeat a step. The lock that it takes guards the list of retired versions, which only the writer looks
//! at; it is there because that list belongs to the readers' part of the table, and is never contended.
//!
//! # Wait-free
//!
//! "Wait-free" is `arc_swap`'s word for its loads. Four limits of it matter in practice:
//!
//! * **The window between the swap and the counter.** A reader that loads a version before the writer has moved
//!   the counter moves the counter itself, with one `fetch_max`. On x86-64 that is a loop of compare-exchanges,
//!   which ends as soon as the counter is large enough: an exchange fails only when another thread has raised the
//!   counter, so a reader repeats it at most once for each version published meanwhile.
//! * **The first load of a thread allocates** a record in `arc_swap`, or takes over that of a thread that has
//!   ended, after a walk over all records. Records are never freed.
//! * **Once in `usize::MAX / 4` loads** `arc_swap` moves the thread to another record, which is lock-free.
//! * **A publish walks all records**: one for each thread of as many as ever had one at the same time, in every
//!   table of the process, also those that are made later. Per publish of one change, in the median, from an idle
//!   machine to one with both processors busy:
//!
//!   | threads that had loaded at the same time | 0 | 100 | 1,000 | 4,000 |
//!   |---|---|---|---|---|
//!   | one publish | 0.2 µs | 3.9 to 7 µs | 36 to 77 µs | 159 to 350 µs |
//!
//!   (`cargo test --release --test records -- --ignored --nocapture`; 2 processors, x86-64.)
//!
//! So read on a fixed pool of threads, and let a thread of it load once before it has to be fast. Threads that are
//! started and ended one after the other share one record; it is the number at the same time that counts.
//!
//! # Memory
//!
//! **Readers run no destructors.** The table holds every version until nobody else does, and the writer then
//! empties it. Keys and values are dropped on the thread of the writer. The exceptions are at the end: the
//! handle (table, reader or writer) that is dropped last drops all that is left, and a snapshot that outlives
//! all handles is the last owner of its version.
//!
//! **Old versions go soon.** Each publish looks at up to four retired versions and empties those that nobody
//! holds any more, so what has been let go is found within as many publishes as a third of the number of
//! retired versions. When a table rests, [`Writer::reclaim`](crate::Writer::reclaim) looks at all of them.
//!
//! **Removed values are dropped**, as far as no one holds a version that has them: after one or two more
//! publishes, because the copy that is worked on and the record for it are one version behind; or at once by
//! [`Writer::reclaim`](crate::Writer::reclaim) (`tests/reclaim.rs`). The link manager does that when it has
//! nothing else to do.
//!
//! **Headers stay**, 100 to 250 bytes each, as many as there were versions at the same time;
//! [`TableStats::headers`](crate::TableStats::headers) counts them.
//!
//! **Readers bound how many versions there are**, and only they, unless the table says how many:
//! [`TableBuilder::max_versions`](crate::TableBuilder::max_versions). While that many older versions are held,
//! nothing is published and the batch stays staged; a snapshot always succeeds and is of the version that was
//! published last. Then there are at most three headers more than the limit, and a publish looks at every version
//! that is held, if these are as many as the limit or nearly so. `tests/max_versions.rs` checks the limit against a
//! model.
//!
//! **A held version costs what has changed since**: the pages that were written later are not shared with it
//! any more. A table that [recycles](crate::TableBuilder::recycle) has one or two more copies of its pages,
//! whatever is held: the writer works on them in turn.
//!
//! **Old pages go in steps.** What a version does not share is dropped over as many publishes as it takes, a
//! few pages for each operation, so that no publish is O(n). So do the parts of an index that implements
//! [`Index::dismantle`](crate::Index::dismantle), as [`GroupIndex`](crate::GroupIndex) does; another one goes in
//! one step. `tests/steps.rs` counts the drops of each publish.
//!
//! **Publishing allocates nothing** while nobody follows, once the table has had as many versions held at the
//! same time as it will have. For each of those it keeps a small header (a hundred-odd bytes) until it is
//! dropped; the next section says why.
//!
//! # Panics
//!
//! Keys, values, hashers, indexes and closures are foreign code, and the writer runs it. **A panic in it
//! loses nothing that is staged**, and what is published is not touched by it at all:
//!
//! 1. *Entries.* An operation first does everything that may panic: it hashes, copies the page if it is
//!    shared, makes room, looks for the entry, and tells the index. Then it moves the entry, in a step that
//!    runs no foreign code. So the entries are those before the operation, or those after it.
//! 2. *The record of the batch.* An operation is recorded once it is done, from clones that were made before
//!    it began, and before anything is dropped.
//! 3. *The index.* It is told last, so that a panic elsewhere leaves it as it was. When it panics itself, it
//!    is made anew before the panic goes on to the caller: by repeating the recorded batch over the published
//!    version, O(batch); or, when there is no record ([`TableBuilder::recycle`](crate::TableBuilder::recycle)
//!    is off, the batch was too long, or has cleared the table), from an empty index and all entries, O(len).
//! 4. *Recycling.* A retired version that is being brought up to date when something panics is dropped; the
//!    next batch copies pages.
//!
//! What can be lost: what was changed through [`Writer::index_mut`](crate::Writer::index_mut) in this batch
//! and is not copied by [`Index::refresh`](crate::Index::refresh), if the index then panics. An index that
//! panics again while it is made anew stays to be made: entries can be read, and each call that needs the
//! index tries again, and panics if it fails; [`Writer::discard`](crate::Writer::discard) ends that.
//! Destructors that panic are contained by nobody; what they were dropped for has been done.
//!
//! In the mailbox, the tickets and the manager, destructors are foreign code as well. **A destructor that panics
//! loses nothing but the value that it destroys**: values are dropped last, after the counts are restored and
//! outside every lock. A [`mailbox::Receiver`](crate::mailbox::Receiver) that is dropped drops every queued
//! command, and lets the first panic go on afterwards. The threads of a manager contain every panic, and the value
//! that a panic carries, whose destructor may panic in turn. `tests/fuse_mailbox.rs`, `tests/fuse_ticket.rs` and
//! `tests/fuse_manager.rs` let the *n*-th destructor panic in every public call, for every *n*.
//!
//! # What waits for the transport
//!
//! The queue between the manager and its transport is bounded, also if the transport never returns:
//!
//! | effect | entries at most |
//! |---|---|
//! | `Resolve` or `Dial`, `CancelDial`, `CloseDialer`, `CloseStreams` | one of each per address |
//! | `Announce`, `Disconnected`, `LinkError` | one of each per address and net |
//! | `RequestLinks`, `LinkCountChanged` | one of each per net |
//! | `ClusterCountChanged` | one per cluster |
//! | refused streams in `CloseStreams` | [`Config::refused_streams`](crate::Config::refused_streams) of all addresses together |
//! | other streams in `CloseStreams` | those that links listed when they were removed |
//!
//! The addresses, nets and clusters are those that exist and those that were removed while their effects waited.
//! While [`Config::outbox`](crate::Config::outbox) plus [`Config::max_links`](crate::Config::max_links) effects and
//! streams wait, nothing new is accepted: a link, net, cluster or stream that would be added is refused with
//! [`LimitReached`](crate::CommandError::LimitReached) of `"effects"`. One turn, of at most
//! [`Config::batch`](crate::Config::batch) commands, can exceed the limit. Commands that remove are always accepted.
//!
//! Appending an effect is O(1) expected and amortized, regardless of how many wait and for how many addresses. The
//! memory is given back when the queue is empty. `tests/backlog.rs` checks the bounds with a million refused streams,
//! and `manager::effect::tests` counts the steps.
//!
//! # Following
//!
//! **A [`Feed`](crate::Feed) delivers each version once, in order, or says that it cannot.** The batches that
//! led to a version are part of that version: no queue is beside the table that could be ahead of it or
//! behind it. A feed holds the version up to which it has delivered; it loads the newest one, and takes from
//! that the batches in between. Either the list reaches back to the version that it holds, without a gap, and
//! then these are all; or it does not, and [`Lagged`](crate::FeedEvent::Lagged) has both ends.
//!
//! **Nobody waits for a subscriber.** The writer asks how many there are, once per batch and once per
//! publish. What it keeps for them is [bounded](crate::TableBuilder::history), and shared with what it keeps
//! to recycle. A leaked feed is counted for ever: the history stays, and so do the one or two versions that
//! it holds; [`Writer::stats`](crate::Writer::stats) shows it.
//!
//! **A `Lagged` that is nobody's fault** is possible for a version that was being made when a table got its
//! first feed: the writer has looked at the counter before, and nothing makes it look again. Whoever has
//! subscribed before a batch begins, in the sense of happens-before, loses nothing while the bounds hold.
//!
//! **Subscribers run no destructors** either: a feed has the keys and values of a batch only as long as it
//! has the version that they belong to.
//!
//! # Equal copies
//!
//! Each page has a stamp: the version in which it may have been written last, so that its entries are those
//! of that version at this place. The numbers of published versions are never used twice, and a batch that is
//! given up takes its pages with it. Hence two pages for the same hashes that have the same stamp have the
//! same entries, even if they are copies that were brought there one after the other; a
//! [`diff`](crate::Snapshot::diff) skips them.
//!
//! # Type-stable headers
//!
//! The table publishes through an `arc_swap::ArcSwap`, whose default strategy has a known defect: `load` and
//! `load_full` can return a value that was stored in *another* `ArcSwap` of the process, even one of another
//! type ([arc-swap issue 210](https://github.com/vorner/arc-swap/issues/210)). It takes an address that is
//! freed and handed out again while a reader is in the middle of a load. `tests/adversary.rs` finds such
//! values in plain cells, and looks for them in tables beside those.
//!
//! Tables are immune by a discipline of their own: **every `Arc` that a table has ever published stays with
//! it until the table is dropped, and is published again only by the same table, and only when nobody holds
//! it.** Step by step:
//!
//! 1. A reader inside a load holds the table. So the address that it took from the table belongs to a header
//!    of this table until the load returns: headers are not freed earlier, and no two live allocations have
//!    one address. *Relies on: the discipline; the allocator.*
//! 2. The record ("debt") that the reader leaves on that address is paid, if at all, by this table's writer,
//!    on this table's header: only who has just swapped an address out of a cell pays for it, and no other
//!    cell can have had this one. *Relies on: 1; `arc_swap` paying in `swap` and in the drop of a cell only.*
//! 3. So what the load returns is a header of this table, counted for this reader; and it was current during
//!    the load: it was confirmed to be, or it was swapped out after the record was made, or the writer had
//!    loaded it for the reader during the load. That the same address may carry a newer version by then
//!    changes nothing: the reader gets the newer version. *Relies on: 2; `arc_swap`'s argument for a single
//!    cell.*
//! 4. When `swap` has returned, every reader that will ever return the old header from that publication is
//!    counted in it. So a count of one says that nobody else has it, nor will before it is published again,
//!    and its last user's accesses happened before. *Relies on: the sequentially consistent operations in
//!    `arc_swap` 1.9.3; the release and acquire in the counter of `Arc`.* One of them decides more here than in an
//!    ordinary `ArcSwap`: the exchange in `Debt::pay`, **when it fails**. A writer that finds no debt must have
//!    acquired what the reader did before it withdrew its debt, or the count of one may be stale; and the look
//!    must be in the one order of all sequentially consistent operations, or it may miss a debt that the reader
//!    has already confirmed. A reader that finds its debt paid must have acquired the payment, or it may read
//!    what the header carried in an earlier publication. Hence the version range `>=1.9.3, <1.10` of the
//!    dependency, which `tests/facade.rs` holds against its source.
//! 5. Therefore a header is only ever changed while no reader has it, and the safe `Arc::get_mut` is what
//!    says so.
//!
//! What it does not cure are plain `ArcSwap` cells elsewhere in the process.
//!
//! # What checks this
//!
//! The protocol around the `ArcSwap` (counter, reuse, recycling, waiting) is explored by loom and shuttle,
//! with stand-ins for the `ArcSwap` itself: `sync/twin.rs`. A third one, in `table/cell/reuse.rs`, follows the
//! steps of `arc_swap` and of `Arc` over atomics, and reuses headers without a lock: loom finds no order in which
//! a header is torn, foreign or older, and finds one as soon as any of the orderings of step 4 is weakened. Every
//! rule has been broken on purpose once to see a model fail. The real thing is covered by the adversary, by
//! property tests against a `HashMap` at every held version, and by sanitizers.
//!
//! The link manager as a whole, its driver and its shutdown are explored by shuttle, which does not reorder memory
//! accesses; they are too large for loom. The parts that hand something from thread to thread (cell, waiters,
//! feeds, mailbox, tickets, meters, reports) are explored by loom each by itself.
