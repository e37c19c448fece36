//! High and low water of a queue, and the pressure of a pipeline.

use std::time::Duration;

/// A change of [`WaterMarks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crossing {
    /// The queue has reached its high-water mark.
    High,
    /// The queue has fallen to its low-water mark.
    Low,
}

/// Two marks with hysteresis: a level between them changes nothing, so it is not reported back and forth.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WaterMarks {
    high: usize,
    low: usize,
    is_high: bool,
}

impl WaterMarks {
    /// The marks are percentages of `capacity`, `low` below `high`.
    pub(crate) fn new(capacity: usize, high_percent: u8, low_percent: u8) -> Self {
        let part = |percent: u8| capacity as u128 * u128::from(percent);
        let high = part(high_percent).div_ceil(100).max(1) as usize;
        let low = ((part(low_percent) / 100) as usize).min(high - 1);
        Self { high, low, is_high: false }
    }

    pub(crate) fn is_high(&self) -> bool {
        self.is_high
    }

    /// Notes the length of the queue. Returns the mark that it has crossed.
    pub(crate) fn update(&mut self, len: usize) -> Option<Crossing> {
        if !self.is_high && len >= self.high {
            self.is_high = true;
            return Some(Crossing::High);
        }
        if self.is_high && len <= self.low {
            self.is_high = false;
            return Some(Crossing::Low);
        }
        None
    }
}

/// Returns the pressure, from 0 to 1: the largest of the fill of the queue, the age of the oldest task as a part of the
/// target, and the part of the inline limit that is in use.
pub(crate) fn pressure(len: usize, capacity: usize, oldest: Duration, target: Duration, inline: f64) -> f64 {
    let fill = len as f64 / capacity.max(1) as f64;
    let age = oldest.as_secs_f64() / target.as_secs_f64().max(1e-9);
    [fill, age, inline].into_iter().fold(0.0, f64::max).min(1.0)
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r4_the_marks_have_hysteresis() {
        let mut marks = WaterMarks::new(10, 80, 50);
        let crossings: Vec<_> =
            [7, 8, 9, 6, 8, 5, 7, 4, 8].map(|len| marks.update(len)).into_iter().flatten().collect();
        assert_eq!(crossings, [Crossing::High, Crossing::Low, Crossing::High]);
    }

    #[test]
    fn r4_the_marks_differ_at_every_capacity() {
        for capacity in [1, 2, 3, 10_000, usize::MAX] {
            let mut marks = WaterMarks::new(capacity, 80, 50);
            assert_eq!(marks.update(capacity), Some(Crossing::High));
            assert_eq!(marks.update(0), Some(Crossing::Low));
        }
    }

    #[test]
    fn r17d_the_pressure_is_the_largest_of_its_parts() {
        let second = Duration::from_secs(1);
        let near = |value: f64, expected: f64| assert!((value - expected).abs() < 1e-9, "{value}");
        near(pressure(0, 100, Duration::ZERO, second, 0.0), 0.0);
        near(pressure(30, 100, Duration::ZERO, second, 0.2), 0.3);
        near(pressure(30, 100, second / 2, second, 0.2), 0.5);
        near(pressure(30, 100, second / 2, second, 0.75), 0.75);
        near(pressure(200, 100, second * 9, second, 1.0), 1.0);
        near(pressure(0, 0, Duration::ZERO, Duration::ZERO, 0.0), 0.0);
    }

    proptest! {
        /// Crossings alternate, and the state is that of the last mark that was reached.
        #[test]
        fn r4_crossings_alternate(lens in prop::collection::vec(0..=20_usize, 1..200), high in 2..=100_u8) {
            let mut marks = WaterMarks::new(20, high, high / 2);
            let mut is_high = false;
            for len in lens {
                let crossing = marks.update(len);
                match crossing {
                    Some(Crossing::High) => prop_assert!(!is_high && len >= marks.high),
                    Some(Crossing::Low) => prop_assert!(is_high && len <= marks.low),
                    None => {}
                }
                is_high ^= crossing.is_some();
                prop_assert_eq!(marks.is_high(), is_high);
                prop_assert!(!(is_high && len <= marks.low) && (is_high || len < marks.high));
            }
        }

        #[test]
        fn r17d_the_pressure_is_between_zero_and_one(len: usize, capacity: usize, age: u64, target: u64, inline in 0.0..=1.0) {
            let pressure = pressure(len, capacity, Duration::from_nanos(age), Duration::from_nanos(target), inline);
            prop_assert!((0.0..=1.0).contains(&pressure));
        }
    }
}
