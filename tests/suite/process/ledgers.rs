//! What a bad ledger in the state folder does to its issuer, and that it does nothing to another one.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;
use sha2::{Digest as _, Sha256};

use super::{Folder, answers, key, kid, kids};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::service::{OidcIssuer, run};

/// Two issuers on one listener, `a` and `b`, and their state folder.
struct House(Folder);

struct Running {
    service: OidcIssuer,
    base: String,
    http: Http,
}

impl House {
    /// With the ledgers that a service has written.
    async fn new() -> Self {
        let folder = Folder::new();
        folder.write("a.pub", &key(0));
        folder.write("b.pub", &key(1));
        let house = Self(folder);
        let running = house.start();
        for issuer in ["a", "b"] {
            running.answers(issuer, 200).await;
        }
        running.ends().await;
        house
    }

    fn start(&self) -> Running {
        let port = free_port();
        let issuer = |name: &str| {
            format!(
                "- issuer: https://oidc.example.com/{name}\n  sources: [{{files: {{paths: ['{name}*.pub']}}}}]\n"
            )
        };
        let listen = format!("listeners: [{{address: '127.0.0.1:{port}'}}]\n");
        let config = format!("issuers:\n{}{}{listen}", issuer("a"), issuer("b"));
        let config = self.0.write("config.yaml", &config);
        Running {
            service: OidcIssuer::spawn_in(&self.0.path("state"), &["--config", &config]),
            base: format!("http://127.0.0.1:{port}"),
            http: Http::plain(),
        }
    }

    fn file(&self) -> PathBuf {
        self.0.path("state/ledgers.db")
    }

    /// The database, which no service has now.
    fn database(&self) -> Connection {
        Connection::open(self.file()).unwrap()
    }

    /// The document of an issuer.
    fn document(&self, issuer: &str) -> String {
        let row = self.database().query_row(
            "SELECT body FROM ledgers WHERE issuer = ?1",
            [of(issuer)],
            |row| row.get::<_, Vec<u8>>(0),
        );
        String::from_utf8(row.unwrap()).unwrap()
    }

    /// Puts a document in the place of that of `a`, as the service would.
    fn put(&self, document: &str) {
        let sum = Sha256::digest([of("a").as_bytes(), &[0], document.as_bytes()].concat());
        let changed = self.database().execute(
            "UPDATE ledgers SET body = ?2, sha256 = ?3 WHERE issuer = ?1",
            (of("a"), document.as_bytes(), sum.as_slice()),
        );
        assert_eq!(changed, Ok(1));
    }

    fn set_aside(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.0.path("state")).unwrap();
        let files = files.map(|entry| entry.unwrap().path());
        let is_aside = |path: &PathBuf| path.to_str().unwrap().contains(".damaged-");
        // With its log.
        let is_log = |path: &PathBuf| path.to_str().unwrap().ends_with("-wal");
        files.filter(|path| is_aside(path) && !is_log(path)).collect()
    }

    /// Changes the ledger of `a` as someone would who knows how, checksums and all.
    fn edit(&self, edit: impl Fn(&str) -> String) {
        const CHECKSUM: &str = r#","sha256":""#;
        let text = self.document("a");
        let (body, _) = text.rsplit_once(CHECKSUM).unwrap();
        let edited = edit(body);
        assert_ne!(edited, body, "nothing was edited");
        let sum = Sha256::digest(&edited);
        self.put(&format!("{edited}{CHECKSUM}{sum:x}\"}}"));
    }

    /// The ledger is lost: it is said and set aside, and what is listed is published.
    async fn goes_on_without_it(&self, told: &str) {
        let running = self.start();
        running.answers("a", 200).await;
        running.answers("b", 200).await;
        running.says(told).await;
        running.says("revocations may be lost").await;
        assert_eq!(running.lost("a").await, "1");
        assert_eq!(running.lost("b").await, "0", "costs nobody else anything");
        let [aside] = self.set_aside().try_into().unwrap();
        running.says(aside.to_str().unwrap()).await;
    }

    /// The issuer waits for someone to do something about it, and the ledger stays as it is.
    async fn stops_the_issuer(&self, told: &str) {
        let before = self.document("a");
        let running = self.start();
        running.answers("b", 200).await;
        running.says(told).await;
        running.answers("a", 503).await;
        running.ends().await;
        assert_eq!(self.document("a"), before);
        assert!(self.set_aside().is_empty());

        self.database()
            .execute("DELETE FROM ledgers WHERE issuer = ?1", [of("a")])
            .unwrap();
        self.start().answers("a", 200).await;
    }
}

fn of(issuer: &str) -> String {
    format!("https://oidc.example.com/{issuer}")
}

impl Running {
    async fn answers(&self, issuer: &str, status: u16) {
        let url = format!("{}/{issuer}/jwks", self.base);
        eventually("the service listens", async || {
            let asked = self.http.send(reqwest::Method::GET, &url, None, None).await;
            asked.ok().map(drop)
        })
        .await;
        answers(&self.http, &url, status).await;
    }

    /// Waits until `a` publishes both keys of the vectors.
    async fn has_both_keys(&self) {
        self.answers("a", 200).await;
        let url = format!("{}/a/jwks", self.base);
        eventually("both keys", async || {
            (kids(&self.http, &url).await.len() == 2).then_some(())
        })
        .await;
    }

    async fn says(&self, told: &str) {
        let line = self.service.logged(told, |line| line.to_string().contains(told));
        line.await;
    }

    async fn lost(&self, issuer: &str) -> String {
        let page = self.service.ask_admin("/metrics").await.body;
        let name = format!(
            "oidc_issuer_store_ledgers_lost_total{{issuer=\"{}\"}} ",
            of(issuer)
        );
        let row = page.lines().find_map(|line| line.strip_prefix(&name));
        row.expect("a row").to_owned()
    }

    async fn ends(mut self) {
        self.service.program().signal("TERM");
        self.service.program().ended().await;
    }
}

#[tokio::test]
async fn a_ledger_that_is_half_written_is_set_aside() {
    let house = House::new().await;
    let document = house.document("a");
    house.put(&document[..document.len() / 2]);
    house.goes_on_without_it("is torn").await;
}

#[tokio::test]
async fn a_row_that_was_changed_is_set_aside() {
    let house = House::new().await;
    let changed = "UPDATE ledgers SET body = x'7b' WHERE issuer = ?1";
    house.database().execute(changed, [of("a")]).unwrap();
    house.goes_on_without_it("does not match its checksum").await;
}

#[tokio::test]
async fn a_ledger_with_an_absurd_time_is_set_aside() {
    let house = House::new().await;
    house.edit(|body| body.replacen(r#""firstSeen":"20"#, r#""firstSeen":"90"#, 1));
    house.goes_on_without_it("firstSeen").await;
}

#[tokio::test]
async fn a_database_of_fifty_megabytes_of_nothing_is_set_aside() {
    let house = House::new().await;
    fs::write(house.file(), "").unwrap();
    fs::File::create(house.file()).unwrap().set_len(50 << 20).unwrap();
    let running = house.start();
    for issuer in ["a", "b"] {
        running.answers(issuer, 200).await;
        assert_eq!(running.lost(issuer).await, "1");
    }
    assert_eq!(house.set_aside().len(), 1);
    running.ends().await;
    let running = house.start();
    running.answers("a", 200).await;
    assert_eq!(running.lost("a").await, "0", "lost once");
}

#[tokio::test]
async fn a_revocation_outlives_the_database_that_it_was_made_in() {
    let house = House::new().await;
    let running = house.start();
    house.0.write("a2.pub", &key(1));
    running.has_both_keys().await;
    let state = house.0.text("state");
    let revoke = [
        "keys",
        "revoke",
        &kid(0),
        "--reason",
        "leaked",
        "--issuer",
        &of("a"),
        "--state-dir",
        &state,
    ];
    let output = run(&revoke);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    let copy = house.0.path("state/ledgers.db.copy");
    eventually("a copy is made", async || copy.exists().then_some(())).await;
    running.ends().await;
    fs::write(house.file(), "no database any more").unwrap();

    let running = house.start();
    running.answers("a", 200).await;
    let published = kids(&running.http, &format!("{}/a/jwks", running.base)).await;
    assert_eq!(published, [kid(1)], "the revoked one is still listed");
    running.says("an older generation of the ledger is used").await;
    assert_eq!(running.lost("a").await, "0");
}

#[tokio::test]
async fn the_ledger_of_another_issuer_stops_its_issuer_alone() {
    let house = House::new().await;
    house.put(&house.document("b"));
    house.stops_the_issuer("https://oidc.example.com/b, not of").await;
}

#[tokio::test]
async fn a_ledger_of_a_later_format_stops_its_issuer_alone() {
    let house = House::new().await;
    house.edit(|body| body.replacen(r#""format":1"#, r#""format":2"#, 1));
    house.stops_the_issuer("has format 2").await;
}

#[tokio::test]
async fn what_a_former_release_kept_in_a_folder_is_taken_over_once() {
    let house = House::new().await;
    let folder = house.0.path("state/ledgers");
    fs::create_dir(&folder).unwrap();
    for issuer in ["a", "b"] {
        let sum = format!("{:x}", Sha256::digest(of(issuer)));
        let name = format!("oidc-example-com-{issuer}-{}.json", &sum[..16]);
        fs::write(folder.join(name), house.document(issuer)).unwrap();
    }
    fs::remove_file(house.file()).unwrap();
    // What was listed before is retained: only the ledger knows of it.
    house.0.write("a.pub", &key(1));
    let running = house.start();
    running.has_both_keys().await;
    running.says("2 ledgers of").await;
    assert!(!folder.exists() && house.0.path("state/ledgers.imported").is_dir());
}
