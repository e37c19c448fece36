//! The clients of a storm.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Latencies;
use crate::background::Background;
use crate::harness::{Client, Hook, Target, failed};

/// Clients of a room.
const ROOM: usize = 50;

/// Clients that connect at the same time, before the storm.
const TOGETHER: usize = 64;

pub(super) struct Plan {
    pub(super) clients: usize,
    pub(super) cut: usize,
    pub(super) rate: u32,
}

impl Plan {
    pub(super) fn rooms(&self) -> usize {
        self.clients.div_ceil(ROOM)
    }
}

pub(super) struct Load {
    target: Target,
    plan_cut: usize,
    rate: u32,
    /// The clients in the order of their numbers. A task reads what its client receives; to abort it cuts the client.
    clients: Vec<JoinHandle<()>>,
    /// Those that connected later.
    late: Vec<JoinHandle<()>>,
    next: usize,
    before_cut: usize,
    /// Runs the clients that are measured, apart from the thousands that are cut.
    meter: Background,
}

/// A client with its three channels.
async fn enter(target: Target, number: usize) -> io::Result<(Client, Duration)> {
    let began = Instant::now();
    let mut client = Client::connect(&target).await?;
    let took = began.elapsed();
    let (room, user) = (number / ROOM, format!("u{}", number / 2));
    client.subscribe(&format!("room-{room}"), None).await?;
    client.subscribe(&format!("private-room-{room}"), None).await?;
    client.subscribe(&format!("presence-room-{room}"), Some(&user)).await?;
    Ok((client, took))
}

/// Connects clients at a steady rate. Returns how long each took, the number of failures, and the clients.
async fn measure(
    target: Target,
    numbers: Range<usize>,
    rate: u32,
) -> (Vec<Duration>, usize, Vec<JoinHandle<()>>) {
    let mut ticks = interval(Duration::from_secs(1) / rate);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut entering = JoinSet::new();
    for number in numbers {
        ticks.tick().await;
        entering.spawn(enter(target.clone(), number));
    }
    let (mut took, mut failures, mut late) = (Vec::new(), 0, Vec::new());
    while let Some(entered) = entering.join_next().await {
        match entered {
            Ok(Ok((client, latency))) => {
                took.push(latency);
                late.push(stay(client));
            }
            _ => failures += 1,
        }
    }
    (took, failures, late)
}

/// Reads until the end. To abort this drops the socket, with no goodbye.
fn stay(mut client: Client) -> JoinHandle<()> {
    tokio::spawn(async move { while let Some(Ok(_)) = client.stream.next().await {} })
}

impl Load {
    pub(super) async fn connect(target: &Target, plan: &Plan) -> io::Result<Self> {
        let room = Arc::new(Semaphore::new(TOGETHER));
        let mut entering = JoinSet::new();
        for number in 0..plan.clients {
            let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
            let target = target.clone();
            entering.spawn(async move {
                let entered = enter(target, number).await;
                drop(permit);
                entered.map(|(client, _)| (number, stay(client)))
            });
        }
        let mut clients = BTreeMap::new();
        while let Some(entered) = entering.join_next().await {
            let (number, client) = entered.map_err(io::Error::other)??;
            clients.insert(number, client);
        }
        if clients.len() != plan.clients {
            return Err(failed("clients are missing"));
        }
        // Rooms of later clients are others.
        let next = plan.rooms() * ROOM;
        let clients = clients.into_values().collect();
        let meter = Background::new("storm-meter")?;
        Ok(Self {
            target: target.clone(),
            plan_cut: plan.cut,
            rate: plan.rate,
            clients,
            late: Vec::new(),
            next,
            before_cut: 0,
            meter,
        })
    }

    pub(super) fn clients(&self) -> usize {
        self.clients.len()
    }

    pub(super) fn opened_before_cut(&self) -> usize {
        self.before_cut
    }

    /// Connects clients at the steady rate, whether or not earlier ones have succeeded. Returns how long each took.
    pub(super) async fn connect_steadily(&mut self, period: Duration) -> io::Result<Latencies> {
        let number = (period.as_secs_f64() * f64::from(self.rate)) as usize;
        let numbers = self.next..self.next + number;
        self.next = numbers.end;
        let measuring = measure(self.target.clone(), numbers, self.rate);
        let (took, failures, late) = self.meter.handle().spawn(measuring).await.map_err(io::Error::other)?;
        self.late.extend(late);
        Ok(Latencies::new(took, failures))
    }

    /// Cuts the first clients, all at once.
    pub(super) fn cut(&mut self) -> Duration {
        self.before_cut = self.clients.len() + self.late.len();
        let began = Instant::now();
        for client in &self.clients[..self.plan_cut] {
            client.abort();
        }
        began.elapsed()
    }

    /// Returns the webhooks that all of this causes, once everyone has left.
    pub(super) fn expected(&self) -> Vec<Hook> {
        let mut all = Vec::new();
        let old = self.clients.len();
        let first_late = old.div_ceil(ROOM) * ROOM;
        let numbers = (0..old).chain(first_late..self.next);
        let mut rooms: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        numbers.for_each(|number| rooms.entry(number / ROOM).or_default().push(number / 2));
        let mut both = |names: [&str; 2], channel: String, user: Option<String>| {
            all.extend(names.map(|name| Hook {
                name: name.to_owned(),
                channel: channel.clone(),
                user_id: user.clone(),
            }));
        };
        for (room, mut users) in rooms {
            for prefix in ["", "private-", "presence-"] {
                both(["channel_occupied", "channel_vacated"], format!("{prefix}room-{room}"), None);
            }
            users.dedup();
            for user in users {
                both(
                    ["member_added", "member_removed"],
                    format!("presence-room-{room}"),
                    Some(format!("u{user}")),
                );
            }
        }
        all.sort();
        all
    }

    /// Cuts the others, too.
    pub(super) async fn leave(&mut self) {
        let all: Vec<_> = self.clients.drain(..).chain(self.late.drain(..)).collect();
        all.iter().for_each(JoinHandle::abort);
        for client in all {
            // It was aborted.
            let _ = client.await;
        }
    }
}
