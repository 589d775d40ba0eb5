//! The discovery document (OpenID Connect Discovery 1.0 section 3), byte for byte as an API server writes it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Profile;
use crate::key::Algorithm;
use crate::ring::KeySet;

/// The members of the discovery document that follow from the keys and the two URLs: not configurable.
const RESERVED_MEMBERS: [&str; 5] = [
    "issuer",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "id_token_signing_alg_values_supported",
];

/// A member's name as readers compare it that match names without case: Go's `encoding/json` (which takes the Kelvin
/// sign for a k, and U+017F for an s), Java and .NET libraries. Two names that fold to one are one member to them.
pub fn folded(name: &str) -> String {
    name.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .collect()
}

/// The member that the service writes itself and that some reader takes this one for.
pub fn reserved(name: &str) -> Option<&'static str> {
    let name = folded(name);
    RESERVED_MEMBERS.into_iter().find(|reserved| *reserved == name)
}

/// Compact JSON: the five members in their order, then the configured ones in theirs.
pub(super) fn write(profile: &Profile, key_set: &KeySet) -> Vec<u8> {
    let [issuer, jwks_uri, response_types, subject_types, algorithms] = RESERVED_MEMBERS;
    let values = [
        (issuer, Value::from(profile.issuer.as_str())),
        (jwks_uri, Value::from(profile.jwks_uri.as_str())),
        (response_types, Value::from(vec!["id_token"])),
        (subject_types, Value::from(vec!["public"])),
        (algorithms, algorithms_of(profile, key_set)),
    ];
    let extra = profile.extra.iter().filter(|(name, _)| reserved(name).is_none());
    let members = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .chain(extra.map(|(name, value)| (name.clone(), value.clone())))
        .collect();
    escape(&Value::Object(members).to_string()).into_bytes()
}

/// Sorted and unique: the algorithms of the published keys, and those announced ahead of their keys.
fn algorithms_of(profile: &Profile, key_set: &KeySet) -> Value {
    let published = key_set.keys.iter().map(|published| published.key.algorithm());
    let names: BTreeSet<_> = published
        .chain(profile.announced.iter().copied())
        .map(Algorithm::as_str)
        .collect();
    names.into_iter().collect()
}

/// What Go's encoding/json escapes beyond what JSON demands. None of these occurs outside of strings.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '&' => escaped.push_str("\\u0026"),
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::publication::fake;

    fn written(profile: &Profile, key_set: &KeySet) -> String {
        String::from_utf8(write(profile, key_set)).unwrap()
    }

    #[test]
    fn the_five_members_stand_in_their_order() {
        insta::assert_snapshot!(
            written(&fake::profile("https://oidc.example.com/prod"), &fake::rsa_only()),
            @r#"{"issuer":"https://oidc.example.com/prod","jwks_uri":"https://oidc.example.com/prod/jwks","response_types_supported":["id_token"],"subject_types_supported":["public"],"id_token_signing_alg_values_supported":["RS256"]}"#
        );
    }

    #[test]
    fn a_slash_at_the_end_of_the_issuer_is_kept_in_the_document() {
        let document = written(&fake::profile("https://oidc.example.com/"), &fake::rsa_only());
        assert!(document.starts_with(
            r#"{"issuer":"https://oidc.example.com/","jwks_uri":"https://oidc.example.com/jwks","#
        ));
    }

    #[test]
    fn algorithms_are_sorted_and_unique_with_the_announced_ones() {
        let mut profile = fake::profile("https://oidc.example.com");
        profile.announced = vec![Algorithm::Es512, Algorithm::Rs256];
        let document = written(&profile, &fake::mixed());
        assert!(
            document.ends_with(r#""id_token_signing_alg_values_supported":["ES256","ES512","RS256"]}"#),
            "{document}"
        );
    }

    #[test]
    fn markup_characters_are_escaped_as_go_does() {
        let mut profile = fake::profile("https://oidc.example.com/a&b");
        profile
            .extra
            .insert("note".into(), json!("<é \u{2028} \u{7f} \" \\ / \n \u{8} \u{1}>"));
        let document = written(&profile, &fake::rsa_only());
        let start = r#"{"issuer":"https://oidc.example.com/a\u0026b","jwks_uri":"https://oidc.example.com/a\u0026b/jwks","#;
        let end = r#","note":"\u003cé \u2028 DEL \" \\ / \n \b \u0001\u003e"}"#.replace("DEL", "\u{7f}");
        assert!(
            document.starts_with(start) && document.ends_with(&end),
            "{document}"
        );
    }

    #[test]
    fn configured_members_follow_the_five_and_never_replace_them() {
        let mut profile = fake::profile("https://oidc.example.com");
        profile
            .extra
            .insert("claims_supported".into(), json!(["sub", "iss"]));
        profile
            .extra
            .insert("issuer".into(), json!("https://evil.example"));
        profile
            .extra
            .insert("JWKS_URI".into(), json!("https://evil.example/jwks"));
        profile.extra.insert(
            "authorization_endpoint".into(),
            json!("https://oidc.example.com/none?a=1&b=2"),
        );
        let document = written(&profile, &fake::rsa_only());
        assert!(
            document.starts_with(r#"{"issuer":"https://oidc.example.com","#),
            "{document}"
        );
        assert!(
            document.ends_with(
                r#"["RS256"],"claims_supported":["sub","iss"],"authorization_endpoint":"https://oidc.example.com/none?a=1\u0026b=2"}"#
            ),
            "{document}"
        );
    }

    #[test]
    fn names_are_compared_as_readers_without_case_do() {
        for name in ["issuer", "ISSUER", "i\u{17f}suer", "I\u{17f}\u{17f}uer"] {
            assert_eq!(reserved(name), Some("issuer"), "{name}");
        }
        assert_eq!(reserved("jw\u{212a}s_uri"), Some("jwks_uri"));
        for name in ["issuers", "issuer ", "jwks-uri", "jwksuri", ""] {
            assert_eq!(reserved(name), None, "{name}");
        }
    }
}
