//! A runtime with one thread, beside the main one.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// Ends in the background when it is dropped, so that a task can drop it.
pub struct Background(Option<Runtime>);

impl Background {
    pub fn new(name: &str) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name(name).enable_all().build()?;
        Ok(Self(Some(runtime)))
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
