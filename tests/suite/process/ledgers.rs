//! What a bad ledger in the state folder does to its issuer, and that it does nothing to another one.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use super::{Folder, answers, key, kids};
use crate::real::http::Http;
use crate::real::program::{eventually, free_port};
use crate::real::service::OidcIssuer;

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
                "- issuer: https://oidc.example.com/{name}\n  sources: [{{files: {{paths: [{name}.pub]}}}}]\n"
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

    fn ledger(&self, issuer: &str) -> PathBuf {
        let named = format!("oidc-example-com-{issuer}-");
        let is_it = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(&named) && path.extension().is_some_and(|kind| kind == "json")
        };
        self.files().into_iter().find(is_it).expect("a ledger")
    }

    fn files(&self) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.0.path("state/ledgers")).unwrap();
        folder.map(|entry| entry.unwrap().path()).collect()
    }

    fn set_aside(&self) -> usize {
        let torn = |path: &&PathBuf| path.to_str().unwrap().contains(".torn-");
        self.files().iter().filter(torn).count()
    }

    /// Changes the ledger of `a` as someone would who knows how, checksum and all.
    fn edit(&self, edit: impl Fn(&str) -> String) {
        const CHECKSUM: &str = r#","sha256":""#;
        let path = self.ledger("a");
        let text = fs::read_to_string(&path).unwrap();
        let (body, _) = text.rsplit_once(CHECKSUM).unwrap();
        let edited = edit(body);
        assert_ne!(edited, body, "nothing was edited");
        let sum = Sha256::digest(&edited);
        fs::write(path, format!("{edited}{CHECKSUM}{sum:x}\"}}")).unwrap();
    }

    /// The ledger is lost: it is said and set aside, and what is listed is published.
    async fn goes_on_without_it(&self, told: &str) {
        let running = self.start();
        running.answers("a", 200).await;
        running.answers("b", 200).await;
        running.says(told).await;
        running.says("revocations may be lost").await;
        assert_eq!(running.lost().await, "1");
        assert_eq!(self.set_aside(), 1);
    }

    /// The issuer waits for someone to do something about it, and the ledger stays as it is.
    async fn stops_the_issuer(&self, told: &str) {
        let before = fs::read(self.ledger("a")).unwrap();
        let running = self.start();
        running.answers("b", 200).await;
        running.says(told).await;
        running.answers("a", 503).await;
        assert_eq!(fs::read(self.ledger("a")).unwrap(), before);
        assert_eq!(self.set_aside(), 0);

        fs::rename(self.ledger("a"), self.0.path("moved-away")).unwrap();
        running.answers("a", 200).await;
    }
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

    async fn lost(&self) -> String {
        let page = self.service.ask_admin("/metrics").await.body;
        let name = r#"oidc_issuer_store_ledgers_lost_total{issuer="https://oidc.example.com/a"} "#;
        let row = page.lines().find_map(|line| line.strip_prefix(name));
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
    let path = house.ledger("a");
    let half = fs::read(&path).unwrap();
    fs::write(&path, &half[..half.len() / 2]).unwrap();
    house.goes_on_without_it("is torn").await;
}

#[tokio::test]
async fn a_ledger_of_fifty_megabytes_is_set_aside() {
    let house = House::new().await;
    let file = fs::File::create(house.ledger("a")).unwrap();
    file.set_len(50 << 20).unwrap();
    house.goes_on_without_it("larger than").await;
}

#[tokio::test]
async fn a_ledger_with_an_absurd_time_is_set_aside() {
    let house = House::new().await;
    house.edit(|body| body.replacen(r#""firstSeen":"20"#, r#""firstSeen":"90"#, 1));
    house.goes_on_without_it("firstSeen").await;
}

#[tokio::test]
async fn the_generation_before_a_torn_one_is_used() {
    let house = House::new().await;
    // Another generation: another key is listed, and the first one retained. Then a third one, so that the one before
    // has both.
    let running = house.start();
    house.0.write("a.pub", &key(1));
    running.has_both_keys().await;
    house.0.write("a.pub", &key(0));
    running.says("is listed again").await;
    running.ends().await;
    fs::write(house.ledger("a"), "{").unwrap();

    let running = house.start();
    running.has_both_keys().await;
    running.says("an older generation of the ledger is used").await;
    assert_eq!(running.lost().await, "0");
}

#[tokio::test]
async fn the_ledger_of_another_issuer_stops_its_issuer_alone() {
    let house = House::new().await;
    fs::copy(house.ledger("b"), house.ledger("a")).unwrap();
    house.stops_the_issuer("https://oidc.example.com/b, not of").await;
}

#[tokio::test]
async fn a_ledger_of_a_later_format_stops_its_issuer_alone() {
    let house = House::new().await;
    house.edit(|body| body.replacen(r#""format":1"#, r#""format":2"#, 1));
    house.stops_the_issuer("has format 2").await;
}
