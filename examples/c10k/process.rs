//! The server's process, seen from both sides: it is this program again, told by its standard input where to listen.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs};

/// A server in a process of its own, which ends when this is dropped.
pub struct Server {
    process: Child,
    /// The addresses at which it is to listen; its end is the server's.
    to: Option<ChildStdin>,
    /// Those at which it does listen.
    from: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Has this program run with `argument`; it then calls [`serve`].
    pub fn start(argument: &str) -> io::Result<Self> {
        let mut command = Command::new(env::current_exe()?);
        let command = command.arg(argument).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let to = process.stdin.take();
        let from = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        Ok(Self { process, to, from })
    }

    /// Has it listen for so many clients, and returns where each is to connect.
    pub fn listen_for(&mut self, clients: usize) -> io::Result<Vec<SocketAddr>> {
        /// An address of the loopback network has ports for some 28,000 of them.
        const EACH: usize = 20_000;
        let mut addresses = Vec::new();
        for n in 1..=clients.div_ceil(EACH) {
            let address = self.listen_at([127, 0, 0, n as u8])?;
            addresses.resize(clients.min(n * EACH), address);
        }
        Ok(addresses)
    }

    /// At any port of this address.
    fn listen_at(&mut self, ip: [u8; 4]) -> io::Result<SocketAddr> {
        let to = self.to.as_mut().expect("it is piped");
        writeln!(to, "{}", SocketAddr::from((ip, 0)))?;
        let answer = self.from.next().unwrap_or_else(|| Err(io::Error::other("the server has given up")))?;
        answer.parse().map_err(io::Error::other)
    }

    /// What it has in memory, and its page tables.
    pub fn memory_kib(&self) -> io::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let fields = status.lines().filter_map(|line| line.split_once(':'));
        let memory = fields.filter(|(name, _)| ["VmRSS", "VmPTE"].contains(name));
        Ok(memory.filter_map(|(_, text)| text.trim().strip_suffix(" kB")?.parse::<f64>().ok()).sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.process.wait();
    }
}

/// Inside that process.
pub fn serve(listen_at: fn(SocketAddr) -> io::Result<SocketAddr>) -> io::Result<()> {
    for address in io::stdin().lines() {
        let address = address?.parse().map_err(io::Error::other)?;
        println!("{}", listen_at(address)?);
    }
    Ok(())
}
