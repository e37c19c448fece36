//! A runtime with one thread, beside the main one.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// How much nicer the threads are that serve than those that accept.
#[cfg(target_os = "linux")]
const NICER: i32 = 10;

/// Lets the other threads of this process go first, if there are more of them than processors: those that accept
/// connections and write the table, which have little to do each time.
pub fn give_way() {
    // Only slower, if it fails.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICER);
}

/// Ends in the background when it is dropped, so that a task can drop it.
pub struct Background(Option<Runtime>);

impl Background {
    pub fn new(name: &str) -> io::Result<Self> {
        Self::with(name, || ())
    }

    /// A runtime whose thread [gives way](give_way) to others.
    pub fn nice(name: &str) -> io::Result<Self> {
        Self::with(name, give_way)
    }

    fn with(name: &str, start: fn()) -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name(name).on_thread_start(start).enable_all();
        Ok(Self(Some(builder.build()?)))
    }

    pub fn handle(&self) -> &Handle {
        self.0.as_ref().expect("there is a runtime until it is dropped").handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
