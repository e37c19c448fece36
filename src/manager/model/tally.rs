//! The counters that are part of a version.

/// What the core has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) refused: u64,
    pub(crate) expired: u64,
    pub(crate) stale_answers: u64,
    pub(crate) dials: u64,
    pub(crate) dial_timeouts: u64,
    pub(crate) established: u64,
    pub(crate) reconnects: u64,
    pub(crate) requests: u64,
    pub(crate) links_created: u64,
    pub(crate) links_deleted: u64,
    pub(crate) publishes: u64,
    pub(crate) panics: u64,
    pub(crate) transport_panics: u64,
    pub(crate) effects_coalesced: u64,
    pub(crate) retry_faults: u64,
    pub(crate) unclosed_streams: u64,
}

impl Tally {
    pub(crate) const WORDS: usize = size_of::<Self>() / size_of::<u64>();

    /// The counters in the order of the struct, all of them.
    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        let Self {
            commands,
            refused,
            expired,
            stale_answers,
            dials,
            dial_timeouts,
            established,
            reconnects,
            requests,
            links_created,
            links_deleted,
            publishes,
            panics,
            transport_panics,
            effects_coalesced,
            retry_faults,
            unclosed_streams,
        } = self;
        [
            commands,
            refused,
            expired,
            stale_answers,
            dials,
            dial_timeouts,
            established,
            reconnects,
            requests,
            links_created,
            links_deleted,
            publishes,
            panics,
            transport_panics,
            effects_coalesced,
            retry_faults,
            unclosed_streams,
        ]
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        let [
            commands,
            refused,
            expired,
            stale_answers,
            dials,
            dial_timeouts,
            established,
            reconnects,
            requests,
            links_created,
            links_deleted,
            publishes,
            panics,
            transport_panics,
            effects_coalesced,
            retry_faults,
            unclosed_streams,
        ] = words;
        Self {
            commands,
            refused,
            expired,
            stale_answers,
            dials,
            dial_timeouts,
            established,
            reconnects,
            requests,
            links_created,
            links_deleted,
            publishes,
            panics,
            transport_panics,
            effects_coalesced,
            retry_faults,
            unclosed_streams,
        }
    }
}

/// What a manager has done up to one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ManagerStats(pub(in crate::manager) Tally);

impl ManagerStats {
    pub(crate) const WORDS: usize = Tally::WORDS;

    pub(crate) fn to_words(self) -> [u64; Self::WORDS] {
        self.0.to_words()
    }

    pub(crate) fn from_words(words: [u64; Self::WORDS]) -> Self {
        Self(Tally::from_words(words))
    }

    /// Commands applied, refused ones included.
    #[must_use]
    pub fn commands(&self) -> u64 {
        self.0.commands
    }

    /// Commands that ended with an error.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused
    }

    /// Commands that were not applied because their deadline had passed.
    #[must_use]
    pub fn expired(&self) -> u64 {
        self.0.expired
    }

    /// Commands that named a stream, a dial or a request that the link no longer had.
    #[must_use]
    pub fn stale_answers(&self) -> u64 {
        self.0.stale_answers
    }

    /// Versions published.
    #[must_use]
    pub fn publishes(&self) -> u64 {
        self.0.publishes
    }

    /// Dials started.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.0.dials
    }

    /// Dials and resolutions that nobody answered in time.
    #[must_use]
    pub fn dial_timeouts(&self) -> u64 {
        self.0.dial_timeouts
    }

    /// Dials that reached the node.
    #[must_use]
    pub fn established(&self) -> u64 {
        self.0.established
    }

    /// Dials that reached a node that had been reached before.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.0.reconnects
    }

    /// Times that a net asked for candidates.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.0.requests
    }

    /// Links that came.
    #[must_use]
    pub fn links_created(&self) -> u64 {
        self.0.links_created
    }

    /// Links that went.
    #[must_use]
    pub fn links_deleted(&self) -> u64 {
        self.0.links_deleted
    }

    /// Panics that the writer contained: of commands, of ticket callbacks, of wakers.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.0.panics
    }

    /// Panics of the transport that were contained.
    #[must_use]
    pub fn transport_panics(&self) -> u64 {
        self.0.transport_panics
    }

    /// Times that a [custom retry policy](crate::RetryPolicy::custom) or the source of chance panicked, or
    /// asked for a delay that it may not have.
    #[must_use]
    pub fn retry_faults(&self) -> u64 {
        self.0.retry_faults
    }

    /// Streams that were refused while too many waited to be closed, so that no effect closes them: see
    /// [`CommandError::TooManyRefused`](crate::CommandError::TooManyRefused).
    #[must_use]
    pub fn unclosed_streams(&self) -> u64 {
        self.0.unclosed_streams
    }

    /// Effects that were merged with one that still waited for the transport.
    #[must_use]
    pub fn effects_coalesced(&self) -> u64 {
        self.0.effects_coalesced
    }
}
