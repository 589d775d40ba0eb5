//! Commands of operators, through the desk.

use super::*;
use crate::ring::{Command, Denied, Done, Standing};

fn revoke(name: &str) -> Command {
    Command::Revoke {
        name: name.to_owned(),
        why: "leaked".to_owned(),
        force: false,
    }
}

#[tokio::test]
async fn a_revoked_key_is_no_longer_published_when_the_command_is_answered() {
    let house = House::new();
    let (a, b) = (house.key("a.pem"), house.key("b.pem"));
    let issuers = house.start(vec![house.issuer(A, "*.pem")]);
    house.until_kids(A, &[&a, &b]).await;
    let desk = issuers.desk();

    let answer = desk.ask(A, revoke(&a), "root").await.unwrap();
    assert_eq!(house.kids(A), std::slice::from_ref(&b));
    let Done::Hit(hit) = answer.outcome.done else {
        panic!("{answer:?}")
    };
    assert_eq!(*hit[0].kid, *a);
    let gone = answer
        .outcome
        .view
        .keys
        .into_iter()
        .find(|key| key.key.kid() == a);
    let Standing::Revoked(revocation) = gone.unwrap().standing else {
        panic!("not revoked")
    };
    assert_eq!(
        (&*revocation.by, &*revocation.why, revocation.when),
        ("root", "leaked", answer.at)
    );

    let denied = desk.ask(A, revoke(&b), "root").await.unwrap_err();
    assert_eq!(denied, AskError::Denied(Denied::LastKey { kid: b.clone() }));
    desk.ask(A, Command::Unrevoke { name: a.clone() }, "root")
        .await
        .unwrap();
    house.until_kids(A, &[&a, &b]).await;
}

#[tokio::test]
async fn the_only_issuer_need_not_be_named_and_an_unknown_one_is_told_which_there_are() {
    let house = House::new();
    let mut issuers = house.start(vec![house.issuer(A, "a.pem")]);
    let desk = issuers.desk();
    assert_eq!(desk.issuer(None).as_deref(), Ok(A));

    let both = vec![house.issuer(A, "a.pem"), house.issuer(B, "b.pem")];
    issuers.apply(both).await;
    let known = vec![A.to_owned(), B.to_owned()];
    assert_eq!(
        desk.issuer(None),
        Err(AskError::WhichIssuer { known: known.clone() })
    );
    let asked = "https://elsewhere.example".to_owned();
    assert_eq!(
        desk.issuer(Some(&asked)),
        Err(AskError::UnknownIssuer { asked, known })
    );
    issuers.apply(vec![house.issuer(B, "b.pem")]).await;
    assert_eq!(desk.issuer(None).as_deref(), Ok(B));
}

#[test]
fn who_names_an_unknown_issuer_is_told_which_there_are_or_that_there_is_none() {
    let told = |known: &[&str]| {
        let known = known.iter().map(|&issuer| issuer.to_owned()).collect();
        let asked = "https://elsewhere.example".to_owned();
        AskError::UnknownIssuer { asked, known }.to_string()
    };
    assert!(
        told(&[A, B]).ends_with(&format!("; there is: {A}, {B}")),
        "{}",
        told(&[A, B])
    );
    assert!(told(&[]).contains("; there is none: name"), "{}", told(&[]));
}

#[tokio::test]
async fn commands_reach_an_issuer_after_a_reload_and_after_a_panic() {
    let house = House::new();
    let (a, b) = (house.key("a.pem"), house.key("b.pem"));
    let mut issuers = house.start(vec![house.issuer(A, "a.pem")]);
    house.until_kids(A, &[&a]).await;
    let desk = issuers.desk();
    issuers.apply(vec![house.issuer(A, "*.pem")]).await;
    house.until_kids(A, &[&a, &b]).await;
    desk.ask(A, revoke(&a), "root").await.unwrap();

    // Told at once, and not carried out later.
    house.panics.store(true, Ordering::SeqCst);
    let lost = desk.ask(A, Command::List, "root").await;
    house
        .until("it panicked", || !house.panics.load(Ordering::SeqCst))
        .await;
    if let Err(error) = lost {
        assert!(matches!(error, AskError::Unavailable { .. }), "{error}");
    }
    let answer = desk.ask(A, Command::List, "root").await.unwrap();
    assert_eq!(answer.outcome.view.keys.len(), 2);
    assert_eq!(house.kids(A), [b]);
}

#[tokio::test]
async fn an_imported_key_is_retained_until_a_source_lists_it() {
    let house = House::new();
    let listed = house.key("listed.pem");
    let issuers = house.start(vec![house.issuer(A, "listed.pem")]);
    house.until_kids(A, &[&listed]).await;
    let old = house.key("old.pem");
    let keys = parse_file(&fs::read(house.file("old.pem")).unwrap())
        .unwrap()
        .keys;
    let answer = issuers
        .desk()
        .ask(A, Command::Import { keys }, "root")
        .await
        .unwrap();
    let Done::Imported(imported) = answer.outcome.done else {
        panic!("{answer:?}")
    };
    assert_eq!(*imported.taken[0].kid, *old);
    assert_eq!(house.kids(A), [listed.clone(), old]);
    house.pass(SignedDuration::from_hours(50));
    issuers.desk().ask(A, Command::List, "root").await.unwrap();
    assert_eq!(house.kids(A), [listed]);
}

#[tokio::test]
async fn the_last_key_is_revoked_by_force_alone_and_then_both_documents_answer_503() {
    let house = House::new();
    let a = house.key("a.pem");
    let issuers = house.start(vec![house.issuer(A, "*.pem")]);
    house.until_kids(A, &[&a]).await;
    let force = Command::Revoke {
        name: a.clone(),
        why: "leaked".to_owned(),
        force: true,
    };
    issuers.desk().ask(A, force, "root").await.unwrap();
    assert_eq!(house.published(A), Ok(None), "503");
    let page = house.shared.metrics.render().unwrap();
    assert!(
        page.contains(&format!("oidc_issuer_published{{issuer=\"{A}\"}} 0")),
        "{page}"
    );

    let b = house.key("b.pem");
    house.until_kids(A, &[&b]).await;
}
