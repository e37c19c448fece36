//! The parts of a new pipeline, by its settings.

use std::hash::BuildHasher;

use super::{Settings, Shared, figures};
use crate::SharedWriter;
use crate::cleanup::breaker::{self, Breaker};
use crate::cleanup::config::Config;
use crate::cleanup::delivery;
use crate::cleanup::entry::{Entry, Event, Groups, Resources};
use crate::cleanup::events::Events;
use crate::cleanup::gate::Gate;
use crate::cleanup::queue::WorkQueue;
use crate::cleanup::recent::Recent;
use crate::cleanup::sender::Sender;
use crate::cleanup::sink::EventSink;
use crate::cleanup::slots::{ConnectionId, Slots};
use crate::cleanup::stats::Counters;
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use crate::sync::{Condvar, Mutex, StdArc, lock_order};
use crate::table::DefaultHashBuilder;

impl<V: Entry, R: Resources> Shared<V, R> {
    /// The settings are valid.
    pub(super) fn new<S>(
        settings: Settings,
        writer: SharedWriter<ConnectionId, V, Groups<V>>,
        sink: StdArc<S>,
    ) -> StdArc<Self>
    where
        S: EventSink<V::App, Event<V::Group>> + 'static,
    {
        let Settings { config, max_connections, clock, hooks } = settings;
        let workers = config.workers.count(crate::sync::processors());
        let origin = clock.now();
        let hasher = DefaultHashBuilder::default();
        let events = Events::new(config.events_pending, delivery_terms(&config));
        StdArc::new(Self {
            slots: Slots::new(max_connections.max(1)),
            sender: Sender::new(workers, || queue(&config)),
            breakers: (0..workers).map(|_| Breaker::new(breaker_terms(&config))).collect(),
            gate: Gate::new(config.inline_limit(workers)),
            limits: Mutex::new(&lock_order::CLEANUP_LIMITS, figures::limits(&config)),
            is_limited: AtomicBool::new(figures::is_limited(&config)),
            tuning: AtomicU64::new(figures::pack(&config)),
            rates: Mutex::new(&lock_order::CLEANUP_LIMITS, config.tuning()),
            recent: Mutex::new(&lock_order::CLEANUP_RECENT, Recent::default()),
            counters: Counters::default(),
            events: Mutex::new(&lock_order::CLEANUP_EVENTS, events),
            new_events: Condvar::new(),
            pause: Mutex::new(&lock_order::CLEANUP_PAUSE, 0),
            end_of_pause: Condvar::new(),
            drained: Condvar::new(),
            sink,
            clock,
            hooks,
            origin,
            random: AtomicU64::new(hasher.hash_one(0_u64)),
            hasher,
            next: AtomicU64::new(0),
            asked: AtomicU64::new(0),
            cursor: AtomicUsize::new(0),
            is_draining: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            has_threads: AtomicBool::new(false),
            config,
            writer,
        })
    }
}

fn queue(config: &Config) -> WorkQueue<ConnectionId> {
    WorkQueue::new(config.capacity, config.high_water_percent, config.low_water_percent)
}

fn breaker_terms(config: &Config) -> breaker::Terms {
    breaker::Terms {
        failures: config.breaker_failures,
        window: config.breaker_window,
        open: config.breaker_open,
        jitter_percent: config.breaker_jitter_percent,
        probes: config.breaker_probes,
    }
}

fn delivery_terms(config: &Config) -> delivery::Terms {
    delivery::Terms {
        capacity: config.sink_capacity,
        app_capacity: config.sink_capacity.div_ceil(4),
        batch: config.sink_batch,
        retries: config.sink_retries,
        backoff: config.sink_backoff,
        backoff_max: config.sink_backoff_max,
    }
}
