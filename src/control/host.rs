//! Names of users and of this machine, for the audit.

use crate::fs;

/// The name of this machine: in a pod, that of the pod.
pub fn name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// Who runs this process: `root on node-a`.
pub fn me() -> String {
    format!("{} on {}", user(rustix::process::geteuid().as_raw()), name())
}

/// The name of a user, or `uid 1000` where `/etc/passwd` knows none.
pub(super) fn user(uid: u32) -> String {
    let users = fs::system_text("/etc/passwd");
    named(&users, uid).unwrap_or_else(|| format!("uid {uid}"))
}

fn named(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(uid) && !name.is_empty()).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_where_the_machine_knows_one() {
        let users = "root:x:0:0:root:/root:/bin/bash\nbroken\noidc-issuer:x:65532:65532::/var/lib:/none\n";
        assert_eq!(named(users, 65532).as_deref(), Some("oidc-issuer"));
        assert_eq!(named(users, 0).as_deref(), Some("root"));
        assert_eq!(named(users, 1000), None);
        assert_eq!(user(u32::MAX - 7), format!("uid {}", u32::MAX - 7));
    }
}
