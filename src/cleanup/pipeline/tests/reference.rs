//! A pipeline against one thread that does the same.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    Open(u8, u8),
    Subscribe(usize, u8),
    Close(usize, bool),
    RunBatch,
    Turn,
    Sweep(u64),
    RunSink,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2_u8, 0..3_u8).prop_map(|(app, channel)| Step::Open(app, channel)),
        2 => (0..20_usize, 0..3_u8).prop_map(|(which, channel)| Step::Subscribe(which, channel)),
        3 => (0..20_usize, any::<bool>()).prop_map(|(which, is_lost)| Step::Close(which, is_lost)),
        2 => Just(Step::RunBatch),
        2 => Just(Step::Turn),
        1 => (0..6000_u64).prop_map(Step::Sweep),
        1 => Just(Step::RunSink),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any mix of opens, subscribes, closes, batches, turns and sweeps, with every close reported
    /// twice: the figures add up at every step, the table is that of a sequential reference, the
    /// events of each group alternate, and in the end nothing is left.
    #[test]
    fn r6_r2_the_pipeline_is_a_sequential_reference_whatever_the_way(
        steps in prop::collection::vec(step(), 1..80), overflow in 0..2_u8, capacity in 1..4_usize, grace in 0..2_u64
    ) {
        let overflow = [Overflow::Inline, Overflow::Defer][usize::from(overflow)];
        let event_delay = Duration::from_secs(grace * 3);
        let mut rig = Rig::new(Config { capacity, batch_max: capacity, overflow, event_delay, ..config() });
        let mut opening = Vec::new();
        let mut ids = Vec::new();
        let mut reference = Reference::default();
        for step in steps {
            match step {
                Step::Open(app, channel) => {
                    let ticket = rig.cleanup.open(peer(app, &[channel]), None, Counted(rig.ended.clone()));
                    opening.extend(ticket.ok().map(|ticket| (ticket, channel)));
                }
                Step::Subscribe(which, channel) if !ids.is_empty() => {
                    let id: ConnectionId = ids[which % ids.len()];
                    let subscribe = move |peer: &mut Peer| peer.channels.insert(channel);
                    if rig.cleanup.update(id, subscribe).is_ok() {
                        reference.updates.push((id, channel));
                    }
                }
                Step::Close(which, is_lost) if !ids.is_empty() => {
                    let id = ids[which % ids.len()];
                    let cause = if is_lost { Cause::Lost } else { Cause::Killed };
                    let closed = rig.cleanup.close(id, cause);
                    prop_assert_eq!(closed.is_lost(), reference.open.remove(&id).is_none());
                    prop_assert!(rig.cleanup.close(id, cause).is_lost(), "a replay");
                }
                Step::RunBatch => {
                    let _ = rig.cleanup.run_batch(0);
                },
                Step::Turn => {
                    rig.turn();
                    for (ticket, channel) in opening.drain(..) {
                        let id = ticket.wait().unwrap().detach();
                        ids.push(id);
                        reference.open.insert(id, BTreeSet::from([channel]));
                    }
                    reference.update();
                    let snapshot = rig.table.snapshot();
                    for (id, channels) in &reference.open {
                        prop_assert_eq!(snapshot.get(id).map(|peer| &peer.channels), Some(channels));
                    }
                    let closing = snapshot.iter().filter(|(id, _)| !reference.open.contains_key(*id)).count();
                    prop_assert!(closing <= (rig.cleanup.stats().queued + rig.cleanup.stats().deferred) as usize);
                }
                Step::Sweep(ms) => {
                    rig.clock.advance(Duration::from_millis(ms));
                    rig.cleanup.sweep();
                }
                Step::RunSink => {
                    rig.cleanup.run_sink();
                }
                Step::Subscribe(..) | Step::Close(..) => {}
            }
            prop_assert!(rig.cleanup.stats().adds_up());
        }
        rig.turn();
        ids.extend(opening.drain(..).map(|(ticket, _)| ticket.wait().unwrap().detach()));
        for id in ids.iter().chain(&ids) {
            rig.cleanup.close(*id, Cause::Lost);
        }
        rig.run();
        rig.clock.advance(Duration::from_secs(9));
        while rig.cleanup.sweep() > 0 {
            rig.run();
        }
        rig.clock.advance(Duration::from_secs(9));
        rig.run();
        rig.check_empty();
        prop_assert_eq!(rig.cleanup.stats().submitted, ids.len() as u64);
    }
}

/// The connections that are open, as one thread would keep them.
#[derive(Default)]
struct Reference {
    open: BTreeMap<ConnectionId, BTreeSet<u8>>,
    /// Changes that wait for the next turn.
    updates: Vec<(ConnectionId, u8)>,
}

impl Reference {
    fn update(&mut self) {
        for (id, channel) in self.updates.drain(..) {
            if let Some(channels) = self.open.get_mut(&id) {
                channels.insert(channel);
            }
        }
    }
}
