use std::hash::{BuildHasher, Hasher};

/// The default hasher of a table: foldhash, randomly seeded for each table.
///
/// Fast, and hard to attack without seeing hashes or the order of iteration; not cryptographic. If an
/// attacker chooses keys *and* observes closely, pass a SipHash (`std::hash::RandomState`) to the builder.
#[derive(Clone, Debug, Default)]
pub struct DefaultHashBuilder(foldhash::fast::RandomState);

impl BuildHasher for DefaultHashBuilder {
    type Hasher = DefaultHasher;

    #[inline]
    fn build_hasher(&self) -> DefaultHasher {
        DefaultHasher(self.0.build_hasher())
    }
}

/// The hasher that a [`DefaultHashBuilder`] builds.
#[derive(Clone)]
pub struct DefaultHasher(foldhash::fast::FoldHasher<'static>);

impl std::fmt::Debug for DefaultHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DefaultHasher").finish_non_exhaustive()
    }
}

/// Forwards each call: the default methods of the trait would turn numbers into byte slices.
macro_rules! forward {
    ($($write:ident: $number:ty),*) => {
        $(#[inline]
        fn $write(&mut self, number: $number) {
            self.0.$write(number);
        })*
    };
}

impl Hasher for DefaultHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0.write(bytes);
    }

    forward!(
        write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128, write_usize: usize,
        write_i8: i8, write_i16: i16, write_i32: i32, write_i64: i64, write_i128: i128, write_isize: isize
    );
}
