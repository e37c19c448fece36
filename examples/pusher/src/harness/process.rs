//! A server in another process, which dies with this value.

use std::io;
use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use super::failed;
use crate::READY;

pub struct Process {
    process: Child,
    output: Lines<BufReader<ChildStdout>>,
    pub address: SocketAddr,
}

/// The memory and the processor time that a process has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    pub memory_mb: f64,
    pub memory_peak_mb: f64,
    pub processor_s: f64,
}

impl Process {
    pub async fn start(options: &[&str]) -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--listen", "127.0.0.1:0"])
            .args(options)
            .env("RUST_LOG", "warn")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().ok_or_else(|| failed("the server has no output"))?;
        let mut output = BufReader::new(output).lines();
        let first = output.next_line().await?.unwrap_or_default();
        let address = first.strip_prefix(READY).and_then(|address| address.parse().ok());
        let address = address.ok_or_else(|| failed(format!("the server prints {first:?}")))?;
        Ok(Self { process, output, address })
    }

    /// Runs a server that ends at once. Returns its status and its errors.
    pub async fn fail(options: &[&str]) -> io::Result<(ExitStatus, String)> {
        let output = Command::new(std::env::current_exe()?).args(options).kill_on_drop(true).output().await?;
        Ok((output.status, String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Asks the process to end, as Ctrl-C does.
    pub async fn terminate(&self) -> io::Result<()> {
        let id = self.process.id().ok_or_else(|| failed("the server has ended"))?;
        let sent = Command::new("kill").args(["-INT", &id.to_string()]).status().await?;
        if sent.success() { Ok(()) } else { Err(failed("the signal was not sent")) }
    }

    /// Waits for the end. Returns the status, and what the process has printed since its start.
    pub async fn ended(mut self) -> io::Result<(ExitStatus, String)> {
        let mut printed = String::new();
        while let Some(line) = self.output.next_line().await? {
            printed.push_str(&line);
            printed.push('\n');
        }
        Ok((self.process.wait().await?, printed))
    }
}

impl Usage {
    /// Reads what a process has used, on Linux.
    pub fn of(id: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let kb = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // After the name of the program, which may contain spaces: the state, and then numbers.
        let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |index: usize| fields.get(index)?.parse::<f64>().ok();
        Some(Self {
            memory_mb: kb("VmRSS:")? / 1024.0,
            memory_peak_mb: kb("VmHWM:")? / 1024.0,
            // Ticks are hundredths of a second on all current systems.
            processor_s: (ticks(11)? + ticks(12)?) / 100.0,
        })
    }
}
