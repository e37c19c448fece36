//! Counters that are part of a version.

/// Declares each counter once: as a field of [`Tally`], to which the core adds; as a method of [`Stats`], for
/// readers; and as a word, for copies that are read while they are being written.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The counters of a core since it was created.
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
    /// Number of commands applied, including refused ones.
    commands,
    /// Number of commands that ended with an error.
    refused,
    /// Number of answers to effects that ended with an error, out of [`refused`](Self::refused): an endpoint
    /// that cannot be dialled, a candidate for the own address, a stream beyond the limit. Answers to
    /// [`Effect`](crate::Effect)s are the commands `create_link`, `set_endpoint`, `resolve_failed`,
    /// `add_uplink`, `add_stream` with an uplink, `dial_connected`, `dial_failed`, `admit`, `refuse` and
    /// `delete_stream`.
    refused_answers,
    /// Number of commands that were not applied because their deadline had passed.
    expired,
    /// Number of commands that named a stream, a dial or a resolution that the link no longer had.
    stale_answers,
    /// Number of dials started.
    dials,
    /// Number of dials and resolutions that were not answered in time.
    dial_timeouts,
    /// Number of dials that reached the node.
    established,
    /// Number of dials that reached a node that had been reached before.
    reconnects,
    /// Number of times that a net requested candidates.
    requests,
    /// Number of links created.
    links_created,
    /// Number of links removed.
    links_deleted,
    /// Number of versions published.
    publishes,
    /// Number of panics that the writer contained: in commands, in ticket callbacks, in wakers and in other
    /// user code.
    panics,
    /// Number of panics of the transport that were contained.
    transport_panics,
    /// Number of effects that were merged with an effect still waiting for the transport.
    effects_coalesced,
    /// Number of times that a [custom retry policy](crate::RetryPolicy::custom) or the source of randomness
    /// panicked, or that the policy returned an invalid delay.
    retry_faults,
    /// Number of streams that were refused while too many waited to be closed, and that no effect closes: see
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
