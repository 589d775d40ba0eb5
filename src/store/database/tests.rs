mod damage;
mod importing;
mod writing;

use std::fs;
use std::path::Path;
use std::sync::mpsc;
use std::time::Instant;

use super::*;
use crate::store::fake::{database, document, is_left, kept, ledger, local};

const SOON: Duration = Duration::from_secs(20);

/// The issuer with this number.
fn issuer(number: usize) -> String {
    format!("https://oidc.example.com/{number:04}")
}

async fn loaded(database: &Database, issuer: &str) -> Option<Ledger> {
    let loaded = database.load(issuer, SOON).await.unwrap();
    assert_eq!(loaded.unusable, [], "{issuer}");
    loaded.ledger
}

/// Keeps a document, and waits for what becomes of it, however long that takes.
fn written(
    database: &Database,
    issuer: &str,
    document: impl Into<Arc<[u8]>>,
) -> std::pin::Pin<Box<dyn Future<Output = Result<(), String>>>> {
    let (tell, told) = oneshot::channel();
    database.queue.push(issuer, document.into(), tell);
    Box::pin(async { told.await.unwrap() })
}

/// Runs statements in the file, and waits until that is done: changes may come before questions that wait.
fn execute(database: &Database, statements: &'static str) {
    let (tell, done) = mpsc::channel();
    let run = move |writer: &mut writer::Writer| {
        writer.execute(statements);
        let _ = tell.send(());
    };
    database.queue.ask(Box::new(run));
    done.recv_timeout(SOON).expect("the writer lives");
}

/// Keeps the writer until the sender is dropped, as a disk that hangs would.
fn hang(database: &Database) -> mpsc::Sender<()> {
    let (release, hangs) = mpsc::channel();
    database
        .queue
        .ask(Box::new(move |_| hangs.recv().unwrap_or_default()));
    release
}

/// A folder in memory, where there is such a place: there is much to sync.
fn quick_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Waits for the writer, whose time is not tokio's.
fn until(what: &str, mut so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < SOON, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Makes a copy, and waits until it was checked.
async fn copy(database: &Database, folder: &Path) {
    let copy = folder.join("ledgers.db.copy");
    let modified = || fs::metadata(&copy).and_then(|copy| copy.modified()).ok();
    let before = modified();
    database.queue.ask(Box::new(Writer::copy_now));
    until("a copy", || modified() != before);
    // What follows from it is done.
    database.load("https://nobody.example", SOON).await.unwrap();
}
