//! A reader of DER elements that takes what Go's `encoding/asn1` takes, and no more.
//!
//! Go tolerates further elements at the end of a SEQUENCE; crates that decode whole structures do not, and then a key
//! that the cluster signs with would be missing from what is published.

/// What is wrong, for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
/// `[0] EXPLICIT`
pub(super) const CONTEXT_0: u8 = 0xa0;

/// Elements, one after another.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(super) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The octets not yet read.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    /// The tag of the next element.
    pub(super) fn peek(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The tags of the elements to come, as far as they can be read, five at most: the outline of a structure.
    pub(super) fn outline(mut self) -> Vec<u8> {
        let mut tags = Vec::new();
        while let (Ok((tag, _)), true) = (self.any(), tags.len() < 5) {
            tags.push(tag);
        }
        tags
    }

    /// Reads the next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let short = Malformed("the data ends early");
        let (&tag, rest) = self.0.split_first().ok_or(short)?;
        if tag & 0x1f == 0x1f {
            return Err(Malformed("an unknown element"));
        }
        let (&first, mut rest) = rest.split_first().ok_or(short)?;
        let mut length = usize::from(first);
        if first == 0x80 {
            return Err(Malformed("an element of indefinite length: this is BER, not DER"));
        }
        if first > 0x80 {
            let octets;
            (octets, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(short)?;
            if octets[0] == 0 || octets.len() > 4 || octets.len() == 1 && octets[0] < 0x80 {
                return Err(Malformed(
                    "a length is not in its shortest form: this is BER, not DER",
                ));
            }
            length = octets
                .iter()
                .fold(0, |length, octet| length << 8 | usize::from(*octet));
        }
        let (content, rest) = rest.split_at_checked(length).ok_or(short)?;
        self.0 = rest;
        Ok((tag, content))
    }

    /// Reads the next element, which must have this tag.
    pub(super) fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.peek() {
            None => Err(Malformed("the data ends early")),
            Some(found) if found != tag => Err(Malformed("an element of another type than expected")),
            Some(_) => Ok(self.any()?.1),
        }
    }

    pub(super) fn sequence(&mut self) -> Result<Self, Malformed> {
        self.take(SEQUENCE).map(Self)
    }

    /// Reads an INTEGER above zero, and returns it big-endian without leading zero octets.
    pub(super) fn positive(&mut self) -> Result<&'a [u8], Malformed> {
        match self.take(INTEGER)? {
            [] => Err(Malformed("an empty number")),
            [0] => Err(Malformed("a number is zero")),
            [0, second, ..] if *second < 0x80 => Err(Malformed("a number has leading zero octets")),
            [0x80..=0xff, ..] => Err(Malformed("a number is negative")),
            [0, magnitude @ ..] | magnitude => Ok(magnitude),
        }
    }

    /// Reads a BIT STRING of whole octets.
    pub(super) fn bit_string(&mut self) -> Result<&'a [u8], Malformed> {
        match self.take(BIT_STRING)? {
            [0, octets @ ..] => Ok(octets),
            _ => Err(Malformed("a bit string that is not of whole octets")),
        }
    }
}

/// An object identifier in dots, for a person; `None` where it is malformed or long.
pub(super) fn dotted(oid: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for (at, octet) in oid.iter().enumerate() {
        arc = arc.checked_mul(128)? + u64::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first.to_string());
                arc -= 40 * first;
            }
            arcs.push(arc.to_string());
            arc = 0;
        } else if at + 1 == oid.len() {
            return None;
        }
    }
    let text = arcs.join(".");
    (!text.is_empty() && text.len() <= 40).then_some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_must_be_in_their_shortest_form() {
        for octets in [
            &[0x30, 0x80, 0, 0][..],
            &[0x30, 0x81, 0x01, 0],
            &[0x30, 0x82, 0, 0x80],
            &[0x30, 0x85, 1, 0, 0, 0, 0],
            &[0x30, 0x05, 0],
            &[0x30],
            &[],
            &[0x1f, 0x81, 0x01, 0],
        ] {
            assert!(Der::new(octets).any().is_err(), "{octets:?}");
        }
        assert_eq!(Der::new(&[0x04, 0x01, 0x07]).any(), Ok((4, &[7][..])));
    }

    #[test]
    fn numbers_must_be_positive_and_minimal() {
        let positive = |octets: &'static [u8]| Der::new(octets).positive();
        assert_eq!(positive(&[2, 2, 0, 0x80]), Ok(&[0x80][..]));
        assert_eq!(positive(&[2, 1, 3]), Ok(&[3][..]));
        for octets in [&[2, 0][..], &[2, 1, 0], &[2, 2, 0, 1], &[2, 1, 0x80], &[3, 1, 1]] {
            assert!(positive(octets).is_err(), "{octets:?}");
        }
    }

    #[test]
    fn identifiers_are_shown_in_dots() {
        let rsa = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        assert_eq!(dotted(&rsa).unwrap(), "1.2.840.113549.1.1.1");
        assert_eq!(dotted(&[0x2b, 0x65, 0x70]).unwrap(), "1.3.101.112");
        assert_eq!(dotted(&[]), None);
        assert_eq!(dotted(&[0x2b, 0x80]), None);
    }

    proptest! {
        #[test]
        fn arbitrary_octets_never_panic(octets in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut der = Der::new(&octets);
            let _ = (der.outline(), dotted(&octets));
            while der.any().is_ok() {}
        }
    }
}
