//! Tasks that wait: for a version of a table, and for a message.

use std::cell::Cell;
use std::future::Future;
use std::hint::black_box;
use std::rc::Rc;

use switchboard::Table;
use switchboard::mailbox::{self, Backpressure, Priority, mailbox};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::Settings;
use crate::measure::{Clock, interleave, run_for};
use crate::report::{CONTROL, OURS, Report, Section};

const WATCH: &str = "tokio::sync::watch";
const MPSC: &str = "tokio::sync::mpsc";

/// The numbers of tasks that wait for a version.
const TASKS: [usize; 3] = [1, 100, 10_000];

/// The bounds of the queues.
const ROOM: [usize; 2] = [1, 64];

/// Number of messages per round.
const MESSAGES: u64 = 256;

pub fn waits(settings: &Settings, report: &mut Report) {
    wake_ups(settings, report);
    messages(settings, report);
}

/// Tasks that wait for changes, on a runtime with a single thread.
struct Waiting {
    runtime: Runtime,
    local: LocalSet,
    tasks: usize,
    /// The number of tasks that have seen the last change.
    seen: Rc<Cell<usize>>,
    change: Box<dyn FnMut(u64)>,
}

impl Waiting {
    fn new<F>(tasks: usize, change: impl FnMut(u64) + 'static, task: impl Fn(Rc<Cell<usize>>) -> F) -> Self
    where
        F: Future<Output = ()> + 'static,
    {
        let runtime = Builder::new_current_thread().build().expect("a runtime without drivers");
        let (local, seen) = (LocalSet::new(), Rc::new(Cell::new(0)));
        for _ in 0..tasks {
            local.spawn_local(task(seen.clone()));
        }
        // Each task counts itself before it waits for the first time.
        local.block_on(&runtime, all_have_seen(&seen, tasks));
        Self { runtime, local, tasks, seen, change: Box::new(change) }
    }

    fn versions(tasks: usize) -> Self {
        let (mut writer, table) = Table::<u64, u64>::new();
        let change = move |round| {
            writer.insert(1, round);
            writer.publish();
        };
        Self::new(tasks, change, |seen| {
            let table = table.clone();
            async move {
                let mut version = table.version();
                seen.set(seen.get() + 1);
                while let Ok(newest) = table.changed(version).await {
                    version = newest;
                    seen.set(seen.get() + 1);
                }
            }
        })
    }

    fn watches(tasks: usize) -> Self {
        let (sender, receiver) = watch::channel(0);
        let change = move |round| {
            black_box(sender.send_replace(round));
        };
        Self::new(tasks, change, |seen| {
            let mut receiver = receiver.clone();
            async move {
                seen.set(seen.get() + 1);
                while receiver.changed().await.is_ok() {
                    black_box(*receiver.borrow_and_update());
                    seen.set(seen.get() + 1);
                }
            }
        })
    }

    /// Makes `times` changes, and waits after each until all tasks have seen it.
    fn run(&mut self, times: usize) {
        let Self { runtime, local, tasks, seen, change } = self;
        local.block_on(runtime, async {
            for round in 0..times {
                seen.set(0);
                change(round as u64);
                all_have_seen(seen, *tasks).await;
            }
        });
    }
}

async fn all_have_seen(seen: &Cell<usize>, tasks: usize) {
    while seen.get() < tasks {
        yield_now().await;
    }
}

fn wake_ups(settings: &Settings, report: &mut Report) {
    let mut seen = Section::new(
        "A change seen by all waiting tasks",
        "ns per task (processor time of the runtime's only thread) from a change until every task has seen it. The \
         change of the table updates an entry and publishes; that of `watch` replaces a number. In brackets: ours / \
         theirs.",
    );
    let mut woken = Section::new(
        "Waking all waiting tasks",
        "The same without the change itself: minus the ns per task of a change for which no task waits, measured in \
         the same rounds. What remains is the wait: to register, to be woken and scheduled, and to look.",
    );
    let mut changed = Section::new(
        "A change for which no task waits",
        "ns per change, measured in the rounds of the case above with one task.",
    );
    for tasks in TASKS {
        eprintln!("{tasks} waiting tasks");
        let mut sides = [
            Waiting::versions(tasks),
            Waiting::versions(tasks),
            Waiting::watches(tasks),
            Waiting::versions(0),
            Waiting::watches(0),
        ];
        let figures = interleave(sides.len(), settings.plan.rounds, |side| {
            run_for(Clock::Cpu, settings.plan.budget, |times| sides[side].run(times)) / tasks as f64
        });
        let [ours, control, watch, table_alone, watch_alone] = figures[..] else {
            unreachable!("one figure for each side")
        };
        let case = format!("{tasks} waiting");
        seen.case(case.as_str(), [(OURS, ours), (CONTROL, control), (WATCH, watch)]);
        report.goal(format!("A change seen by {tasks} tasks"), WATCH, (ours, watch), 1.2, "ns");
        let [ours, control, watch] = [ours - table_alone, control - table_alone, watch - watch_alone];
        woken.case(case, [(OURS, ours), (CONTROL, control), (WATCH, watch)]);
        report.goal(format!("Waking {tasks} tasks"), WATCH, (ours, watch), 1.2, "ns");
        if tasks == 1 {
            changed.case("one change", [(OURS, table_alone), (WATCH, watch_alone)]);
        }
    }
    report.sections.extend([seen, woken, changed]);
}

/// Sends `MESSAGES` messages from one task to another through a mailbox.
async fn through_mailbox(room: usize) {
    let config =
        mailbox::Config::try_from([room; 4]).expect("a lane has room").backpressure(Backpressure::Block);
    let (sender, mut receiver) = mailbox::<u64>(config);
    let producer = spawn_local(async move {
        for number in 0..MESSAGES {
            let _sent = sender.send_async(Priority::Normal, number).await.expect("the receiver is alive");
        }
    });
    while let Ok(number) = receiver.recv_async().await {
        black_box(number);
    }
    producer.await.expect("the producer does not panic");
}

async fn through_mpsc(room: usize) {
    let (sender, mut receiver) = mpsc::channel::<u64>(room);
    let producer = spawn_local(async move {
        for number in 0..MESSAGES {
            sender.send(number).await.expect("the receiver is alive");
        }
    });
    while let Some(number) = receiver.recv().await {
        black_box(number);
    }
    producer.await.expect("the producer does not panic");
}

fn messages(settings: &Settings, report: &mut Report) {
    let mut section = Section::new(
        "Messages from task to task",
        "ns per message (processor time of the runtime's only thread), from one sender that awaits room to a receiver \
         that awaits messages, 256 per channel. The mailbox has four lanes, of which one is used. In brackets: ours / \
         theirs.",
    );
    let runtime = Builder::new_current_thread().build().expect("a runtime without drivers");
    let local = LocalSet::new();
    for room in ROOM {
        let names = [OURS, CONTROL, MPSC];
        let figures = interleave(names.len(), settings.plan.rounds, |side| {
            let ns = run_for(Clock::Cpu, settings.plan.budget, |times| {
                local.block_on(&runtime, async {
                    for _ in 0..times {
                        if side < 2 { through_mailbox(room).await } else { through_mpsc(room).await }
                    }
                });
            });
            ns / MESSAGES as f64
        });
        section.case(format!("room for {room}"), names.into_iter().zip(figures));
    }
    report.sections.push(section);
}
