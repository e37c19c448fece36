//! The headline workloads, for criterion: the cost of a lookup, idle and beside a publishing writer, and of
//! an update, compared with the closest competitors.

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use switchboard_benches::data::{CHUNK, Data, Value};
use switchboard_benches::peers::{
    Dashmap, Flat, Imbl, Papaya, ParkingLot, Peer, Plain, Read, SccIndex, StdLock, Switchboard,
};
use switchboard_benches::side::BATCH;

type K = u64;
type V = [u64; 4];
type Group<'a> = BenchmarkGroup<'a, WallTime>;

const SIZES: [usize; 2] = [1_000, 100_000];

fn filled<P: Peer<K, V>>(data: &Data<K, V>) -> P {
    let mut peer = P::new();
    peer.fill(&data.entries);
    peer
}

fn look_up<P: Peer<K, V>>(group: &mut Group<'_>, data: &Data<K, V>) {
    let peer: P = filled(data);
    bench_lookups::<P>(group, data, &peer.source());
}

fn bench_lookups<P: Peer<K, V>>(group: &mut Group<'_>, data: &Data<K, V>, source: &P::Source) {
    let mut reader = P::reader(source);
    let mut chunks = data.hits.chunks_exact(CHUNK).cycle();
    group.bench_function(BenchmarkId::new(P::NAME, data.entries.len()), |bencher| {
        bencher.iter(|| {
            let keys = chunks.next().unwrap_or_default();
            let found = keys.iter().filter_map(|key| reader.with(key, Value::word));
            black_box(found.fold(0, u64::wrapping_add))
        });
    });
}

fn look_up_while_writing<P: Peer<K, V>>(group: &mut Group<'_>, data: &Data<K, V>) {
    let mut peer: P = filled(data);
    let (source, stop) = (peer.source(), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            // Relaxed: the flag publishes no other data.
            while !stop.load(Ordering::Relaxed) {
                for batch in data.updates.chunks(BATCH).take(16) {
                    peer.put_all(batch.iter());
                }
            }
        });
        bench_lookups::<P>(group, data, &source);
        stop.store(true, Ordering::Relaxed);
    });
}

fn update<P: Peer<K, V>>(group: &mut Group<'_>, data: &Data<K, V>, batch: usize) {
    let mut peer: P = filled(data);
    let mut batches = data.updates.chunks_exact(batch).cycle();
    group.throughput(Throughput::Elements(batch as u64));
    group.bench_function(BenchmarkId::new(P::NAME, data.entries.len()), |bencher| {
        bencher.iter(|| peer.put_all(batches.next().unwrap_or_default().iter()));
    });
}

fn lookups(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup");
    group.throughput(Throughput::Elements(CHUNK as u64));
    for data in SIZES.map(Data::new) {
        look_up::<Switchboard<K, V>>(&mut group, &data);
        look_up::<Flat<K, V>>(&mut group, &data);
        look_up::<Papaya<K, V>>(&mut group, &data);
        look_up::<SccIndex<K, V>>(&mut group, &data);
        look_up::<Dashmap<K, V>>(&mut group, &data);
        look_up::<StdLock<K, V>>(&mut group, &data);
        look_up::<ParkingLot<K, V>>(&mut group, &data);
        look_up::<Imbl<K, V>>(&mut group, &data);
    }
    group.finish();
}

fn lookups_while_writing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lookup while a writer publishes");
    group.throughput(Throughput::Elements(CHUNK as u64));
    let data = Data::new(10_000);
    look_up_while_writing::<Switchboard<K, V>>(&mut group, &data);
    look_up_while_writing::<Papaya<K, V>>(&mut group, &data);
    look_up_while_writing::<SccIndex<K, V>>(&mut group, &data);
    look_up_while_writing::<Dashmap<K, V>>(&mut group, &data);
    look_up_while_writing::<StdLock<K, V>>(&mut group, &data);
    group.finish();
}

fn updates(criterion: &mut Criterion) {
    for batch in [1, BATCH] {
        let mut group = criterion.benchmark_group(format!("update, publish every {batch}"));
        for data in SIZES.map(Data::new) {
            update::<Switchboard<K, V>>(&mut group, &data, batch);
            update::<Plain<K, V>>(&mut group, &data, batch);
            update::<Papaya<K, V>>(&mut group, &data, batch);
            update::<StdLock<K, V>>(&mut group, &data, batch);
            update::<Imbl<K, V>>(&mut group, &data, batch);
        }
        group.finish();
    }
}

fn short() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
}

criterion_group!(name = tables; config = short(); targets = lookups, lookups_while_writing, updates);
criterion_main!(tables);
