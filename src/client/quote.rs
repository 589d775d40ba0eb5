//! What a server wrote, for a message: bounded, on one line, and without anything that may be a secret, since an answer may
//! repeat a token or a signature.

/// More than that says nothing.
const MOST: usize = 300;

/// The text as it may be shown. `secrets` were sent to whoever wrote it.
pub(crate) fn quote(text: &str, secrets: &[&str]) -> String {
    // Bounded first: what is behind is not even looked at.
    let mut text: String = text.chars().take(4 * MOST).collect();
    for secret in secrets.iter().filter(|secret| secret.len() >= 4) {
        text = text.replace(*secret, "…");
    }
    let mut shown = String::new();
    for word in text.split_whitespace() {
        if !shown.is_empty() {
            shown.push(' ');
        }
        show(word, &mut shown);
    }
    if shown.chars().count() > MOST {
        shown = shown.chars().take(MOST).collect();
        shown.push('…');
    }
    shown
}

/// A word, with parts that may be secrets replaced.
fn show(word: &str, into: &mut String) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "+/=_-.~%".contains(c);
    let mut rest = word;
    while let Some(first) = rest.chars().next() {
        let end = if is_part(first) {
            rest.find(|c| !is_part(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (part, after) = rest.split_at(end);
        rest = after;
        if is_part(first) {
            into.push_str(if may_be_secret(part) { "…" } else { part });
        } else if first.is_ascii_graphic() || first.is_alphanumeric() || first == '…' {
            into.push(first);
        } else {
            into.push('\u{fffd}');
        }
    }
}

/// A token, a signature, a key: long, and made of more than words. Names of objects are in lower case, those of fields have
/// no digits.
fn may_be_secret(part: &str) -> bool {
    let has = |is: fn(&char) -> bool| part.chars().any(|c| is(&c));
    let is_mixed =
        has(char::is_ascii_uppercase) && has(char::is_ascii_lowercase) && has(char::is_ascii_digit);
    let is_hex = |part: &str| part.len() >= 32 && part.chars().all(|c| c.is_ascii_hexdigit());
    let is_bootstrap_token = part.split_once('.').is_some_and(|(id, secret)| {
        let is = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        id.len() == 6 && secret.len() == 16 && is(id) && is(secret)
    });
    (part.starts_with("eyJ") && part.len() > 8)
        || (part.len() >= 16 && is_mixed)
        || part.split(['-', '.']).any(is_hex)
        || is_bootstrap_token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_shown_on_one_line_and_bounded() {
        assert_eq!(
            quote("exceeded quota: cap,\n requested: count/configmaps=1", &[]),
            "exceeded quota: cap, requested: count/configmaps=1"
        );
        assert_eq!(
            quote("a\u{1b}[31m \"b\" \u{202e}c", &[]),
            "a\u{fffd}[31m \"b\" \u{fffd}c"
        );
        let long = quote(&"word ".repeat(1000), &[]);
        assert!(long.chars().count() <= MOST + 1 && long.ends_with('…'), "{long}");
        let name = "configmaps 'oidc-issuer-oidc-example-com-prod-2f1b0c3d4e5f6071' is forbidden";
        assert_eq!(quote(name, &[]), name);
    }

    #[test]
    fn what_may_be_a_secret_is_left_out() {
        for (text, shown) in [
            ("User \"eyJhbGciOi.eyJpc3Mi.AAAA\" cannot", "User \"…\" cannot"),
            ("token sha256~Zz9aBcDeFgHiJkLmNo is", "token … is"),
            ("abcdef.0123456789abcdef", "…"),
            ("sig=aB3dEfGhIjKlMnOpQr%2B", "…"),
            ("0123456789abcdef0123456789abcdef", "…"),
        ] {
            assert_eq!(quote(text, &[]), shown, "{text}");
        }
        assert_eq!(
            quote("you sent hunter2secret!", &["hunter2secret"]),
            "you sent …!"
        );
    }
}
