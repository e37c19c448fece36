//! Errors, one per operation. Those of sends hand the command back.

use std::fmt;

/// Declares an error whose variants all carry the command that was not sent.
macro_rules! returning {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident, $test:ident, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name<T> {
            $($(#[$doc])* $variant(T),)*
        }

        impl<T> $name<T> {
            /// The command that was not sent.
            #[must_use]
            pub fn into_inner(self) -> T {
                match self {
                    $(Self::$variant(value) => value,)*
                }
            }

            $(
                #[doc = concat!("Whether this is [`", stringify!($name), "::", stringify!($variant), "`].")]
                #[must_use]
                pub fn $test(&self) -> bool {
                    matches!(self, Self::$variant(_))
                }
            )*
        }

        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant(_) => concat!(stringify!($name), "::", stringify!($variant), "(..)"),)*
                })
            }
        }

        impl<T> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant(_) => $text,)*
                })
            }
        }

        impl<T> std::error::Error for $name<T> {}
    };
}

/// Declares an error that carries nothing.
macro_rules! plain {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident, $test:ident, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            $(
                #[doc = concat!("Whether this is [`", stringify!($name), "::", stringify!($variant), "`].")]
                #[must_use]
                pub fn $test(&self) -> bool {
                    matches!(self, Self::$variant)
                }
            )*
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => $text,)*
                })
            }
        }

        impl std::error::Error for $name {}
    };
}

returning! {
    /// Why [`Sender::send`](super::Sender::send) or a permit did not queue the command.
    ///
    /// # Examples
    /// ```
    /// use switchboard::mailbox::{Config, Priority, mailbox};
    ///
    /// let (sender, receiver) = mailbox(Config::new());
    /// drop(receiver);
    /// let Err(error) = sender.send(Priority::Low, "statistics") else { unreachable!() };
    /// assert!(error.is_closed());
    /// assert_eq!(error.into_inner(), "statistics");
    /// ```
    SendError {
        /// The lane is full, and under [`Backpressure::ShedLowest`](super::Backpressure::ShedLowest) nothing
        /// is queued below it.
        Full, is_full, "the lane is full";
        /// The mailbox accepts nothing any more.
        Closed, is_closed, "the mailbox is closed";
    }
}

returning! {
    /// Why [`Sender::try_send`](super::Sender::try_send) did not queue the command.
    TrySendError {
        /// The lane is full.
        Full, is_full, "the lane is full";
        /// The mailbox accepts nothing any more.
        Closed, is_closed, "the mailbox is closed";
    }
}

returning! {
    /// Why [`Sender::send_timeout`](super::Sender::send_timeout) did not queue the command.
    SendTimeoutError {
        /// There was no room in all that time.
        Timeout, is_timeout, "timed out waiting for room in the lane";
        /// The mailbox accepts nothing any more.
        Closed, is_closed, "the mailbox is closed";
    }
}

impl<T> From<TrySendError<T>> for SendError<T> {
    fn from(error: TrySendError<T>) -> Self {
        match error {
            TrySendError::Full(value) => Self::Full(value),
            TrySendError::Closed(value) => Self::Closed(value),
        }
    }
}

plain! {
    /// Why [`Sender::reserve`](super::Sender::reserve) gave no permit.
    ReserveError {
        /// The mailbox accepts nothing any more.
        Closed, is_closed, "the mailbox is closed";
    }
}

plain! {
    /// Why [`Sender::try_reserve`](super::Sender::try_reserve) gave no permit.
    TryReserveError {
        /// The lane is full.
        Full, is_full, "the lane is full";
        /// The mailbox accepts nothing any more.
        Closed, is_closed, "the mailbox is closed";
    }
}

plain! {
    /// Why [`Sender::reserve_timeout`](super::Sender::reserve_timeout) gave no permit.
    ReserveTimeoutError {
        /// There was no room in all that time.
        Timeout, is_timeout, "timed out waiting for room in the lane";
        /// The mailbox accepts nothing any more.
        Closed, is_closed, "the mailbox is closed";
    }
}

plain! {
    /// Why [`Receiver::recv`](super::Receiver::recv) returned no command.
    RecvError {
        /// Closed and drained: there will never be one again.
        Closed, is_closed, "the mailbox is closed and drained";
    }
}

plain! {
    /// Why [`Receiver::try_recv`](super::Receiver::try_recv) returned no command.
    TryRecvError {
        /// There is none now.
        Empty, is_empty, "the mailbox is empty";
        /// Closed and drained: there will never be one again.
        Closed, is_closed, "the mailbox is closed and drained";
    }
}

plain! {
    /// Why [`Receiver::recv_timeout`](super::Receiver::recv_timeout) returned no command.
    RecvTimeoutError {
        /// There was none in all that time.
        Timeout, is_timeout, "timed out waiting for a command";
        /// [`Sender::wake`](super::Sender::wake) was called, and no command was there.
        Woken, is_woken, "woken without a command";
        /// Closed and drained: there will never be one again.
        Closed, is_closed, "the mailbox is closed and drained";
    }
}
