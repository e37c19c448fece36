//! Clocks, rounds and medians.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

/// A clock for measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The processor time of the calling thread, for work of one thread, regardless of other load.
    Cpu,
    /// Real time, for threads that wait for each other.
    Wall,
}

/// An instant of a [`Clock`].
#[derive(Clone, Copy, Debug)]
pub enum Start {
    Cpu(Duration),
    Wall(Instant),
}

impl Clock {
    #[must_use]
    pub fn start(self) -> Start {
        match self {
            Self::Cpu => Start::Cpu(thread_time()),
            Self::Wall => Start::Wall(Instant::now()),
        }
    }
}

impl Start {
    #[must_use]
    pub fn elapsed(self) -> Duration {
        match self {
            Self::Cpu(start) => thread_time().saturating_sub(start),
            Self::Wall(start) => start.elapsed(),
        }
    }
}

fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

/// Runs `work(n)`, which performs `n` iterations, until `budget` is used up. Returns ns per iteration.
pub fn run_for(clock: Clock, budget: Duration, mut work: impl FnMut(usize)) -> f64 {
    let start = clock.start();
    let (mut chunk, mut done) = (1, 0);
    loop {
        work(chunk);
        done += chunk;
        let elapsed = start.elapsed();
        if elapsed >= budget {
            return elapsed.as_secs_f64() * 1e9 / done as f64;
        }
        // As few clock reads as keep the round within about an eighth of its budget.
        let per_time = elapsed.as_secs_f64() / done as f64;
        let left = (budget - elapsed).as_secs_f64().min(budget.as_secs_f64() / 8.0);
        chunk = ((left / per_time.max(1e-10)) as usize).clamp(1, chunk * 4);
    }
}

/// Returns the median, or the lower one of two.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// Runs `measure(side)` for every side, in a random order for each round. Returns the median of each side.
///
/// Runs one additional round first, as a warm-up that is not counted.
pub fn interleave(sides: usize, rounds: usize, mut measure: impl FnMut(usize) -> f64) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(7);
    let mut order: Vec<usize> = (0..sides).collect();
    let mut values = vec![Vec::with_capacity(rounds); sides];
    for round in 0..=rounds {
        rng.shuffle(&mut order);
        for side in order.iter().copied() {
            let value = measure(side);
            if round > 0 {
                values[side].push(value);
            }
        }
    }
    black_box(&values);
    values.iter().map(|values| median(values)).collect()
}

/// The number and length of rounds.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub rounds: usize,
    /// The time per side and round.
    pub budget: Duration,
}

/// Creates an empty histogram of ns, up to one minute.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are valid")
}

/// Returns the time since `start` in ns, for a histogram.
#[must_use]
pub fn ns_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}
