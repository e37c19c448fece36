//! Four complete programs: the types to use in each, and the reasons.
//!
//! * [A map read on every packet](#a-map-read-on-every-packet): threads look up flows while another thread
//!   changes them.
//! * [A chat with rooms](#a-chat-with-rooms): thousands of tasks join and leave, and most are disconnected at
//!   once.
//! * [A routing table with reload](#a-routing-table-with-reload): the differences to a new text, in one
//!   version.
//! * [A node over TCP](#a-node-over-tcp): two link managers connect over sockets.
//!
//! Each program runs as it stands and asserts its results. Two of them use tokio; the crate itself needs no
//! runtime.
//!
//! # A map read on every packet
//!
//! Each worker has a [`Reader`](crate::Reader), created on its thread: while nothing is published, a lookup
//! is one atomic load more than in a map that never changes. The counter of a flow changes with every packet
//! and is therefore not published: it is an atomic behind an `Arc`, which all versions of the flow share. A
//! worker whose queue is empty calls [`release`](crate::Reader::release) before it waits, because an idle
//! reader keeps its version, and every flow removed since, in memory.
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//! use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
//! use std::thread;
//! use switchboard::{Reader, Table};
//!
//! #[derive(Clone)]
//! struct Flow {
//!     port: usize,
//!     /// Changes with every packet: outside of the versions, and shared by all versions of the flow.
//!     bytes: Arc<AtomicU64>,
//! }
//!
//! struct Packet {
//!     flow: u32,
//!     len: u64,
//! }
//!
//! /// Takes the next packet; before it waits for one, it lets go of the version.
//! fn next_packet(packets: &Receiver<Packet>, flows: &mut Reader<u32, Flow>) -> Option<Packet> {
//!     match packets.try_recv() {
//!         Err(TryRecvError::Empty) => {
//!             flows.release();
//!             packets.recv().ok()
//!         }
//!         packet => packet.ok(),
//!     }
//! }
//!
//! /// Forwards packets until the queue is closed. Returns their number per port; port 0 drops them.
//! fn forward(packets: Receiver<Packet>, table: &Table<u32, Flow>) -> [u64; 3] {
//!     let mut flows = table.reader(); // one for this thread
//!     let mut sent = [0; 3];
//!     while let Some(packet) = next_packet(&packets, &mut flows) {
//!         let port = flows.get(&packet.flow).map_or(0, |flow| {
//!             flow.bytes.fetch_add(packet.len, Ordering::Relaxed);
//!             flow.port
//!         });
//!         sent[port] += 1;
//!     }
//!     sent
//! }
//!
//! fn main() {
//!     let (mut writer, table) = Table::<u32, Flow>::new();
//!     writer.extend((0..64).map(|id| (id, Flow { port: 1, bytes: Arc::default() })));
//!     writer.publish();
//!
//!     thread::scope(|scope| {
//!         let (queues, workers): (Vec<SyncSender<Packet>>, Vec<_>) = (0..4)
//!             .map(|_| {
//!                 let (queue, packets) = sync_channel(256);
//!                 (queue, scope.spawn(|| forward(packets, &table)))
//!             })
//!             .unzip();
//!         let send = |flow: u32| queues[flow as usize % 4].send(Packet { flow, len: 100 }).unwrap();
//!         // The control thread moves flow 1 to and fro, and removes flow 0, while packets are forwarded.
//!         let control = scope.spawn(|| {
//!             for round in 0..1001 {
//!                 writer.update(&1, |flow| flow.port = 2 - round % 2);
//!                 writer.publish();
//!             }
//!             writer.remove(&0);
//!             writer.publish()
//!         });
//!         (2..64).cycle().take(62 * 100).for_each(send);
//!         let version = control.join().unwrap();
//!         assert_eq!(table.version(), version);
//!         // A packet that is sent after the publish is forwarded by the new version, or a later one.
//!         [0, 0, 1, 1, 1].into_iter().for_each(send);
//!
//!         drop(queues);
//!         let ports: Vec<_> = workers.into_iter().map(|worker| worker.join().unwrap()).collect();
//!         assert_eq!(ports, [[2, 1500, 0], [0, 1500, 3], [0, 1600, 0], [0, 1600, 0]]);
//!     });
//!     let snapshot = table.snapshot();
//!     assert_eq!(snapshot[&1].bytes.load(Ordering::Relaxed), 300);
//!     assert_eq!((snapshot.len(), writer.stats().readers), (63, 0));
//! }
//! ```
//!
//! Avoid a reader for each flow or connection. Avoid two calls of [`get`](crate::Reader::get) if both answers
//! must come from one version: [`Reader::snapshot`](crate::Reader::snapshot) returns it.
//!
//! # A chat with rooms
//!
//! Each connection is a task with a clone of the [`SharedWriter`](crate::SharedWriter): if 4,500 tasks leave
//! at once, their removals share a few publishes, and after its ticket each task knows that no new snapshot
//! has the user. The rooms are a [`GroupIndex`](crate::table::GroupIndex): a broadcast visits the members of
//! one version, without a lock on the table. A removed user stays alive in versions that are held, such as
//! `before`, so the task closes the socket explicitly, with the value that its transaction returns.
//!
//! ```
//! use std::error::Error;
//! use std::sync::{Arc, Mutex};
//! use switchboard::table::GroupIndex;
//! use switchboard::table::shared::Config;
//! use switchboard::{SharedWriter, Snapshot, Table, Version};
//! use tokio::sync::{mpsc, watch};
//! use tokio::task::JoinSet;
//!
//! /// The sending half of a connection. Taking the sender out closes it, in every version that contains it.
//! type Socket = Arc<Mutex<Option<mpsc::Sender<&'static str>>>>;
//!
//! #[derive(Clone)]
//! struct User {
//!     room: u32,
//!     socket: Socket,
//! }
//!
//! type Rooms = GroupIndex<u64, User, u32>;
//!
//! /// The task of a connection: joins, waits until the connection is cut, leaves, and closes the socket.
//! async fn connection(
//!     id: u64,
//!     user: User,
//!     users: SharedWriter<u64, User, Rooms>,
//!     mut cut: watch::Receiver<u64>,
//! ) -> Result<Version, Box<dyn Error + Send + Sync>> {
//!     let joined = users.transaction_async(move |table| table.insert(id, user)).await?.await?;
//!     assert!(joined.value.is_none(), "an earlier connection of this user would be closed here");
//!     cut.wait_for(|limit| id < *limit).await?;
//!     let left = users.transaction_async(move |table| table.remove(&id)).await?.await?;
//!     left.value.ok_or("has joined")?.socket.lock().unwrap().take();
//!     Ok(left.version)
//! }
//!
//! /// Sends `text` to the members of a room, as of one version. Returns the number of those that it reached.
//! fn broadcast(users: &Snapshot<u64, User, Rooms>, room: u32, text: &'static str) -> usize {
//!     let send = |id: &&u64| {
//!         users[*id].socket.lock().unwrap().as_ref().is_some_and(|socket| socket.try_send(text).is_ok())
//!     };
//!     users.index().keys(&room).filter(send).count()
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
//!     let rooms = Rooms::new(|_, user, group| group(user.room));
//!     let (writer, table) = Table::builder().index(rooms).build();
//!     let (users, thread) = SharedWriter::spawn(writer, Config::new())?;
//!     let (cut, cuts) = watch::channel(0);
//!     let (mut tasks, mut clients) = (JoinSet::new(), Vec::new());
//!     for id in 0..5_000 {
//!         let (sender, client) = mpsc::channel(16);
//!         let user = User { room: id as u32 % 50, socket: Arc::new(Mutex::new(Some(sender))) };
//!         tasks.spawn(connection(id, user, users.clone(), cuts.clone()));
//!         clients.push(client);
//!     }
//!     let mut before = table.snapshot();
//!     while before.len() < 5_000 {
//!         table.changed(before.version()).await?;
//!         before = table.snapshot();
//!     }
//!     assert_eq!(broadcast(&before, 7, "hello"), 100);
//!
//!     cut.send(4_500)?; // 90 % of the connections are lost at once
//!     for _ in 0..4_500 {
//!         let version = tasks.join_next().await.ok_or("a task")???;
//!         assert!(table.version() >= version, "a ticket is completed after the publish");
//!     }
//!     let after = table.snapshot();
//!     assert_eq!((before.index().count(&7), after.index().count(&7), after.len()), (100, 10, 500));
//!     assert_eq!(broadcast(&before, 7, "late"), 10, "the other sockets are closed, also in this version");
//!     assert_eq!([clients[7].recv().await, clients[7].recv().await], [Some("hello"), None]);
//!
//!     drop(users);
//!     cut.send(5_000)?;
//!     assert!(tasks.join_all().await.iter().all(Result::is_ok));
//!     let writer = tokio::task::spawn_blocking(|| thread.join()).await??; // the tasks had the last handles
//!     assert!(writer.is_empty());
//!     Ok(())
//! }
//! ```
//!
//! Avoid relying on the destructor of a socket, and avoid a [`Reader`](crate::Reader) in each task, which
//! would hold a version while the task waits. Pass the version of the snapshot in question to
//! [`changed`](crate::Table::changed), not [`Table::version`](crate::Table::version): a change between the
//! two would be missed. Call blocking functions such as
//! [`WriterThread::join`](crate::table::shared::WriterThread::join) where blocking is allowed.
//!
//! # A routing table with reload
//!
//! The text is parsed before anything is staged, so a wrong line leaves the table as it is. Only differences
//! are staged, and one publish makes them visible: a lookup sees either the old table or the new one, and a
//! subscriber receives exactly the routes that differ. A longest-prefix match takes several lookups, which
//! belong in one [`Snapshot`](crate::Snapshot).
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::error::Error;
//! use std::net::Ipv4Addr;
//! use switchboard::table::{Change, Feed, FeedEvent};
//! use switchboard::{Snapshot, Table, Version, Writer};
//!
//! /// An address, and the number of its leading bits that count.
//! type Prefix = (u32, u32);
//!
//! fn parse(text: &str) -> Result<BTreeMap<Prefix, String>, Box<dyn Error>> {
//!     let route = |line: &str| {
//!         let (prefix, hop) = line.split_once(" via ").ok_or("no hop")?;
//!         let (addr, bits) = prefix.split_once('/').ok_or("no length")?;
//!         Ok(((addr.parse::<Ipv4Addr>()?.to_bits(), bits.parse()?), hop.to_owned()))
//!     };
//!     text.lines().map(route).collect()
//! }
//!
//! /// Makes the table equal to the text. If a line is wrong, nothing is staged.
//! fn reload(writer: &mut Writer<Prefix, String>, text: &str) -> Result<Version, Box<dyn Error>> {
//!     let routes = parse(text)?;
//!     writer.retain(|prefix, _| routes.contains_key(prefix));
//!     for (prefix, hop) in routes {
//!         if writer.get(&prefix) != Some(&hop) {
//!             writer.insert(prefix, hop);
//!         }
//!     }
//!     Ok(writer.publish())
//! }
//!
//! /// Returns the hop of the longest prefix of `addr`, which takes up to 33 lookups in one version.
//! fn route(routes: &Snapshot<Prefix, String>, addr: Ipv4Addr) -> Option<&str> {
//!     let masked = |bits| addr.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0);
//!     (0..=32).rev().find_map(|bits| routes.get(&(masked(bits), bits))).map(String::as_str)
//! }
//!
//! /// Describes every change, until the writer is dropped.
//! async fn follow(mut feed: Feed<Prefix, String>) -> Vec<String> {
//!     let describe = |change: Change<'_, Prefix, String>| match change {
//!         Change::Inserted { key, new } => format!("/{} {new}", key.1),
//!         Change::Updated { key, old, new } => format!("/{} {old} to {new}", key.1),
//!         Change::Removed { key, old } => format!("/{} not {old}", key.1),
//!     };
//!     let mut log = Vec::new();
//!     while let Some(event) = feed.next().await {
//!         match event {
//!             FeedEvent::Changes(changes) => log.extend(changes.iter().map(describe)),
//!             FeedEvent::Lagged { from, resync, .. } => log.extend(resync.diff(&from).map(describe)),
//!             _ => {}
//!         }
//!     }
//!     log
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn Error>> {
//!     let old = parse("0.0.0.0/0 via a\n10.0.0.0/8 via b\n10.1.0.0/16 via c")?;
//!     let (mut writer, table) = Table::builder().build_with(old);
//!     let follower = tokio::spawn(follow(table.subscribe()));
//!     let lookups = tokio::task::spawn_blocking(move || {
//!         while !table.is_closed() {
//!             let routes = table.snapshot(); // both lookups in one version
//!             let hops = [[10, 1, 0, 1], [10, 2, 0, 1]].map(|addr| route(&routes, addr.into()).unwrap());
//!             assert_eq!(hops, if routes.version() == Version::ZERO { ["c", "b"] } else { ["e", "e"] });
//!         }
//!         table.version()
//!     });
//!
//!     assert!(reload(&mut writer, "10.0.0.0/8 via f\nnonsense").is_err());
//!     let text = "0.0.0.0/0 via a\n10.0.0.0/8 via e\n192.168.0.0/16 via d";
//!     let version = reload(&mut writer, text)?;
//!     assert_eq!(reload(&mut writer, text)?, version, "without a difference there is no version");
//!     drop(writer); // ends the feed
//!     assert_eq!(lookups.await?, version);
//!     assert_eq!(follower.await?, ["/16 not c", "/8 b to e", "/16 d"]);
//!     Ok(())
//! }
//! ```
//!
//! Avoid [`clear`](crate::Writer::clear) followed by an insertion of every route: the feed reports
//! [`Lagged`](crate::table::FeedEvent::Lagged) instead of the changes. An insertion counts as a change even
//! if the value is the same, so `reload` compares first. A subscriber has to handle `Lagged`, however fast it
//! is.
//!
//! # A node over TCP
//!
//! The manager decides and the transport acts: it dials, closes what an effect names, and reports what
//! happens. Effects arrive one at a time, so each dial and each connection runs on its own thread and delays
//! no other effect. The end of a connection is always reported: as the end of its stream, and by the side
//! that dialled also as the failure of its dial. Reports that come too late are counted and ignored.
//!
//! ```
//! use std::collections::HashMap;
//! use std::io::{self, Read, Write};
//! use std::net::{Shutdown, TcpListener, TcpStream};
//! use std::sync::{Arc, Mutex};
//! use std::{error::Error, thread, time::Duration};
//! use switchboard::{Config, Direction, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, StreamId};
//! use switchboard::{link::DialId, manager::LinksEvent, manager::MemberFilter};
//!
//! const NET: NetId = NetId(1);
//! type Open = Arc<Mutex<HashMap<StreamId, (Option<NodeAddr>, TcpStream)>>>; // with the peer, if dialled
//!
//! /// Carries a connection. By its hello, an address, each end says that it takes part in the net.
//! fn run(me: u64, io: TcpStream, id: u64, dial: Option<DialId>, all: Open, to: &Handle) -> io::Result<()> {
//!     let mut hello = me.to_be_bytes();
//!     (&io).write_all(&hello)?;
//!     (&io).read_exact(&mut hello)?;
//!     let (peer, id) = (NodeAddr(u64::from_be_bytes(hello)), StreamId(id));
//!     all.lock().unwrap().insert(id, (dial.map(|_| peer), io.try_clone()?)); // first: effects name it
//!     let _ = match dial {
//!         Some(dial) => to.add_uplink(peer, id, dial).and_then(|_| to.dial_connected(peer, dial)),
//!         None => to.add_stream(peer, id, Direction::Downlink).and_then(|_| to.admit(NET, peer, id)),
//!     };
//!     let _ = io::copy(&mut &io, &mut io::sink()); // until one of the ends closes it
//!     all.lock().unwrap().remove(&id);
//!     let _ = to.delete_stream(peer, id);
//!     Ok(())
//! }
//!
//! fn start(own: NodeAddr, listener: TcpListener) -> Result<LinkManager, Box<dyn Error>> {
//!     let all = Open::default();
//!     let (accepted, dialled, sockets) = (all.clone(), all.clone(), all);
//!     let shut = move |chosen: &dyn Fn(&StreamId, Option<NodeAddr>) -> bool| {
//!         let mut sockets = sockets.lock().unwrap();
//!         let chosen = sockets.extract_if(|stream, (peer, _)| chosen(stream, *peer));
//!         chosen.for_each(|(_, (_, io))| drop(io.shutdown(Shutdown::Both)));
//!     };
//!     let transport = move |effect, to: &Handle| match effect {
//!         Effect::Dial { addr, endpoint, dial, .. } => {
//!             let (all, to) = (dialled.clone(), to.clone());
//!             thread::spawn(move || {
//!                 let io = TcpStream::connect(endpoint);
//!                 let _ = io.and_then(|io| run(own.0, io, 2 * dial.0, Some(dial), all, &to));
//!                 let _ = to.dial_failed(addr, dial, true); // the dial, or later its connection
//!             });
//!         }
//!         Effect::Announce { addr, net, stream } => drop(to.admit(net, addr, stream)),
//!         Effect::CloseStreams { streams, .. } => shut(&|stream, _| streams.contains(stream)),
//!         Effect::CancelDial { addr, .. } | Effect::CloseDialer { addr } => shut(&|_, to| to == Some(addr)),
//!         _ => {}
//!     };
//!     let manager = LinkManager::builder(Config::default()).own_addr(own).transport(transport).spawn()?;
//!     let handle = manager.handle();
//!     handle.add_net(NET, NetConfig::new().min_links(0))?;
//!     handle.set_net_active(NET, true)?.wait()?;
//!     thread::spawn(move || {
//!         for (number, io) in (0..).zip(listener.incoming().map_while(Result::ok)) {
//!             let (all, to) = (accepted.clone(), handle.clone());
//!             thread::spawn(move || run(own.0, io, 2 * number + 1, None, all, &to));
//!         }
//!     });
//!     Ok(manager)
//! }
//!
//! fn main() -> Result<(), Box<dyn Error>> {
//!     let (listener, other) = (TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?);
//!     let endpoint = listener.local_addr()?;
//!     let (first, second) = (start(NodeAddr(1), listener)?, start(NodeAddr(2), other)?);
//!     let mut feeds = [&first, &second].map(|node| node.links().subscribe());
//!     second.handle().create_link(NodeAddr(1), NET)?;
//!     second.handle().set_endpoint(NodeAddr(1), endpoint)?;
//!     let up = |event: LinksEvent| event.into_diff().to().addrs(NET, MemberFilter::Established).count() > 0;
//!     assert!(feeds.iter_mut().all(|feed| feed.events().any(up)));
//!     let stats = second.links().snapshot().stats();
//!     assert_eq!((stats.dials(), stats.established(), stats.refused()), (1, 1, 0));
//!     assert!(second.shutdown(Duration::from_secs(10)).is_clean());
//!     assert!(feeds[0].events().any(|event| event.into_diff().to().is_empty()), "the other end sees it");
//!     assert!(first.shutdown(Duration::from_secs(10)).is_clean());
//!     Ok(())
//! }
//! ```
//!
//! Avoid closing all connections of a peer when an effect names streams: a newer one may be among them. A
//! node can be a member before its dial is reported as connected, so the program waits for
//! [`Established`](crate::manager::MemberFilter::Established). Here the hello stands for the only net. A node
//! with several nets sends each [`Announce`](crate::Effect::Announce) to the peer, and both call
//! [`admit`](crate::Handle::admit) or [`refuse`](crate::Handle::refuse) according to the answer. A node
//! outside of a test also authenticates the hello and limits the time for it. `examples/mesh` has
//! announcements, time limits and reconnection.
