//! The shared writer, and what users write instead.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use parking_lot::FairMutex;
use switchboard::table::shared::{Config, WriterThread};
use switchboard::{SharedWriter, Table, Writer};
use tokio::sync::{mpsc, oneshot};

use super::{Store, Value};

/// Capacity of the queue, and the number of operations taken at once: those of the shared writer.
const CAPACITY: usize = 4096;
const BATCH: usize = 1024;

#[derive(Clone)]
pub struct Ours {
    shared: SharedWriter<u64, Value>,
    _thread: Arc<WriterThread<u64, Value>>,
}

impl Ours {
    pub fn new() -> Self {
        let (writer, _) = Table::new();
        let (shared, thread) = SharedWriter::spawn(writer, Config::new()).expect("the system has threads");
        Self { shared, _thread: Arc::new(thread) }
    }
}

impl Store for Ours {
    fn insert(&self, key: u64, value: Value) {
        self.shared.insert(key, value).expect("it is open");
    }

    fn remove(&self, key: u64) {
        self.shared.remove(key).expect("it is open");
    }

    fn insert_confirmed(&self, key: u64, value: Value) {
        let ticket = self.shared.transaction(move |table| table.insert(key, value));
        ticket.expect("it is open").wait().expect("it is applied");
    }

    fn remove_confirmed(&self, key: u64) {
        let ticket = self.shared.transaction(move |table| table.remove(&key));
        ticket.expect("it is open").wait().expect("it is applied");
    }

    fn settle(&self) {
        self.shared.transaction(|_| ()).expect("it is open").wait().expect("it is applied");
    }

    async fn insert_async(&self, key: u64, value: Value) {
        self.shared.insert_async(key, value).await.expect("it is open");
    }

    async fn remove_async(&self, key: u64) {
        self.shared.remove_async(key).await.expect("it is open");
    }

    async fn insert_confirmed_async(&self, key: u64, value: Value) {
        let ticket = self.shared.transaction_async(move |table| table.insert(key, value)).await;
        ticket.expect("it is open").await.expect("it is applied");
    }

    async fn remove_confirmed_async(&self, key: u64) {
        let ticket = self.shared.transaction_async(move |table| table.remove(&key)).await;
        ticket.expect("it is open").await.expect("it is applied");
    }

    fn version(&self) -> u64 {
        self.shared.table().version().as_u64()
    }

    fn len(&self) -> usize {
        self.shared.table().snapshot().len()
    }

    fn clear(&self) {
        let ticket = self.shared.transaction(|table| table.clear());
        ticket.expect("it is open").wait().expect("it is applied");
    }
}

/// A writer behind a lock, which publishes after each operation.
macro_rules! behind_a_lock {
    ($name:ident, $lock:ident, $take:expr) => {
        #[derive(Clone)]
        pub struct $name {
            writer: Arc<$lock<Writer<u64, Value>>>,
            table: Table<u64, Value>,
        }

        impl $name {
            pub fn new() -> Self {
                let (writer, table) = Table::new();
                Self { writer: Arc::new($lock::new(writer)), table }
            }

            fn change(&self, change: impl FnOnce(&mut Writer<u64, Value>)) {
                let mut writer = $take(&self.writer);
                change(&mut writer);
                writer.publish();
            }
        }

        impl Store for $name {
            fn insert(&self, key: u64, value: Value) {
                self.change(|writer| _ = writer.insert(key, value));
            }

            fn remove(&self, key: u64) {
                self.change(|writer| _ = writer.remove(&key));
            }

            fn insert_confirmed(&self, key: u64, value: Value) {
                self.insert(key, value);
            }

            fn remove_confirmed(&self, key: u64) {
                self.remove(key);
            }

            fn settle(&self) {}

            async fn insert_async(&self, key: u64, value: Value) {
                self.insert(key, value);
            }

            async fn remove_async(&self, key: u64) {
                self.remove(key);
            }

            async fn insert_confirmed_async(&self, key: u64, value: Value) {
                self.insert(key, value);
            }

            async fn remove_confirmed_async(&self, key: u64) {
                self.remove(key);
            }

            fn version(&self) -> u64 {
                self.table.version().as_u64()
            }

            fn len(&self) -> usize {
                self.table.snapshot().len()
            }

            fn clear(&self) {
                self.change(Writer::clear);
            }
        }
    };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

behind_a_lock!(Locked, Mutex, lock);
behind_a_lock!(Fair, FairMutex, FairMutex::lock);

enum Message {
    Insert(u64, Value, Option<oneshot::Sender<Option<Value>>>),
    Remove(u64, Option<oneshot::Sender<Option<Value>>>),
    Clear(oneshot::Sender<()>),
    Settle(oneshot::Sender<()>),
}

enum Answer {
    Value(oneshot::Sender<Option<Value>>, Option<Value>),
    Done(oneshot::Sender<()>),
}

/// A thread behind a channel.
#[derive(Clone)]
pub struct Actor {
    sender: mpsc::Sender<Message>,
    table: Table<u64, Value>,
}

impl Actor {
    pub fn new() -> Self {
        let (mut writer, table) = Table::new();
        let (sender, mut receiver) = mpsc::channel(CAPACITY);
        thread::spawn(move || {
            let (mut batch, mut answers) = (Vec::with_capacity(BATCH), Vec::new());
            while receiver.blocking_recv_many(&mut batch, BATCH) > 0 {
                for message in batch.drain(..) {
                    match message {
                        Message::Insert(key, value, answer) => {
                            let old = writer.insert(key, value);
                            answers.extend(answer.map(|answer| Answer::Value(answer, old)));
                        }
                        Message::Remove(key, answer) => {
                            let old = writer.remove(&key);
                            answers.extend(answer.map(|answer| Answer::Value(answer, old)));
                        }
                        Message::Clear(answer) => {
                            writer.clear();
                            answers.push(Answer::Done(answer));
                        }
                        Message::Settle(answer) => answers.push(Answer::Done(answer)),
                    }
                }
                writer.publish();
                for answer in answers.drain(..) {
                    match answer {
                        Answer::Value(answer, value) => _ = answer.send(value),
                        Answer::Done(answer) => _ = answer.send(()),
                    }
                }
            }
        });
        Self { sender, table }
    }

    fn send(&self, message: Message) {
        self.sender.blocking_send(message).ok().expect("the actor lives");
    }

    async fn send_async(&self, message: Message) {
        self.sender.send(message).await.ok().expect("the actor lives");
    }
}

impl Store for Actor {
    fn insert(&self, key: u64, value: Value) {
        self.send(Message::Insert(key, value, None));
    }

    fn remove(&self, key: u64) {
        self.send(Message::Remove(key, None));
    }

    fn insert_confirmed(&self, key: u64, value: Value) {
        let (sender, receiver) = oneshot::channel();
        self.send(Message::Insert(key, value, Some(sender)));
        receiver.blocking_recv().expect("the actor answers");
    }

    fn remove_confirmed(&self, key: u64) {
        let (sender, receiver) = oneshot::channel();
        self.send(Message::Remove(key, Some(sender)));
        receiver.blocking_recv().expect("the actor answers");
    }

    fn settle(&self) {
        let (sender, receiver) = oneshot::channel();
        self.send(Message::Settle(sender));
        receiver.blocking_recv().expect("the actor answers");
    }

    async fn insert_async(&self, key: u64, value: Value) {
        self.send_async(Message::Insert(key, value, None)).await;
    }

    async fn remove_async(&self, key: u64) {
        self.send_async(Message::Remove(key, None)).await;
    }

    async fn insert_confirmed_async(&self, key: u64, value: Value) {
        let (sender, receiver) = oneshot::channel();
        self.send_async(Message::Insert(key, value, Some(sender))).await;
        receiver.await.expect("the actor answers");
    }

    async fn remove_confirmed_async(&self, key: u64) {
        let (sender, receiver) = oneshot::channel();
        self.send_async(Message::Remove(key, Some(sender))).await;
        receiver.await.expect("the actor answers");
    }

    fn version(&self) -> u64 {
        self.table.version().as_u64()
    }

    fn len(&self) -> usize {
        self.table.snapshot().len()
    }

    fn clear(&self) {
        let (sender, receiver) = oneshot::channel();
        self.send(Message::Clear(sender));
        receiver.blocking_recv().expect("the actor answers");
    }
}
