//! Bytes per entry, counted by the allocator.

use super::Settings;
use crate::data::{Data, Key, Value};
use crate::memory::bytes;
use crate::peers::{
    Dashmap, Evmap, Flat, Imbl, LeftRight, Papaya, Peer, Plain, Rpds, SccIndex, SccMap, StdLock, Switchboard,
};
use crate::report::{Report, Section, size};
use crate::side::BATCH;

/// Returns the bytes per entry of a map after every entry has been updated about once, in batches.
fn measured<P: Peer<K, V>, K: Key, V: Value>(data: &Data<K, V>) -> (&'static str, f64) {
    let (bytes, peer) = bytes(|| {
        let mut peer = P::new();
        peer.fill(&data.entries);
        // One batch for a map that copies everything in each publish, which would take too long otherwise.
        let batch = if P::NAME.contains("the limit") { data.updates.len() } else { BATCH };
        for batch in data.updates[..data.entries.len().min(data.updates.len())].chunks(batch) {
            peer.put_all(batch.iter());
        }
        peer
    });
    drop(peer);
    (P::NAME, bytes / data.entries.len() as f64)
}

fn case<K: Key, V: Value>(len: usize, section: &mut Section) {
    let data = Data::<K, V>::new(len);
    let figures = [
        measured::<Switchboard<K, V>, K, V>(&data),
        measured::<Plain<K, V>, K, V>(&data),
        measured::<StdLock<K, V>, K, V>(&data),
        measured::<Dashmap<K, V>, K, V>(&data),
        measured::<Papaya<K, V>, K, V>(&data),
        measured::<SccIndex<K, V>, K, V>(&data),
        measured::<SccMap<K, V>, K, V>(&data),
        measured::<Evmap<K, V>, K, V>(&data),
        measured::<LeftRight<K, V>, K, V>(&data),
        measured::<Flat<K, V>, K, V>(&data),
        measured::<Imbl<K, V>, K, V>(&data),
        measured::<Rpds<K, V>, K, V>(&data),
    ];
    section.case(format!("{} → {}, {}", K::NAME, V::NAME, size(len)), figures);
}

pub fn memory(settings: &Settings, report: &mut Report) {
    let mut section = Section::new(
        "Memory",
        "Bytes per entry, counted by the allocator (as requested), after growing in batches of 64 and updating \
         every entry about once. Garbage not yet collected by a map counts. In brackets: ours / theirs.",
    );
    for len in settings.sizes.iter().copied() {
        eprintln!("memory of {}", size(len));
        case::<u64, [u64; 4]>(len, &mut section);
        if len == 100_000 {
            case::<u64, [u64; 16]>(len, &mut section);
            case::<String, [u64; 4]>(len, &mut section);
        }
    }
    let lock = "RwLock<HashMap> (std)";
    for (side, limit) in [("switchboard", 2.0), ("switchboard, recycle(false)", 1.15)] {
        for case in 0..section.cases.len() {
            if let Some(figures) = section.figure(side, case).zip(section.figure(lock, case)) {
                let what = format!("Memory: {side}, {}", section.cases[case]);
                report.goal(what, lock, figures, limit, "bytes");
            }
        }
    }
    report.sections.push(section);
}
