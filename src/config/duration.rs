//! Durations as people write them: `10s`, `49h`, `365d`, `1h30m`.

use jiff::SignedDuration;

/// What a duration must look like.
pub(super) const SHAPE: &str = "a duration is whole numbers with units, such as 500ms, 10s, 5m, 49h or 1h30m";

/// A hundred years: anything longer is a slip, and sums of such never overflow.
const LONGEST: SignedDuration = SignedDuration::from_hours(100 * 366 * 24);

/// Parses `10s`, `49h`, `1h30m`. Units: `ms`, `s`, `m`, `h`, `d` (24 h).
pub(super) fn parse(text: &str) -> Option<SignedDuration> {
    let mut rest = text.trim();
    let mut sum = SignedDuration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(digits)?;
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(unit_end)?;
        let number: i64 = number.parse().ok()?;
        let milliseconds = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return None,
        };
        let part = SignedDuration::from_millis(number.checked_mul(milliseconds)?);
        sum = sum.checked_add(part).filter(|sum| *sum <= LONGEST)?;
        rest = tail;
    }
    Some(sum)
}

/// Writes a duration as [`parse`] reads it, in the largest units: `48h5m`.
pub(crate) fn show(duration: SignedDuration) -> String {
    let mut milliseconds = duration.as_millis().unsigned_abs();
    if milliseconds == 0 {
        return "0s".to_owned();
    }
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
    let parts = units.map(|(unit, size)| {
        let count = milliseconds / size;
        milliseconds %= size;
        match count {
            0 => String::new(),
            _ => format!("{count}{unit}"),
        }
    });
    parts.concat()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_whole_numbers_with_units() {
        for (text, seconds) in [
            ("10s", 10),
            ("5m", 300),
            ("49h", 49 * 3600),
            ("365d", 365 * 86400),
            ("1h30m", 5400),
            ("0s", 0),
        ] {
            assert_eq!(parse(text), Some(SignedDuration::from_secs(seconds)), "{text}");
        }
        assert_eq!(parse("500ms"), Some(SignedDuration::from_millis(500)));
        for text in [
            "",
            "10",
            "s",
            "1.5h",
            "-5s",
            "10 s",
            "1y",
            "1w",
            "10S",
            "99999999999d",
            "1000000d",
            "1h30",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(milliseconds in 0_i64..3_000_000_000_000) {
            let duration = SignedDuration::from_millis(milliseconds);
            prop_assert_eq!(parse(&show(duration)), Some(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = parse(&text);
        }
    }
}
