//! A swapped or wrong cluster, behind one address or several: held until it is confirmed.

use super::*;

fn endpoints(readings: &[(&str, Option<&str>)]) -> Listing {
    let reading = |(endpoint, names): &(&str, Option<&str>)| EndpointReading {
        endpoint: (*endpoint).into(),
        keys: names.map(|names| listing(names).keys),
    };
    Listing {
        endpoints: readings.iter().map(reading).collect(),
        ..listing("")
    }
}

#[test]
fn invariant_7_a_listing_that_shares_no_key_with_what_is_published_is_held_until_confirmed() {
    issuer_with(&[("s", 3)])
        .lists("a b")
        .lists("x y")
        .lists("x y")
        .publishes("a b")
        .holds("x:unconfirmed y:unconfirmed")
        .lists("x y")
        .publishes("a b x y")
        .holds("")
        .lists("x y")
        .lists("x y")
        .publishes("x y ~a ~b");
}

#[test]
fn readings_of_the_published_set_in_between_do_not_reset_the_count() {
    issuer_with(&[("s", 3)])
        .lists("a")
        .lists("x")
        .lists("a")
        .lists("x")
        .lists("a")
        .publishes("a")
        .lists("x")
        .publishes("a x");
}

#[test]
fn each_wrong_set_is_counted_alone() {
    issuer_with(&[("s", 3)])
        .lists("a")
        .lists("x")
        .lists("y")
        .lists("x")
        .lists("y")
        .publishes("a")
        .holds("x:unconfirmed y:unconfirmed")
        .lists("x")
        .publishes("a x")
        .holds("y:unconfirmed");
}

#[test]
fn what_was_heard_only_now_and_then_is_never_confirmed() {
    let mut story = issuer_with(&[("s", 3)]).lists("a");
    for _ in 0..10 {
        story = story.lists("x").lists("a").after(hours(25)).lists("a");
    }
    story.publishes("a").holds("");
}

#[test]
fn a_held_listing_says_nothing_about_the_absence_of_published_keys() {
    issuer_with(&[("s", 2)])
        .lists("a b")
        .lists("b")
        .lists("x")
        .publishes("a b")
        .lists("b")
        .publishes("b ~a");
}

#[test]
fn a_wrong_cluster_does_not_come_in_behind_an_operators_decision() {
    // Two materials under one kid: nothing of it can be published, until one of them is revoked.
    issuer_with(&[("s", 3)])
        .lists("a")
        .counts_as_failed("s", &listing("x8 x9"))
        .holds("x:kid_conflict x:kid_conflict")
        .revokes("sha256:08080808")
        .publishes("a")
        .lists("x8 x9")
        .publishes("a")
        .holds("x:unconfirmed x:unconfirmed");
    // All of it is revoked, until that is undone.
    issuer_with(&[("s", 3)])
        .lists("a")
        .lists("x8")
        .revokes("x")
        .counts_as_failed("s", &listing("x8"))
        .holds("x:revoked x:unconfirmed")
        .unrevokes("x")
        .publishes("a")
        .lists("x8")
        .publishes("a")
        .holds("x:unconfirmed");
}

#[test]
fn nothing_is_held_while_nothing_is_published() {
    issuer_with(&[("s", 3)]).lists("x").publishes("x").holds("");
}

#[test]
fn a_restart_does_not_make_a_wrong_cluster_right() {
    issuer_with(&[("s", 3)])
        .lists("a")
        .lists("x")
        .lists("x")
        .restarted()
        .lists("x")
        .publishes("a")
        .holds("x:unconfirmed");
}

#[test]
fn a_listing_that_shares_a_retained_key_is_known() {
    issuer_with(&[("s", 2)])
        .lists("a b")
        .lists("b")
        .lists("b")
        .publishes("b ~a")
        .lists("a c")
        .publishes("a b c");
}

#[test]
fn a_duration_confirms_what_was_said_at_its_end_too() {
    issuer_with(&[])
        .confirmed_by("s", Confirmation::Duration(SignedDuration::from_mins(10)))
        .lists("a")
        .lists("x")
        .after(SignedDuration::from_mins(9))
        .lists("x")
        .publishes("a")
        .after(SignedDuration::from_mins(1))
        .publishes("a")
        .lists("x")
        .publishes("a x");
}

#[test]
fn manual_waits_for_an_operator_and_absence_for_three_readings() {
    let mut story = issuer_with(&[])
        .confirmed_by("s", Confirmation::Manual)
        .lists("a b");
    for _ in 0..20 {
        story = story.lists("x");
    }
    story = story.publishes("a b").holds("x:unconfirmed");
    let change = story.ring.key_set(story.now).held_changes[0].change.clone();
    story
        .approves(change.as_str())
        .publishes("a b")
        .lists("x")
        .publishes("a b x")
        .lists("x")
        .lists("x")
        .publishes("x ~a ~b");
}

#[test]
fn one_replicas_confirmation_counts_for_all() {
    let one = issuer_with(&[("s", 3)]).lists("a");
    let other = issuer_with(&[("s", 3)]).adopts(&one).publishes("a");
    // Its keys cannot enter here, since one of their kids is taken: the confirmation itself has to be told.
    let one = one.lists("a2").lists("a2").lists("a2").holds("a:kid_conflict");
    other
        .adopts(&one)
        .lists("a2")
        .publishes("a")
        .holds("a:kid_conflict");
}

#[test]
fn who_was_cut_off_and_restarts_takes_no_key_away_when_it_is_back() {
    for cut_off in [hours(20), hours(60)] {
        let other = issuer().lists("a b").lists("b").publishes("b ~a");
        let lonely = issuer().lists("a b").after(cut_off).lists("a b").restarted();
        // What was found absent long ago is listed, as far as this one knows.
        let lonely = lonely.adopts(&other).publishes("a b");
        // But it vouches for that once: whoever finds it absent after that is right, even if the source stays silent.
        let other = other
            .adopts(&lonely)
            .publishes("a b")
            .lists("b")
            .publishes("b ~a");
        lonely.adopts(&other).publishes("b ~a");
    }
}

#[test]
fn who_has_read_its_source_since_the_restart_believes_an_absence() {
    let other = issuer().lists("a b").lists("b");
    let restarted = issuer_with(&[("s", 3)]).lists("a b").restarted().lists("b");
    restarted.publishes("a b").adopts(&other).publishes("b ~a");
}

#[test]
fn a_confirmation_is_not_for_ever() {
    let story = issuer_with(&[("s", 2)])
        .lists("a")
        .lists("x")
        .lists("x")
        .publishes("a x");
    let story = story
        .lists("a")
        .lists("a")
        .publishes("a ~x")
        .after(hours(60))
        .publishes("a");
    story.lists("x").publishes("a").holds("x:unconfirmed");
}

#[test]
fn the_union_of_all_endpoints_is_published() {
    issuer_with(&[("s", 3)])
        .says("s", &endpoints(&[("1", Some("a b")), ("2", Some("a c"))]))
        .publishes("a b c");
}

#[test]
fn each_endpoint_is_judged_alone_so_one_that_was_replaced_by_a_foreign_one_is_held() {
    let mixed = endpoints(&[("1", Some("a")), ("2", Some("x"))]);
    let story = issuer_with(&[("s", 3)])
        .says("s", &endpoints(&[("1", Some("a")), ("2", Some("a b"))]))
        .says("s", &mixed)
        .says("s", &mixed)
        .publishes("a b")
        .holds("x:unconfirmed");
    let mut waiting = story.clone();
    let held = &waiting.ring.key_set(waiting.now).held_changes[0];
    assert_eq!((held.place().as_str(), held.reads), ("s at 2", 2));
    story.says("s", &mixed).publishes("a b x").holds("");
}

#[test]
fn two_endpoints_with_one_foreign_set_are_one_reading_of_it() {
    let foreign = endpoints(&[("1", Some("x")), ("2", Some("x"))]);
    issuer_with(&[("s", 2)])
        .says("s", &endpoints(&[("1", Some("a"))]))
        .says("s", &foreign)
        .publishes("a")
        .says("s", &foreign)
        .publishes("a x");
}

#[test]
fn an_endpoint_that_cannot_be_read_is_silent_and_one_that_left_counts_no_longer() {
    let silent = endpoints(&[("1", Some("a")), ("2", None)]);
    issuer_with(&[("s", 1)])
        .says("s", &endpoints(&[("1", Some("a")), ("2", Some("a b"))]))
        .says("s", &silent)
        .says("s", &silent)
        .publishes("a b")
        .says("s", &endpoints(&[("1", Some("a"))]))
        .publishes("a ~b");
}

#[test]
fn an_endpoint_with_nothing_publishable_is_silent() {
    let empty = endpoints(&[("1", Some("a")), ("2", Some(""))]);
    issuer_with(&[("s", 1)])
        .says("s", &endpoints(&[("1", Some("a")), ("2", Some("a b"))]))
        .says("s", &empty)
        .publishes("a b");
}

#[test]
fn a_reading_in_which_no_endpoint_answered_has_failed() {
    let mut story = issuer().lists("a");
    let refused = story
        .ring
        .heard(&source("s"), &endpoints(&[("1", None), ("2", None)]), story.now);
    assert_eq!(refused, Err(Refused::Silent));
    let empty = endpoints(&[("1", None), ("2", Some(""))]);
    story.counts_as_failed("s", &empty).publishes("a");
}

#[test]
fn a_new_key_beside_known_ones_waits_where_new_keys_are_to_be_approved() {
    let story = issuer()
        .approving()
        .lists("a b")
        .publishes("a b")
        .lists("a b c d");
    story
        .clone()
        .publishes("a b")
        .holds("c:unapproved d:unapproved")
        .approves("c")
        .publishes("a b c")
        .holds("d:unapproved")
        .restarted()
        .lists("a b c d")
        .publishes("a b c")
        .holds("d:unapproved");
    // Another replica hears of the approval through the ledger, before or after it hears of the key.
    let approved = story.clone().approves("d");
    story.adopts(&approved).publishes("a b d");
}

#[test]
fn a_key_that_was_published_before_needs_no_approval() {
    issuer()
        .approving()
        .lists("a b")
        .lists("b")
        .after(hours(60))
        .publishes("b")
        .lists("a b")
        .publishes("a b");
}

#[test]
fn a_confirmed_change_does_not_let_new_keys_in_where_they_are_to_be_approved() {
    let mut story = issuer().approving().lists("a").lists("x y").publishes("~a");
    story = story
        .holds("x:unapproved y:unapproved")
        .approves("x")
        .publishes("x ~a");
    assert_eq!(story.ring.ledger().approvals().len(), 1);
    let manual = issuer().confirmed_by("s", Confirmation::Manual).approving();
    let mut manual = manual.lists("a").lists("x y").publishes("a");
    let change = manual.ring.key_set(manual.now).held_changes[0].change.clone();
    manual.approves(change.as_str()).lists("x y").publishes("a x y");
}

#[test]
fn a_change_can_be_approved_where_nothing_is_heard() {
    let mut here = issuer().confirmed_by("s", Confirmation::Manual);
    here = here.lists("a").lists("x").publishes("a");
    let change = here.ring.key_set(here.now).held_changes[0].change.clone();
    let mut there = issuer_with(&[]).adopts(&here);
    let approved = there.ring.approve_unheard(change.as_str(), "o", "w", there.now);
    assert_eq!(approved, Ok(Vec::new()));
    here.adopts(&there).lists("x").publishes("a x");
}

#[test]
fn a_change_that_was_approved_where_nothing_is_heard_lets_its_keys_in_too() {
    for confirmation in [Confirmation::Manual, Confirmation::Reads(2)] {
        let mut here = issuer().confirmed_by("s", confirmation).approving();
        here = here.lists("a").lists("x y").publishes("a");
        let change = here.ring.key_set(here.now).held_changes[0].change.clone();
        let mut there = issuer_with(&[]).adopts(&here);
        there
            .ring
            .approve_unheard(change.as_str(), "o", "w", there.now)
            .unwrap();
        let other = issuer().approving().adopts(&here).adopts(&there).lists("x y");
        here = here.adopts(&there).lists("x y").publishes("a x y");
        here = here.lists("x y z").lists("x y z");
        assert!(
            !here
                .ring
                .key_set(here.now)
                .keys
                .iter()
                .any(|it| it.key.kid() == "z")
        );
        // It is one approval of each, wherever it was heard.
        let approvals = here.adopts(&other).ring.ledger().approvals().len();
        assert_eq!(approvals, 2);
    }
}

#[test]
fn an_approval_of_what_does_not_wait_tells_what_does() {
    let mut story = issuer_with(&[("s", 3)])
        .approving()
        .lists("a")
        .lists("a b")
        .lists("x");
    let now = story.now;
    let change = story.ring.key_set(now).held_changes[0].change.clone();
    let change = change.as_str();
    assert_eq!(
        story.ring.approve("c", "ops", "", now).unwrap_err().to_string(),
        format!("nothing called \"c\" waits for an approval here; there is: b, {change}")
    );
    assert_eq!(
        story.ring.approve("x", "ops", "", now).unwrap_err().to_string(),
        format!("x waits as a part of change {change}, which replaces every published key; approve that one")
    );
}

#[test]
fn other_rules_leave_what_was_counted_of_changes_and_absences() {
    let held = issuer_with(&[("s", 3)]).lists("a b").lists("x").lists("x");
    held.clone().ruled_anew(|_| ()).lists("x").publishes("a b x");
    held.restarted().lists("x").publishes("a b");
    let missing = issuer_with(&[("s", 3)]).lists("a b").lists("b").lists("b");
    let kept = missing.clone().ruled_anew(|rules| rules.retention = hours(1));
    kept.lists("b").publishes("b ~a").after(hours(1)).publishes("b");
    missing.restarted().lists("b").publishes("a b");
}

#[test]
fn keys_that_wait_for_an_approval_enter_when_new_keys_need_none_any_more() {
    issuer()
        .approving()
        .lists("a")
        .lists("a b")
        .publishes("a")
        .ruled_anew(|rules| rules.new_keys = NewKeys::Publish)
        .publishes("a b");
}
