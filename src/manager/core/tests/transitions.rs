//! The table of states and events: every situation of a link meets every event.
//!
//! A situation consists of the state of the dialer, the streams, the reasons for the link and its
//! memberships. The test creates it by commands, and compares it before and after an event with the table
//! below, which shares no code with the core. The test must meet exactly the situations that the table calls
//! possible.

use std::collections::BTreeSet;

use super::*;
use crate::link::UserData;
use crate::manager::model::config::Timing;
use crate::manager::model::config::settings::Settings;

/// The state of the dialer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dialer {
    Idle,
    Resolving,
    Connecting,
    Established,
}

use Dialer::{Connecting, Established, Idle, Resolving};
use Direction::{Downlink, Uplink};

/// The reason for which a link is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    None,
    Net,
    Permanent,
    Static,
}

/// A link as the table sees it. Used as an `Option`: `None` stands for no record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    dialer: Dialer,
    streams: Vec<Direction>,
    /// Whether the net wants it.
    wanted: bool,
    /// Whether it is a permanent peer of the net.
    permanent: bool,
    /// Whether it is a static peer of the cluster.
    fixed: bool,
    /// Whether it is a member of the main cluster; below, of the associated one.
    main: bool,
    cluster: bool,
}

/// All events. `Old` means: with an identity that the link does not have, or no longer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Create,
    Endpoint,
    BadEndpoint,
    Delete,
    ResolveFailed,
    ResolveFailedOld,
    Down,
    KnownStream,
    Up,
    UpOfDial,
    UpOfOldDial,
    ReplaceByDown,
    ReplaceByUp,
    ReplaceBySpare,
    ReplaceOld,
    LosePrimary,
    LoseSpare,
    LoseOld,
    Accept,
    AcceptOld,
    Refuse,
    RefuseOld,
    Connected,
    ConnectedOld,
    Failed,
    FailedLast,
    FailedOld,
    NetOff,
    NetOn,
    NetRemoved,
    Join,
    Leave,
    Fix,
    Unfix,
    Role,
    Dissociate,
    Keep,
    Unkeep,
    Reserve,
    ConfigureNet,
    Reconfigure,
    SetData,
    ManagerOff,
    Request,
    WakeUp,
    TimeOut,
}

use Event::{
    Accept, AcceptOld, BadEndpoint, ConfigureNet, Connected, ConnectedOld, Create, Delete, Dissociate, Down,
    Endpoint, Failed, FailedLast, FailedOld, Fix, Join, Keep, KnownStream, Leave, LoseOld, LosePrimary,
    LoseSpare, ManagerOff, NetOff, NetOn, NetRemoved, Reconfigure, Refuse, RefuseOld, ReplaceByDown,
    ReplaceBySpare, ReplaceByUp, ReplaceOld, Request, Reserve, ResolveFailed, ResolveFailedOld, Role,
    SetData, TimeOut, Unfix, Unkeep, Up, UpOfDial, UpOfOldDial, WakeUp,
};

const EVENTS: [Event; 46] = [
    Create,
    Endpoint,
    BadEndpoint,
    Delete,
    ResolveFailed,
    ResolveFailedOld,
    Down,
    KnownStream,
    Up,
    UpOfDial,
    UpOfOldDial,
    ReplaceByDown,
    ReplaceByUp,
    ReplaceBySpare,
    ReplaceOld,
    LosePrimary,
    LoseSpare,
    LoseOld,
    Accept,
    AcceptOld,
    Refuse,
    RefuseOld,
    Connected,
    ConnectedOld,
    Failed,
    FailedLast,
    FailedOld,
    NetOff,
    NetOn,
    NetRemoved,
    Join,
    Leave,
    Fix,
    Unfix,
    Role,
    Dissociate,
    Keep,
    Unkeep,
    Reserve,
    ConfigureNet,
    Reconfigure,
    SetData,
    ManagerOff,
    Request,
    WakeUp,
    TimeOut,
];

// The table.

/// Whether a situation can occur.
fn is_possible(state: &State) -> bool {
    let (up, down) = (state.streams.contains(&Uplink), state.streams.contains(&Downlink));
    let active = state.main || state.cluster;
    let reason = state.wanted || state.fixed || active;
    let dials = matches!(state.dialer, Connecting | Established);
    // A stream of this node needs a dial, a busy dialer a reason, a member a stream, and a record a reason or
    // a stream of the peer.
    (!up || dials) && (state.dialer == Idle || reason) && (!active || up || down) && (reason || down)
}

/// Returns the situation after an event.
fn next(state: Option<State>, event: Event, timing: Timing) -> Option<State> {
    let Some(mut s) = state else { return born(event) };
    let before = s.clone();
    let dials = matches!(s.dialer, Connecting | Established);
    let connected = !s.streams.is_empty();
    match event {
        // Events without news.
        ResolveFailedOld | KnownStream | UpOfOldDial | ReplaceOld | LoseOld | AcceptOld | RefuseOld
        | ConnectedOld | FailedOld | NetOn | ConfigureNet | Reconfigure | SetData | ManagerOff | Request => {
            return Some(s);
        }

        Create => s.wanted = true,
        Endpoint if s.dialer == Resolving => s.dialer = if s.may_dial(timing) { Connecting } else { Idle },
        BadEndpoint | ResolveFailed if s.dialer == Resolving => s.give_up(),
        Endpoint | BadEndpoint | ResolveFailed => {}
        Delete => {
            s = State { dialer: Idle, streams: Vec::new(), wanted: s.permanent, ..s };
        }

        Down => s.add(Downlink),
        Up | UpOfDial if dials => s.add(Uplink),
        Up | UpOfDial => {}
        ReplaceBySpare if s.streams.len() < 2 => {}
        ReplaceBySpare => {
            let spare = s.streams[1];
            s.streams.remove(0);
            s.follow(before.streams[0], spare);
        }
        ReplaceByDown | ReplaceByUp if !connected => {}
        ReplaceByUp if !dials => s.lose(0),
        ReplaceByDown | ReplaceByUp => {
            let new = if event == ReplaceByUp { Uplink } else { Downlink };
            let old = std::mem::replace(&mut s.streams[0], new);
            s.follow(old, new);
        }
        LosePrimary if connected => s.lose(0),
        LoseSpare if s.streams.len() > 1 => s.lose(1),
        LosePrimary | LoseSpare => {}

        Accept if connected => (s.main, s.cluster) = (true, s.cluster || s.fixed),
        Refuse if connected => {
            (s.main, s.cluster) = (false, false);
            s.wanted &= s.permanent;
        }
        Accept | Refuse => {}
        Join => s.cluster |= connected,
        Leave => s.cluster = false,
        // A repeated designation by the host changes nothing.
        Fix if s.fixed => {}
        Fix | Role => (s.fixed, s.cluster) = (true, s.cluster || connected),
        Unfix => s.fixed = false,
        Dissociate => (s.fixed, s.cluster) = (false, false),
        Keep if s.permanent => {}
        Keep => (s.wanted, s.permanent) = (true, true),
        Unkeep => s.permanent = false,
        // Applies to links that serve the net without being permanent peers. A static peer stays in its
        // cluster.
        Reserve if s.permanent || !(s.wanted || s.main) => {}
        Reserve => (s.wanted, s.main, s.cluster) = (false, false, s.fixed && connected),

        Connected if dials => s.dialer = Established,
        Failed | FailedLast if dials => s.fail(event == FailedLast),
        Connected | Failed | FailedLast => {}
        NetOff | NetRemoved => {
            (s.wanted, s.main, s.cluster) = (false, false, false);
            if event == NetRemoved {
                (s.fixed, s.permanent) = (false, false);
            }
            // A static peer of a disabled cluster has a record, but no connection.
            if s.fixed {
                s.reset();
            }
        }
        WakeUp | TimeOut if s.dialer == Idle && s.may_dial(timing) => s.dialer = Resolving,
        TimeOut if s.dialer == Resolving => s.give_up(),
        TimeOut if s.dialer == Connecting || (dials && !connected) => s.fail(true),
        WakeUp | TimeOut => {}
    }
    s.settled()
}

/// Returns the link that an event creates, if any.
fn born(event: Event) -> Option<State> {
    let blank = State {
        dialer: Idle,
        streams: Vec::new(),
        wanted: false,
        permanent: false,
        fixed: false,
        main: false,
        cluster: false,
    };
    match event {
        Create => Some(State { wanted: true, ..blank }),
        Down => Some(State { streams: vec![Downlink], ..blank }),
        Fix | Role => Some(State { fixed: true, ..blank }),
        Keep => Some(State { wanted: true, permanent: true, ..blank }),
        _ => None,
    }
}

impl State {
    fn may_dial(&self, timing: Timing) -> bool {
        // A stream of the peer makes a dial superfluous; with ticked timing, only once it carries a
        // membership.
        let unconnected = timing == Timing::Ticked || self.streams.is_empty();
        unconnected && !self.main && !self.cluster && (self.wanted || self.fixed)
    }

    /// A static peer joins with its first stream.
    fn add(&mut self, direction: Direction) {
        self.cluster |= self.fixed && self.streams.is_empty();
        self.streams.push(direction);
    }

    /// Removes one stream.
    fn lose(&mut self, index: usize) {
        let dead = self.streams.remove(index);
        if let (0, Some(new)) = (index, self.streams.first().copied()) {
            self.follow(dead, new);
        }
        let broken = self.streams.is_empty() || (dead == Uplink && !self.streams.contains(&Uplink));
        if self.dialer == Established && broken {
            self.dialer = Connecting;
        }
    }

    /// Resets the dialer if a stream of the peer replaces a primary stream of this node.
    fn follow(&mut self, old: Direction, new: Direction) {
        if (old, new) == (Uplink, Downlink) {
            self.reset();
        }
    }

    fn reset(&mut self) {
        self.dialer = Idle;
        self.streams.retain(|direction| *direction == Downlink);
    }

    /// Whether a stream of the peer carries memberships.
    fn is_carried(&self) -> bool {
        (self.main || self.cluster) && self.streams.contains(&Downlink)
    }

    /// Handles the failure of the dial or the loss of its connection.
    fn fail(&mut self, last: bool) {
        self.streams.retain(|direction| *direction == Downlink);
        if last || self.is_carried() {
            self.give_up();
        } else {
            self.dialer = Connecting;
        }
    }

    /// Ends the attempt, regardless of the step that failed. A link that is still a member stays associated.
    fn give_up(&mut self) {
        self.dialer = Idle;
        self.wanted &= self.permanent || self.is_carried();
    }

    /// Completes a change: memberships end with the last stream, and without a reason only streams of the
    /// peer keep the record.
    fn settled(mut self) -> Option<Self> {
        if self.streams.is_empty() {
            (self.main, self.cluster) = (false, false);
        }
        if self.wanted || self.fixed || self.main || self.cluster {
            return Some(self);
        }
        self.reset();
        (!self.streams.is_empty()).then_some(self)
    }
}

// The core, brought into a situation by commands.

const STREAMS: [&[Direction]; 5] = [&[], &[Uplink], &[Downlink], &[Uplink, Downlink], &[Downlink, Uplink]];

#[derive(Clone, Copy, Debug)]
struct Situation {
    dialer: Dialer,
    streams: &'static [Direction],
    reason: Reason,
    member: bool,
}

impl Situation {
    fn all() -> impl Iterator<Item = Self> {
        let dialers = [Idle, Resolving, Connecting, Established].into_iter();
        let reasons = [Reason::None, Reason::Net, Reason::Permanent, Reason::Static];
        dialers.flat_map(move |dialer| {
            STREAMS.into_iter().flat_map(move |streams| {
                reasons.into_iter().flat_map(move |reason| {
                    [false, true].map(|member| Self { dialer, streams, reason, member })
                })
            })
        })
    }

    fn state(self) -> State {
        let Self { dialer, streams, reason, member } = self;
        State {
            dialer,
            streams: streams.to_vec(),
            wanted: matches!(reason, Reason::Net | Reason::Permanent),
            permanent: reason == Reason::Permanent,
            fixed: reason == Reason::Static,
            main: member && reason != Reason::Static,
            cluster: member && reason == Reason::Static,
        }
    }

    /// Brings a bench into the situation by commands, as far as possible.
    fn make(self, timing: Timing) -> Bench {
        let mut bench = table_bench(timing);
        match self.reason {
            Reason::Net => drop(bench.create(A, NET)),
            Reason::Permanent => drop(bench.keep(NET, A)),
            Reason::Static => drop(bench.fix(CLUSTER, A)),
            // Another net wants the link at first.
            Reason::None if self.dialer != Idle => drop(bench.create(A, OTHER)),
            Reason::None => {}
        }
        if self.dialer != Idle {
            bench.done(Command::WakeUp);
        }
        if matches!(self.dialer, Connecting | Established) {
            drop(bench.update(A));
        }
        if self.dialer == Established
            && let Some(dial) = dial_of(&mut bench)
        {
            drop(bench.connected(A, dial));
        }
        for (stream, direction) in (1..).zip(self.streams) {
            drop(bench.stream(A, stream, *direction));
        }
        match (self.reason, self.member) {
            (Reason::Static, false) => drop(bench.apply(Command::LeaveCluster { cluster: CLUSTER, addr: A })),
            (Reason::Static, true) | (_, false) => {}
            (_, true) => drop(bench.account(NET, A, 1, true)),
        }
        bench.switch(OTHER, false);
        bench
    }
}

fn table_bench(timing: Timing) -> Bench {
    let config = match timing {
        Timing::Immediate => Config::default(),
        Timing::Ticked => Config::ticked().dial_timeout(Duration::from_secs(60)),
    };
    let mut bench = Bench::new(config);
    bench.open(NET, 0);
    bench.open(OTHER, 0);
    bench.associate(NET, CLUSTER);
    bench.role(CLUSTER, OWN, true).unwrap();
    bench
}

fn dial_of(bench: &mut Bench) -> Option<DialId> {
    bench.snapshot().get(&A).and_then(Link::dial_id)
}

fn observe(bench: &mut Bench) -> Option<State> {
    let snapshot = bench.snapshot();
    let link = snapshot.get(&A)?;
    let dialer = match link.state() {
        DialState::Disconnected if link.is_resolving() => Resolving,
        DialState::Disconnected => Idle,
        DialState::Connecting => Connecting,
        DialState::Established => Established,
    };
    Some(State {
        dialer,
        streams: link.streams().iter().map(|stream| stream.direction).collect(),
        wanted: link.nets().contains(&NET),
        permanent: snapshot.net(NET).is_some_and(|net| net.is_permanent(&A)),
        fixed: link.is_static_peer(CLUSTER),
        main: link.is_member(NET),
        cluster: link.is_cluster_member(CLUSTER),
    })
}

fn happen(bench: &mut Bench, event: Event) {
    let streams = bench.snapshot().get(&A).map_or_else(Vec::new, |link| link.streams().to_vec());
    let id = |index: usize| streams.get(index).map_or(StreamId(900), |stream| stream.id);
    let (old, fresh) = (StreamId(901), StreamId(50));
    let (dial, old_dial) = (dial_of(bench).unwrap_or(DialId(902)), DialId(903));
    let resolve = bench.snapshot().get(&A).and_then(Link::resolve_id).unwrap_or(ResolveId(905));
    let (addr, net, cluster) = (A, NET, CLUSTER);
    let add = |stream, direction| Command::AddStream { addr, stream, direction };
    let replace = |old, new, direction| Command::ReplaceStream { addr, old, new, direction };
    let account = |stream, accepted| Command::AccountLink { net, addr, stream, accepted };
    let port = |port| Command::SetEndpoint { addr, endpoint: SocketAddr::from(([192, 0, 2, 1], port)) };
    let command = match event {
        Create => Command::CreateLink { addr, net },
        Endpoint => port(4000),
        BadEndpoint => port(0),
        Delete => Command::DeleteLink { addr },
        ResolveFailed => Command::ResolveFailed { addr, resolve },
        ResolveFailedOld => Command::ResolveFailed { addr, resolve: ResolveId(904) },
        Down => add(fresh, Downlink),
        KnownStream if streams.is_empty() => return,
        KnownStream => add(id(0), Downlink),
        Up => add(fresh, Uplink),
        UpOfDial => Command::AddUplink { addr, stream: fresh, dial },
        UpOfOldDial => Command::AddUplink { addr, stream: fresh, dial: old_dial },
        ReplaceByDown => replace(id(0), fresh, Downlink),
        ReplaceByUp => replace(id(0), fresh, Uplink),
        ReplaceBySpare if streams.len() < 2 => return,
        ReplaceBySpare => replace(id(0), id(1), streams[1].direction),
        ReplaceOld => replace(old, fresh, Downlink),
        LosePrimary => Command::DeleteStream { addr, stream: id(0) },
        LoseSpare => Command::DeleteStream { addr, stream: id(1) },
        LoseOld => Command::DeleteStream { addr, stream: old },
        Accept => account(id(0), true),
        AcceptOld => account(old, true),
        Refuse => account(id(0), false),
        RefuseOld => account(old, false),
        Connected => Command::DialConnected { addr, dial },
        ConnectedOld => Command::DialConnected { addr, dial: old_dial },
        Failed => Command::DialFailed { addr, dial, last: false },
        FailedLast => Command::DialFailed { addr, dial, last: true },
        FailedOld => Command::DialFailed { addr, dial: old_dial, last: true },
        NetOff => Command::SetNetActive { net, active: false },
        NetOn => Command::SetNetActive { net, active: true },
        NetRemoved => Command::RemoveNet { net },
        Join => Command::JoinCluster { cluster, addr },
        Leave => Command::LeaveCluster { cluster, addr },
        Fix => Command::AddStaticPeer { cluster, addr },
        Unfix => Command::RemoveStaticPeer { cluster, addr },
        Role => Command::SetRoleMember { cluster, addr, member: true },
        Dissociate => Command::DissociateCluster { cluster },
        Keep => Command::AddPermanentPeer { net, addr },
        Unkeep => Command::RemovePermanentPeer { net, addr },
        Reserve => Command::ConfigureNet { net, config: NetConfig::new().reserved_only(true) },
        ConfigureNet => Command::ConfigureNet { net, config: NetConfig::new().min_links(9) },
        Reconfigure => {
            let retry = RetryPolicy::fixed(Duration::from_secs(1));
            Command::Reconfigure { settings: Box::new(Settings::default().retry(retry).max_links(1)) }
        }
        SetData => Command::SetUserData { addr, data: Some(UserData::new(7)) },
        ManagerOff => Command::SetActive { active: false },
        Request => Command::CheckNets,
        WakeUp => Command::WakeUp,
        TimeOut => {
            // With ticked timing the phases alternate: a wake-up needs two ticks.
            bench.after_seconds(60);
            if bench.core.config.timing == Timing::Ticked {
                bench.after_seconds(5);
            }
            return;
        }
    };
    let _ = bench.apply(command);
}

fn every_situation_meets_every_event(timing: Timing) {
    let possible: BTreeSet<_> =
        Situation::all().map(Situation::state).filter(is_possible).map(Some).chain([None]).collect();
    let mut visited = BTreeSet::new();
    let makers = Situation::all().map(Some).chain([None]);
    for maker in makers {
        let make = || maker.map_or_else(|| table_bench(timing), |situation| situation.make(timing));
        let wanted = maker.map(Situation::state);
        if observe(&mut make()) != wanted {
            continue;
        }
        for event in EVENTS {
            let mut bench = make();
            happen(&mut bench, event);
            let expected = next(wanted.clone(), event, timing);
            assert_eq!(observe(&mut bench), expected, "{event:?} in {wanted:?}, {timing:?}");
            visited.insert((wanted.clone(), event));
        }
    }
    let all = possible.iter().flat_map(|state| EVENTS.map(|event| (state.clone(), event)));
    let all: BTreeSet<_> = all.collect();
    assert_eq!(EVENTS.iter().collect::<BTreeSet<_>>().len(), EVENTS.len());
    assert!(visited.is_subset(&all), "{:?}", visited.difference(&all).next());
    assert!(all.is_subset(&visited), "not visited: {:?}", all.difference(&visited).next());
}

#[test]
fn every_situation_meets_every_event_as_the_table_says_in_immediate_mode() {
    every_situation_meets_every_event(Timing::Immediate);
}

#[test]
fn every_situation_meets_every_event_as_the_table_says_in_reference_mode() {
    every_situation_meets_every_event(Timing::Ticked);
}
