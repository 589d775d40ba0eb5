//! The rules of a key document, as its readers see them: PEM in `tests/pem.rs`, JWKS in `tests/jwks.rs`.

mod jwks;
mod pem;

use serde_json::Value;

use super::{ParseError, Parsed, Reason, parse_file};

/// A key as the API server publishes it, its PEM beside it.
struct Vector {
    pem: String,
    jwk: String,
}

fn vectors() -> Vec<Vector> {
    let file: Value = serde_json::from_str(include_str!("../../../../tests/vectors/kid.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap().iter();
    vectors
        .map(|vector| Vector {
            pem: vector["pem"].as_str().unwrap().to_owned(),
            jwk: vector["jwk"].to_string(),
        })
        .collect()
}

fn rsa() -> Vector {
    vectors().swap_remove(0)
}

fn ec() -> Vector {
    vectors().swap_remove(1)
}

fn parse(document: impl AsRef<[u8]>) -> Parsed {
    parse_file(document.as_ref()).unwrap()
}

fn jwks_of(parsed: &Parsed) -> Vec<&str> {
    parsed.keys.iter().map(super::PublicKey::jwk).collect()
}

fn reasons(parsed: &Parsed) -> Vec<&Reason> {
    parsed
        .quarantined
        .iter()
        .map(|quarantined| &quarantined.reason)
        .collect()
}

#[test]
fn the_kid_of_a_pem_key_is_that_of_the_api_server() {
    for vector in vectors() {
        assert_eq!(jwks_of(&parse(&vector.pem)), [vector.jwk]);
    }
}

#[test]
fn a_document_that_holds_no_keys_is_told_what_it_is() {
    let told = |document: &[u8]| parse_file(document).unwrap_err();
    assert_eq!(told(b""), ParseError::Empty);
    assert_eq!(told(b"\xef\xbb\xbf \r\n\t "), ParseError::Empty);
    assert_eq!(told(b"<!DOCTYPE html><html>"), ParseError::Html);
    assert_eq!(told(b"\xff\xfe-\0-\0-\0"), ParseError::Utf16 { name: "UTF-16LE" });
    assert_eq!(told(b"\0-\0-\0B\0E"), ParseError::Utf16 { name: "UTF-16BE" });
    let named = |document: &[u8], what: &str| {
        let error = told(document).to_string();
        assert!(error.starts_with(&format!("it is {what}: ")), "{error}");
    };
    named(b"\x30\x82\x01\x22\x30\x0d", "binary (DER) of an unknown form");
    named(
        b"MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7",
        "base64 of binary (DER) of an unknown form",
    );
    named(
        b"LS0tLS1CRUdJTiBQVUJMSUMgS0VZLS0tLS0KTUlJ",
        "base64 of a PEM file, as in the data of a Secret",
    );
    named(b"ssh-rsa AAAAB3NzaC1yc2E= me@host", "an OpenSSH public key");
    assert_eq!(
        told(b"eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIifQ.c2ln"),
        ParseError::Token
    );
    assert_eq!(told(b"hello"), ParseError::NoKeys);
    assert_eq!(
        told(&vec![b' '; super::MAX_BYTES + 1]),
        ParseError::TooLarge {
            bytes: super::MAX_BYTES + 1
        }
    );
}
