//! The keys for a person, with what is safe now.

use std::fmt;

use jiff::Timestamp;

use super::kid::Kids;
use crate::control::{HeldChange, Key, Name, Report, State, Verb};

/// Kids of a change that are shown: `--output json` has all.
const MAX_KIDS: usize = 20;

pub(super) struct Table<'a>(pub(super) Verb, pub(super) &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(verb, report) = self;
        let kids = Kids::of(kids(report));
        done(f, *verb, report, kids)?;
        writeln!(f, "{} at {}\n", report.issuer, second(report.at))?;
        keys(f, report, kids)?;
        if report.withdrawn {
            writeln!(
                f,
                "\nNothing is published: the last key was revoked. Both documents answer 503 until another key is listed."
            )?;
        }
        for change in &report.held_changes {
            held_change(f, change, report.at, kids)?;
        }
        if kids.is_any_shortened() {
            writeln!(
                f,
                "\nKids with … are shortened: --output json has them whole, and the fingerprints, which commands take as \
                 well (sha256:…)."
            )?;
        }
        Ok(())
    }
}

/// All that are shown.
fn kids(report: &Report) -> impl Iterator<Item = &str> {
    let keys = report.keys.iter().map(|key| &key.name);
    let names = keys.chain(&report.changed).chain(&report.known);
    let refused = report.refused.iter().filter_map(|refused| refused.kid.as_ref());
    let held = report.held_changes.iter().flat_map(|change| &change.kids);
    let names = names.map(|name| &name.kid);
    names.chain(refused).chain(held).map(String::as_str)
}

/// What the command did.
fn done(f: &mut fmt::Formatter<'_>, verb: Verb, report: &Report, kids: Kids) -> fmt::Result {
    if verb.only_looks() {
        return Ok(());
    }
    let did = match verb {
        Verb::Revoke => "Revoked",
        Verb::Unrevoke => "No longer revoked",
        Verb::Approve => "Approved",
        _ => "Taken over",
    };
    names(f, did, &report.changed, kids)?;
    let is_published = |name: &Name| {
        let mut published = report.keys.iter().filter(|key| key.published);
        published.any(|key| key.name == *name)
    };
    if verb == Verb::Approve && !report.changed.iter().all(is_published) {
        writeln!(f, "It is published at the next reading that lists it.")?;
        if report.changed.iter().any(|name| name.sha256.is_empty()) {
            writeln!(
                f,
                "Any key may be that one: the first that a source lists under this kid."
            )?;
        }
    }
    names(f, "Published already", &report.known, kids)?;
    for refused in &report.refused {
        let kid = refused.kid.as_ref().map(|kid| format!(", {}", kids.show(kid)));
        let kid = kid.unwrap_or_default();
        writeln!(f, "Refused: {}{kid}: {}", refused.entry, refused.reason)?;
    }
    writeln!(f)
}

fn names(f: &mut fmt::Formatter<'_>, what: &str, names: &[Name], kids: Kids) -> fmt::Result {
    for name in names {
        if name.kid.is_empty() {
            writeln!(f, "{what}: sha256:{}", name.sha256)?;
        } else {
            writeln!(f, "{what}: {}", kids.show(&name.kid))?;
        }
    }
    Ok(())
}

fn keys(f: &mut fmt::Formatter<'_>, report: &Report, kids: Kids) -> fmt::Result {
    if report.keys.is_empty() {
        return writeln!(
            f,
            "No key is known yet. The log of the service says whether its sources can be read."
        );
    }
    let rows: Vec<_> = report
        .keys
        .iter()
        .map(|key| {
            [
                kids.show(&key.name.kid).into_owned(),
                key.alg.clone(),
                key.kind.clone(),
                key.state.as_str().to_owned(),
                second(key.first_seen),
                note(key, report),
            ]
        })
        .collect();
    let heads = ["KID", "ALG", "KEY", "STATE", "FIRST SEEN", "WHAT TO KNOW"].map(str::to_owned);
    let mut widths = [0; 5];
    for row in std::iter::once(&heads).chain(&rows) {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let [kid, alg, what, state, seen] = widths;
    for [a, b, c, d, e, g] in std::iter::once(&heads).chain(&rows) {
        writeln!(f, "{a:kid$}  {b:alg$}  {c:what$}  {d:state$}  {e:seen$}  {g}")?;
    }
    Ok(())
}

fn note(key: &Key, report: &Report) -> String {
    let at = report.at;
    let when = |time: Option<Timestamp>| match time {
        Some(time) => format!("{} ({})", second(time), relative(at, time)),
        None => "a time that was not told".to_owned(),
    };
    match key.state {
        State::Listed => match key.may_sign_from {
            Some(from) if from > at => {
                format!(
                    "must not sign before {}: every cache will have it by then",
                    when(Some(from))
                )
            }
            from => format!("may sign since {}: every cache has it", when(from)),
        },
        State::Retained => {
            let since = when(key.absent_since);
            match key.leaves_at {
                Some(leaves) if leaves <= at => {
                    format!("absent since {since}; stays, being the last key, until there is another")
                }
                leaves => format!(
                    "absent since {since}; leaves at {}: no token that it signed is valid then",
                    when(leaves)
                ),
            }
        }
        State::Expired => format!(
            "absent since {}; left at {}",
            when(key.absent_since),
            when(key.left_at)
        ),
        State::Revoked => key.revoked.as_ref().map_or_else(String::new, |revoked| {
            format!(
                "revoked at {} by {}: {}",
                when(Some(revoked.at)),
                revoked.by,
                revoked.reason
            )
        }),
        State::Held => {
            let held = key.held.as_ref();
            held.map_or_else(String::new, |held| held.reason.clone())
        }
    }
}

fn held_change(f: &mut fmt::Formatter<'_>, change: &HeldChange, at: Timestamp, shown: Kids) -> fmt::Result {
    let HeldChange {
        change: name,
        source,
        first_heard,
        last_heard,
        reads,
        waits_for,
        kids,
    } = change;
    let times = match reads {
        1 => "once".to_owned(),
        reads => format!("{reads} times"),
    };
    let more = kids.len().saturating_sub(MAX_KIDS);
    let mut kids: Vec<_> = kids.iter().take(MAX_KIDS).map(|kid| shown.show(kid)).collect();
    if more > 0 {
        kids.push(format!("and {more} more").into());
    }
    writeln!(
        f,
        "\nChange {name} is held: {source} listed none of the published keys, but {}.\n\
         Heard {times} since {} ({}), last {}; waits for {waits_for}. Look whether it is the right cluster, then let it in: \
         keys approve {name}",
        kids.join(", "),
        second(*first_heard),
        relative(at, *first_heard),
        relative(at, *last_heard),
    )
}

fn second(time: Timestamp) -> String {
    format!("{time:.0}")
}

/// `in 47 h`, `5 min ago`.
fn relative(now: Timestamp, time: Timestamp) -> String {
    let seconds = time.duration_since(now).as_secs();
    let (number, unit) = match seconds.unsigned_abs() {
        0 => return "now".to_owned(),
        s @ ..120 => (s, "s"),
        s @ ..7200 => (s / 60, "min"),
        s @ ..259_200 => (s / 3600, "h"),
        s => (s / 86_400, "d"),
    };
    if seconds > 0 {
        format!("in {number} {unit}")
    } else {
        format!("{number} {unit} ago")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::{Held, Revoked};

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn key(kid: &str, state: State) -> Key {
        Key {
            name: Name {
                kid: kid.to_owned(),
                sha256: "00".repeat(32),
            },
            alg: "RS256".to_owned(),
            kind: "RSA 2048".to_owned(),
            state,
            published: matches!(state, State::Listed | State::Retained),
            first_seen: at(-100),
            published_since: None,
            may_sign_from: None,
            absent_since: None,
            leaves_at: None,
            left_at: None,
            revoked: None,
            held: None,
        }
    }

    fn report() -> Report {
        let keys = vec![
            Key {
                may_sign_from: Some(at(-28)),
                ..key("in-use", State::Listed)
            },
            Key {
                may_sign_from: Some(at(70)),
                ..key("next", State::Listed)
            },
            Key {
                absent_since: Some(at(-2)),
                leaves_at: Some(at(47)),
                ..key("old", State::Retained)
            },
            Key {
                absent_since: Some(at(-90)),
                left_at: Some(at(-41)),
                ..key("older", State::Expired)
            },
            Key {
                revoked: Some(Revoked {
                    at: at(-1),
                    by: "root on cp-1".to_owned(),
                    reason: "found in a backup".to_owned(),
                }),
                ..key("leaked", State::Revoked)
            },
            Key {
                held: Some(Held {
                    reason: crate::key::Reason::Unapproved.to_string(),
                    label: "unapproved".to_owned(),
                }),
                ..key("new", State::Held)
            },
        ];
        Report {
            issuer: "https://oidc.example.com".to_owned(),
            at: at(0),
            changed: Vec::new(),
            known: Vec::new(),
            refused: Vec::new(),
            warnings: Vec::new(),
            withdrawn: false,
            keys,
            held_changes: vec![HeldChange {
                change: "0123456789abcdef".to_owned(),
                source: "sources[0].apiServer at 10.0.0.1:6443".to_owned(),
                first_heard: at(-1),
                last_heard: at(0),
                reads: 2,
                waits_for: "3 reads that agree".to_owned(),
                kids: vec!["x".to_owned(), "y".to_owned()],
            }],
        }
    }

    #[test]
    fn every_state_is_shown_with_what_to_know_of_it() {
        insta::assert_snapshot!(Table(Verb::List, &report()));
    }

    #[test]
    fn what_a_command_did_stands_before_how_it_is_now() {
        let name = |kid: &str| key(kid, State::Listed).name;
        let report = Report {
            changed: vec![name("old")],
            known: vec![name("in-use")],
            refused: vec![crate::control::Refused {
                entry: "keys[2]".to_owned(),
                kid: Some("weak".to_owned()),
                reason: "RSA of 1024 bits: at least 2048 are needed".to_owned(),
                label: "rsa_too_short".to_owned(),
            }],
            keys: Vec::new(),
            held_changes: Vec::new(),
            withdrawn: true,
            ..report()
        };
        insta::assert_snapshot!(Table(Verb::Import, &report));
    }

    #[test]
    fn a_kid_that_is_too_long_for_a_table_is_shortened_wherever_it_is_shown_and_said_to_be() {
        let long = "k".repeat(1024);
        let mut report = report();
        assert!(!Table(Verb::List, &report).to_string().contains('…'));
        report.changed = vec![key(&long, State::Listed).name];
        report.keys.push(key(&long, State::Listed));
        report.held_changes[0].kids.push(long.clone());
        let told = Table(Verb::Approve, &report).to_string();
        assert!(told.lines().all(|line| line.chars().count() < 250), "{told}");
        assert!(told.ends_with(
            "--output json has them whole, and the fingerprints, which commands take as well (sha256:…).\n"
        ));
        assert!(serde_json::json!(report).to_string().contains(&long));
    }

    #[test]
    fn what_was_approved_and_waits_to_be_listed_once_more_is_told() {
        let approved = |name: Name| Report {
            changed: vec![name],
            ..report()
        };
        let waits = "It is published at the next reading";
        let published = report().keys.remove(0);
        assert!(published.published);
        let told = Table(Verb::Approve, &approved(published.name)).to_string();
        assert!(!told.contains(waits), "{told}");
        let told = Table(Verb::Approve, &approved(key("of-a-change", State::Held).name)).to_string();
        assert!(told.contains(waits), "{told}");
    }

    #[test]
    fn times_are_told_in_the_largest_unit_that_says_enough() {
        let told = |seconds| {
            let time = at(0) + jiff::SignedDuration::from_secs(seconds);
            relative(at(0), time)
        };
        assert_eq!(told(0), "now");
        assert_eq!(told(90), "in 90 s");
        assert_eq!(told(-300), "5 min ago");
        assert_eq!(told(47 * 3600 + 1800), "in 47 h");
        assert_eq!(told(-80 * 3600), "3 d ago");
    }
}
