//! `confirmation`: when what a source says is believed.

use jiff::SignedDuration;

use super::lifetimes::bounded;
use crate::config::duration;
use crate::config::fields::{Field, Setting};
use crate::config::tree::Value;
use crate::ring::Confirmation;

const READS: std::ops::RangeInclusive<u32> = 1..=1000;

/// What is counted is forgotten by a restart, so a longer time might never come to its end.
const DURATION: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(1), SignedDuration::from_hours(7 * 24));

pub(super) fn read(field: &Field<'_>) -> Setting<Confirmation> {
    match &field.node.value {
        Value::Int(_) => field.number(READS).map(Confirmation::Reads),
        Value::Text(text) if text.trim() == "manual" => Setting::Given(Confirmation::Manual),
        Value::Text(text) if duration::parse(text).is_some() => {
            let (least, most) = DURATION;
            bounded(field, least, most, false).map(Confirmation::Duration)
        }
        Value::Null => field.refuse(format!(
            "has no value: {CHOICES}, or leave the line out for the default"
        )),
        Value::Text(text) => field.refuse(format!("`{text}` is no confirmation: {CHOICES}")),
        value => field.refuse(format!("is {}: {CHOICES}", value.kind())),
    }
}

const CHOICES: &str = "write a number of reads such as 3, a duration such as 10m, or manual";
