//! The signals that `serve` lives by. They are taken before anything else is done: one that comes while the process
//! starts would end it without a word, or, where it is the first process of a container, do nothing at all.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// Some supervisors send a signal to the process and to its group: a second one that comes within this time is the same
/// request.
const SAME: Duration = Duration::from_secs(1);

/// The signals, taken but not yet obeyed.
#[derive(Debug)]
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To end: the name of the signal.
    Stop(&'static str),
    /// To read the configuration once more.
    Reload,
}

impl Signals {
    /// Takes the signals from now on, by a runtime that listens for them.
    pub(super) fn taken() -> anyhow::Result<(Runtime, Self)> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .context("the runtime cannot be started")?;
        let signals = runtime.block_on(async { Self::listen() })?;
        Ok((runtime, signals))
    }

    fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("signals cannot be received");
        Ok(Self {
            hang_up: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Until SIGTERM or SIGINT came, also before this was called: its name.
    pub(super) async fn stop(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// The next one, also one that came before this was called.
    pub(super) async fn next(&mut self) -> Wanted {
        tokio::select! {
            biased;
            _ = self.terminate.recv() => Wanted::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Wanted::Stop("SIGINT"),
            _ = self.hang_up.recv() => Wanted::Reload,
        }
    }

    /// Until a second SIGTERM or SIGINT asks to end at once: the exit code. The first one came now.
    pub(super) async fn second(mut self) -> i32 {
        let first = Instant::now();
        loop {
            let kind = match self.stop().await {
                "SIGTERM" => SignalKind::terminate(),
                _ => SignalKind::interrupt(),
            };
            if first.elapsed() >= SAME {
                return 128 + kind.as_raw_value();
            }
        }
    }
}

/// Whether these arguments, the name of the program among them, ask for `serve`. Looked at before they are parsed, which
/// takes longer than a signal may.
pub(super) fn are_for_serve(arguments: &[OsString]) -> bool {
    let mut arguments = arguments.iter().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--log-level" | "--log-format") => {
                arguments.next();
            }
            Some(flag) if flag.starts_with("--log-") => {}
            other => return other == Some("serve"),
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_for_serve_are_known_by_their_first_word() {
        let are = |line: &str| are_for_serve(&line.split(' ').map(OsString::from).collect::<Vec<_>>());
        for line in [
            "oidc-issuer serve",
            "oidc-issuer serve --config x",
            "x --log-level debug serve",
            "x --log-format=json serve",
        ] {
            assert!(are(line), "{line}");
        }
        for line in [
            "oidc-issuer",
            "serve",
            "x keys revoke serve",
            "x --log-level serve",
            "x --help serve",
        ] {
            assert!(!are(line), "{line}");
        }
    }
}
