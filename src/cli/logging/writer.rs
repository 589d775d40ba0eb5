//! The thread that writes the log to standard error: the one place that waits for whoever reads it.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::queue::{Dropped, Line, Queue};

/// Between two attempts, where standard error is a pipe that does not block (its other end, or a process that shares it,
/// chose so) and is full.
const RETRY: Duration = Duration::from_millis(20);

/// Starts the thread. It ends with the process.
pub(super) fn start(queue: Arc<Queue>) -> io::Result<()> {
    thread::Builder::new()
        .name("log".to_owned())
        .spawn(move || {
            loop {
                write_some(&queue, &mut io::stderr(), tell);
            }
        })
        .map(drop)
}

fn write_some(queue: &Queue, out: &mut impl Write, tell: impl Fn(Dropped)) {
    let batch = queue.take();
    let lost = write(out, &batch);
    let is_back = lost < batch.len();
    queue.written(&batch[batch.len() - lost..]);
    if is_back && let Some(dropped) = queue.untold() {
        tell(dropped);
    }
}

/// How many of the last lines could not be written.
fn write(out: &mut impl Write, batch: &[Line]) -> usize {
    let bytes: Vec<u8> = batch.iter().flat_map(|line| line.text.iter().copied()).collect();
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => break,
            Ok(written) => rest = rest.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(RETRY),
            // Nobody reads any more, or the disk is full.
            Err(_) => break,
        }
    }
    let mut missing = rest.len();
    let whole = batch.iter().rev().take_while(|line| {
        let is_lost = missing > 0;
        missing = missing.saturating_sub(line.text.len());
        is_lost
    });
    whole.count()
}

fn tell(Dropped { lines, matters }: Dropped) {
    let what = "lines of the log were dropped, because standard error was not read: see \
                oidc_issuer_log_lines_dropped_total";
    if matters {
        tracing::error!(lines, "{lines} {what}; errors or audit lines are among them");
    } else {
        tracing::warn!(lines, "{lines} {what}");
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::queue::Rank;
    use super::*;

    /// Takes these bytes, then fails so.
    struct Takes(usize, io::ErrorKind);

    impl Write for Takes {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(self.1.into());
            }
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn three_lines() -> Queue {
        let queue = Queue::new(|_| {});
        for _ in 0..3 {
            queue.push(Rank::Info, b"1234\n");
        }
        queue
    }

    #[test]
    fn lines_that_cannot_be_written_are_dropped_and_told_when_one_can() {
        let told = Cell::new(Dropped::default());
        let tell = |dropped| told.set(dropped);
        let queue = three_lines();
        write_some(&queue, &mut Takes(0, io::ErrorKind::BrokenPipe), tell);
        assert_eq!(told.get().lines, 0, "nobody reads");
        queue.push(Rank::Info, b"x\n");
        write_some(&queue, &mut Takes(100, io::ErrorKind::BrokenPipe), tell);
        assert_eq!(told.get().lines, 3);
    }

    #[test]
    fn a_line_that_was_written_in_part_counts_as_lost() {
        for (taken, lost) in [(0, 3), (4, 3), (5, 2), (11, 1), (15, 0)] {
            let batch = three_lines().take();
            let mut out = Takes(taken, io::ErrorKind::StorageFull);
            assert_eq!(write(&mut out, &batch), lost, "{taken} bytes");
        }
    }

    #[test]
    fn a_pipe_that_does_not_block_is_tried_again() {
        struct Busy(u8, Vec<u8>);
        impl Write for Busy {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(io::ErrorKind::WouldBlock.into()),
                    2 => Err(io::ErrorKind::Interrupted.into()),
                    _ => self.1.write(bytes.get(..3).unwrap_or(bytes)),
                }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut out = Busy(0, Vec::new());
        assert_eq!(write(&mut out, &three_lines().take()), 0);
        assert_eq!(out.1, b"1234\n1234\n1234\n");
    }
}
