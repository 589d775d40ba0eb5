//! Which representation a request gets (RFC 9110 section 12.5.3).
//!
//! gzip or br only where the request names it with a weight above zero: the highest weight, on a tie br, gzip,
//! identity. `*` names nothing, and nothing is ever a reason to refuse: many verifiers cannot decode what they did
//! not ask for, and some send headers that they do not mean.

use std::cmp::Reverse;

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::representation::Encoding;

/// A weight in thousandths.
type Weight = u16;

/// What a request may be sent, in the order in which it is to be tried.
pub(super) fn order(headers: &HeaderMap) -> impl Iterator<Item = Encoding> + use<> {
    let [mut br, mut gzip, mut identity] = [0; 3];
    // Nearly all verifiers send no such header, or one that names neither.
    for line in headers.get_all(ACCEPT_ENCODING) {
        for element in line.as_bytes().split(|b| *b == b',') {
            let Some((coding, weight)) = parse(element) else {
                continue;
            };
            let named = if coding.eq_ignore_ascii_case(b"br") {
                &mut br
            } else if coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip") {
                &mut gzip
            } else if coding.eq_ignore_ascii_case(b"identity") {
                &mut identity
            } else {
                continue;
            };
            *named = weight.max(*named);
        }
    }
    let mut wanted = [(br, Encoding::Br), (gzip, Encoding::Gzip)];
    // Stable: on a tie br stays first.
    wanted.sort_by_key(|(weight, _)| Reverse(*weight));
    wanted
        .into_iter()
        .filter(move |(weight, _)| *weight > 0 && *weight >= identity)
        .map(|(_, encoding)| encoding)
        .chain([Encoding::Identity])
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

    fn name(encoding: Option<Encoding>) -> &'static str {
        match encoding {
            Some(Encoding::Br) => "br",
            Some(Encoding::Gzip) => "gzip",
            Some(Encoding::Identity) => "identity",
            None => "nothing",
        }
    }

    fn chosen(lines: &[&str]) -> &'static str {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_str(line).unwrap());
        }
        name(order(&headers).next())
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
    fn where_an_encoding_is_not_offered_the_next_one_is_tried_and_the_document_as_it_is_last() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT_ENCODING, HeaderValue::from_static("br, gzip;q=0.5"));
        let order: Vec<_> = order(&headers).collect();
        assert_eq!(order, [Encoding::Br, Encoding::Gzip, Encoding::Identity]);
    }

    proptest! {
        #[test]
        fn no_header_panics_and_nothing_unnamed_is_sent(line in "[ -~\t]{0,60}") {
            let chosen = chosen(&[&line]);
            prop_assert!(chosen == "identity" || line.to_ascii_lowercase().contains(chosen));
        }
    }
}
