//! Models of the guarantee of the pulse.
#![allow(clippy::unwrap_used)] // These tests fail by panicking.

use super::*;
use crate::sync::Arc;
use crate::sync::model::{model, spawn};

/// A reader that has seen a beat of the pulse sees everything that was counted before that beat.
#[test]
fn a_reader_that_sees_the_pulse_sees_what_was_counted() {
    model(|| {
        let meters = Arc::new(Meters::new());
        let writer = meters.clone();
        let (lane, kind) = (Priority::Normal, CommandKind::ALL[0]);
        let thread = spawn(move || {
            for waited in [1, 2] {
                writer.took(lane, kind, Duration::from_nanos(waited));
            }
        });
        let beats = meters.pulse();
        assert!(meters.processed(lane) >= beats);
        assert!(meters.operations(kind) >= beats);
        assert!(meters.queue_wait.count() >= beats);
        assert!(meters.queue_wait.max_ns() >= beats);
        thread.join().unwrap();
        assert_eq!((meters.pulse(), meters.queue_wait.sum_ns()), (2, 3));
    });
}
