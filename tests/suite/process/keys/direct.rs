//! `--store`: the ledger in its store, while no service runs.

use sha2::{Digest as _, Sha256};

use super::*;

#[tokio::test]
async fn what_is_revoked_in_the_store_is_not_published_by_the_next_start() {
    let house = House::new();
    let mut service = house.serve("").await;
    house.publishes(&[0, 1]).await;
    let told = house.refused(1, &["revoke", &kid(0), "--reason", "x", "--store"]);
    let holder = format!("process {}", service.program().id());
    assert!(
        told.contains(&holder) && told.contains("without --store"),
        "{told}"
    );
    killed(service).await;

    let config = house.config("audit: {file: audit.log}\n");
    let direct = |arguments: &[&str]| {
        let more = ["--store", "--config", &config, "--output", "json"];
        let all: Vec<_> = arguments.iter().copied().chain(more).collect();
        house.keys(&all)
    };
    let output = direct(&["list"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(shown(&report, &kid(0))["state"], "listed");
    let output = direct(&["revoke", &kid(0), "--reason", "leaked"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stderr.contains("audit: revoke"), "{}", output.stderr);
    let denied = direct(&["revoke", &kid(1), "--reason", "x"]);
    assert_eq!(denied.code, Some(1));
    assert!(denied.stderr.contains("last published key"), "{}", denied.stderr);
    let denied = direct(&["approve", "x"]);
    let told = "does not say which key is meant";
    assert!(denied.stderr.contains(told), "{}", denied.stderr);
    let lines = std::fs::read_to_string(house.folder.path("audit.log")).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(lines.contains(r#""via":"store: the database "#), "{lines}");

    let _service = house.serve("").await;
    house.publishes(&[1]).await;
}

#[tokio::test]
async fn a_store_is_named_by_its_url_too() {
    let house = House::new();
    killed(house.serve("").await).await;
    let store = format!("--store=sqlite:{}", house.state().join("ledgers.db").display());
    let elsewhere = house.folder.text("elsewhere");
    let at = |arguments: &[&str]| {
        let all: Vec<_> = ["keys"]
            .into_iter()
            .chain(arguments.iter().copied())
            .chain([&*store, "--state-dir", &elsewhere])
            .collect();
        run(&all)
    };
    let url = store.replacen("--store=", "", 1);
    let beside = run(&["keys", "list", "--store", &url, "--state-dir", &elsewhere]);
    assert_eq!(beside.code, Some(0), "{}", beside.stderr);
    // The only ledger there.
    let output = at(&["list"]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(
        output.stdout.contains(ISSUER) && output.stderr.contains("--config"),
        "{output:?}"
    );
    let output = at(&["list", "--issuer", "https://elsewhere.example"]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains(ISSUER), "{}", output.stderr);
    for wrong in [
        "--store=file:relative",
        "--store=sqlite:relative",
        "--store=ftp://x",
        "--store=kubernetes://A_B",
    ] {
        let output = run(&["keys", "list", wrong]);
        assert_eq!(output.code, Some(64), "{wrong}: {}", output.stderr);
    }
}

#[tokio::test]
async fn where_the_retention_is_not_known_no_retained_key_is_forgotten() {
    let house = House::new();
    killed(house.serve("").await).await;
    let file = house.state().join("ledgers.db");
    let row = |database: &rusqlite::Connection| -> String {
        let row = database.query_row("SELECT body FROM ledgers", [], |row| row.get::<_, Vec<u8>>(0));
        String::from_utf8(row.unwrap()).unwrap()
    };
    let database = rusqlite::Connection::open(&file).unwrap();
    // Half a year ago: retained where tokens live for a year, and long gone where they live for a day.
    let text = row(&database);
    let (body, _) = text.rsplit_once(r#","sha256":""#).unwrap();
    let mut document: Value = serde_json::from_str(&text).unwrap();
    let stamp = document["entries"][0]["stamp"].take();
    let was = format!(r#""listed":true,"stamp":{stamp}"#);
    let absent = r#""listed":false,"stamp":"2026-05-01T00:00:00Z""#;
    assert!(body.contains(&was), "{body}");
    let body = body.replacen(&was, absent, 1);
    let sum = Sha256::digest(body.as_bytes());
    let text = format!(r#"{body},"sha256":"{sum:x}"}}"#);
    let sum = Sha256::digest([ISSUER.as_bytes(), &[0], text.as_bytes()].concat());
    let put = "UPDATE ledgers SET body = ?1, sha256 = ?2";
    database.execute(put, (text.as_bytes(), sum.as_slice())).unwrap();
    drop(database);
    let gone = document["entries"][0]["jwk"]["kid"].as_str().unwrap();
    let store = format!("--store=sqlite:{}", file.display());
    let more = house
        .folder
        .write("more.pem", &rcgen::KeyPair::generate().unwrap().public_key_pem());
    let written = run(&["keys", "import", &more, &store]);
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    let text = row(&rusqlite::Connection::open(&file).unwrap());
    assert!(text.contains(absent) && text.contains(gone), "{text}");
}

#[tokio::test]
async fn keys_are_taken_over_before_the_first_start() {
    let house = House::new();
    let config = house.config("");
    let file = house.folder.write("old.pem", &key(0));
    std::fs::remove_file(house.folder.path("0.pub")).unwrap();
    let output = house.keys(&["import", &file, "--store", "--config", &config]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let _service = house.serve("").await;
    house.publishes(&[0, 1]).await;
}

#[test]
fn a_store_without_the_ledger_is_not_made() {
    let house = House::new();
    let config = house.config("");
    let told = house.refused(1, &["list", "--store", "--config", &config]);
    assert!(told.contains("there is none in the database"), "{told}");
    assert!(!house.state().exists());
}

/// The name of an issuer's ledger, without its ending.
fn name_of(issuer: &str) -> String {
    let readable = issuer.trim_start_matches("https://");
    let slug = readable.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let unique = format!("{:x}", Sha256::digest(issuer));
    format!("{slug}-{}", &unique[..16])
}

#[test]
fn a_store_that_holds_no_files_ends_every_command_with_an_error() {
    let house = House::new();
    let fifo = house.folder.path("fifo");
    let ledgers = house.folder.path("ledgers");
    std::fs::create_dir(&ledgers).unwrap();
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let name = name_of(ISSUER);
    for path in [
        fifo.clone(),
        ledgers.join("x.json"),
        ledgers.join(format!("{name}.json")),
    ] {
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(house.folder.path("socket")).unwrap();
    let elsewhere = house.folder.text("elsewhere");
    for place in [
        fifo.display().to_string(),
        ledgers.display().to_string(),
        house.folder.text("socket"),
        "/dev/zero".to_owned(),
    ] {
        let store = format!("--store=file://{place}");
        for more in [&[][..], &["--issuer", ISSUER]] {
            let output = run(&[&["keys", "list", &store, "--state-dir", &elsewhere][..], more].concat());
            assert!(
                matches!(output.code, Some(1 | 64)),
                "{place} {more:?}: {output:?}"
            );
            assert!(!output.stderr.is_empty());
        }
    }
    // What should be a database, and what should be its lock.
    for (database, told) in [
        (&fifo, "not a regular file"),
        (&house.folder.path("locked"), "is not a regular file"),
    ] {
        let lock = house.folder.path("locked.lock");
        if !lock.exists() {
            rustix::fs::mknodat(rustix::fs::CWD, &lock, rustix::fs::FileType::Fifo, mode, 0).unwrap();
            std::fs::write(house.folder.path("locked"), "").unwrap();
        }
        let store = format!("--store=sqlite:{}", database.display());
        let output = run(&[
            "keys",
            "list",
            &store,
            "--issuer",
            ISSUER,
            "--state-dir",
            &elsewhere,
        ]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(told), "{}", output.stderr);
    }
}

#[tokio::test]
async fn a_folder_of_a_former_release_is_shown_and_not_changed() {
    let house = House::new();
    killed(house.serve("").await).await;
    let folder = house.folder.path("former");
    std::fs::create_dir(&folder).unwrap();
    let database = rusqlite::Connection::open(house.state().join("ledgers.db")).unwrap();
    let document: Vec<u8> = database
        .query_row("SELECT body FROM ledgers", [], |row| row.get(0))
        .unwrap();
    std::fs::write(folder.join(format!("{}.json", name_of(ISSUER))), document).unwrap();
    let store = format!("--store=file:{}", folder.display());
    let elsewhere = house.folder.text("elsewhere");
    let output = run(&["keys", "list", &store, "--state-dir", &elsewhere]);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert!(output.stdout.contains(&kid(0)), "{}", output.stdout);
    let output = run(&[
        "keys",
        "revoke",
        &kid(0),
        "--reason",
        "x",
        &store,
        "--state-dir",
        &elsewhere,
    ]);
    assert_eq!(output.code, Some(1));
    assert!(output.stderr.contains("only read"), "{}", output.stderr);
}
