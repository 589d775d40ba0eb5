//! Bounds of time for reads that may hang in the kernel, where nothing can end them.

use std::fmt;
use std::io;
use std::sync::mpsc;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};

/// Runs file reading on a thread of its own, one at a time: a read that hangs (a dead network mount) keeps its thread,
/// and no further thread is spent on the same place until it has ended.
pub(crate) struct Blocking<T> {
    hanging: Option<JoinHandle<T>>,
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Ended {
    /// It takes too long, or an earlier one still does.
    Late,
    /// It panicked.
    Panicked(JoinError),
}

impl<T> fmt::Debug for Blocking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Blocking")
    }
}

impl<T> Default for Blocking<T> {
    fn default() -> Self {
        Self { hanging: None }
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// Waits for the work no longer than this. Work that is late goes on; what it gives is dropped.
    pub(crate) async fn run(
        &mut self,
        after: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Ended> {
        if self
            .hanging
            .as_ref()
            .is_some_and(|hanging| !hanging.is_finished())
        {
            return Err(Ended::Late);
        }
        let running = self.hanging.insert(tokio::task::spawn_blocking(work));
        match tokio::time::timeout(after, running).await {
            Err(_) => Err(Ended::Late),
            Ok(done) => {
                self.hanging = None;
                done.map_err(Ended::Panicked)
            }
        }
    }
}

/// What a task said when it panicked.
pub(crate) fn panic_message(error: JoinError) -> String {
    let Ok(panic) = error.try_into_panic() else {
        return "it was cancelled".to_owned();
    };
    panic_text(&*panic)
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(message), _) => (*message).to_owned(),
        (None, Some(message)) => message.clone(),
        (None, None) => "a panic".to_owned(),
    }
}

/// The same without a runtime, for once: `None` where it takes longer, or has panicked.
pub(super) fn within<T: Send + 'static>(
    after: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<Option<T>> {
    let (done, result) = mpsc::channel();
    // Nobody waits any more where the send fails.
    let run = move || done.send(work()).unwrap_or_default();
    std::thread::Builder::new().name("file-read".into()).spawn(run)?;
    Ok(result.recv_timeout(after).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_hangs_is_not_started_a_second_time() {
        let (release, wait) = mpsc::channel::<()>();
        let mut blocking = Blocking::default();
        let after = Duration::from_millis(20);
        let hangs = blocking.run(after, move || wait.recv().unwrap_or_default());
        assert!(matches!(hangs.await, Err(Ended::Late)));
        let again = blocking.run(after, || unreachable!());
        assert!(matches!(again.await, Err(Ended::Late)));
        release.send(()).unwrap();
        while blocking.run(after, || ()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn without_a_runtime_work_that_hangs_is_given_up_too() {
        let (release, wait) = mpsc::channel::<()>();
        let hangs = within(Duration::from_millis(20), move || wait.recv());
        assert!(hangs.unwrap().is_none());
        drop(release);
        assert_eq!(within(Duration::from_mins(1), || 7).unwrap(), Some(7));
    }
}
