//! Errors, one per operation. The errors of sends return the command.

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
            /// Returns the command that was not sent.
            #[must_use]
            pub fn into_inner(self) -> T {
                match self {
                    $(Self::$variant(value) => value,)*
                }
            }

            $(
                #[doc = concat!(
                    "Returns whether this is [`", stringify!($name), "::", stringify!($variant), "`]."
                )]
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
                #[doc = concat!(
                    "Returns whether this is [`", stringify!($name), "::", stringify!($variant), "`]."
                )]
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
    /// The error of [`Sender::send`](super::Sender::send) and of permits; it returns the command that was not
    /// queued.
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
        /// The lane is full, and under [`Backpressure::ShedLowest`](super::Backpressure::ShedLowest) no
        /// command that may be shed is queued below it.
        Full, is_full, "the lane is full";
        /// The mailbox is closed and accepts no more commands.
        Closed, is_closed, "the mailbox is closed";
    }
}

returning! {
    /// The error of [`Sender::try_send`](super::Sender::try_send); it returns the command that was not
    /// queued.
    TrySendError {
        /// The lane is full.
        Full, is_full, "the lane is full";
        /// The mailbox is closed and accepts no more commands.
        Closed, is_closed, "the mailbox is closed";
    }
}

returning! {
    /// The error of [`Sender::send_timeout`](super::Sender::send_timeout); it returns the command that was
    /// not queued.
    SendTimeoutError {
        /// No room became free within the timeout.
        Timeout, is_timeout, "timed out waiting for room in the lane";
        /// The mailbox is closed and accepts no more commands.
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
    /// The error of [`Sender::reserve`](super::Sender::reserve).
    ReserveError {
        /// The mailbox is closed and accepts no more commands.
        Closed, is_closed, "the mailbox is closed";
    }
}

plain! {
    /// The error of [`Sender::try_reserve`](super::Sender::try_reserve).
    TryReserveError {
        /// The lane is full.
        Full, is_full, "the lane is full";
        /// The mailbox is closed and accepts no more commands.
        Closed, is_closed, "the mailbox is closed";
    }
}

plain! {
    /// The error of [`Sender::reserve_timeout`](super::Sender::reserve_timeout).
    ReserveTimeoutError {
        /// No room became free within the timeout.
        Timeout, is_timeout, "timed out waiting for room in the lane";
        /// The mailbox is closed and accepts no more commands.
        Closed, is_closed, "the mailbox is closed";
    }
}

plain! {
    /// The error of [`Receiver::recv`](super::Receiver::recv).
    RecvError {
        /// The mailbox is closed and drained: no command will follow.
        Closed, is_closed, "the mailbox is closed and drained";
    }
}

plain! {
    /// The error of [`Receiver::try_recv`](super::Receiver::try_recv).
    TryRecvError {
        /// No command is queued at the moment.
        Empty, is_empty, "the mailbox is empty";
        /// The mailbox is closed and drained: no command will follow.
        Closed, is_closed, "the mailbox is closed and drained";
    }
}

plain! {
    /// The error of [`Receiver::recv_timeout`](super::Receiver::recv_timeout).
    RecvTimeoutError {
        /// No command arrived within the timeout.
        Timeout, is_timeout, "timed out waiting for a command";
        /// [`Sender::wake`](super::Sender::wake) was called while no command was queued.
        Woken, is_woken, "woken without a command";
        /// The mailbox is closed and drained: no command will follow.
        Closed, is_closed, "the mailbox is closed and drained";
    }
}
