//! Sequences of commands, answers and time: after every version, the core agrees with the model.
//!
//! A failing sequence is shrunk until no step can be left out. A step names streams and dials by their age,
//! and answers by the effect that waits for one, so the remaining steps keep their meaning. The environment
//! variable `PROPTEST_CASES` sets the number of sequences, and `SWITCHBOARD_STEPS` their length.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Reason, TestCaseError, TestError, TestRunner};

use super::model::{Mail, Model, Node, nth_dial, nth_resolve};
use super::*;
use crate::link::UserData;
use crate::manager::model::command::kind::CommandKind;
use crate::manager::model::config::Timing;
use crate::manager::model::config::settings::Settings;
use crate::manager::run::outbox::queue::Outbox;
use crate::util::random::Random;

mod compare;
mod steps;

use steps::{Setup, Step};

const D: Node = NodeAddr(4);
/// Number of sequences, and the average number of steps of a sequence.
const CASES: u32 = 1_500;
const STEPS: usize = 60;

type Check = Result<(), TestCaseError>;

fn same<T: PartialEq + Debug>(what: &dyn Debug, core: &T, model: &T) -> Check {
    if core == model {
        return Ok(());
    }
    Err(TestCaseError::fail(format!("{what:?}\n    core: {core:?}\n   model: {model:?}")))
}

/// The core and the model, driven by the same steps.
struct Run {
    bench: Bench,
    model: Model,
    /// The identities that the core gave to the dials of each node, in order.
    dials: BTreeMap<Node, Vec<DialId>>,
    newest_dial: DialId,
    /// The identities that the core gave to the resolutions of each node, in order.
    resolves: BTreeMap<Node, Vec<ResolveId>>,
    newest_resolve: ResolveId,
    /// The streams that were ever reported for each node, in order.
    streams: BTreeMap<Node, Vec<StreamId>>,
    next_stream: u64,
    /// The effects that the transport may answer.
    waiting: Vec<Effect<Node>>,
    data: [UserData; 2],
    met: Met,
}

/// The results and effects that have occurred: the test fails if one never did.
#[derive(Default)]
struct Met {
    results: BTreeMap<String, u64>,
    effects: BTreeSet<String>,
    versions: u64,
    members: u64,
    rests: u64,
    time_outs: u64,
    reconnects: u64,
}

impl Run {
    fn new(timing: Timing, setup: &Setup) -> Self {
        let config = match timing {
            Timing::Immediate => Config::default(),
            Timing::Ticked => Config::ticked(),
        };
        let settings = setup.settings();
        let mut bench = Bench::new(config.with_settings(settings.clone()));
        // The source of randomness always draws the longest delay.
        bench.core.set_random(Random::new(|| u64::MAX));
        let model = Model::new(timing, settings, bench.now());
        Self {
            bench,
            model,
            dials: BTreeMap::new(),
            newest_dial: DialId(0),
            resolves: BTreeMap::new(),
            newest_resolve: ResolveId(0),
            streams: BTreeMap::new(),
            next_stream: 1,
            waiting: Vec::new(),
            data: [UserData::new(1), UserData::new(2)],
            met: Met::default(),
        }
    }

    fn begin(&mut self) -> Check {
        for net in [NET, OTHER] {
            self.apply(Command::AddNet { net, config: NetConfig::new().min_links(1) })?;
            self.apply(Command::SetNetActive { net, active: true })?;
            let cluster = ClusterId::new(net, 7);
            self.apply(Command::AssociateCluster { net, cluster, kind: ClusterKind::Autonomic })?;
        }
        self.turn()
    }

    fn step(&mut self, step: &Step) -> Check {
        for command in self.commands(&step.op) {
            self.apply(command)?;
        }
        if step.turn { self.turn() } else { Ok(()) }
    }

    fn apply(&mut self, command: Command<Node>) -> Check {
        let kind = command.kind();
        let model = self.model.apply(command.clone());
        let core = self.bench.apply(self.to_core(command.clone()));
        self.note_identities();
        let result = match &core {
            Ok(outcome) => format!("{outcome:?}"),
            Err(error) => format!("{error:?}").split(['(', ' ']).next().unwrap_or_default().to_owned(),
        };
        *self.met.results.entry(format!("{kind:?} {result}")).or_default() += 1;
        same(&command, &core, &model)
    }

    /// Does everything that is due, publishes, and compares versions and effects.
    fn turn(&mut self) -> Check {
        let now = self.bench.now();
        let mut advances = 0;
        while advances == 0 || self.bench.core.next_deadline() <= now {
            self.bench.advance();
            advances += 1;
            if advances > 5 {
                return Err(TestCaseError::fail("a deadline stays due after it was handled"));
            }
        }
        self.note_identities();
        self.model.advance();
        let together = std::mem::take(&mut self.model.together);
        self.bench.core.publish(now);
        self.bench.check();
        let told: Vec<_> = self.bench.core.drain_effects().collect();
        let mut outbox = Outbox::new();
        let mut mail = Mail::default();
        for effect in told {
            outbox.push(self.to_model(effect));
        }
        for effect in self.model.publish() {
            mail.add(effect);
        }
        let core: Vec<_> = std::iter::from_fn(|| outbox.pop()).collect();
        compare::effects(&core, &mail.0, together)?;
        self.met.effects.extend(
            core.iter().map(|effect| format!("{effect:?}").split(' ').next().unwrap_or_default().to_owned()),
        );
        self.waiting.extend(core.into_iter().filter(steps::is_question));
        self.met.versions += 1;
        self.met.members += self.model.peers.values().filter(|peer| peer.is_member()).count() as u64;
        self.met.rests += self.model.peers.values().filter(|peer| peer.resting).count() as u64;
        self.compare()
    }

    fn note_identities(&mut self) {
        for effect in &self.bench.core.effects {
            match effect {
                Effect::Dial { addr, dial, .. } if *dial > self.newest_dial => {
                    self.newest_dial = *dial;
                    self.dials.entry(*addr).or_default().push(*dial);
                }
                Effect::Resolve { addr, resolve } if *resolve > self.newest_resolve => {
                    self.newest_resolve = *resolve;
                    self.resolves.entry(*addr).or_default().push(*resolve);
                }
                _ => {}
            }
        }
    }

    fn to_model_dial(&self, addr: Node, dial: DialId) -> DialId {
        nth_dial(addr, number_of(&self.dials, addr, dial))
    }

    fn to_core_dial(&self, addr: Node, dial: DialId) -> DialId {
        let place = dial.0.wrapping_sub(nth_dial(addr, 1).0);
        identity_at(&self.dials, addr, place).unwrap_or(DialId(u64::MAX))
    }

    fn to_model_resolve(&self, addr: Node, resolve: ResolveId) -> ResolveId {
        nth_resolve(addr, number_of(&self.resolves, addr, resolve))
    }

    fn to_core_resolve(&self, addr: Node, resolve: ResolveId) -> ResolveId {
        let place = resolve.0.wrapping_sub(nth_resolve(addr, 1).0);
        identity_at(&self.resolves, addr, place).unwrap_or(ResolveId(u64::MAX))
    }

    fn to_model(&self, effect: Effect<Node>) -> Effect<Node> {
        match effect {
            Effect::Dial { addr, endpoint, attempt, dial } => {
                Effect::Dial { addr, endpoint, attempt, dial: self.to_model_dial(addr, dial) }
            }
            Effect::CancelDial { addr, dial } => {
                Effect::CancelDial { addr, dial: self.to_model_dial(addr, dial) }
            }
            Effect::Resolve { addr, resolve } => {
                Effect::Resolve { addr, resolve: self.to_model_resolve(addr, resolve) }
            }
            other => other,
        }
    }

    fn to_core(&self, command: Command<Node>) -> Command<Node> {
        match command {
            Command::ResolveFailed { addr, resolve } => {
                Command::ResolveFailed { addr, resolve: self.to_core_resolve(addr, resolve) }
            }
            Command::AddUplink { addr, stream, dial } => {
                Command::AddUplink { addr, stream, dial: self.to_core_dial(addr, dial) }
            }
            Command::DialConnected { addr, dial } => {
                Command::DialConnected { addr, dial: self.to_core_dial(addr, dial) }
            }
            Command::DialFailed { addr, dial, last } => {
                Command::DialFailed { addr, dial: self.to_core_dial(addr, dial), last }
            }
            other => other,
        }
    }
}

/// The position of an identity among those of its node, from 1.
fn number_of<T: PartialEq>(known: &BTreeMap<Node, Vec<T>>, addr: Node, id: T) -> u64 {
    let place = known.get(&addr).and_then(|ids| ids.iter().position(|other| *other == id));
    place.map_or(9_999, |place| place as u64 + 1)
}

fn identity_at<T: Copy>(known: &BTreeMap<Node, Vec<T>>, addr: Node, place: u64) -> Option<T> {
    known.get(&addr)?.get(usize::try_from(place).ok()?).copied()
}

fn run(timing: Timing, setup: &Setup, steps: &[Step], met: &RefCell<Met>) -> Check {
    let mut run = Run::new(timing, setup);
    run.begin()?;
    for step in steps {
        run.step(step)?;
    }
    run.turn()?;
    met.borrow_mut().add(&run);
    Ok(())
}

impl Met {
    fn add(&mut self, run: &Run) {
        for (result, count) in &run.met.results {
            *self.results.entry(result.clone()).or_default() += count;
        }
        self.effects.extend(run.met.effects.iter().cloned());
        self.versions += run.met.versions;
        self.members += run.met.members;
        self.rests += run.met.rests;
        self.time_outs += run.model.counted.time_outs;
        self.reconnects += run.model.counted.reconnects;
    }

    /// Checks that every command has succeeded, every effect has occurred, and the rarer events have
    /// happened.
    fn check(&self) {
        for kind in CommandKind::ALL {
            let good = ["Done", "Created"].map(|result| format!("{kind:?} {result}"));
            assert!(
                good.iter().any(|result| self.results.contains_key(result)),
                "{kind:?}: {:?}",
                self.results
            );
        }
        let stale =
            self.results.iter().filter(|(result, _)| result.ends_with("Stale")).map(|(_, count)| count);
        let rare = [stale.sum(), self.members, self.rests, self.time_outs, self.reconnects];
        assert!(rare.iter().all(|count| *count > 0), "{rare:?}");
        assert!(self.versions > 5_000, "{}", self.versions);
        assert_eq!(self.effects.len(), 11, "{:?}", self.effects);
    }
}

/// The strategies need a deep stack in a build without optimization.
const STACK: usize = 64 << 20;

fn compare_sequences(timing: Timing) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(move || compare_all(timing));
    if let Err(panic) = thread.unwrap().join() {
        resume_unwind(panic);
    }
}

#[allow(clippy::print_stdout)] // Output of a failing test, or with `--nocapture`.
fn compare_all(timing: Timing) {
    let mut config =
        ProptestConfig { failure_persistence: None, max_shrink_iters: 50_000, ..ProptestConfig::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let cases = config.cases;
    let steps = std::env::var("SWITCHBOARD_STEPS").ok().and_then(|text| text.parse().ok()).unwrap_or(STEPS);
    let met = RefCell::new(Met::default());
    let sequences = (steps::setup(), vec(steps::step(), 0..=2 * steps));
    let result = TestRunner::new(config).run(&sequences, |(setup, steps)| run(timing, &setup, &steps, &met));
    let met = met.into_inner();
    println!("{cases} sequences, {} versions, {} commands", met.versions, met.results.values().sum::<u64>());
    if let Err(failure) = result {
        panic!("{}", show(failure, timing));
    }
    if cases >= CASES {
        met.check();
    }
}

/// Formats a failure with one line per step, after removing the steps that became unnecessary during
/// shrinking.
fn show(failure: TestError<(Setup, Vec<Step>)>, timing: Timing) -> String {
    let TestError::Fail(mut reason, (setup, mut steps)) = failure else { return failure.to_string() };
    let mut place = 0;
    while place < steps.len() {
        let mut fewer = steps.clone();
        fewer.remove(place);
        match attempt(timing, &setup, &fewer) {
            Some(other) => (reason, steps, place) = (other, fewer, 0),
            None => place += 1,
        }
    }
    let lines: Vec<_> = steps.iter().map(|step| format!("    {step:?}")).collect();
    format!("{reason}\n{setup:?}\n{} steps:\n{}", steps.len(), lines.join("\n"))
}

/// Runs the sequence, and returns the reason if it fails.
fn attempt(timing: Timing, setup: &Setup, steps: &[Step]) -> Option<Reason> {
    let result = catch_unwind(AssertUnwindSafe(|| run(timing, setup, steps, &RefCell::default())));
    match result {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(error.to_string().into()),
        Err(_) => Some("a panic".into()),
    }
}

#[test]
fn the_core_is_what_the_model_is_after_every_version_in_immediate_mode() {
    compare_sequences(Timing::Immediate);
}

#[test]
fn the_core_is_what_the_model_is_after_every_version_in_reference_mode() {
    compare_sequences(Timing::Ticked);
}
