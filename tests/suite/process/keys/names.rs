//! Names that fit several keys, and kids of other rules than the API server's.

use super::*;

/// The members of a key of the vectors, under another kid.
fn jwk(place: usize, kid: &str) -> Value {
    let folder = Folder::new();
    folder.write("k.pub", &key(place));
    let shown = run(&[
        "inspect",
        &folder.path("k.pub").display().to_string(),
        "--output",
        "json",
    ]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let mut jwk = shown["keys"][0]["jwk"].clone();
    jwk["kid"] = kid.into();
    jwk
}

impl House {
    fn lists(&self, keys: &[Value]) {
        self.folder.write("jwks.json", &json!({"keys": keys}).to_string());
    }

    /// Where new keys wait, and a JWKS file lists the first key alone.
    async fn approving(&self) -> (OidcIssuer, String) {
        let text = std::fs::read_to_string(self.config("")).unwrap();
        let text = text.replacen("  sources:", "  newKeys: approve\n  sources:", 1);
        let config = self
            .folder
            .write("config.yaml", &text.replace("*.pub", "jwks.json"));
        self.lists(&[jwk(0, "first")]);
        let service = OidcIssuer::serve_in(&self.state(), &["--config", &config]).await;
        eventually("the first key is published", async || {
            (self.kids().await == ["first"]).then_some(())
        })
        .await;
        (service, config)
    }
}

#[tokio::test]
async fn a_name_that_fits_several_keys_is_refused_with_the_candidates_and_nothing_is_done() {
    let house = House::new();
    let _service = house.approving().await;
    let report = house.done(&["list"]);
    let sha256 = shown(&report, "first")["sha256"].as_str().unwrap().to_owned();
    // The kid of the second reads like the fingerprint of the first.
    for name in [format!("sha256:{}", &sha256[..8]), format!("sha256:{sha256}")] {
        house.lists(&[jwk(0, "first"), jwk(1, &name)]);
        eventually("it is held", async || {
            let report = house.done(&["list"]);
            let keys = report["keys"].as_array().unwrap().clone();
            keys.iter()
                .any(|key| key["kid"] == *name && key["state"] == "held")
                .then_some(())
        })
        .await;
        for command in [
            &["approve", &name][..],
            &["revoke", &name, "--reason", "x", "--force"],
            &["unrevoke", &name],
        ] {
            let told = house.refused(1, command);
            assert!(told.contains("fits several") && told.contains(&sha256), "{told}");
        }
        assert_eq!(house.kids().await, ["first"]);
    }
}

#[tokio::test]
async fn a_kid_that_is_a_hash_by_another_rule_is_approved_in_the_store_and_published_when_it_is_listed() {
    const THUMBPRINT: &str = "ye2X52hn206f8bXa2_U4Hg-efq5TwMGQqMyh4GsYd_A";
    let house = House::new();
    let (service, config) = house.approving().await;
    killed(service).await;
    let told = house.refused(1, &["approve", "other", "--store"]);
    assert!(told.contains("does not say which key is meant"), "{told}");
    house.done(&["approve", THUMBPRINT, "--store"]);
    house.lists(&[jwk(0, "first"), jwk(1, THUMBPRINT)]);
    let _service = OidcIssuer::serve_in(&house.state(), &["--config", &config]).await;
    eventually("both are published", async || {
        (house.kids().await.len() == 2).then_some(())
    })
    .await;
}
