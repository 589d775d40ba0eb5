//! A panic in one task must not end anything else: it is logged, and the task starts again.

use std::pin::Pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::fs::panic_message;

/// What is run.
pub(super) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The first pause before a task starts again; it doubles each time, up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_secs(1);

const MAX_PAUSE: Duration = Duration::from_mins(1);

/// Runs what `start` starts, and again after each panic, until it ends by itself or `stop` is cancelled. When this
/// returns, the task has ended. `what` names it in the log.
pub(super) async fn restarted(what: &str, stop: &CancellationToken, mut start: impl FnMut() -> Work) {
    let mut pause = PAUSE;
    loop {
        let mut task = AbortOnDropHandle::new(tokio::spawn(start()));
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = stop.cancelled() => {
                task.abort();
                let _ = task.await;
                return;
            }
        };
        match ended {
            Ok(()) => return,
            Err(error) if error.is_cancelled() => return,
            Err(error) => {
                let panic = panic_message(error);
                tracing::error!(%panic, "{what} panicked and starts again: please report this defect");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
        pause = (pause * 2).min(MAX_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_starts_again() {
        let starts = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&starts);
        let stop = CancellationToken::new();
        let task = restarted("a test", &stop, move || {
            let counted = Arc::clone(&counted);
            Box::pin(async move {
                assert!(counted.fetch_add(1, Ordering::SeqCst) > 0, "the first time");
            })
        });
        tokio::time::timeout(Duration::from_secs(10), task).await.unwrap();
        assert_eq!(starts.load(Ordering::SeqCst), 2);
    }
}
