use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{RwLock, mpsc};
use std::thread::{self, JoinHandle};

use super::{LINKS, Manager, NETS};
use crate::data::Key;
use crate::peers::Hasher;

/// A link with about the same contents as in this crate.
#[derive(Clone, Debug, Default)]
struct Link {
    streams: Vec<u64>,
    nets: Vec<u64>,
}

type Map = HashMap<u64, Link, Hasher>;

fn filled() -> Map {
    let mut links = Map::default();
    for number in 0..LINKS {
        let addr = u64::from_number(number);
        links.insert(addr, Link { streams: vec![addr], nets: vec![number % NETS + 1] });
    }
    links
}

fn change(links: &mut Map, addr: u64, comes: bool) {
    if comes {
        links.entry(addr).or_default().streams.push(addr);
    } else if let Some(link) = links.get_mut(&addr) {
        link.streams.retain(|stream| *stream != addr);
        if link.streams.is_empty() && link.nets.is_empty() {
            links.remove(&addr);
        }
    }
}

enum Request {
    Change { addr: u64, comes: bool, done: oneshot::Sender<()> },
    Get { addr: u64, answer: oneshot::Sender<Option<Link>> },
    Count { net: u64, answer: oneshot::Sender<usize> },
}

/// A thread that owns the links, behind a bounded channel.
pub(super) struct Actor {
    requests: Option<mpsc::SyncSender<Request>>,
    thread: Option<JoinHandle<()>>,
}

impl Actor {
    pub(super) fn new() -> Self {
        let (requests, inbox) = mpsc::sync_channel(1024);
        let thread = thread::spawn(move || act(&inbox));
        Self { requests: Some(requests), thread: Some(thread) }
    }

    fn request<R>(&self, make: impl FnOnce(oneshot::Sender<R>) -> Request) -> oneshot::Receiver<R> {
        let (sender, receiver) = oneshot::channel();
        let requests = self.requests.as_ref().expect("the actor runs");
        requests.send(make(sender)).expect("the actor runs");
        receiver
    }
}

fn act(inbox: &mpsc::Receiver<Request>) {
    let mut links = filled();
    // The actor keeps sets, so it counts in O(1) as well.
    let mut nets: HashMap<u64, HashSet<u64>> = HashMap::new();
    for (addr, link) in &links {
        for net in &link.nets {
            nets.entry(*net).or_default().insert(*addr);
        }
    }
    for request in inbox {
        match request {
            Request::Change { addr, comes, done } => {
                change(&mut links, addr, comes);
                let _ = done.send(());
            }
            Request::Get { addr, answer } => drop(answer.send(links.get(&addr).cloned())),
            Request::Count { net, answer } => drop(answer.send(nets.get(&net).map_or(0, HashSet::len))),
        }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Manager for Actor {
    type Pending = oneshot::Receiver<()>;

    fn name(&self) -> &'static str {
        "actor (mpsc + oneshot)"
    }

    fn send(&self, addr: u64, comes: bool) -> Self::Pending {
        self.request(|done| Request::Change { addr, comes, done })
    }

    fn wait(&self, pending: Self::Pending) {
        pending.recv().expect("the actor runs");
    }

    fn count(&self, net: u64) -> usize {
        self.request(|answer| Request::Count { net, answer }).recv().expect("the actor runs")
    }

    fn read(&self, stop: &AtomicBool) {
        let mut number = 0;
        // Relaxed: the flag publishes no other data.
        while !stop.load(Ordering::Relaxed) {
            number += 31;
            let addr = u64::from_number(number % LINKS);
            black_box(self.request(|answer| Request::Get { addr, answer }).recv().expect("the actor runs"));
        }
    }
}

/// A manager whose links are changed and read under one lock.
pub(super) struct Locked {
    links: RwLock<Map>,
}

impl Locked {
    pub(super) fn new() -> Self {
        Self { links: RwLock::new(filled()) }
    }
}

impl Manager for Locked {
    type Pending = ();

    fn name(&self) -> &'static str {
        "RwLock manager"
    }

    fn send(&self, addr: u64, comes: bool) {
        change(&mut self.links.write().expect("the lock is not poisoned"), addr, comes);
    }

    fn wait(&self, (): ()) {}

    fn count(&self, net: u64) -> usize {
        let links = self.links.read().expect("the lock is not poisoned");
        links.values().filter(|link| link.nets.contains(&net)).count()
    }

    fn read(&self, stop: &AtomicBool) {
        // Relaxed: the flag publishes no other data.
        while !stop.load(Ordering::Relaxed) {
            for number in 0..256 {
                let addr = u64::from_number(number * 31 % LINKS);
                black_box(self.links.read().expect("the lock is not poisoned").get(&addr).is_some());
            }
        }
    }
}
