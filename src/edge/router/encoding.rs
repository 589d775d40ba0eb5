//! Which representation a request gets (RFC 9110 section 12.5.3).
//!
//! gzip or br only where the request names it with a weight above zero: the highest weight, on a tie br, gzip,
//! identity. `*` names nothing, and nothing is ever a reason to refuse: many verifiers cannot decode what they did
//! not ask for, and some send headers that they do not mean.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A weight in thousandths.
type Weight = u16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted {
    br: Weight,
    gzip: Weight,
    identity: Weight,
}

/// The one to send; `None` is the document as it is.
pub(super) fn choose<T>(headers: &HeaderMap, br: Option<T>, gzip: Option<T>) -> Option<T> {
    // Nearly all verifiers: no header, or one that names neither.
    if !headers.contains_key(ACCEPT_ENCODING) {
        return None;
    }
    let wanted = wanted(headers);
    let br = br.filter(|_| wanted.br > 0).map(|br| (wanted.br, br));
    let gzip = gzip.filter(|_| wanted.gzip > 0).map(|gzip| (wanted.gzip, gzip));
    let best = match (br, gzip) {
        (Some(br), Some(gzip)) => Some(if gzip.0 > br.0 { gzip } else { br }),
        (br, gzip) => br.or(gzip),
    };
    best.filter(|best| best.0 >= wanted.identity).map(|best| best.1)
}

fn wanted(headers: &HeaderMap) -> Wanted {
    let mut wanted = Wanted::default();
    for line in headers.get_all(ACCEPT_ENCODING) {
        for element in line.as_bytes().split(|b| *b == b',') {
            let Some((coding, weight)) = parse(element) else {
                continue;
            };
            let named = if coding.eq_ignore_ascii_case(b"br") {
                &mut wanted.br
            } else if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                &mut wanted.gzip
            } else if coding.eq_ignore_ascii_case(b"identity") {
                &mut wanted.identity
            } else {
                continue;
            };
            *named = weight.max(*named);
        }
    }
    wanted
}

/// `coding [ OWS ";" OWS "q=" qvalue ]`. What is written otherwise names nothing.
fn parse(element: &[u8]) -> Option<(&[u8], Weight)> {
    let mut parts = element.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let coding = parts.next()?;
    let weight = match parts.next() {
        None => 1000,
        Some([b'q' | b'Q', b'=', qvalue @ ..]) => weight(qvalue)?,
        Some(_) => return None,
    };
    parts.next().is_none().then_some((coding, weight))
}

/// `( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )`
fn weight(qvalue: &[u8]) -> Option<Weight> {
    let (whole, decimals) = match qvalue {
        [whole] => (whole, &[][..]),
        [whole, b'.', decimals @ ..] if decimals.len() <= 3 => (whole, decimals),
        _ => return None,
    };
    let mut weight = match whole {
        b'0' => 0,
        b'1' => 1000,
        _ => return None,
    };
    let mut place = 100;
    for digit in decimals {
        weight += Weight::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?) * place;
        place /= 10;
    }
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn chosen(lines: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        choose(&headers, Some("br"), Some("gzip")).unwrap_or("identity")
    }

    #[test]
    fn only_what_is_named_is_sent() {
        assert_eq!(chosen(&[]), "identity");
        for (line, coding) in [
            ("", "identity"),
            ("gzip", "gzip"),
            ("br", "br"),
            ("GZip", "gzip"),
            ("x-gzip", "gzip"),
            ("identity", "identity"),
            ("*", "identity"),
            ("*;q=1", "identity"),
            ("deflate, zstd, compress", "identity"),
            ("deflate, gzip;q=1.0, *;q=0.5", "gzip"),
            ("gzip, deflate, br, zstd", "br"),
            ("gzip;q=0.5", "gzip"),
            ("gzip;q=0.001", "gzip"),
            ("gzip;q=1.", "gzip"),
            ("gzipped, brotli", "identity"),
        ] {
            assert_eq!(chosen(&[line]), coding, "{line}");
        }
    }

    #[test]
    fn the_highest_weight_wins_and_on_a_tie_br_then_gzip_then_identity() {
        for (line, coding) in [
            ("gzip, br", "br"),
            ("br;q=0.9, gzip", "gzip"),
            ("br;q=0.9, gzip;q=0.9", "br"),
            ("gzip;q=0.5, identity;q=0.8", "identity"),
            ("gzip;q=0.8, identity;q=0.8", "gzip"),
            ("identity, gzip;q=0.9", "identity"),
            ("br;q=0.2, gzip;q=0.3, identity;q=0.1", "gzip"),
        ] {
            assert_eq!(chosen(&[line]), coding, "{line}");
        }
    }

    #[test]
    fn a_weight_of_zero_forbids_and_never_refuses() {
        for (line, coding) in [
            ("gzip;q=0", "identity"),
            ("gzip;q=0.000, br", "br"),
            ("br;q=0, gzip;q=0, identity;q=0", "identity"),
            ("identity;q=0", "identity"),
            ("identity;q=0, *;q=0", "identity"),
            ("*;q=0, gzip;q=1", "gzip"),
        ] {
            assert_eq!(chosen(&[line]), coding, "{line}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(chosen(&["gzip;q=0.5", "br;q=0.4"]), "gzip");
        assert_eq!(chosen(&["deflate", "br"]), "br");
    }

    #[test]
    fn space_is_allowed_where_the_grammar_allows_it() {
        assert_eq!(chosen(&["  gzip ;  q=0.5 ,\tbr;Q=0.4,, "]), "gzip");
    }

    #[test]
    fn a_malformed_element_names_nothing() {
        for line in [
            "gzip;q=",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=-1",
            "gzip;q=.5",
            "gzip;q=0,5;",
            "gzip;x=1",
            "gzip;q=1;x",
            "gzip q=1",
            "\"gzip\"",
            "gzip;q=0.1a",
        ] {
            assert_eq!(chosen(&[line]), "identity", "{line}");
        }
    }

    #[test]
    fn a_representation_that_is_not_offered_is_not_chosen() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip;q=0.5"));
        assert_eq!(choose(&headers, None, Some("gzip")), Some("gzip"));
        assert_eq!(choose::<&str>(&headers, None, None), None);
    }

    proptest! {
        #[test]
        fn no_header_panics_and_nothing_unnamed_is_sent(line in "[ -~\t]{0,60}") {
            let chosen = chosen(&[&line]);
            prop_assert!(chosen == "identity" || line.to_ascii_lowercase().contains(chosen));
        }
    }
}
