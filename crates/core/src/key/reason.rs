//! Why an entry is held back, and why a document is none of ours, in words for a person.
//!
//! Nothing here carries key material: what is quoted from a document is short and of a kind that is public.

/// Why an entry is held back. `Display` is a sentence for a person; it never contains key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The same `kid` names other material, here or in what is published.
    #[error("kid {kid} already names another key: the same kid with other material")]
    KidConflict {
        /// The kid in question.
        kid: String,
    },
    /// The set would outgrow the size that verifiers accept.
    #[error("held: the JWKS would be larger than {max_bytes} bytes; remove keys that are no longer needed")]
    SizeLimit {
        /// Upper bound of the document.
        max_bytes: usize,
    },
    /// Too many keys are published or were until lately.
    #[error("held: {max_keys} keys are listed or retained already; is there a new key at every read?")]
    KeyLimit {
        /// Upper bound of listed and retained keys.
        max_keys: usize,
    },
    /// Entries of a reading beyond what is looked at: those that are published come first.
    #[error("{more} entries more than the {most} that are looked at in one reading: what lists so many?")]
    TooMany {
        /// How many are looked at.
        most: usize,
        /// How many are not.
        more: usize,
    },
    /// An operator revoked its material.
    #[error("revoked on {when} by {by}: {why}")]
    Revoked {
        /// When.
        when: jiff::Timestamp,
        /// By whom.
        by: String,
        /// Why.
        why: String,
    },
    /// It stands in a listing that shares no key with what is published, and that is not confirmed yet.
    #[error(
        "held: {place} lists none of the published keys any more (another cluster?); it waits for confirmation as change {change}"
    )]
    Unconfirmed {
        /// Which source, and which of its endpoints.
        place: String,
        /// The name of the change.
        change: String,
    },
    /// New keys wait for an operator.
    #[error("held: a new key, which waits for approval (`keys approve`)")]
    Unapproved,

    /// The armour of a PEM block is broken: the API server skips such a block without a word.
    #[error("broken PEM block: {0}")]
    Pem(PemFault),
    /// The block is an encrypted private key.
    #[error("an encrypted private key: give the public key instead (openssl pkey -in FILE -pubout)")]
    Encrypted,
    /// The block is a private key in OpenSSH's own form.
    #[error("an OpenSSH private key: give the public key instead (ssh-keygen -e -m PKCS8 -f FILE)")]
    OpenSsh,
    /// The block is whole but holds something else than a key.
    #[error("{what}, not a key{}", instead(what))]
    NotAKey {
        /// What it is: `a certificate request`.
        what: &'static str,
    },
    /// The block is labelled as a key, or has the outline of one, and cannot be read as one.
    #[error("cannot be read as a key: {detail}")]
    Der {
        /// What is wrong: `the data ends early`.
        detail: &'static str,
    },
    /// A private key whose parts do not belong together.
    #[error("a private key whose parts do not fit together; the API server does not accept it either")]
    PrivateMismatch,

    /// RSA below 2048 bits.
    #[error("RSA of {bits} bits: {}at least 2048 are needed", if *bits < 512 { "a shortened sample? " } else { "" })]
    RsaTooShort {
        /// Bits of the modulus.
        bits: usize,
    },
    /// RSA above 8192 bits.
    #[error("RSA of {bits} bits: verifiers accept at most 8192")]
    RsaTooLong {
        /// Bits of the modulus.
        bits: usize,
    },
    /// An even RSA modulus: no product of two odd primes.
    #[error("the RSA modulus is even: it cannot be the modulus of a key")]
    RsaEvenModulus,
    /// An RSA exponent that is even, below 3 or above 2³¹−1.
    #[error("the RSA exponent {0}: it must be odd, and between 3 and 2147483647")]
    RsaExponent(ExponentFault),

    /// An elliptic curve other than P-256, P-384 and P-521.
    #[error("EC on {curve}: only P-256, P-384 and P-521 can be published{}", if curve == "P-224" { "; an API server with such a key answers 404 for its discovery and JWKS" } else { "" })]
    Curve {
        /// Its name, or what is known of it.
        curve: String,
    },
    /// A compressed or hybrid point.
    #[error(
        "a compressed or hybrid EC point: write the key with an uncompressed one (openssl ec -pubin -in FILE -conv_form uncompressed)"
    )]
    CompressedPoint,
    /// A point that is not on its curve.
    #[error("the point is not on the curve {curve}")]
    OffCurve {
        /// The curve.
        curve: &'static str,
    },

    /// A type of key that cannot be published: Ed25519, ML-DSA, DSA …
    #[error("{key_type}: only RSA and EC keys on P-256, P-384 and P-521 can be published")]
    KeyType {
        /// The type, in the words of the document where they are short.
        key_type: String,
    },
    /// A symmetric key.
    #[error(
        "a symmetric key: it must never be published, and whoever could read this document may forge tokens"
    )]
    Symmetric,
    /// A JWK with private members.
    #[error(
        "a private key (member {member}): give the public members only, and replace the key if others could read it"
    )]
    Private {
        /// The member that gave it away.
        member: &'static str,
    },
    /// An `alg` other than that of the type.
    #[error("alg {found}, where keys of this kind are published as {expected}")]
    Algorithm {
        /// What the document says.
        found: String,
        /// What it would have to be.
        expected: &'static str,
    },
    /// A `use` other than `sig`.
    #[error("use {found}: only signature keys (use \"sig\") are published")]
    Use {
        /// What the document says.
        found: String,
    },
    /// A `key_ops` that does not allow verifying signatures (RFC 7517 section 4.3).
    #[error("key_ops {found}: only keys for verifying signatures (\"verify\") are published")]
    KeyOps {
        /// What the document says, shortened.
        found: String,
    },
    /// `use` says signatures and `key_ops` something else: readers differ in which one they follow.
    #[error("use \"sig\" and key_ops {found} contradict each other: leave one of them out")]
    UseAndKeyOps {
        /// What `key_ops` says, shortened.
        found: String,
    },
    /// A `kid` that cannot be published.
    #[error("the kid {0}")]
    Kid(KidFault),
    /// The entry of a JWKS is not an object.
    #[error("{found}, where a JSON object is expected")]
    NotAnObject {
        /// What it is: `a string`.
        found: &'static str,
    },
    /// A member given twice: readers differ in which one they take.
    #[error("the member {member} is given twice")]
    DuplicateMember {
        /// Its name.
        member: String,
    },
    /// A member that the type of the key needs is not there.
    #[error("the member {member} is missing")]
    MissingMember {
        /// Its name.
        member: &'static str,
    },
    /// A member that is not what it has to be.
    #[error("the member {member} {fault}")]
    Member {
        /// Its name.
        member: &'static str,
        /// What is wrong with it.
        fault: MemberFault,
    },
    /// A file of a source that is no key file at all.
    #[error("{0}")]
    NotAKeyFile(ParseError),
    /// A file of a source that could not be read.
    #[error("{cause}")]
    Unreadable {
        /// Why, and what to do.
        cause: String,
    },
}

impl Reason {
    /// A short, stable name: the metric label `reason`.
    pub fn label(&self) -> &'static str {
        match self {
            Self::KidConflict { .. } => "kid_conflict",
            Self::SizeLimit { .. } => "size_limit",
            Self::KeyLimit { .. } => "key_limit",
            Self::TooMany { .. } => "too_many",
            Self::Revoked { .. } => "revoked",
            Self::Unconfirmed { .. } => "unconfirmed",
            Self::Unapproved => "unapproved",
            Self::Pem(_) => "pem",
            Self::Encrypted => "encrypted",
            Self::OpenSsh => "open_ssh",
            Self::NotAKey { .. } => "not_a_key",
            Self::Der { .. } => "der",
            Self::PrivateMismatch => "private_mismatch",
            Self::RsaTooShort { .. } => "rsa_too_short",
            Self::RsaTooLong { .. } => "rsa_too_long",
            Self::RsaEvenModulus => "rsa_modulus",
            Self::RsaExponent(_) => "rsa_exponent",
            Self::Curve { .. } => "curve",
            Self::CompressedPoint => "compressed_point",
            Self::OffCurve { .. } => "off_curve",
            Self::KeyType { .. } => "key_type",
            Self::Symmetric => "symmetric",
            Self::Private { .. } => "private",
            Self::Algorithm { .. } => "algorithm",
            Self::Use { .. } => "use",
            Self::KeyOps { .. } | Self::UseAndKeyOps { .. } => "key_ops",
            Self::Kid(_) => "kid",
            Self::NotAnObject { .. } => "not_an_object",
            Self::DuplicateMember { .. } => "duplicate_member",
            Self::MissingMember { .. } => "missing_member",
            Self::Member { .. } => "member",
            Self::NotAKeyFile(_) => "not_a_key_file",
            Self::Unreadable { .. } => "unreadable",
        }
    }
}

/// Breaks lines where `\n` stands in letters, after BEGIN and before END.
const ONE_LINE: &str =
    r"sed 's/\\n/\n/g; s/\(-----BEGIN [A-Z0-9 ]*-----\) */\1\n/g; s/ *\(-----END\)/\n\1/g' FILE";

/// What a certificate request is called.
pub(super) const REQUEST: &str = "a certificate request";
/// What a PKCS#7 message is called.
pub(super) const PKCS7: &str = "a PKCS#7 or CMS message";
/// What `OpenPGP` keys and messages are called.
pub(super) const OPENPGP: &str = "an OpenPGP block";

/// How a key is had from what is no key.
fn instead(what: &str) -> &'static str {
    match what {
        REQUEST => ": take the key out of it (openssl req -in FILE -noout -pubkey)",
        PKCS7 => ": take the certificates out of it (openssl pkcs7 -in FILE -print_certs)",
        OPENPGP => ", and cannot be published: an API server signs with no such key",
        _ => "",
    }
}

/// How the armour of a PEM block is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PemFault {
    /// No END line follows.
    #[error("no END line follows on a line of its own")]
    NoEnd,
    /// An END line without a BEGIN line before it.
    #[error("an END line without a BEGIN line")]
    NoBegin,
    /// BEGIN is not at the start of its line.
    #[error(
        "BEGIN is not at the start of its line: remove what stands before it (sed 's/^[[:space:]]*//' FILE)"
    )]
    Indented,
    /// Label or line end after BEGIN are wrong.
    #[error("the BEGIN line does not end in -----")]
    BeginLine,
    /// The whole block stands on one line, or has `\n` in letters.
    #[error("all on one line: BEGIN, body and END need lines of their own ({})", ONE_LINE)]
    OneLine,
    /// The label of END differs from that of BEGIN, or other text follows it.
    #[error("the END line does not match the BEGIN line")]
    EndLine,
    /// The body is not base64.
    #[error("the body is not base64")]
    Base64,
    /// Headers without a body.
    #[error("the headers run into the END line")]
    Headers,
    /// A line that was meant as BEGIN or END.
    #[error(
        "BEGIN or END, but not as in -----BEGIN PUBLIC KEY-----: write it with five plain hyphens on each side, in capitals, at \
         the start of the line"
    )]
    Marker,
    /// A body alone.
    #[error(
        "base64 of a key without its BEGIN and END lines: put -----BEGIN PUBLIC KEY----- and -----END PUBLIC KEY----- around it, or remove it"
    )]
    Bare,
    /// Nothing between BEGIN and END.
    #[error("it is empty")]
    Empty,
}

/// What is wrong with an RSA exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExponentFault {
    /// Divisible by two.
    #[error("is even")]
    Even,
    /// 0 or 1.
    #[error("is below 3")]
    TooSmall,
    /// Above 2³¹−1.
    #[error("is above 2147483647")]
    TooLarge,
}

/// What is wrong with a `kid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KidFault {
    /// Above 1024 bytes, the bound of the API server.
    #[error("has {bytes} bytes, more than 1024")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// Control characters.
    #[error("contains control characters")]
    Control,
}

/// What is wrong with a member of a JWK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberFault {
    /// Another JSON type.
    #[error("is {found}, not a string")]
    NotAString {
        /// What it is: `a number`.
        found: &'static str,
    },
    /// Another JSON type.
    #[error("is {found}, not an array of strings")]
    NotAnArray {
        /// What it is: `a string`.
        found: &'static str,
    },
    /// An array with something else in it.
    #[error("has {found} in it, where only strings are allowed")]
    NotOnlyStrings {
        /// What it is: `a number`.
        found: &'static str,
    },
    /// An array that must have no value twice.
    #[error("has a value twice")]
    ValueTwice,
    /// Invalid UTF-8 or half a surrogate pair.
    #[error("is not Unicode text")]
    NotUnicode,
    /// Padding.
    #[error("has base64 padding (=): base64url in a JWK has none")]
    Padding,
    /// The alphabet of ordinary base64.
    #[error("is in the alphabet of plain base64 (+ and /), not of base64url (- and _)")]
    PlainBase64,
    /// No base64url for another cause.
    #[error("is not base64url")]
    NotBase64Url,
    /// A coordinate of the wrong width.
    #[error("has {found} bytes, where the curve has {expected}")]
    Width {
        /// Bytes it has.
        found: usize,
        /// Bytes of the curve's field.
        expected: usize,
    },
}

/// A document that is not a key file at all, or not a JWKS: what it is instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing, or white space only.
    #[error("it is empty: write the public key into it (a PEM file or a JWKS)")]
    Empty,
    /// Above [`MAX_BYTES`](super::MAX_BYTES).
    #[error(
        "it has {bytes} bytes, more than the {} a key document may have",
        super::MAX_BYTES
    )]
    TooLarge {
        /// Bytes it has.
        bytes: usize,
    },
    /// A web page.
    #[error("it is an HTML or XML page, not a key document: a login page, or an error of a proxy?")]
    Html,
    /// UTF-16, as some editors save.
    #[error("it is UTF-16 text: save it as UTF-8, or convert it with iconv -f {name} -t UTF-8 FILE")]
    Utf16 {
        /// Which of the two, as iconv names it.
        name: &'static str,
    },
    /// A document of another kind that is known by sight.
    #[error("it is {what}: {advice}")]
    Foreign {
        /// Its kind.
        what: String,
        /// The command that makes a key file of it, or why there is none.
        advice: String,
    },
    /// A token.
    #[error("it is a token (JWT), not a key: to see what it claims, give it to oidc-issuer inspect --token")]
    Token,
    /// Broken JSON.
    #[error("it is not JSON: {detail} at line {line}, column {column}")]
    Json {
        /// What was met or expected.
        detail: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
    },
    /// JSON nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    #[error("its JSON is nested more than {} levels deep", super::MAX_DEPTH)]
    TooDeep,
    /// JSON, but no JWKS.
    #[error("it is not a JWKS (an object with an array `keys`): it is {found}")]
    NotAJwks {
        /// What it is: `a single JWK: put it into {"keys":[…]}`.
        found: &'static str,
    },
    /// Nothing in it looks like a key.
    #[error("neither a PEM block with a key nor a JWKS was found in it: give a file with one of them")]
    NoKeys,
}
