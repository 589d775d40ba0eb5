use super::*;
use crate::store::fake::ISSUER;
use crate::store::name;

/// A state folder with a folder of ledgers of a former release.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("ledgers")).unwrap();
        Self(home)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, issuer: &str, suffix: &str, document: impl AsRef<[u8]>) -> PathBuf {
        let name = name::of(issuer);
        let path = self.path().join(format!("ledgers/{name}.json{suffix}"));
        fs::write(&path, document).unwrap();
        path
    }

    async fn starts(&self) -> Arc<Database> {
        is_left(self.path()).await;
        database(self.path())
    }
}

#[tokio::test]
async fn both_generations_are_merged_with_what_is_in_the_database_and_the_folder_is_renamed() {
    let house = House::new();
    crate::store::fake::keep(house.path(), &[(ISSUER, document(&["c"]))]).await;
    house.write(ISSUER, "", document(&["a"]));
    house.write(ISSUER, ".previous", document(&["b"]));
    house.write(
        "https://b.example",
        ".previous",
        ledger(&["d"]).encode("https://b.example"),
    );
    // Whatever else is there.
    fs::write(house.path().join("ledgers/ledgers.lock"), "").unwrap();
    let database = house.starts().await;
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a", "b", "c"])));
    assert_eq!(loaded(&database, "https://b.example").await, Some(ledger(&["d"])));
    until("the folder is renamed", || {
        house.path().join("ledgers.imported").exists()
    });
    assert!(!house.path().join("ledgers").exists());
    drop(database);
    assert_eq!(
        loaded(&*house.starts().await, ISSUER).await,
        Some(ledger(&["a", "b", "c"]))
    );
}

#[tokio::test]
async fn an_import_that_was_interrupted_is_done_again_and_changes_nothing() {
    let house = House::new();
    house.write(ISSUER, "", document(&["a"]));
    // Interrupted before the commit: nothing can be written. What is in the folder is known all the same.
    fs::create_dir(house.path().join("ledgers.db.new")).unwrap();
    let database = house.starts().await;
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a"])));
    assert!(house.path().join("ledgers").exists());
    drop(database);
    is_left(house.path()).await;
    fs::remove_dir(house.path().join("ledgers.db.new")).unwrap();

    let database = house.starts().await;
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a"])));
    kept(&database, ISSUER, document(&["a", "b"])).await;
    drop(database);
    is_left(house.path()).await;
    // Interrupted after the commit: the folder still has its name.
    fs::rename(
        house.path().join("ledgers.imported"),
        house.path().join("ledgers"),
    )
    .unwrap();
    fs::create_dir(house.path().join("ledgers.imported")).unwrap();
    let database = house.starts().await;
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a", "b"])));
    assert_eq!(database.pushed(), 0);
    assert!(house.path().join("ledgers.imported-2").exists());
}

#[tokio::test]
async fn a_torn_file_gives_way_to_the_generation_before_and_is_told_once() {
    let house = House::new();
    let torn = document(&["a"])[..60].to_vec();
    house.write(ISSUER, "", &torn);
    house.write(ISSUER, ".previous", document(&["b"]));
    house.write("https://b.example", "", &torn);
    let database = house.starts().await;
    for (issuer, is_found) in [(ISSUER, true), ("https://b.example", false)] {
        let first = database.load(issuer, SOON).await.unwrap();
        assert_eq!(first.ledger.is_some(), is_found);
        assert_eq!(first.unusable.len(), 1, "{issuer}");
        assert!(first.unusable[0].reason.contains("torn"), "{first:?}");
        loaded(&database, issuer).await;
    }
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["b"])));
}

#[tokio::test]
async fn a_ledger_that_is_not_for_us_stops_its_issuer_alone_and_keeps_its_folder() {
    let house = House::new();
    let other = house.write(ISSUER, "", ledger(&["a"]).encode("https://other.example"));
    house.write(
        "https://b.example",
        "",
        ledger(&["b"]).encode("https://b.example"),
    );
    let database = house.starts().await;
    let refused = database.load(ISSUER, SOON).await.unwrap_err();
    assert!(matches!(refused, LoadFailure::Refused(_)), "{refused}");
    assert!(refused.to_string().contains("https://other.example"), "{refused}");
    assert_eq!(loaded(&database, "https://b.example").await, Some(ledger(&["b"])));
    assert!(other.exists());
    fs::remove_file(other).unwrap();
    assert_eq!(loaded(&database, ISSUER).await, None);
}

#[tokio::test]
async fn a_folder_that_a_former_release_still_uses_is_waited_for() {
    let house = House::new();
    house.write(ISSUER, "", document(&["a"]));
    let former = FolderLock::take(&house.path().join("ledgers"), "ledgers.lock").unwrap();
    let database = house.starts().await;
    let waits = database.load(ISSUER, SOON).await.unwrap_err();
    assert!(waits.to_string().contains("in use by process"), "{waits}");
    drop(former);
    let start = Instant::now();
    while database.load(ISSUER, SOON).await.is_err() {
        assert!(start.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a"])));
}

#[tokio::test]
async fn where_the_folder_cannot_be_renamed_its_files_are() {
    let home = tempfile::tempdir().unwrap();
    let name = name::of(ISSUER);
    fs::write(home.path().join(format!("{name}.json")), document(&["a"])).unwrap();
    // The database is in it.
    let settings = LocalSettings {
        file: home.path().join("ledgers.db"),
        folders: vec![home.path().to_owned()],
    };
    let database = Database::open(settings, Box::new(|_| {})).unwrap();
    assert_eq!(loaded(&database, ISSUER).await, Some(ledger(&["a"])));
    until("its files are renamed", || {
        home.path().join(format!("{name}.json.imported")).exists()
    });
}
