//! Group listing and counting: an index against a scan under a lock.

use std::hint::black_box;
use std::sync::RwLock;

use switchboard::Table;
use switchboard::table::GroupIndex;

use super::Settings;
use crate::data::{Key, Value};
use crate::measure::{Clock, interleave, run_for};
use crate::memory;
use crate::peers::Hasher;
use crate::report::{Report, Section, size};

type V = [u64; 4];

const GROUPS: u64 = 8;

fn group_of(_: &u64, value: &V, group: &mut dyn FnMut(u64)) {
    group(value[0] % GROUPS);
}

/// One way to answer: its name and its function.
type Way<'a> = (&'static str, Box<dyn FnMut() -> u64 + 'a>);

pub fn groups(settings: &Settings, report: &mut Report) {
    let question = "ns per query (processor time): count one of 8 groups; list the keys of one group and add them \
                    up. The lock is uncontended. In brackets: ours / theirs.";
    let mut counting = Section::new("Counting a group of 8", question);
    let mut listing = Section::new("Listing a group of 8", question);
    for len in settings.sizes.iter().copied() {
        eprintln!("groups of {}", size(len));
        let index = GroupIndex::new(group_of as fn(&u64, &V, &mut dyn FnMut(u64)));
        let (mut writer, table) = Table::<u64, V>::builder().index(index).build();
        let mut map = hashbrown::HashMap::with_hasher(Hasher::default());
        for number in 0..len as u64 {
            writer.insert(u64::from_number(number), V::with_word(number));
            map.insert(u64::from_number(number), V::with_word(number));
        }
        writer.publish();
        let lock = RwLock::new(map);
        let mut reader = table.reader();
        let mut control = table.reader();
        let mut lister = table.reader();
        let mut chunked = table.reader();
        let mut counts: Vec<Way<'_>> = vec![
            ("switchboard", Box::new(|| reader.snapshot().index().count(&3) as u64)),
            ("switchboard (A/A control)", Box::new(|| control.snapshot().index().count(&3) as u64)),
            ("RwLock<HashMap>, scan", Box::new(|| scan(&lock))),
        ];
        let mut lists: Vec<Way<'_>> = vec![
            ("switchboard", Box::new(|| lister.snapshot().index().keys(&3).fold(0, add))),
            (
                "switchboard, chunks()",
                Box::new(|| chunked.snapshot().index().chunks(&3).flatten().fold(0, add)),
            ),
            ("RwLock<HashMap>, filter and copy", Box::new(|| copy(&lock))),
        ];
        // The first query of a reader may allocate its arc-swap record.
        for (_, list) in &mut lists {
            black_box(list());
        }
        counting.case(size(len), measure(settings, &mut counts));
        listing.case(size(len), measure(settings, &mut lists));
        let allocations = memory::allocations(|| {
            black_box(lists[0].1());
        });
        let case = counting.cases.len() - 1;
        for (section, against, limit) in
            [(&counting, "RwLock<HashMap>, scan", 0.01), (&listing, "RwLock<HashMap>, filter and copy", 0.1)]
        {
            let figures = section.figure("switchboard", case).zip(section.figure(against, case));
            if let Some(figures) = figures.filter(|_| len >= 10_000) {
                report.goal(format!("{}, {}", section.title, size(len)), against, figures, limit, "ns");
            }
        }
        report.goal(
            format!("Listing a group of 8, {}: allocations", size(len)),
            "none",
            (allocations as f64, 1.0),
            0.0,
            "",
        );
    }
    report.sections.extend([counting, listing]);
}

fn add(sum: u64, key: &u64) -> u64 {
    sum.wrapping_add(*key)
}

fn scan(lock: &RwLock<hashbrown::HashMap<u64, V, Hasher>>) -> u64 {
    let map = lock.read().expect("the lock is not poisoned");
    map.values().filter(|value| value[0] % GROUPS == 3).count() as u64
}

fn copy(lock: &RwLock<hashbrown::HashMap<u64, V, Hasher>>) -> u64 {
    let keys: Vec<u64> = {
        let map = lock.read().expect("the lock is not poisoned");
        map.iter().filter(|(_, value)| value[0] % GROUPS == 3).map(|(key, _)| *key).collect()
    };
    keys.iter().fold(0, add)
}

fn measure(settings: &Settings, ways: &mut [Way<'_>]) -> Vec<(&'static str, f64)> {
    let figures = interleave(ways.len(), settings.plan.rounds, |index| {
        let ask = &mut ways[index].1;
        run_for(Clock::Cpu, settings.plan.budget, |times| {
            for _ in 0..times {
                black_box(ask());
            }
        })
    });
    ways.iter().map(|(name, _)| *name).zip(figures).collect()
}
