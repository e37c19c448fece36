//! The cost of a tick of the link manager with many links in 8 nets, when nothing is due and when 64 links
//! are due.
//!
//! All but 64 of the links are downlinks, each a member of one net. The 64 are permanent peers without an
//! endpoint: at every tick their delay is over, the manager requests a resolution, and the host finds none.
//! One iteration is one turn of a `Driver` at the time of a tick; the answers of the host are not measured.
//! The clock is advanced manually.
//!
//! Results of one run on two processors shared with other work (estimates by criterion, with intervals of
//! about a tenth to both sides):
//!
//! | links | quiet | quiet, ticked timing | 64 links due |
//! |--:|--:|--:|--:|
//! | 1,000 | 0.82 us | 1.8 us | 57 us |
//! | 10,000 | 0.89 us | 1.4 us | 58 us |
//! | 100,000 | 0.92 us | 1.7 us | 72 us |
//!
//! The cost of a tick is proportional to the number of links due, at about 1 us each; links that are not due
//! cost almost nothing. With a hundred times the links, a quiet tick costs the same, and a tick with 64 links
//! due costs a quarter more: the changed links are spread over more pages of a larger table, which are not in
//! the processor's cache. With ticked timing a quiet tick publishes, because the request phase records the
//! number of links of each net.

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use switchboard::clock::{Clock, ManualClock};
use switchboard::manager::config::Timing;
use switchboard::{
    Config, Direction, Driver, Effect, Handle, LinkManager, NetConfig, NetId, NodeAddr, RetryPolicy, StreamId,
};

const SIZES: [u64; 3] = [1_000, 10_000, 100_000];
const NETS: u64 = 8;
const DUE: u64 = 64;
const TICK: Duration = Duration::from_secs(5);

struct Bench {
    clock: ManualClock,
    driver: Driver,
    handle: Handle,
}

impl Bench {
    fn new(timing: Timing, links: u64, due: u64) -> Self {
        let clock = ManualClock::new();
        let config = Config::default().timing(timing).tick(TICK).retry(RetryPolicy::fixed(TICK));
        let driver =
            LinkManager::builder(config).clock(clock.clone()).build().expect("a valid configuration");
        let mut bench = Self { clock, handle: driver.handle(), driver };
        for net in (1..=NETS).map(NetId) {
            bench.handle.add_net(net, NetConfig::new().min_links(0)).expect("room");
            bench.handle.set_net_active(net, true).expect("room");
        }
        for number in 0..links {
            let (addr, net) = (NodeAddr(number + 1), NetId(number % NETS + 1));
            if number < due {
                bench.handle.add_permanent_peer(net, addr).expect("room");
            } else {
                bench.handle.add_stream(addr, StreamId(number), Direction::Downlink).expect("room");
                bench.handle.admit(net, addr, StreamId(number)).expect("room");
            }
            if number % 32 == 0 {
                bench.turn();
            }
        }
        bench.turn();
        assert_eq!(bench.driver.links().snapshot().len() as u64, links);
        bench.answer();
        bench
    }

    /// Processes all commands in the mailbox.
    fn turn(&mut self) {
        let now = self.clock.now();
        while self.driver.run_once(now) == Some(now) {}
    }

    /// Fails every requested resolution. Returns their number.
    fn answer(&mut self) -> u64 {
        let effects: Vec<_> = self.driver.effects().collect();
        let mut asked = 0;
        for effect in effects {
            if let Effect::Resolve { addr, resolve } = effect {
                self.handle.resolve_failed(addr, resolve).expect("room");
                asked += 1;
            }
        }
        self.turn();
        drop(self.driver.effects().collect::<Vec<_>>());
        asked
    }

    /// Returns the time spent in `count` ticks, without the answers.
    fn ticks(&mut self, count: u64, due: u64) -> Duration {
        let mut spent = Duration::ZERO;
        for _ in 0..count {
            self.clock.advance(TICK);
            let now = self.clock.now();
            let begin = Instant::now();
            black_box(self.driver.run_once(now));
            spent += begin.elapsed();
            assert_eq!(self.answer(), due);
        }
        spent
    }
}

fn measure(criterion: &mut Criterion, name: &str, timing: Timing, due: u64) {
    let mut group = criterion.benchmark_group(name);
    for links in SIZES {
        let mut bench = Bench::new(timing, links, due);
        group.bench_function(BenchmarkId::from_parameter(links), |bencher| {
            bencher.iter_custom(|count| bench.ticks(count, due));
        });
    }
    group.finish();
}

fn ticks(criterion: &mut Criterion) {
    measure(criterion, "tick, quiet", Timing::Immediate, 0);
    measure(criterion, "tick, quiet, ticked timing", Timing::Ticked, 0);
    measure(criterion, "tick, 64 links due", Timing::Immediate, DUE);
}

criterion_group!(benches, ticks);
criterion_main!(benches);
