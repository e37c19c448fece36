//! First contact with the manager: a small node, written from the public documentation alone, connects on
//! loopback at the first try; and an answer that the manager refuses shows in each place in which a user looks.
#![cfg(feature = "manager")]
#![allow(clippy::unwrap_used)] // A panic fails the test.
#![allow(clippy::disallowed_types, clippy::disallowed_methods)] // Uses real threads and sockets, not models.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use switchboard::link::{AddressPolicy, EndpointError};
use switchboard::manager::effect::LinkFailure;
use switchboard::manager::explain::DialBlocker;
use switchboard::metrics::Page;
use switchboard::{
    Config, Direction, Effect, Handle, LinkManager, Metrics, NetConfig, NetId, NodeAddr, StreamId,
};

const NET: NetId = NetId(1);
const ONE: NodeAddr = NodeAddr(1);
const TWO: NodeAddr = NodeAddr(2);
const LONG: Duration = Duration::from_secs(60);

/// The endpoints of all nodes.
type Book = Arc<Mutex<HashMap<NodeAddr, SocketAddr>>>;

/// The streams of a node. A message on them is a number: a net to announce it, its complement to accept it.
#[derive(Clone, Default)]
struct Streams(Arc<Mutex<HashMap<StreamId, (NodeAddr, TcpStream)>>>, Arc<AtomicU64>);

impl Streams {
    fn add(&self, peer: NodeAddr, socket: &TcpStream) -> io::Result<StreamId> {
        let stream = StreamId(self.1.fetch_add(1, Ordering::Relaxed));
        self.0.lock().unwrap().insert(stream, (peer, socket.try_clone()?));
        Ok(stream)
    }

    fn send(&self, stream: StreamId, number: u64) {
        if let Some((_, socket)) = self.0.lock().unwrap().get_mut(&stream) {
            let _ = socket.write_all(&number.to_be_bytes());
        }
    }

    fn close(&self, is_meant: impl Fn(StreamId, NodeAddr) -> bool) {
        for (_, (_, socket)) in self.0.lock().unwrap().iter().filter(|(id, (peer, _))| is_meant(**id, *peer))
        {
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// Reads a stream until it ends.
    fn serve(&self, mut socket: TcpStream, peer: NodeAddr, stream: StreamId, handle: &Handle) {
        while let Ok(number) = receive(&mut socket) {
            if number == NET.0 {
                self.send(stream, !number);
            }
            let _ = handle.admit(NET, peer, stream);
        }
        self.0.lock().unwrap().remove(&stream);
        let _ = handle.delete_stream(peer, stream);
    }
}

fn receive(socket: &mut TcpStream) -> io::Result<u64> {
    let mut number = [0; 8];
    socket.read_exact(&mut number)?;
    Ok(u64::from_be_bytes(number))
}

fn dial(own: NodeAddr, endpoint: SocketAddr) -> io::Result<TcpStream> {
    let mut socket = TcpStream::connect(endpoint)?;
    socket.write_all(&own.0.to_be_bytes())?;
    Ok(socket)
}

/// Starts a node that listens on loopback. The receiver gets each effect after it has been carried out.
fn node(own: NodeAddr, book: &Book, config: Config, links: u32) -> (LinkManager, Receiver<Effect<NodeAddr>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    book.lock().unwrap().insert(own, listener.local_addr().unwrap());
    let (streams, (done, effects)) = (Streams::default(), mpsc::channel());
    let transport = transport(own, book.clone(), streams.clone(), done);
    let manager = LinkManager::builder(config).own_addr(own).transport(transport).spawn().unwrap();
    let handle = manager.handle();
    handle.add_net(NET, NetConfig::new().min_links(links)).unwrap();
    handle.set_net_active(NET, true).unwrap();
    thread::spawn(move || {
        while let Ok((mut socket, _)) = listener.accept() {
            let Ok(peer) = receive(&mut socket).map(NodeAddr) else { continue };
            let stream = streams.add(peer, &socket).unwrap();
            let _ = handle.add_stream(peer, stream, Direction::Downlink);
            let (streams, handle) = (streams.clone(), handle.clone());
            thread::spawn(move || streams.serve(socket, peer, stream, &handle));
        }
    });
    (manager, effects)
}

fn transport(
    own: NodeAddr,
    book: Book,
    streams: Streams,
    done: Sender<Effect<NodeAddr>>,
) -> impl FnMut(Effect<NodeAddr>, &Handle) + Send + 'static {
    move |effect, handle| {
        match effect.clone() {
            Effect::RequestLinks { net, .. } => {
                for peer in book.lock().unwrap().keys().filter(|peer| **peer != own) {
                    let _ = handle.create_link(*peer, net);
                }
            }
            Effect::Resolve { addr, resolve } => {
                let _ = match book.lock().unwrap().get(&addr) {
                    Some(endpoint) => handle.set_endpoint(addr, *endpoint),
                    None => handle.resolve_failed(addr, resolve),
                };
            }
            Effect::Dial { addr, endpoint, dial: id, .. } => {
                let (streams, handle) = (streams.clone(), handle.clone());
                thread::spawn(move || {
                    let Ok(socket) = dial(own, endpoint) else {
                        return handle.dial_failed(addr, id, true).map(drop);
                    };
                    let stream = streams.add(addr, &socket).unwrap();
                    let _ = handle.add_uplink(addr, stream, id);
                    let _ = handle.dial_connected(addr, id);
                    streams.serve(socket, addr, stream, &handle);
                    Ok(())
                });
            }
            Effect::Announce { net, stream, .. } => streams.send(stream, net.0),
            Effect::CancelDial { addr, .. } | Effect::CloseDialer { addr } => {
                streams.close(|_, peer| peer == addr);
            }
            Effect::CloseStreams { streams: list, .. } => streams.close(|stream, _| list.contains(&stream)),
            _ => {}
        }
        let _ = done.send(effect);
    }
}

fn wait<T>(effects: &Receiver<Effect<NodeAddr>>, find: impl Fn(&Effect<NodeAddr>) -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        let effect = effects.recv_timeout(end.saturating_duration_since(Instant::now())).unwrap();
        if let Some(found) = find(&effect) {
            return found;
        }
    }
}

#[test]
fn a_small_node_connects_on_loopback_at_the_first_try() {
    let book = Book::default();
    let (two, at_two) = node(TWO, &book, Config::default(), 0);
    let (one, at_one) = node(ONE, &book, Config::default(), 1);
    let members = |effect: &Effect<NodeAddr>| match effect {
        Effect::LinkCountChanged { uplinks, downlinks, .. } => Some((*uplinks, *downlinks)),
        Effect::Released { cause, .. } => panic!("released: {cause}"),
        _ => None,
    };
    assert_eq!(wait(&at_one, members), (1, 0));
    assert_eq!(wait(&at_two, members), (0, 1));
    let stats = one.links().snapshot().stats();
    assert_eq!((stats.dials(), stats.established(), stats.refused_answers()), (1, 1, 0));
    assert_eq!(one.links().snapshot().get(&TWO).unwrap().last_failure(), None);
    assert_eq!(two.links().snapshot().stats().refused_answers(), 0);
    assert!(one.shutdown(LONG).is_clean());
    assert!(two.shutdown(LONG).is_clean());
}

/// The program drops every ticket, and the manager releases the link after its only attempt.
#[test]
fn a_refused_answer_shows_where_one_looks() {
    let book = Book::default();
    let (two, _at_two) = node(TWO, &book, Config::default(), 0);
    let (one, at_one) = node(ONE, &book, Config::default().addresses(AddressPolicy::public()), 1);
    let expected = LinkFailure::Endpoint(EndpointError::Loopback);
    // In the effect.
    let cause = wait(&at_one, |effect| match effect {
        Effect::Released { addr: TWO, net: NET, cause, .. } => Some(*cause),
        _ => None,
    });
    assert_eq!(cause, expected);
    assert_eq!(cause.to_string(), "the endpoint cannot be dialled: the address policy refuses loopback");
    // In the explanation, although the link no longer exists.
    let snapshot = one.links().snapshot();
    let explanation = snapshot.explain(&TWO, snapshot.published_at());
    assert!(!explanation.is_known());
    let noted: Vec<_> = explanation.ignored.iter().map(|ignored| (ignored.net, ignored.failure)).collect();
    assert_eq!(noted, [(NET, Some(expected))]);
    // In the counters.
    let metrics = Metrics::new(&one);
    assert_eq!(snapshot.stats().refused_answers(), 1);
    metrics.refresh();
    assert_eq!(metrics.report().error_count("endpoint"), 1);
    let page = Page::new().add("one", &metrics).to_string();
    assert!(page.contains("switchboard_refused_answers_total{node=\"one\"} 1\n"), "{page}");
    assert!(one.shutdown(LONG).is_clean());
    assert!(two.shutdown(LONG).is_clean());
}

#[test]
fn a_refused_candidate_is_counted_and_explained() {
    let (one, effects) = node(ONE, &Book::default(), Config::default(), 1);
    wait(&effects, |effect| matches!(effect, Effect::RequestLinks { .. }).then_some(()));
    assert!(one.handle().create_link(ONE, NET).unwrap().wait().is_err());
    assert!(one.handle().create_link(NodeAddr::BLANK, NET).unwrap().wait().is_err());
    let snapshot = one.links().snapshot();
    assert_eq!(snapshot.stats().refused_answers(), 2);
    let blockers = |addr| snapshot.explain(&addr, snapshot.published_at()).blockers;
    assert_eq!(blockers(ONE), [DialBlocker::NoLink, DialBlocker::OwnAddr]);
    assert_eq!(blockers(NodeAddr::BLANK), [DialBlocker::NoLink, DialBlocker::BlankAddr]);
    assert!(one.shutdown(LONG).is_clean());
}
