//! What is counted, and the table of it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::super::running_verifiers::NAMES;

/// Filled by the tasks that verify and watch.
#[derive(Debug)]
pub(super) struct Tally {
    began: Instant,
    verifiers: Mutex<[Figures; NAMES.len()]>,
    /// How often a replica was asked itself, how often it did not answer.
    direct: Mutex<(u64, u64)>,
    /// When each key was last answered by any replica.
    seen: Mutex<BTreeMap<String, Instant>>,
    wrong: Mutex<Vec<String>>,
}

/// Of one verifier.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    taken: u64,
    wrongly_refused: u64,
    rightly_refused: u64,
    longest: Duration,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            verifiers: Mutex::default(),
            direct: Mutex::default(),
            seen: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// A valid token was judged.
    pub(super) fn judged(&self, place: usize, took: Duration, refusal: Option<String>) {
        let figures = &mut self.verifiers.lock().expect("no panic")[place];
        figures.longest = figures.longest.max(took);
        match refusal {
            None => figures.taken += 1,
            Some(why) => {
                figures.wrongly_refused += 1;
                self.wrong(&format!("{} refused {why}", NAMES[place]));
            }
        }
    }

    /// A refusal that came when the token had expired meanwhile: it says nothing.
    pub(super) fn too_late(place: usize, why: &str) {
        eprintln!("soak: {} answered too late to count: {why}", NAMES[place]);
    }

    /// A token of a key that has left was refused.
    pub(super) fn refused_rightly(&self, place: usize) {
        self.verifiers.lock().expect("no panic")[place].rightly_refused += 1;
    }

    /// A replica answered with these keys, or not at all.
    pub(super) fn asked(&self, kids: Option<&[String]>) {
        let mut direct = self.direct.lock().expect("no panic");
        let Some(kids) = kids else {
            direct.1 += 1;
            return;
        };
        direct.0 += 1;
        let (mut seen, now) = (self.seen.lock().expect("no panic"), Instant::now());
        for kid in kids {
            seen.insert(kid.clone(), now);
        }
    }

    /// When any replica last answered with this key.
    pub(super) fn last_seen(&self, kid: &str) -> Option<Instant> {
        self.seen.lock().expect("no panic").get(kid).copied()
    }

    /// What must not happen has happened.
    pub(super) fn wrong(&self, what: &str) {
        let at = self.began.elapsed().as_secs_f32();
        let mut wrong = self.wrong.lock().expect("no panic");
        if wrong.len() < 20 {
            wrong.push(format!("after {at:.1} s: {what}"));
        }
    }

    /// # Panics
    ///
    /// If anything was wrong so far.
    pub(super) fn is_clean(&self) {
        let wrong = self.wrong.lock().expect("no panic");
        assert!(wrong.is_empty(), "{wrong:#?}\n{}", self.table());
    }

    /// As Markdown.
    pub(super) fn table(&self) -> String {
        let mut table = "| verifier | valid tokens taken | valid tokens refused | tokens of left keys refused | longest answer |\n\
                         |---|---|---|---|---|\n"
            .to_owned();
        for (name, figures) in NAMES.iter().zip(self.verifiers.lock().expect("no panic").iter()) {
            let Figures {
                taken,
                wrongly_refused,
                rightly_refused,
                longest,
            } = figures;
            let longest = longest.as_millis();
            writeln!(
                table,
                "| {name} | {taken} | {wrongly_refused} | {rightly_refused} | {longest} ms |"
            )
            .ok();
        }
        let (answered, not) = *self.direct.lock().expect("no panic");
        writeln!(
            table,
            "\nThe replicas themselves were asked {answered} times whether the key of every valid token is there \
             ({not} more times they were down).",
        )
        .ok();
        table
    }
}
