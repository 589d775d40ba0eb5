//! What `inspect` advises for a file of another kind is run as it stands, and its result is a key file.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{Folder, key};
use crate::real::service::run;

/// Runs a script in the folder; the files that it makes are what is inspected.
fn make(folder: &Folder, script: &str) {
    let made = shell(folder, &format!("set -e; {script}"));
    assert!(
        made.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&made.stderr)
    );
}

fn shell(folder: &Folder, command: &str) -> std::process::Output {
    Command::new("bash")
        .args(["-c", command])
        .current_dir(folder.text(""))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn is_there(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(program).is_file()));
    if !found {
        eprintln!("SKIPPED: {program} is not there, the advice that names it is not tried");
    }
    found
}

/// Why a file is held back.
fn reason(file: &str) -> String {
    let output = run(&["inspect", file, "--output", "json"]);
    assert_eq!(output.code, Some(1), "{file}: {}", output.stdout);
    let shown: Value = serde_json::from_str(&output.stdout).unwrap();
    shown["quarantined"][0]["reason"].as_str().unwrap().to_owned()
}

/// The command in a reason, which names FILE.
fn command(reason: &str) -> &str {
    let programs = [
        "openssl ",
        "ssh-keygen ",
        "keytool ",
        "jq ",
        "tr ",
        "sed ",
        "iconv ",
        "gunzip ",
        "unzip ",
        "{ sed ",
    ];
    let start = programs
        .iter()
        .filter_map(|program| {
            reason
                .match_indices(program)
                .map(|(at, _)| at)
                .find(|at| reason[..*at].ends_with(['(', ' ']))
        })
        .min();
    let command = &reason[start.unwrap_or_else(|| panic!("no command in {reason:?}"))..];
    let command = command.split(" (each key").next().unwrap();
    // In brackets it ends with them; what it has in brackets itself is in pairs.
    let mut open = 0;
    let end = command.find(|character| {
        open += match character {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        open < 0
    });
    &command[..end.unwrap_or(command.len())]
}

/// The advice for a file leads to a file of which keys are published.
fn advice_works(folder: &Folder, name: &str, kind: &str) {
    let file = folder.text(name);
    let reason = reason(&file);
    assert!(reason.contains(kind), "{name}: {kind} is not in {reason:?}");
    let advised = command(&reason);
    let mut command = advised.replace("FILE", &file);
    // A person types the password.
    if command.contains("pkcs12") {
        command = command.replace("pkcs12", "pkcs12 -passin pass:secret");
    }
    if reason.contains("encrypted") {
        command = command.replace("openssl pkey", "openssl pkey -passin pass:secret");
    }
    let tried = shell(folder, &command);
    assert!(
        tried.status.success(),
        "{name}: {command}: {}",
        String::from_utf8_lossy(&tried.stderr)
    );
    let result = folder.text("result");
    std::fs::write(&result, &tried.stdout).unwrap();
    let output = run(&["inspect", &result]);
    assert_eq!(output.code, Some(0), "{name}: {command}: {}", output.stdout);
}

fn never(folder: &Folder, name: &str, kind: &str) {
    let reason = reason(&folder.text(name));
    assert!(
        reason.contains(kind)
            && (reason.contains("cannot be published") || reason.contains("can be published")),
        "{name}: {reason}"
    );
    assert!(!reason.contains("FILE"), "{name}: {reason}");
}

const KEYS: &str = "
    openssl genrsa -out rsa.pem 2048; openssl pkey -in rsa.pem -pubout -out rsa.pub
    openssl ecparam -name prime256v1 -genkey -noout -out ec.pem; openssl pkey -in ec.pem -pubout -out ec.pub
    openssl req -x509 -new -key rsa.pem -subj /CN=sa -days 9 -out rsa.crt";

#[test]
fn the_advice_for_binary_key_files_works() {
    if !is_there("openssl") {
        return;
    }
    let folder = Folder::new();
    make(
        &folder,
        &format!(
            "{KEYS}
            openssl pkey -in rsa.pub -pubin -outform DER -out spki.der
            openssl rsa -in rsa.pem -RSAPublicKey_out -outform DER -out pkcs1.der
            openssl rsa -in rsa.pem -traditional -outform DER -out rsa.der
            openssl ec -in ec.pem -outform DER -out sec1.der
            openssl pkcs8 -topk8 -nocrypt -in ec.pem -outform DER -out pkcs8.der
            openssl pkcs8 -topk8 -in ec.pem -outform DER -passout pass:secret -out locked.der
            openssl pkcs8 -topk8 -in ec.pem -passout pass:secret -out locked.pem
            openssl x509 -in rsa.crt -outform DER -out crt.der
            openssl req -new -key rsa.pem -subj /CN=sa -out csr.pem
            openssl req -in csr.pem -outform DER -out csr.der
            openssl crl2pkcs7 -nocrl -certfile rsa.crt -out p7.pem
            openssl pkcs7 -in p7.pem -outform DER -out p7.der
            openssl pkcs12 -export -inkey rsa.pem -in rsa.crt -passout pass:secret -out store.p12
            gzip < rsa.pub > rsa.pub.gz
            openssl ec -in ec.pem -pubout -conv_form compressed -out compressed.pub
            for f in spki rsa crt csr; do base64 $f.der > $f.b64; done"
        ),
    );
    for (name, kind) in [
        ("spki.der", "a public key in binary (DER)"),
        ("pkcs1.der", "PKCS#1"),
        ("rsa.der", "a private key in binary (DER)"),
        ("sec1.der", "a private key in binary (DER)"),
        ("pkcs8.der", "a private key in binary (DER)"),
        ("locked.der", "an encrypted private key in binary (DER)"),
        ("locked.pem", "an encrypted private key"),
        ("crt.der", "a certificate in binary (DER)"),
        ("csr.pem", "a certificate request"),
        ("csr.der", "a certificate request in binary (DER)"),
        ("p7.pem", "PKCS#7"),
        ("p7.der", "PKCS#7"),
        ("store.p12", "PKCS#12"),
        ("rsa.pub.gz", "gzip"),
        ("compressed.pub", "compressed or hybrid EC point"),
        ("spki.b64", "base64 of a public key in binary (DER)"),
        ("rsa.b64", "base64 of a private key"),
        ("crt.b64", "base64 of a certificate"),
        ("csr.b64", "base64 of a certificate request"),
    ] {
        advice_works(&folder, name, kind);
    }
    make(
        &folder,
        "openssl genpkey -algorithm ed25519 -out ed.pem
         openssl pkey -in ed.pem -pubout -outform DER -out ed.der
         openssl req -new -key ed.pem -subj /CN=a -outform DER -out ed-csr.der
         openssl genrsa 1024 | openssl pkey -outform DER -out weak.der",
    );
    never(&folder, "ed.der", "Ed25519");
    never(&folder, "ed-csr.der", "Ed25519");
    never(&folder, "weak.der", "1024 bits");
}

#[test]
fn the_advice_for_key_files_of_ssh_works() {
    if !is_there("ssh-keygen") {
        return;
    }
    let folder = Folder::new();
    make(
        &folder,
        "ssh-keygen -q -t rsa -b 2048 -N '' -f rsa; ssh-keygen -q -t ecdsa -b 256 -N '' -f ec
         ssh-keygen -q -t ed25519 -N '' -f ed; ssh-keygen -q -t rsa -b 1024 -N '' -f weak
         ssh-keygen -e -f rsa.pub > rsa.rfc4716; ssh-keygen -e -f ed.pub > ed.rfc4716
         { echo 'PuTTY-User-Key-File-3: ssh-rsa'; echo 'Encryption: none'; echo 'Comment: a'
           cut -d' ' -f2 rsa.pub | fold -w 64 > body; echo \"Public-Lines: $(wc -l < body)\"; cat body
           echo 'Private-Lines: 1'; echo AAAA; echo 'Private-MAC: 00'; } > rsa.ppk",
    );
    for (name, kind) in [
        ("rsa.pub", "an OpenSSH public key"),
        ("ec.pub", "an OpenSSH public key"),
        ("rsa", "an OpenSSH private key"),
        ("ec", "an OpenSSH private key"),
        ("rsa.rfc4716", "RFC 4716"),
        ("rsa.ppk", "PuTTY"),
    ] {
        advice_works(&folder, name, kind);
    }
    for name in ["ed.pub", "ed.rfc4716", "ed"] {
        never(&folder, name, "Ed25519");
    }
    never(&folder, "weak.pub", "1024 bits");
}

#[test]
fn the_advice_for_key_stores_of_java_works() {
    if !is_there("keytool") {
        return;
    }
    let folder = Folder::new();
    for (name, kind) in [("store.jks", "jks"), ("store.jceks", "jceks")] {
        make(
            &folder,
            &format!(
                "keytool -genkeypair -alias k -keyalg RSA -keysize 2048 -dname CN=sa -storetype {kind} -keystore {name} \
                 -storepass secret -keypass secret"
            ),
        );
        advice_works(&folder, name, "a Java key store");
    }
}

#[test]
fn the_advice_for_text_around_a_key_works() {
    let folder = Folder::new();
    let pem = key(0);
    folder.write("k.pem", &pem);
    folder.write("json-text", &serde_json::to_string(&pem).unwrap());
    folder.write("json-list", &serde_json::to_string(&[&pem]).unwrap());
    folder.write(
        "json-map",
        &serde_json::json!({ "one": pem, "two": key(1) }).to_string(),
    );
    folder.write(
        "json-object",
        &serde_json::json!({ "publicKey": pem, "n": 1 }).to_string(),
    );
    folder.write("one-line", &pem.replace('\n', "\\n"));
    folder.write("with-spaces", &pem.replace('\n', " "));
    folder.write(
        "indented",
        &pem.replace("-----B", "  -----B").replace('\n', "\n  "),
    );
    let jwks = run(&["inspect", &folder.text("k.pem"), "--output", "json"]);
    let jwks: Value = serde_json::from_str(&jwks.stdout).unwrap();
    let jwk = jwks["keys"][0]["jwk"].clone();
    folder.write("jwk", &jwk.to_string());
    folder.write("jwk-list", &serde_json::json!([jwk]).to_string());
    folder.write("jwks", &serde_json::json!({ "keys": [jwk] }).to_string());
    make(
        &folder,
        r#"base64 k.pem > pem.b64; base64 jwks > jwks.b64; { printf '\357\273\277'; cat k.pem; } | base64 -w0 > mark-in.b64
           { printf '\357\273\277'; base64 k.pem; } > mark-before.b64; base64 k.pem | sed 's/$/\r/' > dos.b64
           iconv -f UTF-8 -t UTF-16LE k.pem > le.txt; iconv -f UTF-8 -t UTF-16 k.pem > mark16.txt
           iconv -f UTF-8 -t UTF-16BE k.pem > be.txt
           printf 'apiVersion: v1\nkind: Secret\nmetadata:\n  name: a\ndata:\n  sa.pub: %s\n' "$(base64 -w0 k.pem)" > secret.yaml
           printf '{"apiVersion":"v1","kind":"Secret","data":{"tls.key":"%s","sa.pub":"%s"}}' "$(base64 -w0 k.pem)" \
               "$(base64 -w0 k.pem)" > secret.json
           printf '{"apiVersion":"v1","kind":"ConfigMap","data":{"jwks":%s}}' "$(jq -Rs . < jwks)" > map.json"#,
    );
    for (name, kind) in [
        ("json-text", "PEM text as a JSON string"),
        ("json-list", "a JSON list of PEM texts"),
        ("json-map", "a map of names to PEM texts"),
        ("json-object", "a JSON object with PEM text"),
        ("one-line", "all on one line"),
        ("with-spaces", "all on one line"),
        ("indented", "BEGIN is not at the start of its line"),
        ("jwk", "a single JWK"),
        ("jwk-list", "a list of JWKs"),
        ("pem.b64", "base64 of a PEM file"),
        ("jwks.b64", "base64 of a JWKS"),
        ("mark-in.b64", "base64 of a PEM file"),
        ("mark-before.b64", "base64 of a PEM file"),
        ("dos.b64", "base64 of a PEM file"),
        ("le.txt", "UTF-16"),
        ("mark16.txt", "UTF-16"),
        ("be.txt", "UTF-16"),
        ("secret.yaml", "a Kubernetes object in YAML"),
        ("secret.json", "a Kubernetes object"),
        ("map.json", "a Kubernetes object"),
    ] {
        advice_works(&folder, name, kind);
    }
}

#[test]
fn what_can_never_be_published_is_said_so() {
    let folder = Folder::new();
    for (name, content, kind) in [
        ("age", "# public key: age1x\nAGE-SECRET-KEY-1QQQ\n", "age"),
        (
            "minisign.pub",
            "untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n",
            "minisign",
        ),
        (
            "pgp.asc",
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: a\n\nmQENBF==\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n",
            "OpenPGP",
        ),
    ] {
        folder.write(name, content);
        never(&folder, name, kind);
    }
}

#[test]
fn the_remedy_is_that_of_the_cause() {
    let folder = Folder::new();
    std::fs::create_dir(Path::new(&folder.text("folder"))).unwrap();
    folder.write("empty.pub", "");
    for (name, remedy) in [
        ("folder", "name the files in it, as in DIR/*.pem"),
        ("empty.pub", "write the public key into it"),
        ("nowhere.pub", "they are picked up as soon as they appear"),
    ] {
        let output = run(&["inspect", &folder.text(name)]);
        assert_eq!(output.code, Some(1));
        assert!(output.stdout.contains(remedy), "{}", output.stdout);
        assert!(!output.stdout.contains("2048 to 8192"), "{}", output.stdout);
        assert!(!output.stdout.contains("1 entries"), "{}", output.stdout);
    }
}
