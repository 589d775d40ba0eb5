use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::copy::LocalCopy;
use crate::store::fake::ISSUER;

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_and_no_other_user_may_read_it() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let first = database(&folder);
    assert_eq!(loaded(&first, ISSUER).await, None);
    for names in [&["a"][..], &["a", "b"]] {
        kept(&first, ISSUER, document(names)).await;
    }
    assert!(first.is_kept(ISSUER));
    assert_eq!(
        names(&folder),
        ["ledgers.db", "ledgers.db-wal", "ledgers.db.lock"],
        "no shared memory"
    );
    for name in names(&folder) {
        let mode = fs::metadata(folder.join(&name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    drop(first);
    is_left(&folder).await;
    assert_eq!(names(&folder), ["ledgers.db", "ledgers.db.lock"]);
    assert_eq!(
        loaded(&database(&folder), ISSUER).await,
        Some(ledger(&["a", "b"]))
    );
}

#[test]
fn a_commit_takes_all_changes_that_wait_and_of_each_issuer_the_newest() {
    let queue = Queue::default();
    let push = |issuer: &str, document: &[u8]| {
        let (tell, told) = oneshot::channel();
        assert!(!queue.push(issuer, document.into(), tell));
        told
    };
    let mut told = [push("a", b"1"), push("b", b"1"), push("a", b"2")];
    let queue::Turn::Write(batch) = queue.next(None) else {
        panic!("nothing to write")
    };
    let taken: Vec<_> = batch
        .iter()
        .map(|(issuer, _, document)| (&**issuer, &**document))
        .collect();
    assert_eq!(taken, [("a", b"2".as_slice()), ("b", b"1")]);
    let mut later = push("b", b"2");
    queue.wrote(&batch, &[].into());
    assert!(told.iter_mut().all(|told| told.try_recv() == Ok(Ok(()))));
    assert!(later.try_recv().is_err() && queue.has("b") && !queue.has("a"));
}

#[test]
fn a_flood_of_questions_holds_up_no_change() {
    let queue = Queue::default();
    let ask = || queue.ask(Box::new(|_| {}));
    let mut told = Vec::new();
    for _ in 0..3 {
        let (tell, waits) = oneshot::channel();
        queue.push("a", b"1".as_slice().into(), tell);
        told.push(waits);
        ask();
        assert!(matches!(queue.next(None), queue::Turn::Answer(_)));
        ask();
        let queue::Turn::Write(batch) = queue.next(None) else {
            panic!("questions come first again")
        };
        queue.wrote(&batch, &[].into());
        assert!(matches!(queue.next(None), queue::Turn::Answer(_)));
        // A change that failed a moment ago does not hold up questions either.
        let (tell, waits) = oneshot::channel();
        queue.push("b", b"1".as_slice().into(), tell);
        told.push(waits);
        let queue::Turn::Write(batch) = queue.next(None) else {
            panic!("nothing to write")
        };
        queue.wrote(&batch, &[("b".to_owned(), "no".to_owned())].into());
    }
}

#[tokio::test]
async fn a_row_that_fails_costs_its_issuer_alone_and_is_made_up_for() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    loaded(&database, "a").await;
    let refuse = "CREATE TRIGGER no BEFORE INSERT ON ledgers WHEN new.issuer = 'b' BEGIN SELECT RAISE(ABORT, 'not b'); END";
    execute(&database, refuse);
    // All three wait for one commit.
    let hanging = hang(&database);
    let [a, b, c] = ["a", "b", "c"].map(|issuer| written(&database, issuer, document(&["x"])));
    drop(hanging);
    assert_eq!((a.await, c.await), (Ok(()), Ok(())));
    let reason = b.await.unwrap_err();
    assert!(reason.contains("not b"), "{reason}");
    assert!(!database.is_kept("b"));
    execute(&database, "DROP TRIGGER no");
    until("it is made up for", || database.is_kept("b"));
}

#[tokio::test]
async fn on_a_full_disk_what_is_there_is_read_and_what_is_new_is_written_when_there_is_room() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    loaded(&database, ISSUER).await;
    kept(&database, ISSUER, document(&["a"])).await;
    execute(&database, "PRAGMA max_page_count = 1");
    let other = vec![0; 100_000];
    let not = written(&database, "other", other).await.unwrap_err();
    assert!(not.contains("full"), "{not}");
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a"])));
    execute(&database, "PRAGMA max_page_count = 1000000");
    until("it is made up for", || database.is_kept("other"));
}

#[tokio::test]
async fn a_database_that_cannot_be_made_holds_up_no_start() {
    let home = tempfile::tempdir().unwrap();
    // As on a full disk, where a file that was begun stays behind.
    let new = home.path().join("ledgers.db.new");
    fs::create_dir(&new).unwrap();
    let database = database(home.path());
    assert_eq!(loaded(&database, ISSUER).await, None);
    written(&database, ISSUER, document(&["a"])).await.unwrap_err();
    assert_eq!(
        loaded(&database, ISSUER).await,
        Some(ledger(&["a"])),
        "what waits is known"
    );
    fs::remove_dir(&new).unwrap();
    until("it is made up for", || database.is_kept(ISSUER));
    drop(database);
    is_left(home.path()).await;
    // A file that was begun, and one that was finished and not yet moved.
    for begun in [false, true] {
        let file = home.path().join("ledgers.db");
        if begun {
            fs::write(&new, &fs::read(&file).unwrap()[..20_000]).unwrap();
            fs::remove_file(&file).unwrap();
        } else {
            fs::rename(&file, &new).unwrap();
        }
        let database = self::database(home.path());
        assert_eq!(loaded(&database, ISSUER).await.is_some(), !begun);
        drop(database);
        is_left(home.path()).await;
        assert!(!new.exists());
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_hangs_delays_by_a_second_once() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    let hanging = hang(&database);
    let start = tokio::time::Instant::now();
    let keep = async |issuer, text: &[u8]| database.keep(issuer, text.into()).await;
    assert_eq!(keep("a", b"one").await, Err(NotKept::Late));
    assert_eq!(start.elapsed(), PATIENCE);
    assert_eq!(keep("a", b"two").await, Err(NotKept::Late));
    assert_eq!(keep("b", b"one").await, Err(NotKept::Late));
    assert_eq!(start.elapsed(), PATIENCE, "not once more, nor for another issuer");
    assert!(!database.is_kept("a"));
    let failure = database.load("a", SOON).await.unwrap_err();
    assert!(failure.to_string().contains("hangs"), "{failure}");
    drop(hanging);
    until("both are written", || {
        database.is_kept("a") && database.is_kept("b")
    });
}

#[tokio::test]
async fn nothing_is_written_over_what_was_not_read() {
    let home = tempfile::tempdir().unwrap();
    let copy = LocalCopy::new(database(home.path()), ISSUER);
    let failure = copy.keep(&ledger(&["a"])).await.unwrap_err();
    assert!(failure.to_string().contains("not read yet"), "{failure}");
    copy.load(SOON).await.unwrap();
    let kept = copy.keep(&ledger(&["a"])).await;
    assert!(matches!(kept, Ok(()) | Err(NotKept::Late)), "{kept:?}");
}

#[tokio::test]
async fn what_someone_removed_is_written_again_with_all_that_the_process_holds() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    let held = |each: &mut dyn FnMut(&str, &Ledger)| each(ISSUER, &ledger(&["a"]));
    let running = Database::open(local(&folder), Box::new(held)).unwrap();
    for is_all in [false, true] {
        assert!(running.load(ISSUER, SOON).await.is_ok());
        kept(&running, "other", ledger(&["b"]).encode("other")).await;
        if is_all {
            fs::remove_dir_all(&folder).unwrap();
        } else {
            fs::remove_file(folder.join("ledgers.db")).unwrap();
        }
        let document = ledger(&["c"]).encode("third");
        kept(&running, "third", document).await;
    }
    let error = FolderLock::take(&folder, "ledgers.db.lock").unwrap_err();
    assert!(matches!(error, LockError::Locked { .. }), "locked again: {error}");
    running.end(SOON).await;
    let database = database(&folder);
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a"])));
    assert_eq!(loaded(&database, "third").await, Some(ledger(&["c"])));
}

#[tokio::test]
async fn what_root_writes_is_for_the_user_who_has_the_folder() {
    const SOMEONE: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give files away.
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    chown(home.path(), Some(SOMEONE), Some(SOMEONE)).unwrap();
    for _ in 0..2 {
        let database = database(&folder);
        loaded(&database, ISSUER).await;
        kept(&database, ISSUER, document(&["a"])).await;
        copy(&database, &folder).await;
        assert!(names(&folder).contains(&"ledgers.db-wal".to_owned()));
        for name in names(&folder) {
            assert_eq!(fs::metadata(folder.join(&name)).unwrap().uid(), SOMEONE, "{name}");
        }
        drop(database);
        is_left(&folder).await;
        // The mount of a pod: the folder is root's, and what is in it the service's.
        chown(&folder, Some(0), None).unwrap();
    }
}

#[tokio::test]
async fn nothing_is_read_or_written_through_a_link() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("state");
    fs::create_dir(&folder).unwrap();
    let elsewhere = home.path().join("elsewhere");
    fs::write(&elsewhere, "mine").unwrap();
    for name in ["ledgers.db.new", "ledgers.db.copy.new"] {
        symlink(&elsewhere, folder.join(name)).unwrap();
    }
    let running = database(&folder);
    loaded(&running, ISSUER).await;
    kept(&running, ISSUER, document(&["a"])).await;
    copy(&running, &folder).await;
    running.queue.close();
    drop(running);
    is_left(&folder).await;
    fs::rename(folder.join("ledgers.db"), folder.join("moved")).unwrap();
    symlink(folder.join("moved"), folder.join("ledgers.db")).unwrap();
    let failure = database(&folder).load(ISSUER, SOON).await.unwrap_err();
    assert!(failure.to_string().contains("regular file"), "{failure}");
    is_left(&folder).await;
    fs::remove_file(folder.join("ledgers.db.lock")).unwrap();
    symlink(&elsewhere, folder.join("ledgers.db.lock")).unwrap();
    Database::open(local(&folder), Box::new(|_| {})).unwrap_err();
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "mine");
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_database() {
    let home = tempfile::tempdir().unwrap();
    let _first = database(home.path());
    let error = Database::open(local(home.path()), Box::new(|_| {})).unwrap_err();
    assert!(error.to_string().contains("in use by process"), "{error}");
}

#[tokio::test]
async fn another_programs_database_and_one_of_a_later_release_are_left_alone() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("ledgers.db");
    for (statements, told) in [
        ("CREATE TABLE theirs (id)", "another program"),
        (
            "CREATE TABLE theirs (id); PRAGMA application_id = 1869177955; PRAGMA user_version = 2",
            "format 2",
        ),
    ] {
        let theirs = rusqlite::Connection::open(&file).unwrap();
        theirs.execute_batch(statements).unwrap();
        drop(theirs);
        let database = database(home.path());
        let failure = database.load(ISSUER, SOON).await.unwrap_err();
        assert!(matches!(failure, LoadFailure::Refused(_)), "{failure}");
        assert!(failure.to_string().contains(told), "{failure}");
        written(&database, ISSUER, document(&["a"])).await.unwrap_err();
        drop(database);
        is_left(home.path()).await;
        let theirs = rusqlite::Connection::open(&file).unwrap();
        theirs.execute("SELECT * FROM theirs", []).unwrap_or_default();
        assert_eq!(names(home.path()), ["ledgers.db", "ledgers.db.lock"]);
        drop(theirs);
        fs::remove_file(&file).unwrap();
    }
}

#[tokio::test]
async fn many_are_read_in_the_order_of_issuers_each_once() {
    let home = tempfile::tempdir().unwrap();
    let database = database(home.path());
    let all: Vec<_> = (0..2500).map(issuer).collect();
    let keep = all
        .iter()
        .map(|issuer| written(&database, issuer, issuer.as_bytes()));
    for kept in keep.collect::<Vec<_>>() {
        kept.await.unwrap();
    }
    let mut read: Vec<String> = Vec::new();
    loop {
        let last = read.last().cloned();
        let more = database.load_after(last.as_deref(), SOON).await.unwrap();
        if more.is_empty() {
            break;
        }
        read.extend(more.into_iter().map(|(issuer, document)| {
            assert_eq!(issuer.as_bytes(), document);
            issuer
        }));
    }
    assert!(read == all);
}

/// The folder holds the database, its copy, the next copy while it is made, and the log.
#[tokio::test]
async fn the_folder_stays_within_8_mib_and_12_kib_an_issuer() {
    const ISSUERS: usize = 3000;
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().to_owned();
    let database = database(&folder);
    loaded(&database, ISSUER).await;
    let is_done = Arc::new(AtomicBool::new(false));
    let watched = {
        let (is_done, folder) = (Arc::clone(&is_done), folder.clone());
        std::thread::spawn(move || {
            let mut most = 0;
            while !is_done.load(Ordering::Relaxed) {
                let sizes = fs::read_dir(&folder)
                    .unwrap()
                    .filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len()));
                most = most.max(sizes.sum());
            }
            most
        })
    };
    // A ledger of three RSA keys has about so many bytes.
    let document: Arc<[u8]> = vec![b'x'; 2600].into();
    for round in 0..3 {
        // In no order.
        let numbers = (0..ISSUERS).map(|number| (number * 1009 + round) % ISSUERS);
        let issuers: Vec<_> = numbers.map(issuer).collect();
        let keep = issuers
            .iter()
            .map(|issuer| written(&database, issuer, Arc::clone(&document)));
        for kept in keep.collect::<Vec<_>>() {
            kept.await.unwrap();
        }
        copy(&database, &folder).await;
    }
    is_done.store(true, Ordering::Relaxed);
    let most: u64 = watched.join().unwrap();
    let bound = (8 << 20) + 12 * 1024 * ISSUERS as u64;
    println!("at most {most} of {bound} bytes");
    assert!(most <= bound, "{most} > {bound}");
    assert!(most > 7 * 1024 * ISSUERS as u64, "it was not seen: {most}");
}
