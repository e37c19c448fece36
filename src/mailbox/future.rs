//! The waits of tasks: the futures of both ends.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::error::{RecvError, ReserveError, SendError};
use super::permit::Permit;
use super::queue::{Place, Stopped};
use super::receiver::Receiver;
use super::sender::Sender;
use super::sent::Sent;
use super::{Backpressure, Priority};

#[cfg(test)]
mod models;
#[cfg(all(test, not(switchboard_model)))]
mod tests;

const POLLED_AGAIN: &str = "a future of the mailbox was polled after it had completed";

/// The future of [`Sender::send_async`].
///
/// `Unpin`, and `Send` if the command is. The waker of the last poll counts. Dropping it before it completes
/// gives up its place, and the command is dropped with it: see [`Sender::send_async`].
#[must_use = "futures do nothing unless awaited or polled"]
pub struct SendFuture<'a, T> {
    // The first field: the place is given up before the command is dropped.
    room: RoomFuture<'a, T>,
    /// Taken when the future completes.
    value: Option<T>,
}

/// The future of [`Sender::reserve_async`].
///
/// `Unpin`, and `Send` if the commands are. The waker of the last poll counts. Dropping it before it
/// completes gives up its place: see [`Sender::reserve_async`].
#[must_use = "futures do nothing unless awaited or polled"]
pub struct ReserveFuture<'a, T> {
    room: RoomFuture<'a, T>,
    done: bool,
}

/// The future of [`Receiver::recv_async`].
///
/// `Unpin`, and `Send` if the commands are. The waker of the last poll counts. Dropping it loses nothing: see
/// [`Receiver::recv_async`].
#[must_use = "futures do nothing unless awaited or polled"]
pub struct RecvFuture<'a, T> {
    receiver: &'a mut Receiver<T>,
    /// Whether a waker was left. If so, only a sender has made the receiver awake since.
    registered: bool,
    done: bool,
}

/// The wait for a room. Dropped before it ends, it passes the room on that it may already have been given.
struct RoomFuture<'a, T> {
    sender: &'a Sender<T>,
    priority: Priority,
    place: Option<Place>,
}

impl<'a, T> RoomFuture<'a, T> {
    fn new(sender: &'a Sender<T>, priority: Priority) -> Self {
        Self { sender, priority, place: None }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Permit<'a, T>, ReserveError>> {
        let lane = self.sender.shared.lane(self.priority);
        lane.poll_room(&mut self.place, context).map(|outcome| match outcome {
            Ok(()) => Ok(Permit::new(self.sender, self.priority)),
            Err(Stopped::Closed | Stopped::Timeout) => Err(ReserveError::Closed),
        })
    }
}

impl<T> Drop for RoomFuture<'_, T> {
    fn drop(&mut self) {
        let Some(place) = self.place.take() else { return };
        if self.sender.shared.lane(self.priority).cancel(place) {
            self.sender.release(self.priority);
        }
    }
}

impl<T> Unpin for SendFuture<'_, T> {}

impl<T> Future for SendFuture<'_, T> {
    type Output = Result<Sent<T>, SendError<T>>;

    /// # Panics
    /// If it has already completed.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { room, value } = self.get_mut();
        assert!(value.is_some(), "{POLLED_AGAIN}");
        let permit = match room.sender.shared.policy {
            Backpressure::Reject | Backpressure::ShedLowest => None,
            Backpressure::Block => match room.poll(context) {
                Poll::Ready(permit) => Some(permit),
                Poll::Pending => return Poll::Pending,
            },
        };
        let Some(value) = value.take() else { unreachable!("checked above") };
        Poll::Ready(match permit {
            None => room.sender.send(room.priority, value),
            Some(Ok(permit)) => permit.send(value).map(|()| Sent::Queued),
            Some(Err(_)) => Err(SendError::Closed(value)),
        })
    }
}

impl<'a, T> Future for ReserveFuture<'a, T> {
    type Output = Result<Permit<'a, T>, ReserveError>;

    /// # Panics
    /// If it has already completed.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { room, done } = self.get_mut();
        assert!(!*done, "{POLLED_AGAIN}");
        let outcome = room.poll(context);
        *done = outcome.is_ready();
        outcome
    }
}

impl<T> Future for RecvFuture<'_, T> {
    type Output = Result<(Priority, T), RecvError>;

    /// # Panics
    /// If it has already completed.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, registered, done } = self.get_mut();
        assert!(!*done, "{POLLED_AGAIN}");
        let outcome = receiver.poll_recv(context);
        *done = outcome.is_ready();
        *registered |= outcome.is_pending();
        outcome
    }
}

impl<T> Drop for RecvFuture<'_, T> {
    fn drop(&mut self) {
        if self.registered {
            self.receiver.forget_sleeping_task();
        }
    }
}

impl<T> Sender<T> {
    /// Queues a command; if its lane is full, follows the [`Backpressure`] policy of the mailbox. The form of
    /// [`send`](Self::send) for tasks: under [`Backpressure::Block`] the future waits, and the thread does
    /// not. Under the other policies it completes at its first poll.
    ///
    /// Waiting tasks and threads share [one queue](super#waiting-for-room) per lane; the future takes its
    /// place when it is first polled. No runtime is needed. It does not yield while there is room: wrap it in
    /// `tokio::task::coop::cooperative`, or yield after every few commands, where other tasks share the thread.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has sent nothing, and the command is dropped with it. Its
    /// place is lost; if it was already given a room, the next sender of the queue receives that room. To
    /// keep the command, await a [`reserve_async`](Self::reserve_async) and then call [`Permit::send`].
    ///
    /// A future that was given a room holds it until it is polled or dropped, as a permit does: do not keep
    /// one without polling it.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// The future, if it is polled after it has completed.
    ///
    /// # Examples
    /// ```
    /// use switchboard::mailbox::{Backpressure, Config, Priority, Sent, mailbox};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (sender, mut receiver) = mailbox(Config::new().normal(1)?.backpressure(Backpressure::Block));
    /// let producer = async {
    ///     for number in 0..100 {
    ///         assert_eq!(sender.send_async(Priority::Normal, number).await, Ok(Sent::Queued));
    ///     }
    /// };
    /// let consumer = async {
    ///     for number in 0..100 {
    ///         assert_eq!(receiver.recv_async().await, Ok((Priority::Normal, number)));
    ///     }
    /// };
    /// tokio::join!(producer, consumer);
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_async(&self, priority: Priority, value: T) -> SendFuture<'_, T> {
        SendFuture { room: RoomFuture::new(self, priority), value: Some(value) }
    }

    /// Reserves room for one command, waiting for it without a bound, regardless of the policy. Sheds
    /// nothing. The form of [`reserve`](Self::reserve) for tasks.
    ///
    /// Waiting tasks and threads share [one queue](super#waiting-for-room) per lane; the future takes its
    /// place when it is first polled. No runtime is needed.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes holds no room. Its place is lost; if it was already given
    /// a room, the next sender of the queue receives that room. A future that was given a room holds it until
    /// it is polled or dropped.
    ///
    /// # Errors
    /// [`ReserveError::Closed`].
    ///
    /// # Panics
    /// The future, if it is polled after it has completed.
    ///
    /// # Examples
    /// ```
    /// use switchboard::mailbox::{Config, Priority, mailbox};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (sender, mut receiver) = mailbox(Config::new());
    /// let permit = sender.reserve_async(Priority::High).await?;
    /// permit.send("made only when there is room")?;
    /// assert_eq!(receiver.recv_async().await?.1, "made only when there is room");
    /// # Ok(())
    /// # }
    /// ```
    pub fn reserve_async(&self, priority: Priority) -> ReserveFuture<'_, T> {
        ReserveFuture { room: RoomFuture::new(self, priority), done: false }
    }
}

impl<T> Receiver<T> {
    /// Takes the next command, waiting for it without a bound. The form of [`recv`](Self::recv) for tasks.
    ///
    /// Lanes are served by the same rule. No runtime is needed. It does not yield while commands are queued: wrap
    /// it in `tokio::task::coop::cooperative`, or yield after every few commands, where other tasks share the
    /// thread.
    ///
    /// # Cancel safety
    /// A future that is dropped before it completes has taken nothing: use it in a `select!` freely. A
    /// command that woke it stays queued, and the next call takes it.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if the mailbox is closed and drained.
    ///
    /// # Panics
    /// The future, if it is polled after it has completed.
    ///
    /// # Examples
    /// ```
    /// use switchboard::mailbox::{Config, Priority, mailbox};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (sender, mut receiver) = mailbox(Config::new());
    /// let thread = std::thread::spawn(move || sender.try_send(Priority::Low, 7));
    /// assert_eq!(receiver.recv_async().await, Ok((Priority::Low, 7)));
    /// assert!(receiver.recv_async().await.is_err_and(|error| error.is_closed()));
    /// # assert!(thread.join().is_ok_and(|sent| sent.is_ok()));
    /// # }
    /// ```
    pub fn recv_async(&mut self) -> RecvFuture<'_, T> {
        RecvFuture { receiver: self, registered: false, done: false }
    }
}

impl<T> fmt::Debug for RoomFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomFuture").field("priority", &self.priority).field("place", &self.place).finish()
    }
}

impl<T> fmt::Debug for SendFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, value } = self;
        f.debug_struct("SendFuture").field("room", room).field("done", &value.is_none()).finish()
    }
}

impl<T> fmt::Debug for ReserveFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { room, done } = self;
        f.debug_struct("ReserveFuture").field("room", room).field("done", done).finish()
    }
}

impl<T> fmt::Debug for RecvFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { receiver, registered, done } = self;
        let mut debug = f.debug_struct("RecvFuture");
        debug.field("receiver", receiver).field("registered", registered).field("done", done).finish()
    }
}
