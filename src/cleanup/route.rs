//! The worker of an app.

/// The worker of an app, and whether that is another one than if all were open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) worker: usize,
    pub(crate) is_rerouted: bool,
}

/// Returns the worker of the app: the one with the highest weight for it among those that are open
/// ("rendezvous hashing", Thaler and Ravishankar, 1998). All tasks of an app go to one worker, and
/// when a worker closes, only its own apps move. `None` if all are closed. O(workers).
pub(crate) fn route(app: u64, workers: usize, is_open: impl Fn(usize) -> bool) -> Option<Route> {
    let best = |allowed: &dyn Fn(usize) -> bool| {
        (0..workers).filter(|&worker| allowed(worker)).max_by_key(|&worker| weight(app, worker))
    };
    let worker = best(&is_open)?;
    Some(Route { worker, is_rerouted: best(&|_| true) != Some(worker) })
}

/// The finalizer of SplitMix64, as in `Random`.
fn weight(app: u64, worker: usize) -> u64 {
    let mut mixed = app ^ (worker as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(all(test, not(switchboard_model)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn r8_spreads_the_apps_evenly() {
        for workers in [1, 2, 4, 7] {
            let mut counts = vec![0_u32; workers];
            (0..7000)
                .for_each(|app| counts[route(app, workers, |_| true).map_or(0, |route| route.worker)] += 1);
            let expected = 7000 / workers as u32;
            assert!(counts.iter().all(|count| count.abs_diff(expected) < expected / 5), "{counts:?}");
        }
    }

    #[test]
    fn r8_without_an_open_worker_there_is_no_route() {
        assert_eq!(route(7, 4, |_| false), None);
        assert_eq!(route(7, 0, |_| true), None);
    }

    proptest! {
        #[test]
        fn r8_a_worker_that_closes_moves_only_its_own_apps(app: u64, workers in 1..9_usize, closed in 0..9_usize) {
            let home = route(app, workers, |_| true);
            prop_assert!(home.is_some_and(|route| route.worker < workers && !route.is_rerouted));
            let moved = route(app, workers, |worker| worker != closed);
            if home.map(|route| route.worker) == Some(closed) {
                prop_assert!(moved.is_none_or(|route| route.is_rerouted && route.worker != closed));
                prop_assert_eq!(moved.is_none(), workers == 1);
            } else {
                prop_assert_eq!(moved, home);
            }
        }
    }
}
