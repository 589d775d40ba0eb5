//! A program that runs while a test needs it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long a program may take to become ready, on a machine that does much else.
const STARTS_WITHIN: Duration = Duration::from_secs(90);

/// A running program. Dropping it ends it; when the test fails, the end of its log is shown.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it with its output in `folder`: `NAME.log`, and what it prints in `NAME.out`.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Self {
        let log = folder.join(format!("{name}.log"));
        let open = |path: &Path| File::create(path).expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&log.with_extension("out")))
            .stderr(open(&log))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// Waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it ends, or is not ready in time: with its log.
    pub(crate) async fn ready(&mut self, probe: impl AsyncFn() -> bool) {
        let deadline = Instant::now() + STARTS_WITHIN;
        while !probe().await {
            let ended = self.child.try_wait().expect("a child to wait for");
            assert!(
                ended.is_none(),
                "{} ended with {ended:?}:\n{}",
                self.name,
                self.tail()
            );
            assert!(
                Instant::now() < deadline,
                "{} is not ready:\n{}",
                self.name,
                self.tail()
            );
            pause().await;
        }
    }

    /// All that it wrote: what it printed, then what it logged.
    pub(crate) fn log(&self) -> String {
        self.printed() + &std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What it wrote to its standard output.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.log.with_extension("out")).unwrap_or_default()
    }

    /// The end of what it wrote.
    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal: `TERM`, `HUP`.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .arg("-s")
            .arg(signal)
            .arg(self.id().to_string())
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "{} gets no {signal}",
            self.name
        );
    }

    /// How it has ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child to wait for")
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + STARTS_WITHIN;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child to wait for") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "{} does not end:\n{}",
                self.name,
                self.tail()
            );
            pause().await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("--- the end of what {} wrote:\n{}", self.name, self.tail());
        }
    }
}

/// Waits until `probe` gives something.
///
/// # Panics
///
/// After a minute and a half, which is for machines with other work, saying what it waited for.
pub(crate) async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "still not so: {what}");
        pause().await;
    }
}

/// Between two looks at a condition that has a deadline.
async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// A loopback port that nobody listens on, and that no other test was given.
///
/// It lies below the ports that the kernel gives to whoever names none: between this look and the program's own
/// bind no connection of another test can take it. Test processes that run side by side begin far apart. Each second one
/// is left out: OpenBao listens on the one after its own as well.
pub(crate) fn free_port() -> u16 {
    const RANGE: std::ops::Range<u32> = 10_240..30_720;
    static ASKED: AtomicU32 = AtomicU32::new(0);
    // An odd step spreads neighbouring process ids over the whole range.
    let begin = std::process::id().wrapping_mul(7_919);
    loop {
        let offset = begin.wrapping_add(ASKED.fetch_add(2, Ordering::Relaxed)) % (RANGE.end - RANGE.start);
        let port = u16::try_from(RANGE.start + offset).expect("a port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
