//! The material of a key, and whether it may be published.

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{Algorithm, ExponentFault, Reason};

/// Bits of an RSA modulus that is published.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// The public half of a key, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Material {
    /// Modulus and exponent, big-endian without leading zero octets.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// A point of the curve, each coordinate at full width.
    Ec { curve: Curve, x: Vec<u8>, y: Vec<u8> },
}

impl Material {
    /// From modulus and exponent, big-endian; leading zero octets are removed.
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, Reason> {
        let (n, e) = (significant(n), significant(e));
        let bits = bits(n);
        if bits < *RSA_BITS.start() {
            return Err(Reason::RsaTooShort { bits });
        }
        if bits > *RSA_BITS.end() {
            return Err(Reason::RsaTooLong { bits });
        }
        if is_even(n) {
            return Err(Reason::RsaEvenModulus);
        }
        let exponent = match e.len() {
            0..=4 => e.iter().fold(0, |value, octet| value << 8 | u32::from(*octet)),
            _ => u32::MAX,
        };
        let fault = match exponent {
            0..=2 => Some(ExponentFault::TooSmall),
            _ if i32::try_from(exponent).is_err() => Some(ExponentFault::TooLarge),
            _ if exponent.is_multiple_of(2) => Some(ExponentFault::Even),
            _ => None,
        };
        match fault {
            Some(fault) => Err(Reason::RsaExponent(fault)),
            None => Ok(Self::Rsa {
                n: n.to_vec(),
                e: e.to_vec(),
            }),
        }
    }

    /// From a point as in SEC 1 section 2.3.3: `04 || x || y`.
    pub(super) fn ec_point(curve: Curve, point: &[u8]) -> Result<Self, Reason> {
        let malformed = |detail| Err(Reason::Der { detail });
        match point {
            [4, coordinates @ ..] if coordinates.len() == 2 * curve.width() => {
                let (x, y) = coordinates.split_at(curve.width());
                Self::ec(curve, x, y)
            }
            [4, ..] => malformed("the point has another width than its curve"),
            [2 | 3 | 6 | 7, ..] => Err(Reason::CompressedPoint),
            [0] => malformed("the point at infinity"),
            _ => malformed("the point is in no known form"),
        }
    }

    /// From coordinates of the curve's width.
    pub(super) fn ec(curve: Curve, x: &[u8], y: &[u8]) -> Result<Self, Reason> {
        let point = [&[4], x, y].concat();
        let checked = agreement::ParsedPublicKey::try_from(UnparsedPublicKey::new(curve.ecdh(), point));
        match checked {
            Ok(_) => Ok(Self::Ec {
                curve,
                x: x.to_vec(),
                y: y.to_vec(),
            }),
            Err(_) => Err(Reason::OffCurve {
                curve: curve.as_str(),
            }),
        }
    }

    /// The public half of a private number. Its width may differ from the curve's by leading zero octets.
    pub(super) fn ec_private(curve: Curve, number: &[u8]) -> Result<Self, Reason> {
        let out_of_range = Reason::Der {
            detail: "the private number is out of the range of its curve",
        };
        let number = significant(number);
        if number.len() > curve.width() {
            return Err(out_of_range);
        }
        let mut padded = Zeroizing::new(vec![0; curve.width()]);
        padded[curve.width() - number.len()..].copy_from_slice(number);
        let public = agreement::PrivateKey::from_private_key(curve.ecdh(), &padded)
            .ok()
            .and_then(|private| private.compute_public_key().ok())
            .ok_or(out_of_range)?;
        Self::ec_point(curve, public.as_ref())
    }

    /// What its signatures are called.
    pub(super) fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa { .. } => Algorithm::Rs256,
            Self::Ec { curve, .. } => curve.algorithm(),
        }
    }

    /// Bits of the RSA modulus; of a curve its name says it.
    pub(super) fn rsa_bits(&self) -> Option<usize> {
        match self {
            Self::Rsa { n, .. } => Some(bits(n)),
            Self::Ec { .. } => None,
        }
    }
}

/// The curves of publishable keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    pub(super) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The name in `crv` (RFC 7518 section 6.2.1.1).
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::P256 => "P-256",
            Self::P384 => "P-384",
            Self::P521 => "P-521",
        }
    }

    /// Octets of a coordinate.
    pub(super) fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::Es256,
            Self::P384 => Algorithm::Es384,
            Self::P521 => Algorithm::Es512,
        }
    }

    fn ecdh(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
            Self::P521 => &ECDH_P521,
        }
    }
}

fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|octet| **octet == 0).count();
    &number[zeros..]
}

fn bits(number: &[u8]) -> usize {
    match number.first() {
        Some(first) => 8 * number.len() - first.leading_zeros() as usize,
        None => 0,
    }
}

fn is_even(number: &[u8]) -> bool {
    number.last().is_none_or(|octet| octet.is_multiple_of(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modulus(bits: usize) -> Vec<u8> {
        let mut n = vec![0xff; bits.div_ceil(8)];
        n[0] >>= 8 * n.len() - bits;
        n
    }

    #[test]
    fn rsa_has_2048_to_8192_bits() {
        let with = |bits| Material::rsa(&modulus(bits), &[1, 0, 1]);
        assert_eq!(with(2047), Err(Reason::RsaTooShort { bits: 2047 }));
        assert!(with(2048).is_ok());
        assert!(with(8192).is_ok());
        assert_eq!(with(8193), Err(Reason::RsaTooLong { bits: 8193 }));
        let sample = Material::rsa(&modulus(240), &[1, 0, 1]).unwrap_err();
        assert_eq!(
            sample.to_string(),
            "RSA of 240 bits: a shortened sample? at least 2048 are needed"
        );
        assert_eq!(Material::rsa(&[], &[]), Err(Reason::RsaTooShort { bits: 0 }));
    }

    #[test]
    fn an_rsa_exponent_is_odd_and_from_3_to_2_to_the_31_less_1() {
        use ExponentFault::{Even, TooLarge, TooSmall};
        let with = |e: &[u8]| Material::rsa(&modulus(2048), e).err();
        let fault = |fault| Some(Reason::RsaExponent(fault));
        assert_eq!(with(&[]), fault(TooSmall));
        assert_eq!(with(&[0, 0]), fault(TooSmall));
        assert_eq!(with(&[1]), fault(TooSmall));
        assert_eq!(with(&[2]), fault(TooSmall));
        assert_eq!(with(&[3]), None);
        assert_eq!(with(&[4]), fault(Even));
        assert_eq!(with(&[1, 0, 0]), fault(Even));
        assert_eq!(with(&[0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(with(&[0, 0x7f, 0xff, 0xff, 0xff]), None);
        assert_eq!(with(&[0x80, 0, 0, 1]), fault(TooLarge));
        assert_eq!(with(&[1, 0, 0, 0, 1]), fault(TooLarge));
    }

    #[test]
    fn an_rsa_modulus_is_odd() {
        let mut n = modulus(2048);
        n[255] = 0xfe;
        assert_eq!(Material::rsa(&n, &[1, 0, 1]), Err(Reason::RsaEvenModulus));
    }

    #[test]
    fn leading_zero_octets_of_rsa_numbers_are_removed() {
        let padded = [vec![0; 3], modulus(2048)].concat();
        let plain = Material::rsa(&modulus(2048), &[1, 0, 1]);
        assert_eq!(Material::rsa(&padded, &[0, 1, 0, 1]), plain);
    }

    #[test]
    fn a_point_must_be_on_its_curve() {
        for curve in Curve::ALL {
            let Material::Ec { x, mut y, .. } = Material::ec_private(curve, &[7]).unwrap() else {
                panic!("an EC key");
            };
            assert!(Material::ec(curve, &x, &y).is_ok());
            assert!(Material::ec_point(curve, &[&[4][..], &x, &y].concat()).is_ok());
            let compressed = [&[2][..], &x].concat();
            assert_eq!(
                Material::ec_point(curve, &compressed),
                Err(Reason::CompressedPoint)
            );
            y[curve.width() - 1] ^= 1;
            let off = Err(Reason::OffCurve {
                curve: curve.as_str(),
            });
            assert_eq!(Material::ec(curve, &x, &y), off);
            let zero = vec![0; curve.width()];
            assert_eq!(Material::ec(curve, &zero, &zero), off);
            let beyond = vec![0xff; curve.width()];
            assert_eq!(Material::ec(curve, &beyond, &beyond), off);
            assert!(Material::ec_point(curve, &[0]).is_err());
            assert!(Material::ec_point(curve, &[4, 1, 2]).is_err());
            assert!(Material::ec_point(curve, &[]).is_err());
        }
    }

    #[test]
    fn a_private_number_may_lack_or_repeat_leading_zero_octets() {
        for curve in Curve::ALL {
            let plain = Material::ec_private(curve, &[1, 2, 3]).unwrap();
            let long = [vec![0; 70], vec![1, 2, 3]].concat();
            assert_eq!(Material::ec_private(curve, &long).unwrap(), plain);
            assert!(Material::ec_private(curve, &[]).is_err());
            assert!(Material::ec_private(curve, &vec![0xff; curve.width()]).is_err());
            assert!(Material::ec_private(curve, &vec![1; curve.width() + 1]).is_err());
        }
    }
}
