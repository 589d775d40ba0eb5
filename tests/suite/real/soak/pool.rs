//! The tokens that are valid now, minted all the time by both API servers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::Rng as _;

use super::super::api::Api;
use super::super::tokens;
use super::super::world::{AUDIENCE, NAMESPACE, SERVICE_ACCOUNT};

/// Between two tokens of one API server.
const MINT_EVERY: Duration = Duration::from_millis(400);

/// What a verifier may still take.
const MARGIN: Duration = Duration::from_secs(1);

/// What a token loses because `iat` and `exp` are whole seconds, cut off: a second, and a busy machine's delays.
const CUT_OFF: Duration = Duration::from_secs(2);

/// A token that counts as valid for a while.
#[derive(Clone, Debug)]
pub(super) struct Minted {
    pub(super) token: Arc<str>,
    pub(super) kid: String,
    pub(super) since: Instant,
    /// From then on it is given to no verifier.
    until: Instant,
    /// From then on it may be refused: what its `exp` says.
    pub(super) expires: Instant,
}

/// All of them, oldest first.
#[derive(Debug)]
pub(super) struct Pool {
    lifetime: Duration,
    tokens: Mutex<VecDeque<Minted>>,
    /// How many each API server signed with each key.
    counts: Mutex<BTreeMap<(usize, String), u64>>,
}

impl Pool {
    pub(super) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            tokens: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// Mints at this API server without end; while it is away, the other one does.
    pub(super) async fn mint(self: Arc<Self>, place: usize, api: Api) {
        // The API server gives none that lives shorter.
        let lives = self.lifetime.max(Duration::from_mins(10));
        loop {
            let asked = Instant::now();
            let minted = api.mint(NAMESPACE, SERVICE_ACCOUNT, AUDIENCE, lives.as_secs());
            if let Some(token) = minted.await {
                self.add(place, asked, lives, token);
            }
            tokio::time::sleep(MINT_EVERY).await;
        }
    }

    fn add(&self, place: usize, since: Instant, lives: Duration, token: String) {
        let kid = tokens::kid(&token);
        let minted = Minted {
            token: token.into(),
            kid: kid.clone(),
            since,
            until: since + self.lifetime.saturating_sub(CUT_OFF),
            expires: since + lives.saturating_sub(CUT_OFF),
        };
        self.tokens.lock().expect("no panic").push_back(minted);
        *self
            .counts
            .lock()
            .expect("no panic")
            .entry((place, kid))
            .or_default() += 1;
    }

    /// A token that is valid now and for a while: one in three the newest, one in three the oldest.
    pub(super) fn pick(&self) -> Option<Minted> {
        let mut tokens = self.tokens.lock().expect("no panic");
        let now = Instant::now() + MARGIN;
        while tokens.front().is_some_and(|oldest| oldest.until <= now) {
            tokens.pop_front();
        }
        let mut random = rand::rng();
        let last = tokens.len().checked_sub(1)?;
        let place = match random.random_range(0..3) {
            0 => last,
            1 => 0,
            _ => random.random_range(0..=last),
        };
        tokens.get(place).cloned()
    }

    /// The keys that signed the tokens valid now.
    pub(super) fn kids(&self) -> BTreeSet<String> {
        let now = Instant::now() + MARGIN;
        let tokens = self.tokens.lock().expect("no panic");
        let valid = tokens.iter().filter(|token| token.until > now);
        valid.map(|token| token.kid.clone()).collect()
    }

    /// How many tokens each API server signed, and with how many keys.
    pub(super) fn minted(&self, place: usize) -> (u64, usize) {
        let counts = self.counts.lock().expect("no panic");
        let own = counts.iter().filter(|((by, _), _)| *by == place);
        own.fold((0, 0), |(tokens, keys), (_, count)| (tokens + count, keys + 1))
    }
}
