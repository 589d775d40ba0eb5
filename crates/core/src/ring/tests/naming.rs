//! Which key a name means: commands act on one material, or on none.

use super::*;
use crate::key::fake;

/// Keys whose fingerprints begin alike, or whose kid reads like the fingerprint of another, held and published.
fn named(names: &[(&str, u8)]) -> Listing {
    let keys = names.iter().map(|(kid, material)| fake::key(kid, *material));
    Listing {
        keys: keys.collect(),
        ..listing("")
    }
}

fn ambiguous(denied: Denied) -> Vec<String> {
    match denied {
        Denied::Ambiguous { candidates, .. } => candidates,
        other => panic!("{other:?}"),
    }
}

fn whole(material: u8) -> String {
    format!("{material:02x}").repeat(32)
}

#[test]
fn a_kid_with_several_materials_is_refused_by_every_command_and_a_fingerprint_says_which() {
    let mut story = issuer().lists("a b3").lists("a a2 b3");
    let before = story.ring.clone();
    let now = story.now;
    let revoked = story.ring.revoke("a", "ops", "leaked", true, now).unwrap_err();
    let approved = story.ring.approve("a", "ops", "", now).unwrap_err();
    let unrevoked = story.ring.unrevoke("a", "ops", now).unwrap_err();
    for denied in [revoked, approved, unrevoked] {
        let told = denied.to_string();
        for material in [1, 2] {
            assert!(
                told.contains(&format!("kid \"a\" (sha256:{})", whole(material))),
                "{told}"
            );
        }
        assert!(
            told.contains("nothing was done") && told.contains("sha256=DIGITS"),
            "{told}"
        );
        assert_eq!(ambiguous(denied).len(), 2);
    }
    assert_eq!(story.ring.ledger(), before.ledger(), "nothing was done");
    story
        .revokes("sha256:02020202")
        .publishes("a b3")
        .revokes("sha256:01010101")
        .publishes("b3");
}

#[test]
fn one_material_under_several_kids_is_one_thing() {
    let story = issuer()
        .lists("a1 b1 c3")
        .revokes("sha256:01010101")
        .publishes("c3");
    story.unrevokes("b").publishes("a b c3");
}

#[test]
fn a_kid_that_reads_like_the_fingerprint_of_another_key_is_told_apart_from_it() {
    for evil in [
        "sha256:02020202",
        "SHA256:0202020202",
        &format!("sha256:{}", whole(2)),
        "sha256:02:02:02:02",
    ] {
        let mut story = issuer()
            .approving()
            .lists("a")
            .says("s", &named(&[("a", 1), ("good", 2), (evil, 3)]));
        let now = story.now;
        let denied = story.ring.approve(evil, "ops", "checked", now).unwrap_err();
        assert_eq!(ambiguous(denied).len(), 2, "{evil}");
        let story = story.publishes("a");
        // A fingerprint is one in any spelling that is not exactly the kid.
        let spelled = "sha256:02:02:02:02:02:02".to_owned();
        story.clone().approves(&spelled).publishes("a good2");
        // Written with = it can be no kid.
        let good = format!("sha256={}", whole(2));
        story.clone().approves(&good).publishes("a good2");
        let other = format!("SHA256={}", whole(3).to_uppercase());
        let mut other = story.approves(&other);
        assert_eq!(other.ring.key_set(other.now).keys.len(), 2);
    }
}

#[test]
fn no_kid_stands_in_the_way_of_a_whole_fingerprint_with_an_equals_sign() {
    let name = format!("sha256={}", whole(2));
    let story = issuer().says("s", &named(&[("a", 1), ("b", 2), (&name, 3)]));
    let story = story.revokes(&name);
    assert_eq!(
        story
            .ring
            .ledger()
            .revocations()
            .next()
            .unwrap()
            .about
            .spki_sha256,
        [2; 32]
    );
}

#[test]
fn an_abbreviation_that_fits_what_is_published_and_what_waits_is_refused() {
    let mut story = issuer().approving().lists("a2");
    let mut near = [2; 32];
    near[31] = 9;
    let keys = vec![fake::key("a", 2), fake::with_fingerprint("near", near)];
    story = story.says("s", &Listing { keys, ..listing("") });
    let now = story.now;
    for name in [
        "sha256:02020202",
        "SHA256:02:02:02:02:02",
        &format!("sha256:{}", &whole(2)[..62]),
    ] {
        let denied = story.ring.approve(name, "ops", "", now).unwrap_err();
        assert_eq!(ambiguous(denied).len(), 2, "{name}");
        let denied = story.ring.revoke(name, "ops", "x", true, now).unwrap_err();
        assert_eq!(ambiguous(denied).len(), 2, "{name}");
    }
    let near = format!("sha256:{}09", "02".repeat(31));
    let hit = story.ring.approve(&near, "ops", "", now).unwrap();
    assert_eq!(hit.len(), 1);
}

#[test]
fn a_kid_that_reads_like_the_name_of_a_change_is_told_apart_from_it() {
    let held = issuer_with(&[("s", 9)]).approving().lists("a").lists("x");
    let mut held = held;
    let change = held.ring.key_set(held.now).held_changes[0].change.clone();
    let story = held.says("s", &named(&[("a", 1), (change.as_str(), 5)]));
    let mut story = story.holds(&format!("{}:unapproved x:unconfirmed", change.as_str()));
    let now = story.now;
    let denied = story.ring.approve(change.as_str(), "ops", "", now).unwrap_err();
    assert_eq!(ambiguous(denied).len(), 2);
    let explicit = format!("change={}", change.as_str());
    let hit = story.ring.approve(&explicit, "ops", "", now).unwrap();
    assert_eq!(&*hit[0].kid, "x");
}

const KID: &str = "ye2X52hn206f8bXa2_U4Hg-efq5TwMGQqMyh4GsYd_A";

#[test]
fn a_kid_that_is_a_hash_by_any_rule_can_be_approved_where_nothing_is_heard() {
    let mut there = issuer().approving().lists("a");
    let approved = there.ring.approve_unheard(KID, "o", "w", there.now).unwrap();
    assert_eq!((&*approved[0].kid, approved[0].spki_sha256), (KID, ANY_MATERIAL));
    let listed = |material| named(&[("a", 1), (KID, material)]);
    let story = issuer()
        .approving()
        .lists("a")
        .adopts(&there)
        .says("s", &listed(7));
    let mut story = story.restarted().says("s", &listed(7));
    assert_eq!(story.ring.key_set(story.now).keys.len(), 2, "it is published");
    // It was for the first key under it: no other one ever comes in by it.
    let story = story
        .lists("a")
        .after(RETENTION * 2)
        .publishes("a")
        .says("s", &listed(8));
    story.publishes("a").holds(&format!("{KID}:unapproved"));
}

#[test]
fn a_whole_fingerprint_can_be_approved_where_nothing_is_heard() {
    let mut there = issuer().approving().lists("a");
    let name = format!("sha256:{}", whole(2).to_uppercase());
    let approved = there.ring.approve_unheard(&name, "o", "w", there.now).unwrap();
    assert_eq!((&*approved[0].kid, approved[0].spki_sha256), ("", [2; 32]));
    let story = issuer().approving().lists("a").adopts(&there);
    story
        .restarted()
        .lists("a b2 c3")
        .publishes("a b2")
        .holds("c:unapproved");
    // As it is stored.
    let mut empty = issuer().ring;
    empty.approve_unheard(&name, "o", "w", there.now).unwrap();
    empty.approve_unheard(KID, "o", "w", there.now).unwrap();
    let document = empty.ledger().encode("https://a.example");
    assert_eq!(
        Ledger::decode(&document, "https://a.example").as_ref(),
        Ok(empty.ledger())
    );
}

#[test]
fn what_does_not_say_which_key_is_meant_is_refused_where_nothing_is_heard() {
    let mut there = issuer().approving().lists("a");
    let now = there.now;
    for name in [
        "b",
        "sha256:02020202",
        &format!("{KID}A"),
        &KID[1..],
        &format!("{KID}="),
        "sha256:",
    ] {
        let refused = there.ring.approve_unheard(name, "o", "w", now).unwrap_err();
        assert!(
            refused.to_string().contains("does not say which key"),
            "{refused}"
        );
    }
    assert_eq!(there.ring.ledger().approvals().len(), 0);
}

#[test]
fn a_message_about_many_keys_stays_short() {
    let names: Vec<_> = (0..90_u8)
        .map(|number| (format!("k{number:02}"), number + 1))
        .collect();
    let names: Vec<_> = names
        .iter()
        .map(|(kid, material)| (kid.as_str(), *material))
        .collect();
    let mut story = issuer().says("s", &named(&names));
    let denied = story
        .ring
        .revoke("nobody", "ops", "x", false, story.now)
        .unwrap_err();
    assert!(denied.to_string().ends_with("k19, and 70 more"), "{denied}");
}
