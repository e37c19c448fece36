//! Moving a link table to this crate from each of the usual designs, and comparing both while they run.
//!
//! * [From `RwLock<HashMap>`](#from-rwlockhashmap)
//! * [From several concurrent maps](#from-several-concurrent-maps)
//! * [From an actor that answers queries](#from-an-actor-that-answers-queries)
//! * [From a link manager with callbacks](#from-a-link-manager-with-callbacks)
//! * [Running both side by side](#running-both-side-by-side)
//!
//! # From `RwLock<HashMap>`
//!
//! Before: every thread takes the lock, for as long as it uses the answer. A writer waits for the slowest
//! reader, and every later reader waits for the writer.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::RwLock;
//!
//! #[derive(Clone)]
//! struct Peer { net: u64, score: i32 }
//!
//! let peers = RwLock::new(HashMap::new());
//! peers.write().unwrap().insert(7, Peer { net: 1, score: 0 });
//! peers.write().unwrap().get_mut(&7).unwrap().score += 1;
//!
//! let table = peers.read().unwrap(); // writers wait from here
//! assert_eq!(table.values().filter(|peer| peer.net == 1).count(), 1);
//! assert_eq!(table[&7].score, 1);
//! drop(table); // to here
//! ```
//!
//! After: the writing thread has the [`Writer`](crate::Writer), all others a [`Table`](crate::Table) or a
//! [`Reader`](crate::Reader).
//!
//! ```
//! use switchboard::Table;
//! use switchboard::table::GroupIndex;
//!
//! #[derive(Clone)]
//! struct Peer { net: u64, score: i32 }
//!
//! let nets = GroupIndex::new(|_: &u64, peer: &Peer, group: &mut dyn FnMut(u64)| group(peer.net));
//! let (mut writer, table) = Table::<u64, Peer>::builder().index(nets).build();
//! writer.insert(7, Peer { net: 1, score: 0 });
//! writer.update(&7, |peer| peer.score += 1);
//! writer.publish();
//!
//! let snapshot = table.snapshot(); // no thread waits
//! assert_eq!(snapshot.index().count(&1), 1); // from the index, O(1)
//! assert_eq!(snapshot.get(&7).map(|peer| peer.score), Some(1));
//! ```
//!
//! Differences:
//!
//! | `RwLock<HashMap>` | here |
//! |---|---|
//! | a change is visible when the lock is released | a change is *staged*, and becomes visible with the next [`publish`](crate::Writer::publish), together with all others |
//! | any thread writes | one thread has the writer. If several threads write, put the writer behind a `Mutex`, which readers never touch, or send commands to its thread through a [`mailbox`](crate::mailbox) |
//! | a read guard must be short, and never live across an `.await` or a callback | a snapshot may be held as long as you like, sent to another thread, and kept in a future |
//! | two reads under two guards may see two states | two reads of one snapshot see the same state; the [`version`](crate::Snapshot::version)s of two snapshots tell whether they differ |
//! | read, decide, write under one write guard | decide by [`Writer::get`](crate::Writer::get), which sees the staged state |
//! | values are changed in place | values are cloned when a page is copied: put large ones into an `Arc`, and counters that change all the time into atomics inside it |
//!
//! # From several concurrent maps
//!
//! Before: one map for each question, updated one after the other. A reader in between sees a node in only one
//! of them, a task that is cancelled in between leaves them that way, and a separate counter drifts.
//!
//! ```
//! # mod dashmap {
//! #     use std::{collections::HashMap, hash::Hash, sync::Mutex};
//! #     #[derive(Default)]
//! #     pub struct DashMap<K, V>(Mutex<HashMap<K, V>>);
//! #     impl<K: Hash + Eq, V> DashMap<K, V> {
//! #         pub fn insert(&self, key: K, value: V) -> Option<V> { self.0.lock().unwrap().insert(key, value) }
//! #         pub fn remove(&self, key: &K) -> Option<V> { self.0.lock().unwrap().remove(key) }
//! #         pub fn len(&self) -> usize { self.0.lock().unwrap().len() }
//! #     }
//! # }
//! use dashmap::DashMap;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! #[derive(Default)]
//! struct Hub { by_socket: DashMap<u64, u32>, by_user: DashMap<u32, u64>, online: AtomicUsize }
//!
//! impl Hub {
//!     fn connect(&self, socket: u64, user: u32) {
//!         self.by_socket.insert(socket, user);
//!         self.by_user.insert(user, socket);
//!         self.online.fetch_add(1, Ordering::Relaxed);
//!     }
//!     fn disconnect(&self, socket: u64) {
//!         if let Some(user) = self.by_socket.remove(&socket) {
//!             self.by_user.remove(&user);
//!             self.online.fetch_sub(1, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! let hub = Hub::default();
//! hub.connect(1, 70);
//! hub.connect(2, 70); // the same user again
//! hub.disconnect(1);
//! // Socket 2 is listed, its user is not.
//! assert_eq!((hub.by_socket.len(), hub.by_user.len(), hub.online.load(Ordering::Relaxed)), (1, 0, 1));
//! ```
//!
//! After: one table, and an index for each further question. The writer derives indexes and counts from the
//! entries and publishes them together.
//!
//! ```
//! use switchboard::Table;
//! use switchboard::table::GroupIndex;
//!
//! let users = GroupIndex::new(|_: &u64, user: &u32, group: &mut dyn FnMut(u32)| group(*user));
//! let (mut writer, table) = Table::<u64, u32>::builder().index(users).build();
//! writer.insert(1, 70);
//! writer.insert(2, 70);
//! writer.publish();
//! writer.remove(&1);
//! writer.publish();
//!
//! let hub = table.snapshot();
//! assert_eq!((hub.len(), hub.index().count(&70)), (1, 1));
//! assert_eq!(hub.index().keys(&70).copied().collect::<Vec<_>>(), [2]);
//! ```
//!
//! Differences:
//!
//! | concurrent maps | here |
//! |---|---|
//! | every thread writes, in parallel | one writer. Figures that many threads change all the time (bytes, round-trip times) stay in atomics inside the value; a table that is mostly written belongs in a concurrent map |
//! | a guard into the map locks a shard: a second guard on the same thread deadlocks | a snapshot locks nothing |
//! | iteration sees each shard at a different time | a snapshot is one version |
//! | gauges are kept beside the maps | `len` and the counts of an index *are* the gauges |
//! | reporting who joined and left takes another channel | [`subscribe`](crate::Table::subscribe), or [`diff`](crate::Snapshot::diff) of two snapshots |
//!
//! # From an actor that answers queries
//!
//! Before: one task owns the map, which is sound. But a query is a round trip through its queue, behind all
//! earlier requests, and an actor that queries itself deadlocks.
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::mpsc;
//!
//! enum Request {
//!     Connected { addr: u64, net: u64 },
//!     Count { net: u64, answer: mpsc::SyncSender<usize> },
//! }
//!
//! let (requests, inbox) = mpsc::sync_channel(1024);
//! let actor = std::thread::spawn(move || {
//!     let mut links = HashMap::new();
//!     for request in inbox {
//!         match request {
//!             Request::Connected { addr, net } => drop(links.insert(addr, net)),
//!             Request::Count { net, answer } => {
//!                 let _ = answer.send(links.values().filter(|of| **of == net).count());
//!             }
//!         }
//!     }
//! });
//! requests.send(Request::Connected { addr: 7, net: 1 })?;
//! let (answer, count) = mpsc::sync_channel(1);
//! requests.send(Request::Count { net: 1, answer })?;
//! assert_eq!(count.recv()?, 1);
//! # drop(requests);
//! # actor.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! After: changes are still messages to one owner, with a ticket instead of the reply. Queries are not
//! messages.
//!
//! ```
//! use std::time::Duration;
//! use switchboard::{Config, Direction, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, StreamId};
//!
//! let manager =
//!     LinkManager::builder(Config::default()).transport(|_: Effect<NodeAddr>, _: &Handle| {}).spawn()?;
//! let (handle, links) = (manager.handle(), manager.links());
//! handle.add_net(NetId(1), NetConfig::new())?;
//! handle.set_net_active(NetId(1), true)?;
//! handle.add_stream(NodeAddr(7), StreamId(1), Direction::Downlink)?; // fire and forget
//! let joined = handle.admit(NetId(1), NodeAddr(7), StreamId(1))?;
//! joined.wait()?; // or await it, or register a callback; then the version with the change is published
//!
//! assert_eq!(links.snapshot().count(NetId(1)), 1); // no message, no wait
//! manager.shutdown(Duration::from_secs(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Differences:
//!
//! | actor with replies | here |
//! |---|---|
//! | a query sees every request sent before it | a snapshot sees the published state. To read your own write, wait for its ticket, or hand [`Applied::version`](crate::Applied) to the reader, for [`Links::wait_for`](crate::Links::wait_for) |
//! | the queue is often unbounded | four bounded lanes; a refused command comes back in the error |
//! | first come, first served | reports of streams before requests of the host. Each names a stream, a dial or a resolution, so a late one is [`Stale`](crate::Outcome::Stale) instead of wrong |
//! | two queries are two round trips, and see two states | all answers of one snapshot belong together |
//! | the actor calls the transport | the transport gets [`Effect`](crate::Effect)s on a thread of its own |
//!
//! # From a link manager with callbacks
//!
//! A manager that calls its host back under its locks cannot be called from those callbacks, and a host that
//! resolves a name in one blocks every thread that wants the lock. Here the callbacks are effects, delivered
//! after the change is visible and without a lock held; the return value of a callback becomes a command.
//!
//! | callback | effect | how the host answers |
//! |---|---|---|
//! | `fill_net_info` | [`Resolve`](crate::Effect::Resolve) | [`set_endpoint`](crate::Handle::set_endpoint), [`resolve_failed`](crate::Handle::resolve_failed) |
//! | client ordered to connect | [`Dial`](crate::Effect::Dial) | [`add_uplink`](crate::Handle::add_uplink), then [`dial_connected`](crate::Handle::dial_connected); or [`dial_failed`](crate::Handle::dial_failed) |
//! | client sent back, client destroyed | [`CancelDial`](crate::Effect::CancelDial), [`CloseDialer`](crate::Effect::CloseDialer) | [`delete_stream`](crate::Handle::delete_stream) for its open streams |
//! | close the streams of an address | [`CloseStreams`](crate::Effect::CloseStreams), each by name | `delete_stream` for each |
//! | `connected` | [`Announce`](crate::Effect::Announce) | [`admit`](crate::Handle::admit) or [`refuse`](crate::Handle::refuse) |
//! | `disconnected` | [`Released`](crate::Effect::Released) | none |
//! | `error` | [`LinkError`](crate::Effect::LinkError) | none |
//! | `link_request` | [`RequestLinks`](crate::Effect::RequestLinks) | [`create_link`](crate::Handle::create_link), `set_endpoint` for each candidate |
//! | `link_count_changed` | [`LinkCountChanged`](crate::Effect::LinkCountChanged) | none |
//!
//! Before, in outline; a host that calls back into the manager deadlocks:
//!
//! ```
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! trait Host {
//!     /// Called with the links locked. Returns where the node listens.
//!     fn fill_net_info(&self, addr: u64) -> Option<(&'static str, u16)>;
//! }
//!
//! struct Manager<H> { links: Mutex<HashMap<u64, bool>>, host: H }
//!
//! impl<H: Host> Manager<H> {
//!     fn wake_up(&self) {
//!         let mut links = self.links.lock().unwrap();
//!         for (addr, dialling) in links.iter_mut() {
//!             *dialling = self.host.fill_net_info(*addr).is_some(); // may resolve a name, must not call back
//!         }
//!     }
//! }
//!
//! struct Node;
//! impl Host for Node {
//!     fn fill_net_info(&self, _: u64) -> Option<(&'static str, u16)> { Some(("192.0.2.1", 4000)) }
//! }
//! let manager = Manager { links: Mutex::new(HashMap::from([(7, false)])), host: Node };
//! manager.wake_up();
//! assert!(manager.links.lock().unwrap()[&7]);
//! ```
//!
//! After:
//!
//! ```
//! use std::net::SocketAddr;
//! use std::time::Duration;
//! use switchboard::{Config, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr};
//! use switchboard::link::DialState;
//!
//! let transport = |effect: Effect<NodeAddr>, handle: &Handle| match effect {
//!     Effect::Resolve { addr, .. } => {
//!         let endpoint = SocketAddr::from(([192, 0, 2, 1], 4000)); // may block
//!         let _ = handle.set_endpoint(addr, endpoint); // may call back
//!     }
//!     Effect::Dial { .. } => {} // connect, report
//!     _ => {}
//! };
//! let manager = LinkManager::builder(Config::default()).transport(transport).spawn()?;
//! let (handle, links) = (manager.handle(), manager.links());
//! handle.add_net(NetId(1), NetConfig::new().min_links(0))?;
//! handle.set_net_active(NetId(1), true)?;
//! let created = handle.create_link(NodeAddr(7), NetId(1))?.wait()?;
//!
//! let mut version = created.version;
//! let connecting = loop {
//!     let snapshot = links.wait_for(version, Duration::from_secs(5))?;
//!     version = handle.wake_up()?.wait()?.version; // each publishes a version
//!     let state = snapshot.get(&NodeAddr(7)).map(|link| link.state());
//!     if state == Some(DialState::Connecting) {
//!         break true;
//!     }
//! };
//! assert!(connecting);
//! manager.shutdown(Duration::from_secs(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Differences:
//!
//! * *Identities.* The transport numbers its streams, the manager its dials and its resolutions, and
//!   answers name them. There is no need to guess which link or stream a late report is about.
//! * *`disconnected` returns nothing.* A host that wants to keep the link creates it again when it learns that
//!   the net lost it.
//! * *A failed dial does not dissociate a member.* Where the peer's own stream carries the link, the nets keep wanting
//!   it and dial it again once that stream is gone; a host of the reference design finds a connected link that no net
//!   wants.
//! * *Removed nets and clusters count zero.* A net or cluster that had members when it was removed reports its
//!   last count.
//! * *Outcomes.* An existing association is [`AlreadyAssociated`](crate::Outcome::AlreadyAssociated), not an error.
//! * *Immediate timing.* A link is dialled as soon as it is dialable.
//!   [`Config::ticked`](crate::Config::ticked) dials on ticks instead, as managers with callbacks do.
//! * *Codes* of the old functions stay in the adapter: it returns
//!   [`StoreError::Code`](crate::shadow::StoreError::Code), and
//!   [`compare_with`](crate::shadow::Builder::compare_with) says which outcome the code stands for.
//!
//! # Running both side by side
//!
//! During a migration, both managers can run for weeks, with the old one in charge and the new one under
//! observation. [`Shadow`](crate::shadow::Shadow) does that:
//!
//! 1. Implement [`LinkStore`](crate::shadow::LinkStore) for the old manager, or write one function for
//!    [`from_fn`](crate::shadow::from_fn). Its effects still go to the transport; the transport of the
//!    new manager ignores its effects.
//! 2. Give the embedder the shadow instead of the old manager, with [`Side::A`](crate::shadow::Side::A)
//!    serving. Watch the [`Mismatch`](crate::shadow::Mismatch)s, and the latencies of both sides.
//! 3. When every difference is explained, let [`Side::B`](crate::shadow::Side::B) serve. One call switches,
//!    and one call switches back.
//! 4. Stop the shadow, start the new manager with the real transport, and use its [`Handle`](crate::Handle)
//!    and [`Links`](crate::Links). Report the connections of that moment to it with `create_link` and
//!    `add_stream`.
//!
//! ```
//! use std::time::Duration;
//! use switchboard::shadow::{LinkStore, LockedLinks, ManagerStore, Shadow, Side};
//! use switchboard::{Config, Direction, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, StreamId};
//! use switchboard::clock::ManualClock;
//!
//! // One clock for both if possible; otherwise expect mismatches around retries and timeouts.
//! let clock = ManualClock::new();
//! let old = LockedLinks::new(Config::default(), None, clock.clone())?; // yours, behind the trait
//!
//! let nothing = |_: Effect<NodeAddr>, _: &Handle| {};
//! let manager = LinkManager::builder(Config::default()).clock(clock).transport(nothing).spawn()?;
//! let new = ManagerStore::new(manager.handle(), manager.links(), Duration::from_secs(1));
//!
//! let shadow = Shadow::builder(old, new)
//!     .deadline(Duration::from_secs(1)) // a side that hangs costs one caller this long, once
//!     .on_mismatch(|mismatch| eprintln!("{mismatch}"))
//!     .spawn()?;
//!
//! shadow.add_net(NetId(1), NetConfig::new())?;
//! shadow.set_net_active(NetId(1), true)?;
//! shadow.add_stream(&NodeAddr(7), StreamId(1), Direction::Downlink)?;
//! shadow.admit(NetId(1), &NodeAddr(7), StreamId(1))?;
//! assert_eq!(shadow.count(NetId(1))?.value, 1); // from the old manager
//! shadow.serve(Side::B);
//! assert_eq!(shadow.count(NetId(1))?.value, 1); // from the new manager
//!
//! let report = shadow.stop(Duration::from_secs(5));
//! assert!(report.is_clean() && report.stats.mismatches == 0);
//! assert_eq!(report.stats.b.latency.count, 6);
//! manager.shutdown(Duration::from_secs(5));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! While it runs, every call, including queries, is handed to one worker thread per side, and an answer is kept
//! until both have arrived. Queries on a hot path that need no comparison can go to a store directly, by
//! [`a`](crate::shadow::Shadow::a) and [`b`](crate::shadow::Shadow::b).
//!
//! The shadow does not compare effects, which only one side produces, nor what timers do between two calls. A
//! late report about a dial or a resolution that the serving side has given up refers to the current one of the
//! other side.
