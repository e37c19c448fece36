use super::*;

fn publish<T>(publisher: &mut Publisher<T>, state: T) -> Arc<Header<T>> {
    let next = publisher.version.next();
    let header = publisher.publish_next(state, next);
    publisher.tidy(|_| true);
    header
}

#[test]
fn a_warm_cell_makes_no_more_headers() {
    let mut publisher = Publisher::new(0);
    for number in 1..=100 {
        publish(&mut publisher, number);
    }
    assert!(publisher.headers() <= 3, "{}", publisher.headers());
    assert_eq!(*publisher.cell().load().state(), 100);
}

#[test]
fn headers_are_as_many_as_versions_held_at_the_same_time() {
    let mut publisher = Publisher::new(0);
    let held: Vec<_> = (1..=50).map(|number| publish(&mut publisher, number)).collect();
    assert_eq!(publisher.headers(), 50);
    for (number, header) in (1..).zip(&held) {
        assert_eq!(*header.state(), number);
        assert_eq!(header.version().as_u64(), number);
    }
    drop(held);
    for number in 51..=200 {
        publish(&mut publisher, number);
    }
    assert_eq!(publisher.headers(), 51, "one to publish in while fifty wait to be swept");
}

/// A state whose drops are counted.
struct Counted(Arc<AtomicU64>);

impl Drop for Counted {
    fn drop(&mut self) {
        // Relaxed: a plain counter.
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_state_that_was_let_go_is_dropped_within_a_bounded_number_of_publishes() {
    let drops = Arc::new(AtomicU64::new(0));
    let dropped = || drops.load(Ordering::Relaxed);
    let mut publisher = Publisher::new(Counted(drops.clone()));
    let held: Vec<_> = (0..40).map(|_| publish(&mut publisher, Counted(drops.clone()))).collect();
    assert_eq!(dropped(), 1, "only version zero is not held");
    drop(held);
    assert_eq!(dropped(), 1, "dropping a header only decrements a reference count");
    // 40 are retired; each publish adds one and checks four.
    for _ in 0..14 {
        publish(&mut publisher, Counted(drops.clone()));
    }
    assert!(dropped() >= 41 + 14 - 4, "{}", dropped());
    assert_eq!(publisher.sweep_all(), 0);
    assert_eq!(dropped(), 41 + 13, "all but the current one");
}

#[test]
fn a_writer_that_is_gone_frees_no_header() {
    let drops = Arc::new(AtomicU64::new(0));
    let mut publisher = Publisher::new(Counted(drops.clone()));
    let first = publisher.cell().load();
    drop(publish(&mut publisher, Counted(drops.clone())));
    let cell = publisher.cell().clone();
    drop(first);
    drop(publisher);
    assert_eq!(drops.load(Ordering::Relaxed), 0);
    assert!(cell.is_closed());
    let last = cell.load();
    drop(cell);
    assert_eq!(drops.load(Ordering::Relaxed), 1, "the cell was the last holder of version zero");
    drop(last);
    assert_eq!(drops.load(Ordering::Relaxed), 2, "a snapshot that outlives its table is the last holder");
}

fn recycle<T>(publisher: &mut Publisher<T>) -> Option<(u64, T)> {
    publisher.recycle().0.map(|Recycled { version, state }| (version.as_u64(), state))
}

#[test]
fn recycling_gives_the_oldest_version_that_nobody_holds() {
    let mut publisher = Publisher::new(0);
    let first = publisher.cell().load();
    let second = publisher.publish_next(1, Version::ZERO);
    let third = publisher.publish_next(2, Version::ZERO);
    assert_eq!(publisher.recycle(), (None, Some(Version::ZERO)));
    drop(second);
    assert_eq!(recycle(&mut publisher), Some((1, 1)));
    drop(first);
    assert_eq!(publisher.recycle(), (Some(Recycled { version: Version::ZERO, state: 0 }), None));
    assert_eq!(recycle(&mut publisher), None);
    drop(publisher.publish_next(3, Version::from_u64(3)));
    drop(third);
    assert_eq!(recycle(&mut publisher), None, "version two can no longer be replayed");
}

#[test]
fn the_second_version_for_recycling_goes_when_it_is_of_no_use() {
    let mut publisher = Publisher::new(0);
    let held = publisher.cell().load();
    publisher.publish_next(1, Version::ZERO);
    assert_eq!(recycle(&mut publisher), None);
    publisher.publish_next(2, Version::ZERO);
    drop(held);
    let lags: Vec<_> = (3..200)
        .map(|number| {
            let (version, _) = recycle(&mut publisher).unwrap();
            publisher.publish_next(number, Version::ZERO);
            publisher.tidy(|_| true);
            number - version
        })
        .collect();
    assert_eq!(lags[0], 3, "two versions behind the one before");
    assert_eq!(lags.last(), Some(&2), "one version behind the one before");
}
