//! How much is read of the sources at once.

use super::*;
use crate::issuer::ReadLimits;

const ISSUERS: &str = "issuers:\n\
    - {issuer: 'https://a.example.com', sources: [{jwks: {url: 'https://k.example.com/a'}}, {jwks: {url: 'https://k.example.com/b'}}]}\n\
    - {issuer: 'https://b.example.com', cache: {jwks: {maxAge: 10s}}, sources: [{files: {paths: [/b.pem]}}, {jwks: {url: 'https://k.example.com/c'}}]}\n";

#[test]
fn how_much_is_read_at_once_is_bounded_and_may_be_chosen() {
    let settings = taken(ISSUERS);
    assert_eq!(settings.reads, ReadLimits::default());
    assert_eq!((settings.reads.at_once, settings.reads.per_second), (256, 2000));
    let chosen = taken(&format!(
        "{ISSUERS}limits: {{reads: {{atOnce: 8, perSecond: 100}}}}\n"
    ));
    assert_eq!((chosen.reads.at_once, chosen.reads.per_second), (8, 100));
    assert_eq!(chosen.limits, settings.limits);
    assert_eq!(settings.needing_restart(&chosen), ["limits"]);
    for wrong in ["atOnce: 3", "perSecond: 0", "perSecond: many", "atonce: 8"] {
        let yaml = format!("{ISSUERS}limits: {{reads: {{{wrong}}}}}\n");
        let problems = read_with(&yaml, &Overlay::default()).unwrap_err();
        assert!(problems.list[0].place.starts_with("limits.reads"), "{problems}");
    }
}

#[test]
fn a_round_that_is_longer_than_the_smallest_max_age_is_warned_of_with_the_sum() {
    assert_eq!(taken(ISSUERS).warnings(), Vec::<String>::new());
    let many = |name: &str| format!("{{jwks: {{url: 'https://k.example.com/{name}'}}}}");
    let sources: Vec<_> = (0..21).map(|number| many(&number.to_string())).collect();
    let yaml = |per_second| {
        format!(
            "issuers:\n- {{issuer: 'https://a.example.com', cache: {{jwks: {{maxAge: 10s}}}}, sources: [{}]}}\n\
             limits: {{reads: {{perSecond: {per_second}}}}}\n",
            sources.join(", ")
        )
    };
    assert_eq!(taken(&yaml(3)).warnings(), Vec::<String>::new(), "7 s");
    let warnings = taken(&yaml(2)).warnings();
    assert_eq!(warnings.len(), 1);
    for part in [
        "at least 11s",
        "21 sources",
        "2 reads a second",
        "maxAge 10s",
        "https://a.example.com",
    ] {
        assert!(warnings[0].contains(part), "{part}: {warnings:?}");
    }
}
