//! Faults of local files: those that are the source, and those that a source needs.

#![expect(clippy::too_many_lines, reason = "tables")]

use serde_json::json;

use super::world::{Kind, Which, World};
use super::{Fault, play};

type Says = &'static [&'static str];

const fn fault(
    source: Which,
    name: &'static str,
    result: &'static str,
    says: Says,
    breaks: fn(&World),
) -> Fault {
    Fault {
        name,
        source,
        result,
        says,
        breaks,
    }
}

#[test]
fn key_files_in_trouble_change_nothing() {
    use Which::{Files, OneFile};
    play(vec![
        fault(
            Files,
            "none there",
            "no_keys",
            &["keys/*.pub", "no file is there", "as soon as they appear"],
            |world| {
                world.remove("keys/sa.pub");
            },
        ),
        fault(Files, "no folder", "no_keys", &["no file is there"], |world| {
            std::fs::remove_dir_all(world.path("keys")).expect("gone");
        }),
        fault(
            OneFile,
            "missing",
            "no_keys",
            &["keys/sa.pub", "no file is there"],
            |world| {
                world.remove("keys/sa.pub");
            },
        ),
        fault(Files, "empty", "no_keys", &["sa.pub", "it is empty"], |world| {
            world.write("keys/sa.pub", "");
        }),
        fault(
            Files,
            "foreign",
            "no_keys",
            &["sa.pub", "neither a PEM block"],
            |world| {
                world.write("keys/sa.pub", "a shopping list");
            },
        ),
        fault(Files, "binary", "no_keys", &["sa.pub"], |world| {
            world.write("keys/sa.pub", [0xfe; 999]);
        }),
        fault(Files, "cut off", "no_keys", &["sa.pub", "END"], |world| {
            world.write("keys/sa.pub", "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0C");
        }),
        fault(
            Files,
            "too large",
            "no_keys",
            &["sa.pub", "larger than"],
            |world| {
                world.write("keys/sa.pub", " ".repeat(3 << 20));
            },
        ),
        fault(
            OneFile,
            "a folder",
            "no_keys",
            &["sa.pub", "it is a directory", "*.pem"],
            |world| {
                world.replace("keys/sa.pub", Kind::Folder);
            },
        ),
        fault(Files, "a FIFO", "no_keys", &["sa.pub", "a FIFO"], |world| {
            world.replace("keys/sa.pub", Kind::Fifo);
        }),
        fault(OneFile, "a link to nowhere", "no_keys", &["sa.pub"], |world| {
            world.replace("keys/sa.pub", Kind::Dangling);
        }),
        fault(
            Files,
            "a weak key",
            "no_keys",
            &["sa.pub: block 1 (line 1): RSA of 512 bits", "Put an RSA key"],
            |world| {
                world.write("keys/sa.pub", WEAK);
            },
        ),
        fault(
            Files,
            "an empty JWKS",
            "no_keys",
            &["keys/*.pub", "it lists no key"],
            |world| world.write("keys/sa.pub", "{\"keys\":[]}"),
        ),
    ]);
}

/// RSA of 512 bits.
const WEAK: &str = "-----BEGIN PUBLIC KEY-----
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKrvhwA8JzlxtsZBy8AbkGOs9chXGmLA
qmfNlrj22ORY+JVHxXk3dmSvY/H4/GcFM7K2eHB0ULAeWKmTRnEVUxkCAwEAAQ==
-----END PUBLIC KEY-----
";

#[test]
fn credentials_in_trouble_change_nothing() {
    use Which::ApiServer;
    play(vec![
        fault(
            ApiServer,
            "no token file",
            "unreadable_file",
            &["tokenFile", "token", "no such file"],
            |world| {
                world.remove("token");
            },
        ),
        fault(
            ApiServer,
            "an empty token file",
            "unreadable_file",
            &["tokenFile", "it is empty"],
            |world| {
                world.write("token", "\n");
            },
        ),
        fault(
            ApiServer,
            "a token of two lines",
            "unreadable_file",
            &["tokenFile", "not a token"],
            |world| {
                world.write("token", "SECRET one\nSECRET two");
            },
        ),
        fault(
            ApiServer,
            "a binary token",
            "unreadable_file",
            &["tokenFile", "not a token"],
            |world| {
                world.write("token", [0xff, 0, 7]);
            },
        ),
        fault(
            ApiServer,
            "a large token",
            "unreadable_file",
            &["tokenFile", "larger than"],
            |world| {
                world.write("token", "a".repeat(1 << 20));
            },
        ),
        fault(
            ApiServer,
            "a folder for a token",
            "unreadable_file",
            &["tokenFile", "a directory"],
            |world| {
                world.replace("token", Kind::Folder);
            },
        ),
        fault(
            ApiServer,
            "a FIFO for a token",
            "unreadable_file",
            &["tokenFile", "a FIFO"],
            |world| {
                world.replace("token", Kind::Fifo);
            },
        ),
        fault(
            ApiServer,
            "no CA file",
            "unreadable_file",
            &["caFile", "no such file"],
            |world| {
                world.remove("ca.crt");
            },
        ),
        fault(
            ApiServer,
            "an empty CA file",
            "unreadable_file",
            &["caFile", "no CERTIFICATE"],
            |world| {
                world.write("ca.crt", "");
            },
        ),
        fault(
            ApiServer,
            "a broken CA file",
            "unreadable_file",
            &["caFile"],
            |world| {
                world.write(
                    "ca.crt",
                    "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n",
                );
            },
        ),
        fault(
            ApiServer,
            "another CA file",
            "tls",
            &["unknown CA", "caFile"],
            |world| {
                world.write("ca.crt", super::certificates::Ca::new().pem);
            },
        ),
        fault(
            Which::Jwks,
            "no CA file, of a JWKS",
            "unreadable_file",
            &["caFile", "no such file"],
            |world| {
                world.remove("ca.crt");
            },
        ),
    ]);
}

#[test]
fn a_kubeconfig_in_trouble_changes_nothing() {
    const fn config(name: &'static str, result: &'static str, says: Says, breaks: fn(&World)) -> Fault {
        fault(Which::Kubeconfig, name, result, says, breaks)
    }
    const UNUSABLE: &str = "unreadable_file";
    play(vec![
        config("missing", UNUSABLE, &["kubeconfig", "no such file"], |world| {
            world.remove("kubeconfig");
        }),
        config("empty", UNUSABLE, &["kubeconfig", "current-context"], |world| {
            world.write("kubeconfig", "");
        }),
        config("not YAML", UNUSABLE, &["not a kubeconfig", "line"], |world| {
            world.write("kubeconfig", "users: [{user: {token: SECRET}]\n  - :");
        }),
        config("another document", UNUSABLE, &["not a kubeconfig"], |world| {
            world.write("kubeconfig", "clusters: SECRET\n");
        }),
        config("binary", UNUSABLE, &["not UTF-8"], |world| {
            world.write("kubeconfig", [0xfe; 99]);
        }),
        config(
            "no current context",
            UNUSABLE,
            &["current-context", "name the context"],
            |world| {
                world.kubeconfig(|config| drop(config["current-context"].take()));
            },
        ),
        config(
            "an unknown context",
            UNUSABLE,
            &["no context \"b\"", "it has: a"],
            |world| {
                world.kubeconfig(|config| config["current-context"] = json!("b"));
            },
        ),
        config("an unknown cluster", UNUSABLE, &["no cluster \"d\""], |world| {
            world.kubeconfig(|config| config["contexts"][0]["context"]["cluster"] = json!("d"));
        }),
        config("an unknown user", UNUSABLE, &["no user \"v\""], |world| {
            world.kubeconfig(|config| config["contexts"][0]["context"]["user"] = json!("v"));
        }),
        config("no server", "settings", &["server is not the URL"], |world| {
            world.kubeconfig(|config| drop(config["clusters"][0]["cluster"]["server"].take()));
        }),
        config("plain HTTP", "settings", &["plain HTTP is refused"], |world| {
            world.kubeconfig(|config| {
                config["clusters"][0]["cluster"]["server"] = json!("http://10.0.0.1:6443");
            });
        }),
        config(
            "a name that is not",
            "unreachable",
            &["no-such-host.invalid", "cannot be resolved", "DNS"],
            |world| {
                world.kubeconfig(|config| {
                    config["clusters"][0]["cluster"]["server"] = json!("https://no-such-host.invalid:6443");
                });
            },
        ),
        config(
            "unverified TLS",
            "settings",
            &["insecure-skip-tls-verify is refused", "certificate-authority"],
            |world| {
                world.kubeconfig(|config| {
                    config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = json!(true);
                });
            },
        ),
        config(
            "a CA that is not base64",
            UNUSABLE,
            &["certificate-authority-data is not base64"],
            |world| {
                world.kubeconfig(|config| {
                    config["clusters"][0]["cluster"]["certificate-authority-data"] = json!("%");
                });
            },
        ),
        config(
            "a CA file that is not there",
            UNUSABLE,
            &["certificate-authority", "no such file"],
            |world| {
                world.kubeconfig(|config| {
                    let cluster = &mut config["clusters"][0]["cluster"];
                    cluster["certificate-authority-data"].take();
                    cluster["certificate-authority"] = json!("pki/ca.crt");
                });
            },
        ),
        config(
            "exec",
            "settings",
            &["program", "aws", "allowExec: true"],
            |world| {
                world.kubeconfig(|config| {
                    config["users"][0]["user"] = json!({ "exec": { "command": "aws", "args": ["SECRET"] } });
                });
            },
        ),
        config(
            "an auth provider",
            "settings",
            &["auth-provider", "gcp", "1.26"],
            |world| {
                world.kubeconfig(|config| {
                    config["users"][0]["user"] = json!({ "auth-provider": { "name": "gcp", "config": {} } });
                });
            },
        ),
        config(
            "a certificate without its key",
            UNUSABLE,
            &["without its client-key"],
            |world| {
                world.kubeconfig(|config| {
                    config["users"][0]["user"] = json!({ "client-certificate": "client.crt" });
                });
            },
        ),
        config(
            "a key of another certificate",
            "settings",
            &["do not belong together"],
            |world| {
                world.write(
                    "client.key",
                    rcgen::KeyPair::generate().expect("a key").serialize_pem(),
                );
                world.kubeconfig(|config| {
                    config["users"][0]["user"] =
                        json!({ "client-certificate": "client.crt", "client-key": "client.key" });
                });
            },
        ),
        config(
            "a key that is none",
            UNUSABLE,
            &["its key is not a PRIVATE KEY block"],
            |world| {
                world.write("client.key", "SECRET");
                world.kubeconfig(|config| {
                    config["users"][0]["user"] =
                        json!({ "client-certificate": "client.crt", "client-key": "client.key" });
                });
            },
        ),
        config(
            "a token file that is not there",
            UNUSABLE,
            &["tokenFile", "no such file"],
            |world| {
                world.kubeconfig(|config| config["users"][0]["user"] = json!({ "tokenFile": "gone" }));
            },
        ),
        config("a proxy that is none", "settings", &["proxy-url"], |world| {
            world.kubeconfig(|config| config["clusters"][0]["cluster"]["proxy-url"] = json!("::"));
        }),
        config(
            "a proxy that is down",
            "proxy",
            &["proxy 127.0.0.1:1", "NO_PROXY"],
            |world| {
                world.kubeconfig(|config| {
                    config["clusters"][0]["cluster"]["proxy-url"] = json!("http://me:SECRET@127.0.0.1:1");
                });
            },
        ),
    ]);
}
