//! What an issuer leaves in memory that was added, published from its key file, and dropped again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use oidc_issuer::catalog::Catalog;
use oidc_issuer::clock::Clock;
use oidc_issuer::config::{self, Overlay};
use oidc_issuer::issuer::{IssuerSettings, Issuers, KeyOwners, Reminders, Rounds, Shared};
use oidc_issuer::metrics::Metrics;
use oidc_issuer::publication::{IssuerUrl, JwksUri};
use oidc_issuer::source::FolderWatch;
use oidc_issuer::store::Stores;

/// Added and dropped together, so that they publish at once.
const AT_ONCE: usize = 100;

/// Before these were added and dropped, the allocator and the threads have not what they need.
const WARM_UP: usize = 1_000;

/// `dropped KEYS FOLDER COUNT SECONDS`: adds and drops so many issuers, or as many as it manages in that time; prints
/// how many, and the KiB that each left.
fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args_os()
        .skip(1)
        .filter_map(|argument| argument.into_string().ok())
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let [keys, folder, count, seconds] = &arguments[..] else {
        println!("benches/fleet/run starts this");
        return Ok(());
    };
    let (count, seconds) = (count.parse()?, Duration::from_secs(seconds.parse()?));
    let folder = Path::new(folder);
    std::fs::create_dir(folder)?;
    let file = folder.join("config.yaml");
    let text = format!(
        "issuers: [{{issuer: 'https://oidc.example.com/stays', sources: [{{files: {{paths: ['{keys}']}}}}]}}]\n"
    );
    std::fs::write(&file, text)?;
    let settings = config::load(Some(&file), &Overlay::default(), folder)?;
    let stays = settings.issuers.first().context("no issuer")?.clone();
    let clock = Clock::system();
    let shared = Shared {
        catalog: Arc::new(Catalog::default()),
        metrics: Metrics::new(clock.now()),
        clock,
        stores: Stores::open(settings.store)?,
        folders: FolderWatch::default(),
        reminders: Reminders::default(),
        owners: KeyOwners::default(),
        reads: settings.reads,
        rounds: Rounds::default(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (done, kib) = runtime.block_on(churn(shared, &stays, count, seconds))?;
    println!("{done} {kib:.4}");
    runtime.shutdown_background();
    Ok(())
}

async fn churn(
    shared: Shared,
    stays: &IssuerSettings,
    count: usize,
    seconds: Duration,
) -> anyhow::Result<(usize, f64)> {
    let catalog = Arc::clone(&shared.catalog);
    let mut issuers = Issuers::start(shared, vec![stays.clone()]);
    let began = Instant::now();
    let (mut done, mut before) = (0, 0);
    while done < WARM_UP + AT_ONCE || (done < WARM_UP + count && began.elapsed() < seconds) {
        if done == WARM_UP {
            before = resident()?;
        }
        let mut settings = vec![stays.clone()];
        for number in done..done + AT_ONCE {
            settings.push(named(stays, &format!("https://oidc.example.com/{number}"))?);
        }
        issuers.apply(settings).await;
        for number in done..done + AT_ONCE {
            published(&catalog, &format!("/{number}/jwks")).await?;
        }
        issuers.apply(vec![stays.clone()]).await;
        done += AT_ONCE;
    }
    let done = done - WARM_UP;
    let grown = resident()?.saturating_sub(before);
    issuers.shutdown().await;
    #[expect(clippy::cast_precision_loss, reason = "figures for a table")]
    Ok((done, grown as f64 / done as f64))
}

/// `settings` under another name.
fn named(settings: &IssuerSettings, url: &str) -> anyhow::Result<IssuerSettings> {
    let mut settings = settings.clone();
    settings.profile.issuer = IssuerUrl::parse(url)?;
    settings.profile.jwks_uri = JwksUri::of(&settings.profile.issuer);
    Ok(settings)
}

/// Waits until keys are published at the path.
async fn published(catalog: &Catalog, path: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let found = catalog.lookup(path, None).context("an issuer has no path")?;
        if found.route.slot.current().is_some() {
            return Ok(());
        }
        ensure!(began.elapsed().as_secs() < 30, "{path} is not published");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Resident memory of this process that is from no file, in KiB.
#[expect(clippy::disallowed_methods, reason = "the file is of the kernel")]
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("no RssAnon in /proc/self/status")?.parse()?)
}
