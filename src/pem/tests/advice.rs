//! What is advised for a file that is refused is run as it stands: its result is taken, and the original stays as it was.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::*;

const MADE: &str = r#"set -e
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -subj /CN=ca -days 9 -out ca.crt
    openssl req -new -newkey rsa:2048 -nodes -keyout leaf.key -subj /CN=leaf -out leaf.csr
    openssl x509 -req -in leaf.csr -CA ca.crt -CAkey key.pem -CAcreateserial -days 9 -out leaf.crt -extfile <(echo subjectAltName=DNS:leaf)
    cat leaf.crt ca.crt > chain.pem
    { openssl x509 -in leaf.crt -trustout; openssl x509 -in ca.crt -trustout; } > trusted.pem
    sed 's/CERTIFICATE/X509 CERTIFICATE/' chain.pem > old.pem
    printf '%s' "$(cat leaf.crt)" > glued.pem; cat ca.crt >> glued.pem
    openssl crl2pkcs7 -nocrl -certfile chain.pem -out p7.pem
    sed 's/PKCS7/PKCS #7 SIGNED DATA/' p7.pem > p7-old.pem
    openssl crl2pkcs7 -nocrl -certfile chain.pem -outform DER -out p7.der
    sed 's/PKCS7/CMS/' p7.pem > cms.pem
    openssl x509 -in leaf.crt -outform DER -out leaf.der
    openssl pkcs12 -export -inkey leaf.key -in leaf.crt -certfile ca.crt -passout pass:secret -out store.p12
    openssl pkcs12 -export -legacy -inkey leaf.key -in leaf.crt -certfile ca.crt -passout pass:secret -out old.p12 ||
        cp store.p12 old.p12
    openssl pkey -in leaf.key -outform DER -out pkcs8.der
    openssl rsa -in leaf.key -traditional -outform DER -out pkcs1.der
    openssl ecparam -name prime256v1 -genkey -noout -outform DER -out sec1.der
    openssl pkcs8 -topk8 -in leaf.key -outform DER -passout pass:secret -out locked.der
    openssl pkcs8 -topk8 -in leaf.key -passout pass:secret -out locked.pem
    openssl rsa -in leaf.key -traditional -aes256 -passout pass:secret -out proc-type.pem"#;

fn shell(folder: &Path, script: &str) -> Output {
    Command::new("bash")
        .args(["-c", script])
        .current_dir(folder)
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

/// Runs the command in a message, and gives what it makes.
fn follow(folder: &Path, name: &str, told: &str) -> Vec<u8> {
    let path = folder.join(name);
    let before = std::fs::read(&path).unwrap();
    let start = ["openssl ", "sed ", "cp "]
        .iter()
        .filter_map(|program| told.find(program))
        .min();
    let command = &told[start.unwrap_or_else(|| panic!("{name}: no command in {told:?}"))..];
    let command = command.strip_suffix("))").unwrap_or(command);
    let mut command = command.replace("FILE", name).replace("NEW", "result");
    // A person types the password.
    for program in ["pkcs12", "pkey"] {
        command = command.replace(program, &format!("{program} -passin pass:secret"));
    }
    let _ = std::fs::remove_file(folder.join("result"));
    let tried = shell(folder, &command);
    let said = String::from_utf8_lossy(&tried.stderr);
    assert!(tried.status.success(), "{name}: {command}: {said}");
    assert_eq!(
        std::fs::read(&path).unwrap(),
        before,
        "{name} is changed by {command}"
    );
    std::fs::read(folder.join("result")).unwrap()
}

#[test]
fn what_is_advised_for_files_of_tls_works_and_leaves_the_original_whole() {
    if !is_there("openssl") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let folder = home.path();
    let made = shell(folder, MADE);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let chain = certificates(&read("chain.pem")).unwrap();
    for (name, kind) in [
        ("trusted.pem", "TRUSTED CERTIFICATE"),
        ("old.pem", "X509 CERTIFICATE"),
        ("glued.pem", "two PEM lines on one"),
        ("p7.pem", "PKCS7"),
        ("p7-old.pem", "PKCS #7"),
        ("p7.der", "PKCS#7"),
        ("cms.pem", "CMS"),
        ("leaf.der", "a certificate in binary (DER)"),
        ("store.p12", "PKCS#12"),
        ("old.p12", "PKCS#12"),
    ] {
        let told = certificates(&read(name)).unwrap_err().to_string();
        assert!(told.contains(kind) && told.contains("line "), "{name}: {told}");
        assert!(authorities(&read(name)).is_err());
        let found = certificates(&follow(folder, name, &told)).unwrap();
        let expected = if name == "leaf.der" { &chain[..1] } else { &chain };
        assert_eq!(found, expected, "{name}: the chain is whole, the leaf first");
    }
    let leaf = chain[0].clone();
    for (name, kind) in [
        ("pkcs8.der", "a private key in binary (DER)"),
        ("pkcs1.der", "a private key in binary (DER)"),
        ("sec1.der", "a private key in binary (DER)"),
        ("locked.der", "a private key in binary (DER)"),
        ("store.p12", "PKCS#12"),
        ("old.p12", "PKCS#12"),
        ("locked.pem", "an encrypted private key"),
        ("proc-type.pem", "an encrypted private key"),
    ] {
        let told = private_key(&read(name)).err().unwrap().to_string();
        assert!(told.contains(kind) && told.contains("line "), "{name}: {told}");
        let key = private_key(&follow(folder, name, &told)).unwrap().unwrap();
        let is_ours = certified(vec![leaf.clone()], &key).is_ok();
        assert_eq!(is_ours, name != "sec1.der", "{name}");
    }
}

#[test]
fn what_is_advised_for_a_key_of_openssh_works_and_leaves_the_original_whole() {
    if !is_there("ssh-keygen") {
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let made = shell(home.path(), "ssh-keygen -q -t rsa -b 2048 -N '' -f ssh");
    assert!(made.status.success());
    let told = private_key(&std::fs::read(home.path().join("ssh")).unwrap());
    let told = told.err().unwrap().to_string();
    let result = follow(home.path(), "ssh", &told);
    assert!(private_key(&result).unwrap().is_some());
}

#[test]
fn other_binary_files_are_refused_without_a_command_that_fails() {
    for bytes in [
        &b"\x30\x03\x02\x01\x05"[..],
        b"\x30\x82\x00\x05\x02\x01\x09\x02\x00",
    ] {
        let told = [certificates(bytes).err(), private_key(bytes).err()];
        for told in told.into_iter().flatten() {
            assert!(!told.to_string().contains("openssl"), "{told}");
        }
    }
}
