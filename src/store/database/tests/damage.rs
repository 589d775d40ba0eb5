//! Whatever happens to the file: no panic, no ledger that never was, nothing lost beyond what was damaged, and what is lost
//! is told once.

use super::*;

const PAGE: usize = 16_384;

/// A database, and a copy of it that is one generation older.
struct Template {
    issuers: usize,
    file: Vec<u8>,
    copy: Vec<u8>,
    older: Ledger,
    newest: Ledger,
}

/// What became of each issuer.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    newest: usize,
    older: usize,
    lost: Vec<usize>,
}

impl Template {
    async fn new(issuers: usize) -> Self {
        let home = quick_folder();
        let database = database(home.path());
        let (older, newest) = (ledger(&["a", "b", "c", "d"]), ledger(&["a", "b", "c", "d", "e"]));
        for (ledger, is_copied) in [(&older, true), (&newest, false)] {
            for number in 0..issuers {
                let issuer = issuer(number);
                let document = ledger.encode(&issuer);
                kept(&database, &issuer, document).await;
            }
            if is_copied {
                copy(&database, home.path()).await;
            }
        }
        drop(database);
        is_left(home.path()).await;
        let read = |name| fs::read(home.path().join(name)).unwrap();
        Self {
            issuers,
            file: read("ledgers.db"),
            copy: read("ledgers.db.copy"),
            older,
            newest,
        }
    }

    fn pages(&self) -> usize {
        self.file.len() / PAGE
    }

    /// Starts with this file, and a copy if there is one.
    async fn start(&self, file: &[u8], copy: Option<&[u8]>) -> Outcome {
        let home = quick_folder();
        fs::write(home.path().join("ledgers.db"), file).unwrap();
        if let Some(copy) = copy {
            fs::write(home.path().join("ledgers.db.copy"), copy).unwrap();
        }
        let database = database(home.path());
        let outcome = self.outcome(&database).await;
        for number in 0..self.issuers {
            let again = database.load(&issuer(number), SOON).await.unwrap();
            assert_eq!(again.unusable, [], "told once");
        }
        // What was lost is listed again, and kept.
        kept(&database, &issuer(0), self.newest.encode(&issuer(0))).await;
        outcome
    }

    async fn outcome(&self, database: &Database) -> Outcome {
        let mut outcome = Outcome::default();
        for number in 0..self.issuers {
            let Loaded { ledger, unusable } = database.load(&issuer(number), SOON).await.unwrap();
            let is_told = !unusable.is_empty();
            match ledger {
                Some(ledger) if ledger == self.newest => {
                    assert!(!is_told, "{number}: {unusable:?}");
                    outcome.newest += 1;
                }
                Some(ledger) => {
                    assert_eq!(ledger, self.older, "{number}: a ledger that never was");
                    assert!(is_told, "{number} is older");
                    outcome.older += 1;
                }
                None => {
                    assert!(is_told, "{number} is lost");
                    outcome.lost.push(number);
                }
            }
        }
        outcome
    }
}

#[tokio::test]
async fn each_page_overwritten_in_turn_loses_what_was_on_it_and_with_a_copy_nothing() {
    let template = Template::new(24).await;
    assert!(template.pages() >= 5, "{} pages", template.pages());
    let whole = template.start(&template.file, None).await;
    assert_eq!(whole.newest, template.issuers);
    let mut untouched = 0;
    for page in 0..template.pages() {
        let noise: Vec<u8> = (0..PAGE)
            .map(|at| (at * 31 + page * 7 + at / 256).to_le_bytes()[0])
            .collect();
        for instead in [vec![0; PAGE], vec![0xff; PAGE], noise] {
            let mut file = template.file.clone();
            file[page * PAGE..(page + 1) * PAGE].copy_from_slice(&instead);
            let alone = template.start(&file, None).await;
            // The first page, and the one above all others, have all rows behind them.
            assert!(page < 2 || alone.lost.len() <= 10, "page {page}: {alone:?}");
            untouched += alone.newest;
            let with_copy = template.start(&file, Some(&template.copy)).await;
            assert_eq!(with_copy.lost, [0; 0], "page {page}");
            assert_eq!(with_copy.newest, alone.newest, "page {page}");
        }
    }
    assert!(untouched > 0);
}

#[tokio::test]
async fn each_row_changed_in_turn_is_lost_alone_and_with_a_copy_not_even_that() {
    let template = Template::new(24).await;
    for number in 0..template.issuers {
        let (issuer, document) = (issuer(number), template.newest.encode(&issuer(number)));
        let place = |what: &[u8]| {
            let mut places = template.file.windows(what.len());
            places.position(|found| found == what).expect("it is in the file")
        };
        let body = place(&document);
        let all_of_it = [issuer.as_bytes(), &document].concat();
        let name = place(&all_of_it);
        let sum = body + document.len();
        for (what, at, is_lost) in [
            ("the beginning", body, true),
            ("a key", body + document.len() / 2, true),
            ("the end", sum - 1, true),
            // Who it is of is in the document too.
            ("the first letter of its name", name, false),
            ("the last letter of its name", body - 1, false),
            ("the checksum", sum + 5, false),
        ] {
            let mut file = template.file.clone();
            file[at] ^= 1;
            let alone = template.start(&file, None).await;
            let lost: &[usize] = if is_lost { &[number] } else { &[] };
            assert_eq!(alone.lost, lost, "{what} of {number}");
            assert_eq!(alone.older, 0);
            let with_copy = template.start(&file, Some(&template.copy)).await;
            assert_eq!(
                (with_copy.lost, with_copy.older),
                (vec![], lost.len()),
                "{what} of {number}"
            );
        }
    }
}

#[tokio::test]
async fn a_file_cut_at_300_places_loses_what_was_cut_and_with_a_copy_nothing() {
    let template = Template::new(12).await;
    let mut kept = 0;
    for place in 0..300 {
        let file = &template.file[..template.file.len() * place / 300];
        let alone = template.start(file, None).await;
        kept += alone.newest;
        // The copy may be what was cut.
        let cut = &template.copy[..template.copy.len() * place / 300];
        let both = template.start(file, Some(cut)).await;
        assert_eq!(both.newest, alone.newest, "cut at {place}");
        let with_copy = template.start(file, Some(&template.copy)).await;
        assert_eq!(
            (with_copy.lost, with_copy.newest),
            (vec![], alone.newest),
            "cut at {place}"
        );
    }
    assert!(kept > 0);
}

#[tokio::test]
async fn where_neither_can_be_opened_every_issuer_is_lost_once_and_the_file_is_set_aside() {
    let template = Template::new(24).await;
    let home = quick_folder();
    let (file, copy) = (
        home.path().join("ledgers.db"),
        home.path().join("ledgers.db.copy"),
    );
    fs::write(&file, "no database").unwrap();
    fs::write(&copy, "nor is this").unwrap();
    let database = database(home.path());
    let lost = database.load("https://another.example", SOON).await.unwrap();
    let aside = home.path().join("ledgers.db.damaged-1");
    assert_eq!(
        (lost.ledger, &lost.unusable[0].aside),
        (None, &Some(aside.clone()))
    );
    assert_eq!(fs::read_to_string(aside).unwrap(), "no database");
    let outcome = template.outcome(&database).await;
    assert_eq!(outcome.lost, (0..template.issuers).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_file_that_is_gone_is_made_again_from_its_copy() {
    let template = Template::new(24).await;
    let home = quick_folder();
    fs::write(home.path().join("ledgers.db.copy"), &template.copy).unwrap();
    let outcome = template.outcome(&database(home.path())).await;
    assert_eq!(outcome.older, template.issuers);
}

#[tokio::test]
async fn what_is_damaged_while_the_service_runs_is_found_by_the_next_copy_and_made_again_from_all_that_is_known()
 {
    let template = Template::new(24).await;
    let home = quick_folder();
    let file = home.path().join("ledgers.db");
    fs::write(&file, &template.file).unwrap();
    let newest = template.newest.clone();
    let held = move |each: &mut dyn FnMut(&str, &Ledger)| {
        (0..24).for_each(|number| each(&issuer(number), &newest));
    };
    let running = Database::open(local(home.path()), Box::new(held)).unwrap();
    assert_eq!(
        running.load(&issuer(0), SOON).await.unwrap().ledger,
        Some(template.newest.clone())
    );
    // Beneath it: one page, which it has not read yet.
    let mut damaged = template.file.clone();
    let last = template.pages() - 1;
    damaged[last * PAGE..].fill(0xaa);
    fs::write(&file, &damaged).unwrap();
    running.queue.ask(Box::new(Writer::copy_now));
    until("it is set aside", || {
        home.path().join("ledgers.db.damaged-1").exists()
    });
    assert_eq!(template.outcome(&running).await.newest, template.issuers);
    running.end(SOON).await;
    assert_eq!(
        template.outcome(&database(home.path())).await.newest,
        template.issuers
    );
}

#[tokio::test]
async fn a_log_that_is_cut_loses_no_more_than_what_was_in_it() {
    let template = Template::new(24).await;
    let home = quick_folder();
    let running = database(home.path());
    for ledger in [&template.older, &template.newest] {
        for number in 0..template.issuers {
            let document = ledger.encode(&issuer(number));
            kept(&running, &issuer(number), document).await;
        }
        if *ledger == template.older {
            running.queue.ask(Box::new(|writer| {
                writer.execute("PRAGMA wal_checkpoint(TRUNCATE)");
            }));
        }
    }
    let read = |name| fs::read(home.path().join(name)).unwrap();
    let (file, log) = (read("ledgers.db"), read("ledgers.db-wal"));
    for place in 0..40 {
        let home = quick_folder();
        fs::write(home.path().join("ledgers.db"), &file).unwrap();
        fs::write(home.path().join("ledgers.db-wal"), &log[..log.len() * place / 40]).unwrap();
        let database = database(home.path());
        for number in 0..template.issuers {
            let ledger = loaded(&database, &issuer(number)).await.expect("a ledger");
            assert!(
                ledger == template.older || ledger == template.newest,
                "{place} {number}"
            );
        }
    }
}
