//! The times that a connection is held to.

use std::time::Duration;

use tokio::time::Instant;

use super::Limits;
use super::service::Shared;
use crate::listen::Activity;

/// How long a connection that was told to end may take.
const ENDING: Duration = Duration::from_secs(5);

/// How often a connection is looked at: shorter than every time that may begin to count in between.
const LOOK: Duration = Duration::from_secs(2);

/// One connection, and what it is held to.
pub(super) struct Watch<'c> {
    pub(super) limits: &'c Limits,
    pub(super) shared: &'c Shared,
    pub(super) activity: &'c Activity,
    pub(super) http2: bool,
    /// Whether it is told when nothing goes on.
    pub(super) can_rest: bool,
    /// When it was told to end.
    pub(super) goodbye: Option<Instant>,
}

/// What to do with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask again then.
    Wait(Instant),
    /// Tell it to end.
    Goodbye,
    /// End it.
    Drop,
    /// Nothing goes on: its buffers are not needed.
    Rest,
}

impl Watch<'_> {
    /// When to ask first.
    pub(super) fn first(&self, now: Instant) -> Instant {
        now + self.look()
    }

    fn look(&self) -> Duration {
        LOOK.min(self.limits.header_timeout)
    }

    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let drain = &self.shared.drain;
        if let Some(ends) = drain.ends() {
            if now >= ends {
                return Verdict::Drop;
            }
            if self.http2 && self.goodbye.is_none() {
                return Verdict::Goodbye;
            }
        }
        let (until, then) = self.deadline();
        if now >= until {
            return then;
        }
        if self.can_rest && self.goodbye.is_none() && drain.ends().is_none() && self.activity.rests(now) {
            return Verdict::Rest;
        }
        let until = until.min(now + self.look());
        Verdict::Wait(drain.ends().map_or(until, |ends| until.min(ends)))
    }

    fn deadline(&self) -> (Instant, Verdict) {
        let (limits, activity) = (self.limits, self.activity);
        if let Some(stalled) = activity.stalled() {
            return (stalled + limits.write_timeout, Verdict::Drop);
        }
        if let Some(goodbye) = self.goodbye {
            return (goodbye + ENDING, Verdict::Drop);
        }
        // HTTP/2 has frames that are not requests.
        if let Some(head_began) = activity.head_began().filter(|_| !self.http2) {
            return (head_began + limits.header_timeout, Verdict::Drop);
        }
        let quiet = match activity.last_request() {
            Some(last) => last + limits.idle_timeout,
            None => activity.began() + limits.header_timeout,
        };
        let kept = self
            .shared
            .drain
            .quiet_until(activity.began(), activity.last_request());
        (kept.map_or(quiet, |kept| kept.min(quiet)), Verdict::Goodbye)
    }
}
