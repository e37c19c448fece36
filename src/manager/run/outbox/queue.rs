//! The queue of effects that wait for the transport: in order, coalesced.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::link::DialId;
use crate::link::addr::Addr;
use crate::link::cluster::ClusterId;
use crate::link::net::NetId;
use crate::link::stream::StreamId;
use crate::manager::model::effect::{Effect, FEW, QUEUE_CAPACITY, entry};
use crate::table::DefaultHashBuilder;

/// The key of an effect. Waiting effects with the same key replace each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key<A> {
    Dialer(A),
    CancelDial(A),
    CloseDialer(A),
    CloseStreams(A),
    Announce(A, NetId),
    Released(A, NetId),
    LinkError(A, NetId),
    RequestLinks(NetId),
    LinkCountChanged(NetId),
    ClusterCountChanged(ClusterId),
}

fn key<A: Clone>(effect: &Effect<A>) -> Key<A> {
    match effect {
        Effect::Resolve { addr, .. } | Effect::Dial { addr, .. } => Key::Dialer(addr.clone()),
        Effect::CancelDial { addr, .. } => Key::CancelDial(addr.clone()),
        Effect::CloseDialer { addr } => Key::CloseDialer(addr.clone()),
        Effect::CloseStreams { addr, .. } => Key::CloseStreams(addr.clone()),
        Effect::Announce { addr, net, .. } => Key::Announce(addr.clone(), *net),
        Effect::Released { addr, net, .. } => Key::Released(addr.clone(), *net),
        Effect::LinkError { addr, net, .. } => Key::LinkError(addr.clone(), *net),
        Effect::RequestLinks { net, .. } => Key::RequestLinks(*net),
        Effect::LinkCountChanged { net, .. } => Key::LinkCountChanged(*net),
        Effect::ClusterCountChanged { cluster, .. } => Key::ClusterCountChanged(*cluster),
    }
}

/// The effects that wait for the transport: in order, coalesced.
///
/// Every operation is O(1) expected and amortized, regardless of the number of effects that wait for one
/// address or for all. The number of waiting effects is bounded by the addresses and nets that they concern,
/// and the core refuses new ones while too many wait; before that, the driver nearly stops taking API
/// commands.
#[derive(Debug)]
pub(crate) struct Outbox<A> {
    /// `None` for an effect that was taken back.
    queue: VecDeque<Option<Effect<A>>>,
    /// The number of the first entry of `queue`; numbers of waiting entries are unique.
    first: u64,
    places: HashMap<Key<A>, u64, DefaultHashBuilder>,
    /// The streams to close, for addresses with more than `FEW` of them.
    listed: HashMap<A, HashSet<StreamId>, DefaultHashBuilder>,
    /// Number of streams to close, over all addresses.
    closing: usize,
    coalesced: u64,
    /// Number of streams that were compared or looked up.
    #[cfg(all(test, not(switchboard_model)))]
    looked_at: usize,
}

impl<A: Addr> Outbox<A> {
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            first: 0,
            places: HashMap::default(),
            listed: HashMap::default(),
            closing: 0,
            coalesced: 0,
            #[cfg(all(test, not(switchboard_model)))]
            looked_at: 0,
        }
    }

    /// The number of streams that wait to be closed, over all addresses.
    pub(crate) fn closing(&self) -> usize {
        self.closing
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Heap memory, without memory that addresses own. Each stream to close counts once.
    pub(crate) fn bytes(&self) -> usize {
        self.queue.capacity() * size_of::<Option<Effect<A>>>()
            + self.places.capacity() * (size_of::<Key<A>>() + size_of::<u64>() + 1)
            + self.closing * size_of::<StreamId>()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The number of effects that were merged into, or annihilated with, an effect that still waited.
    pub(crate) fn coalesced(&self) -> u64 {
        self.coalesced
    }

    /// Appends an effect, or merges it with one that still waits.
    pub(crate) fn push(&mut self, effect: Effect<A>) {
        match effect {
            Effect::CancelDial { ref addr, dial } => {
                // A dial that the transport has not seen needs no cancellation.
                if self.take_back_dial(addr, Some(dial)) {
                    return;
                }
                self.append(effect);
            }
            Effect::CloseDialer { ref addr } => {
                self.take_back_dial(addr, None);
                // `CloseDialer` includes the cancellation of an earlier dial.
                self.take_back(&Key::CancelDial(addr.clone()));
                self.append(effect);
            }
            Effect::CloseStreams { ref addr, ref streams } => {
                if !self.add_streams(addr, streams) {
                    self.closing += streams.len();
                    self.append(effect);
                }
            }
            Effect::Resolve { .. } | Effect::Dial { .. } => {
                // A waiting effect about the same dialer is obsolete: the core starts another one only after
                // the earlier one ended.
                self.take_back(&key(&effect));
                self.append(effect);
            }
            _ => self.replace(effect),
        }
    }

    /// Takes the oldest effect.
    pub(crate) fn pop(&mut self) -> Option<Effect<A>> {
        while let Some(entry) = self.queue.pop_front() {
            self.first += 1;
            if let Some(effect) = entry {
                self.places.remove(&key(&effect));
                self.forget_listed(&effect);
                self.shrink_if_empty();
                return Some(effect);
            }
        }
        None
    }

    fn forget_listed(&mut self, effect: &Effect<A>) {
        if let Effect::CloseStreams { addr, streams } = effect {
            self.closing -= streams.len();
            if streams.len() > FEW {
                self.listed.remove(addr);
            }
        }
    }

    /// Releases memory after a transport that was far behind has caught up. Costs less than filling the queue
    /// did.
    fn shrink_if_empty(&mut self) {
        if self.places.is_empty() && self.places.capacity().max(self.queue.capacity()) > 2 * QUEUE_CAPACITY {
            self.places.shrink_to(QUEUE_CAPACITY);
            self.queue.shrink_to(QUEUE_CAPACITY);
            self.listed.shrink_to(QUEUE_CAPACITY);
        }
    }

    fn append(&mut self, effect: Effect<A>) {
        let key = key(&effect);
        // First, because taking back an effect at the end shortens the queue.
        self.take_back(&key);
        let place = self.first + self.queue.len() as u64;
        self.places.insert(key, place);
        self.queue.push_back(Some(effect));
    }

    /// Replaces a waiting effect with a newer one of the same key.
    fn replace(&mut self, effect: Effect<A>) {
        let place = self.places.get(&key(&effect)).copied();
        match place.and_then(|place| self.entry(place)) {
            Some(entry) => {
                *entry = Some(effect);
                self.coalesced += 1;
            }
            None => self.append(effect),
        }
    }

    /// Adds streams to those of the same address that wait to be closed. Returns `false` if there are none.
    fn add_streams(&mut self, addr: &A, more: &[StreamId]) -> bool {
        let place = self.places.get(&Key::CloseStreams(addr.clone())).copied();
        let entry = place.and_then(|place| entry(&mut self.queue, self.first, place));
        let Some(Some(Effect::CloseStreams { streams, .. })) = entry else { return false };
        let before = streams.len();
        let mut looked_at = more.len();
        if before + more.len() <= FEW {
            looked_at *= FEW;
            for stream in more {
                if !streams.contains(stream) {
                    streams.push(*stream);
                }
            }
        } else {
            let known = self.listed.entry(addr.clone()).or_insert_with(|| {
                looked_at += before;
                streams.iter().copied().collect()
            });
            streams.extend(more.iter().copied().filter(|stream| known.insert(*stream)));
        }
        self.closing += streams.len() - before;
        self.coalesced += 1;
        self.note_looks(looked_at);
        true
    }

    #[cfg(all(test, not(switchboard_model)))]
    fn note_looks(&mut self, streams: usize) {
        self.looked_at += streams;
    }

    #[cfg(not(all(test, not(switchboard_model))))]
    #[allow(clippy::unused_self)] // Counts in tests only.
    fn note_looks(&self, _: usize) {}

    /// Takes back a request to resolve or dial that still waits: only the given dial, or any request.
    fn take_back_dial(&mut self, addr: &A, only: Option<DialId>) -> bool {
        let key = Key::Dialer(addr.clone());
        let place = self.places.get(&key).copied();
        let waiting = place.and_then(|place| self.entry(place)).and_then(|entry| entry.as_ref());
        let matches = match (waiting, only) {
            (Some(Effect::Dial { dial, .. }), Some(only)) => *dial == only,
            (Some(_), None) => true,
            _ => false,
        };
        matches && self.take_back(&key)
    }

    fn take_back(&mut self, key: &Key<A>) -> bool {
        let Some(place) = self.places.remove(key) else { return false };
        self.coalesced += 1;
        self.clear_place(place);
        true
    }

    fn clear_place(&mut self, place: u64) {
        if let Some(entry) = self.entry(place) {
            *entry = None;
        }
        // Holes at the end are removed at once, and holes at the front when they are popped. Holes in between
        // are fewer than the effects that were ever in front of them, and compaction keeps them below half.
        while let Some(None) = self.queue.back() {
            self.queue.pop_back();
        }
        if self.queue.len() > 64 && self.places.len() * 2 < self.queue.len() {
            self.compact();
        }
    }

    fn compact(&mut self) {
        self.first += self.queue.len() as u64;
        self.queue.retain(Option::is_some);
        self.places.clear();
        for (place, effect) in self.queue.iter().enumerate() {
            if let Some(effect) = effect {
                self.places.insert(key(effect), self.first + place as u64);
            }
        }
    }

    fn entry(&mut self, place: u64) -> Option<&mut Option<Effect<A>>> {
        entry(&mut self.queue, self.first, place)
    }
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use super::*;

    use crate::link::ResolveId;

    use crate::link::addr::NodeAddr;
    use std::net::SocketAddr;

    const A: NodeAddr = NodeAddr(1);
    const B: NodeAddr = NodeAddr(2);
    const NET: NetId = NetId(1);

    fn dial(addr: NodeAddr, dial: u64) -> Effect<NodeAddr> {
        let endpoint = SocketAddr::from(([192, 0, 2, 1], 7));
        Effect::Dial { addr, endpoint, attempt: 1, dial: DialId(dial) }
    }

    fn cancel(addr: NodeAddr, dial: u64) -> Effect<NodeAddr> {
        Effect::CancelDial { addr, dial: DialId(dial) }
    }

    fn count(uplinks: usize) -> Effect<NodeAddr> {
        Effect::LinkCountChanged { net: NET, uplinks, downlinks: 0 }
    }

    fn close(addr: NodeAddr, streams: &[u64]) -> Effect<NodeAddr> {
        Effect::CloseStreams { addr, streams: streams.iter().copied().map(StreamId).collect() }
    }

    fn drained(effects: impl IntoIterator<Item = Effect<NodeAddr>>) -> Vec<Effect<NodeAddr>> {
        let mut outbox = Outbox::new();
        for effect in effects {
            outbox.push(effect);
        }
        let drained: Vec<_> = std::iter::from_fn(|| outbox.pop()).collect();
        assert!(outbox.is_empty());
        drained
    }

    #[test]
    fn order_is_kept_between_different_effects() {
        let effects =
            [dial(A, 1), Effect::Resolve { addr: B, resolve: ResolveId(1) }, count(1), cancel(B, 9)];
        assert_eq!(drained(effects.clone()), effects);
    }

    #[test]
    fn a_dial_that_nobody_saw_is_annihilated_by_its_cancellation() {
        assert_eq!(drained([dial(A, 1), cancel(A, 1)]), []);
        assert_eq!(drained([dial(A, 1), cancel(A, 1), dial(A, 2)]), [dial(A, 2)]);
        assert_eq!(drained([cancel(A, 1), dial(A, 2), cancel(A, 2)]), [cancel(A, 1)]);
        assert_eq!(drained([cancel(A, 1), dial(A, 2)]), [cancel(A, 1), dial(A, 2)]);
    }

    #[test]
    fn forgetting_a_node_replaces_what_waits_about_its_dialer() {
        let forget = Effect::CloseDialer { addr: A };
        assert_eq!(drained([cancel(A, 1), dial(A, 2), forget.clone()]), std::slice::from_ref(&forget));
        assert_eq!(
            drained([Effect::Resolve { addr: A, resolve: ResolveId(1) }, forget.clone()]),
            std::slice::from_ref(&forget)
        );
        assert_eq!(drained([forget.clone(), dial(A, 3)]), [forget, dial(A, 3)]);
    }

    #[test]
    fn an_effect_that_takes_the_last_place_of_an_older_one_takes_no_other() {
        let forget = Effect::CloseDialer { addr: A };
        let twice = [forget.clone(), forget.clone(), count(1), forget.clone()];
        assert_eq!(drained(twice), [count(1), forget.clone()]);
        let between = [count(1), forget.clone(), forget.clone(), dial(B, 1), close(A, &[7]), forget.clone()];
        assert_eq!(drained(between), [count(1), dial(B, 1), close(A, &[7]), forget]);
    }

    #[test]
    fn counts_keep_the_place_of_the_older_and_the_value_of_the_newer() {
        assert_eq!(drained([count(1), dial(A, 1), count(2)]), [count(2), dial(A, 1)]);
    }

    #[test]
    fn streams_to_close_are_united() {
        assert_eq!(
            drained([close(A, &[1]), close(B, &[3]), close(A, &[1, 2])]),
            [close(A, &[1, 2]), close(B, &[3])]
        );
    }

    #[test]
    fn what_a_stream_to_close_costs_does_not_depend_on_how_many_wait() {
        let mut outbox = Outbox::new();
        let mut most = 0;
        for stream in 0..100_000 {
            outbox.looked_at = 0;
            outbox.push(close(A, &[stream]));
            outbox.push(close(A, &[stream / 2]));
            most = most.max(outbox.looked_at);
        }
        assert!(most <= 2 * FEW + 2, "{most}");
        assert_eq!((outbox.len(), outbox.closing()), (1, 100_000));
        let Some(Effect::CloseStreams { streams, .. }) = outbox.pop() else { panic!("no effect waits") };
        assert!(streams.into_iter().eq((0..100_000).map(StreamId)), "each once, in order");
        assert_eq!((outbox.closing(), outbox.listed.len()), (0, 0));
        // The queue starts over.
        outbox.push(close(A, &[7]));
        assert_eq!((outbox.closing(), outbox.pop()), (1, Some(close(A, &[7]))));
    }

    #[test]
    fn an_outbox_that_has_drained_gives_its_memory_back() {
        let mut outbox = Outbox::new();
        let drained = |outbox: &mut Outbox<NodeAddr>| std::iter::from_fn(|| outbox.pop()).count();
        (0..100_000).for_each(|node| outbox.push(close(NodeAddr(node), &[node])));
        let full = outbox.bytes();
        assert_eq!(drained(&mut outbox), 100_000);
        assert!(outbox.bytes() * 20 < full, "{} of {full}", outbox.bytes());
        outbox.push(close(A, &(0..100).collect::<Vec<_>>()));
        outbox.push(close(A, &[7, 100]));
        assert_eq!(outbox.closing(), 101);
        assert_eq!(drained(&mut outbox), 1);
        assert_eq!(outbox.closing(), 0);
    }

    #[test]
    fn a_transport_that_never_answers_costs_bounded_memory() {
        let mut outbox = Outbox::new();
        outbox.push(count(0));
        for round in 0..10_000 {
            outbox.push(dial(A, round));
            outbox.push(cancel(A, round));
            outbox.push(close(A, &[1]));
            outbox.push(dial(B, round));
            outbox.push(count(round as usize));
        }
        assert_eq!(outbox.len(), 3);
        assert!(outbox.queue.len() <= 128, "{}", outbox.queue.len());
        assert_eq!(outbox.pop(), Some(count(9_999)));
        assert_eq!(outbox.pop(), Some(close(A, &[1])));
        assert_eq!(outbox.pop(), Some(dial(B, 9_999)));
        assert_eq!(outbox.pop(), None);
        assert!(outbox.coalesced() > 0);
    }
}
