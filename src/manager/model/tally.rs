//! The counters that are part of a version.

/// Declares each counter once: as a field of [`Tally`], to which the core adds; as a method of
/// [`Stats`], for readers; and as a word, for copies that are read while they are written.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a core since it was made.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct Tally {
            $(pub(crate) $name: u64,)*
        }

        impl Tally {
            const WORDS: usize = [$(stringify!($name)),*].len();

            /// The counters in the order of their declaration.
            fn to_words(self) -> [u64; Self::WORDS] {
                [$(self.$name),*]
            }

            fn from_words(words: [u64; Self::WORDS]) -> Self {
                let [$($name),*] = words;
                Self { $($name),* }
            }
        }

        impl Stats {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(&self) -> u64 {
                self.0.$name
            })*
        }
    };
}

counters! {
    /// Commands applied, refused ones included.
    commands,
    /// Commands that ended with an error.
    refused,
    /// Commands that were not applied because their deadline had passed.
    expired,
    /// Commands that named a stream, a dial or a request that the link no longer had.
    stale_answers,
    /// Dials started.
    dials,
    /// Dials and resolutions that nobody answered in time.
    dial_timeouts,
    /// Dials that reached the node.
    established,
    /// Dials that reached a node that had been reached before.
    reconnects,
    /// Times that a net asked for candidates.
    requests,
    /// Links that came.
    links_created,
    /// Links that went.
    links_deleted,
    /// Versions published.
    publishes,
    /// Panics that the writer contained: of commands, of ticket callbacks, of wakers.
    panics,
    /// Panics of the transport that were contained.
    transport_panics,
    /// Effects that were merged with one that still waited for the transport.
    effects_coalesced,
    /// Times that a [custom retry policy](crate::RetryPolicy::custom) or the source of chance panicked, or
    /// asked for a delay that it may not have.
    retry_faults,
    /// Streams that were refused while too many waited to be closed, so that no effect closes them: see
    /// [`CommandError::TooManyRefused`](crate::CommandError::TooManyRefused).
    unclosed_streams,
}

/// Counters of a manager up to one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stats(pub(in crate::manager) Tally);

impl Stats {
    /// Number of counters.
    pub(crate) const WORDS: usize = Tally::WORDS;

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        self.0.to_words()
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self(Tally::from_words(words))
    }
}
