//! What is worth a second thought is told at the start, by `config check`, and when something is taken over.

use super::{Folder, key};
use crate::real::pki::Pki;
use crate::real::program::{eventually, free_port};
use crate::real::service::{OidcIssuer, run};

const UNNAMED: &str = "does not name a.example.com";

fn configured(folder: &Folder, names: &[&str]) -> String {
    certificate(folder, names);
    folder.write("sa.pub", &key(0));
    folder.write(
        "config.yaml",
        &format!(
            "issuers: [{{issuer: \"https://a.example.com\", sources: [{{files: {{paths: [sa.pub]}}}}]}}]\n\
             listeners: [{{address: \"127.0.0.1:{}\", tls: {{certFile: live.crt, keyFile: live.key}}}}]\n",
            free_port()
        ),
    )
}

fn certificate(folder: &Folder, names: &[&str]) {
    let pki = Pki::create(&folder.path("pki"), names);
    std::fs::copy(&pki.key, folder.path("live.key")).unwrap();
    std::fs::copy(&pki.cert, folder.path("live.crt")).unwrap();
}

/// How often the log warns of it.
fn warned(service: &OidcIssuer) -> usize {
    let lines = service.log();
    lines
        .iter()
        .filter(|line| line.to_string().contains(UNNAMED))
        .count()
}

#[tokio::test]
async fn a_certificate_that_does_not_name_the_issuers_host_is_warned_of_at_a_renewal_by_check_and_at_the_start()
 {
    let folder = Folder::new();
    let file = configured(&folder, &["a.example.com"]);
    let checked = run(&["config", "check", &file]);
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    assert!(!checked.stderr.contains(UNNAMED), "{}", checked.stderr);
    let service = OidcIssuer::serve(&["--config", &file]).await;
    assert_eq!(warned(&service), 0);
    certificate(&folder, &["localhost"]);
    eventually("the renewed certificate is warned of", async || {
        (warned(&service) == 1).then_some(())
    })
    .await;
    drop(service);

    let checked = run(&["config", "check", &file]);
    assert_eq!(checked.code, Some(0), "a warning only: {}", checked.stderr);
    assert!(checked.stderr.contains(UNNAMED), "{}", checked.stderr);
    let service = OidcIssuer::serve(&["--config", &file]).await;
    assert_eq!(warned(&service), 1);
}

#[test]
fn config_check_warns_of_an_issuer_url_that_verifiers_may_refuse() {
    let folder = Folder::new();
    let keys = folder.write("sa.pub", &key(0));
    for (issuer, warning) in [
        ("https://a.example.com:443", "without the port of https, 443"),
        ("https://a.example.com:0443", "as https://a.example.com ("),
        ("https://a.example.com.", "ends in a dot"),
        ("https://A.example.com", "lower case"),
        ("https://192.0.2.1", "IP address"),
        ("https://oidc", "single label"),
    ] {
        let checked = run(&["config", "check", "--issuer", issuer, "--keys", &keys]);
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        assert!(checked.stderr.contains(warning), "{issuer}: {}", checked.stderr);
    }
    let trial = run(&["config", "check"]);
    assert_eq!((trial.code, trial.stderr.as_str()), (Some(0), ""));
}

#[test]
fn config_check_warns_of_one_key_under_two_issuers_unless_they_share_its_source() {
    let folder = Folder::new();
    folder.write("one.pub", &key(0));
    folder.write("two.pub", &key(0));
    let check = |second: &str| {
        let file = folder.write(
            "config.yaml",
            &format!(
                "issuers:\n- {{issuer: 'https://a.example.com', sources: [files: {{paths: [one.pub]}}]}}\n\
                 - {{issuer: 'https://b.example.com', sources: [files: {{paths: [{second}]}}]}}\n"
            ),
        );
        let checked = run(&["config", "check", &file]);
        assert_eq!(checked.code, Some(0), "{}", checked.stderr);
        checked.stderr
    };
    let warned = "https://b.example.com and https://a.example.com publish the same key, of different sources";
    let of_two = check("two.pub");
    assert!(of_two.contains(warned), "{of_two}");
    assert_eq!(check("one.pub"), "");
}
